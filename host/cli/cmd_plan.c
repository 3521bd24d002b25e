/*
 * `clattn plan`: which engine would serve a problem and with what, without running it. Makes the plan as a program
 * would and prints what the library says about it.
 */
#include <inttypes.h>
#include <string.h>

#include "base/progress.h"
#include "base/speech.h"
#include "base/table.h"
#include "case/case.h"
#include "case/case_help.h"
#include "case/session.h"
#include "commands.h"

static const char plan_help[] = "clattn plan PROBLEM... [--json] [OPTIONS]\n"
                                "\n"
                                "Which engine and kernel would serve the problem, why others would not, block\n"
                                "sizes, accumulate type, workspace, private memory, FLOPs and bytes. Nothing is\n"
                                "computed, but kernels are built: where a device sees them for the first time\n"
                                "that may take minutes (a terminal shows that it goes on). With several engines,\n"
                                "or `all`, one plan for each. direction=backward: the plan of the gradients\n"
                                "alone; its forward is a plan of its own.\n"
                                "  --json                as JSON on standard output\n";

/* "query, key, value": what a backward problem writes; "" of a forward one. */
static void list_gradients(const clattn_problem *problem, char *text, size_t size) {
    static const char *const names[] = { "query", "key", "value", "bias", "alibi_slopes", "sinks" }; /* of the bits */
    text[0] = '\0';
    for (int n = 0; n < 6 && problem->direction == CLATTN_BACKWARD; n++) {
        if (problem->gradients >> n & 1u) {
            attn_text_add(text, size, "%s%s", text[0] != '\0' ? ", " : "", names[n]);
        }
    }
}

static void print_plan(const attn_session *session, const clattn_problem *problem, const clattn_plan_info *info) {
    char gradients[128];
    list_gradients(problem, gradients, sizeof gradients);
    char device[300], workspace[32], bytes[32], text[32];
    attn_session_device_name(session, info->device, device, sizeof device);
    printf("engine            %s\n", info->engine);
    printf("device            %" PRId64 "  %s\n", info->device, device);
    printf("kernel            %s\n", info->kernel);
    if (gradients[0] != '\0') {
        printf("gradients         %s\n", gradients);
    }
    printf("accumulate        %s%s%s%s\n", info->accumulate, info->sum_running ? ", one running sum over the keys" : "",
           info->weights_rounded ? ", weights rounded to the storage type" : "",
           info->products_tf32 ? ", products of numbers rounded to TF32" : "");
    if (info->block_query > 0 || info->block_key > 0) {
        printf("blocks            %" PRId64 " rows, %" PRId64 " keys\n", info->block_query, info->block_key);
    }
    if (session->tuning[0] != '\0') {
        printf("tuning file       %s\n", session->tuning);
    }
    printf("workspace         %s\n", attn_text_bytes((double)info->workspace_size, workspace));
    if (info->private_memory >= 0) {
        printf("private memory    %s a work-item\n", attn_text_bytes((double)info->private_memory, text));
    }
    if (info->local_memory >= 0) {
        printf("local memory      %s a work-group\n", attn_text_bytes((double)info->local_memory, text));
    }
    printf("unused values     %s\n",
           info->clean_values ? "may hold anything" : "a value that some rows may not attend must be finite");
    printf("work              %.6g FLOP, %s at least to move\n", info->flops, attn_text_bytes(info->bytes, bytes));
}

/* The lines of a report as a JSON array. */
static void json_lines(const char *text) {
    const char *separator = "";
    putchar('[');
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        fputs(separator, stdout);
        attn_json_write_part(stdout, text, length);
        separator = ", ";
        text += length + (text[length] == '\n' ? 1 : 0);
    }
    putchar(']');
}

static void print_plan_json(const clattn_problem *problem, const clattn_plan_info *info, const char *refusals) {
    const char *direction = problem->direction == CLATTN_BACKWARD ? "backward" : "forward";
    printf("  { \"engine\": \"%s\", \"device\": %" PRId64 ", \"kernel\": ", info->engine, info->device);
    attn_json_write_string(stdout, info->kernel);
    printf(", \"accumulate\": \"%s\", \"weights_rounded\": %s, \"products_tf32\": %s, \"sum_running\": %s",
           info->accumulate, info->weights_rounded ? "true" : "false", info->products_tf32 ? "true" : "false",
           info->sum_running ? "true" : "false");
    printf(", \"clean_values\": %s", info->clean_values ? "true" : "false");
    printf(", \"block_query\": %" PRId64 ", \"block_key\": %" PRId64 ", \"workspace_size\": %" PRId64
           ", \"private_memory\": %" PRId64,
           info->block_query, info->block_key, info->workspace_size, info->private_memory);
    printf(", \"local_memory\": %" PRId64 ", \"flops\": ", info->local_memory);
    attn_json_write_number(stdout, info->flops, 17);
    fputs(", \"bytes\": ", stdout);
    attn_json_write_number(stdout, info->bytes, 17);
    printf(", \"direction\": \"%s\"", direction);
    fputs(", \"refusals\": ", stdout);
    json_lines(refusals);
    printf(" }");
}

