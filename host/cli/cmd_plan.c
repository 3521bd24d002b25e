/*
 * `clattn plan`: which engine would serve a problem and with what, without running it. Makes the plan as a program
 * would and prints what the library tells about it.
 */
#include <string.h>

#include "case.h"
#include "commands.h"
#include "session.h"
#include "table.h"

static const char attn_plan_help[] =
    "clattn plan PROBLEM... [--engine NAME[,NAME]] [--device SELECTOR] [--threads N] [--blocks LIST] [--json]\n"
    "Tells which engine and kernel would serve the problem, why others were refused, block sizes, accumulate type, "
    "workspace,\n"
    "private memory, FLOPs and bytes. With several engines (or `all`) one plan for each.\n\n";

static void attn_print_plan(const attn_session *session, const clattn_plan_info *info) {
    char device[300], workspace[32], bytes[32], text[32];
    attn_session_device_name(session, info->device, device, sizeof device);
    printf("engine            %s\n", info->engine);
    printf("device            %lld  %s\n", (long long)info->device, device);
    printf("kernel            %s\n", info->kernel);
    printf("accumulate        %s%s%s%s\n", info->accumulate, info->sum_running ? ", one running sum over the keys" : "",
           info->weights_rounded ? ", weights rounded to the storage type" : "",
           info->products_tf32 ? ", products of numbers rounded to TF32" : "");
    if (info->block_query > 0 || info->block_key > 0) {
        printf("blocks            %lld rows, %lld keys\n", (long long)info->block_query, (long long)info->block_key);
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
static void attn_json_lines(const char *text) {
    const char *separator = "";
    putchar('[');
    while (*text != '\0') {
        char line[1024];
        size_t length = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        fputs(separator, stdout);
        attn_json_string(stdout, line);
        separator = ", ";
        text += length + (text[length] == '\n' ? 1 : 0);
    }
    putchar(']');
}

static void attn_print_plan_json(const clattn_plan_info *info, const clattn_report *report) {
    printf("  { \"engine\": \"%s\", \"device\": %lld, \"kernel\": ", info->engine, (long long)info->device);
    attn_json_string(stdout, info->kernel);
    printf(", \"accumulate\": \"%s\", \"weights_rounded\": %s, \"products_tf32\": %s, \"sum_running\": %s",
           info->accumulate, info->weights_rounded ? "true" : "false", info->products_tf32 ? "true" : "false",
           info->sum_running ? "true" : "false");
    printf(", \"clean_values\": %s", info->clean_values ? "true" : "false");
    printf(", \"block_query\": %lld, \"block_key\": %lld, \"workspace_size\": %lld, \"private_memory\": %lld",
           (long long)info->block_query, (long long)info->block_key, (long long)info->workspace_size,
           (long long)info->private_memory);
    printf(", \"local_memory\": %lld, \"flops\": %.17g, \"bytes\": %.17g, \"refusals\": ",
           (long long)info->local_memory, info->flops, info->bytes);
    attn_json_lines(report->text);
    printf(" }");
}

/* Plans for one engine (NULL: the best). */
static int attn_plan_one(const attn_session *session, const attn_case *c, const char *engine, bool json, bool first,
                         attn_error *error) {
    clattn_problem problem = c->problem;
    clattn_plan *plan = NULL;
    clattn_plan_info info;
    clattn_report report = { 0 };
    problem.engine = engine;
    problem.device = session->device;
    clattn_status status = clattn_plan_create(session->runtime, &problem, &plan, &report);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    status = clattn_plan_get_info(plan, &info);
    if (status == CLATTN_OK && json) {
        fputs(first ? "" : ",\n", stdout);
        attn_print_plan_json(&info, &report);
    } else if (status == CLATTN_OK) {
        fputs(first ? "" : "\n", stdout);
        attn_print_plan(session, &info);
        if (report.text[0] != '\0') {
            printf("others:\n%s", report.text);
        }
    }
    clattn_plan_destroy(plan);
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, NULL);
}

/* One plan an engine of the list; fails when none of them serves. */
static int attn_plan_listed(const attn_session *session, const attn_case *c, bool json, attn_error *error) {
    int served = 0;
    attn_error last = { 0 };
    for (int t = 0; t < session->target_count; t++) {
        if (attn_plan_one(session, c, session->targets[t].engine, json, served == 0, &last) == ATTN_DONE) {
            served++;
        } else if (last.status == ATTN_BAD) {
            return attn_fail(error, ATTN_BAD, "%s", last.text);
        } else if (!json) {
            printf("%sengine            %s does not serve it: %s\n", served > 0 ? "\n" : "", session->targets[t].engine,
                   last.text);
        }
    }
    return served > 0 ? ATTN_DONE : attn_fail(error, ATTN_CANNOT, "none of the engines serves the problem");
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
        printf("%s%s", attn_plan_help, attn_case_help);
        return ATTN_DONE;
    }
    if (attn_case_read(&c, options.word_count, options.words, error) != ATTN_DONE ||
        attn_case_complete(&c, error) != ATTN_DONE || attn_session_open(&session, &options, error) != ATTN_DONE) {
        return error->status;
    }
    fputs(json && session.listed ? "[\n" : "", stdout);
    int status = session.listed ? attn_plan_listed(&session, &c, json, error)
                                : attn_plan_one(&session, &c, session.engine, json, true, error);
    fputs(!json ? "" : session.listed ? "\n]\n" : "\n", stdout);
    attn_session_close(&session);
    return status;
}
