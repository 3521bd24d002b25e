/*
 * `clattn devices`: what is here and which engines it gets. Asks the library only; the numbers printed are the ones
 * that --device takes.
 */
#include <inttypes.h>
#include <string.h>

#include "base/table.h"
#include "case/case_help.h"
#include "case/session.h"
#include "commands.h"
#include "device_probe.h"

static const char devices_help[] = "clattn devices [--json] [OPTIONS]\n"
                                   "\n"
                                   "What is here: the CPU and every OpenCL device, what each can do, which\n"
                                   "engines it gets, and their bodies, which --body names. The numbers are those\n"
                                   "of --device. What cannot be used is named with the reason.\n"
                                   "  --json                as JSON on standard output\n";

/* Engines that would serve a plain problem there, of many queries or of one, separated by spaces. */
static void list_engines(const attn_session *session, int64_t device, char *text, size_t size) {
    clattn_problem many = CLATTN_PROBLEM_INIT, one = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    many.query_length = many.key_length = one.key_length = many.head_dim = one.head_dim = 64;
    one.query_length = 1;
    options.device = device;
    options.blocks = &session->blocks;
    text[0] = '\0';
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *name = clattn_engine_name(e);
        options.engine = name;
        if (clattn_engine_built(name) &&
            (clattn_engine_supports(session->runtime, &many, &options, NULL) == CLATTN_OK ||
             clattn_engine_supports(session->runtime, &one, &options, NULL) == CLATTN_OK)) {
            attn_text_add(text, size, "%s%s", text[0] != '\0' ? " " : "", name);
        }
    }
}

/* Whether the engine has a body that runs on the device: others are of no interest there. */
static bool has_bodies(const attn_session *session, const char *engine, int64_t device) {
    clattn_body_info body;
    bool here = false;
    for (int64_t n = 0; attn_session_body(session, engine, device, n, &body) == CLATTN_OK; n++) {
        here = here || !body.why_not;
    }
    return here;
}

/* A line for the bodies that run on the device, and one for each that does not. */
static void print_bodies(const attn_session *session, int64_t device) {
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        clattn_body_info body;
        if (!has_bodies(session, engine, device)) {
            continue;
        }
        printf("   bodies          %s:", engine);
        for (int64_t n = 0; attn_session_body(session, engine, device, n, &body) == CLATTN_OK; n++) {
            if (!body.why_not) {
                printf(" %s", body.name);
            }
        }
        printf("\n");
        for (int64_t n = 0; attn_session_body(session, engine, device, n, &body) == CLATTN_OK; n++) {
            if (body.why_not) {
                printf("                   not %s: %s\n", body.name, body.why_not);
            }
        }
    }
}

static void print_bodies_json(const attn_session *session, int64_t device) {
    const char *comma = "";
    printf(", \"bodies\": [");
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        clattn_body_info body;
        bool shown = has_bodies(session, engine, device);
        for (int64_t n = 0; shown && attn_session_body(session, engine, device, n, &body) == CLATTN_OK; n++) {
            printf("%s{ \"engine\": \"%s\", \"name\": \"%s\", \"what\": ", comma, engine, body.name);
            attn_json_write_string(stdout, body.what);
            printf(", \"why_not\": ");
            body.why_not ? attn_json_write_string(stdout, body.why_not) : (void)fputs("null", stdout);
            printf(" }");
            comma = ", ";
        }
    }
    printf("]");
}

static void print_device(const clattn_device_info *info, int64_t device, const char *engines) {
    char memory[32], most[32], local[32];
    printf("%" PRId64 "  %s\n", device, info->name);
    printf("   kind            %s\n", attn_device_kind_name(info->kind));
    if (info->kind != CLATTN_DEVICE_CPU) {
        printf("   platform        %s, %s\n", info->platform, info->version);
        printf("   vendor, driver  %s, %s\n", info->vendor, info->driver);
    }
    printf("   %s %" PRId64 "\n", info->kind == CLATTN_DEVICE_CPU ? "threads        " : "compute units  ",
           info->compute_units);
    printf("   memory          %s", attn_text_bytes((double)info->memory, memory));
    if (info->kind != CLATTN_DEVICE_CPU) {
        printf(", largest buffer %s, local %s, work-group up to %" PRId64,
               attn_text_bytes((double)info->max_allocation, most), attn_text_bytes((double)info->local_memory, local),
               info->max_work_group);
    }
    printf("\n   arithmetic      fp32%s%s%s\n", info->fp16_arithmetic ? " fp16" : "",
           info->fp64_arithmetic ? " fp64" : "", info->subgroups ? ", subgroups" : "");
    if (info->features[0] != '\0') {
        printf("   features        %s\n", info->features);
    }
    printf("   engines         %s\n", engines[0] != '\0' ? engines : "none");
}