/* Whether a line of the text begins so. */
static bool has_line(const char *text, const char *line, size_t length) {
    for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n') {
        if (strncmp(text, line, length) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Why the other engines that were asked would not serve it, a line each: those with a device of their kind here. Then
 * what the library reported while it made the plan, but for engines on devices of another kind.
 */
static void list_refusals(const attn_session *session, const clattn_problem *problem,
                               const clattn_plan_options *options, const char *chosen, const char *told, char *text,
                               size_t size) {
    clattn_report report;
    bool any = !options->engine, opencl = !any && strcmp(options->engine, "opencl") == 0;
    text[0] = '\0';
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *name = clattn_engine_name(e);
        int64_t device = attn_session_device_for(session, name);
        bool asked = any || (opencl && strncmp(name, "opencl", 6) == 0);
        clattn_plan_options one = *options;
        one.engine = name;
        one.device = device;
        report = (clattn_report){ 0 };
        if (asked && strcmp(name, chosen) != 0 && clattn_engine_built(name) && device >= 0 &&
            clattn_engine_supports(session->runtime, problem, &one, &report) != CLATTN_OK) {
            attn_text_add(text, size, "%s on device %" PRId64 ": %.*s\n", name, device, (int)strcspn(report.text, "\n"),
                          report.text);
        }
    }
    for (size_t length; *told != '\0'; told += length + (told[length] == '\n')) {
        length = strcspn(told, "\n");
        const char *reason = strstr(told, ": ");
        bool other_kind = reason && strncmp(reason, ": device:", 9) == 0;
        if (length > 0 && !other_kind && !has_line(text, told, length)) {
            attn_text_add(text, size, "%.*s\n", (int)length, told);
        }
    }
}

/* Plans for one engine (NULL: the best). */
static int plan_one(const attn_session *session, const attn_case *c, const char *engine, bool json, bool first,
                         attn_error *error) {
    clattn_plan_options options = c->options;
    clattn_plan *plan = NULL;
    clattn_plan_info info;
    clattn_report report = { 0 };
    options.engine = engine;
    options.device = session->device;
    options.blocks = &session->blocks;
    attn_progress(0, 1, "kernels are built");
    clattn_status status = clattn_plan_create(session->runtime, &c->problem, &options, &plan, &report);
    attn_progress_end();
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    char refusals[sizeof report.text] = "", spoken[sizeof report.text];
    status = clattn_plan_get_info(plan, &info);
    if (status == CLATTN_OK) {
        list_refusals(session, &c->problem, &options, info.engine, report.text, refusals, sizeof refusals);
    }
    attn_speak(refusals, spoken, sizeof spoken);
    if (status == CLATTN_OK && json) {
        fputs(first ? "" : ",\n", stdout);
        print_plan_json(&c->problem, &info, spoken);
    } else if (status == CLATTN_OK) {
        fputs(first ? "" : "\n", stdout);
        print_plan(session, &c->problem, &info);
        if (spoken[0] != '\0') {
            printf("others:\n%s", spoken);
        }
    }
    clattn_plan_destroy(plan);
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, NULL);
}

/* One plan an engine of the list; fails when none of them serves. */
static int plan_listed(const attn_session *session, const attn_case *c, bool json, attn_error *error) {
    int served = 0;
    attn_error last = { 0 };
    for (int t = 0; t < session->target_count; t++) {
        if (plan_one(session, c, session->targets[t].engine, json, served == 0, &last) == ATTN_DONE) {
            served++;
        } else if (last.status == ATTN_USAGE) {
            return attn_fail(error, ATTN_USAGE, "%s", last.text);
        } else if (!json) {
            printf("%sengine            %s does not serve it: %s\n", served > 0 ? "\n" : "", session->targets[t].engine,
                   last.text);
        }
    }
    return served > 0 ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "none of the engines serves the problem");
}

int attn_command_plan(int argc, char **argv, attn_error *error) {
    bool json = false;
    const attn_flag flags[] = { { "--json", NULL, &json } };
    attn_options options;
    attn_session session;
    attn_case c;
    attn_case_init(&c);
    if (attn_options_read(&options, flags, 1, argc, argv, error) != ATTN_DONE) {
        return error->status;
    }
    if (options.help) {
        attn_help_print(plan_help, ATTN_HELP_PROBLEM | ATTN_HELP_DRAWN);
        return ATTN_DONE;
    }
    if (attn_case_read(&c, options.word_count, options.words, error) != ATTN_DONE ||
        attn_case_complete(&c, error) != ATTN_DONE || attn_session_open(&session, &options, error) != ATTN_DONE) {
        return error->status;
    }
    fputs(json && session.listed ? "[\n" : "", stdout);
    int status = session.listed ? plan_listed(&session, &c, json, error)
                                : plan_one(&session, &c, session.engine, json, true, error);
    fputs(!json ? "" : session.listed ? "\n]\n" : status == ATTN_DONE ? "\n" : "", stdout);
    attn_session_close(&session);
    return status;
}