static void print_device_json(const clattn_device_info *info, int64_t device, const char *engines) {
    const struct {
        const char *key, *text;
    } texts[] = { { "name", info->name },         { "kind", attn_device_kind_name(info->kind) },
                  { "vendor", info->vendor },     { "driver", info->driver },
                  { "platform", info->platform }, { "version", info->version },
                  { "features", info->features } };
    printf("%s\n  { \"device\": %" PRId64, device > 0 ? "," : "", device);
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        printf(", \"%s\": ", texts[t].key);
        attn_json_write_string(stdout, texts[t].text);
    }
    printf(", \"compute_units\": %" PRId64 ", \"memory\": %" PRId64 ", \"max_allocation\": %" PRId64
           ", \"local_memory\": %" PRId64,
           info->compute_units, info->memory, info->max_allocation, info->local_memory);
    printf(", \"max_work_group\": %" PRId64 ", \"fp16_arithmetic\": %s, \"fp64_arithmetic\": %s, \"subgroups\": %s, ",
           info->max_work_group, info->fp16_arithmetic ? "true" : "false", info->fp64_arithmetic ? "true" : "false",
           info->subgroups ? "true" : "false");
    printf("\"engines\": ");
    attn_json_write_list(stdout, engines, ' ', false);
}

/* Devices that were found and cannot be used. Beside JSON they are for the reader only. */
static void print_left_out(const attn_session *session, FILE *stream) {
    clattn_report left_out;
    if (clattn_runtime_get_left_out(session->runtime, &left_out) == CLATTN_OK) {
        fputs(left_out.text, stream);
    }
}

static void print_missing(void) {
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        if (!clattn_engine_built(clattn_engine_name(e))) {
            printf("Not in this build: %s\n", clattn_engine_name(e));
        }
    }
}

static void print_devices(const attn_session *session, bool json) {
    fputs(json ? "[" : "", stdout);
    for (int64_t d = 0; d < clattn_runtime_device_count(session->runtime); d++) {
        clattn_device_info info;
        char engines[512];
        if ((session->device != CLATTN_ANY_DEVICE && session->device != d) ||
            clattn_runtime_get_device(session->runtime, d, &info) != CLATTN_OK) {
            continue;
        }
        list_engines(session, d, engines, sizeof engines);
        (json ? print_device_json : print_device)(&info, d, engines);
        (json ? print_bodies_json : print_bodies)(session, d);
        fputs(json ? " }" : "", stdout);
    }
    fputs(json ? "\n]\n" : "", stdout);
}

int attn_command_devices(int argc, char **argv, attn_error *error) {
    bool json = false;
    char why[128];
    const attn_flag flags[] = { { "--json", NULL, &json } };
    attn_options options;
    attn_session session;
    if (attn_options_read(&options, flags, 1, argc, argv, error) != ATTN_DONE) {
        return error->status;
    }
    if (options.help) {
        attn_help_print(devices_help, 0);
        return ATTN_DONE;
    }
    if (options.word_count > 0) {
        return attn_fail(error, ATTN_USAGE, "%s: devices takes no words", options.words[0]);
    }
    options.without_opencl = !attn_probe_devices(why, sizeof why);
    if (attn_session_open(&session, &options, error) != ATTN_DONE) {
        return error->status;
    }
    print_devices(&session, json);
    print_left_out(&session, json ? stderr : stdout);
    if (!json) {
        print_missing();
    }
    attn_session_close(&session);
    return options.without_opencl ? attn_fail(error, ATTN_UNSERVED, "%s; only the CPU is listed", why) : ATTN_DONE;
}
