/*
 * Every engine on every device through the gate of docs/numerics.md, for each line of the case files named on the command
 * line (names in tests/cases). Prints each failing problem as one line that `clattn verify` takes, and goes on; so this is
 * no Check suite. A refusal inside the table of must_serve.c is a failure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "gate/gate.h"
#include "verify/must_serve.h"
#include "support/suite.h"

/* What one engine on one device has come to. */
typedef struct tally {
    const char *engine;
    int64_t device;
    int served, refused, failed;
    double worst;
} tally;

enum { TALLIES = 64, MOST_WORK = 20000000 };

static attn_error error;

static void judge(clattn_runtime *runtime, const attn_case *c, attn_case_data *data, tally *t) {
    attn_gate_result result;
    const attn_gate_options options = { .max_work = MOST_WORK };
    if (attn_gate_engine(runtime, t->engine, t->device, data, &options, &result, &error) != ATTN_DONE) {
        printf("FAILED %s: %s: %s\n", t->engine, c->text, error.text);
        t->failed++;
    } else if (result.refused) {
        bool wrong = attn_must_serve(t->engine, &data->problem);
        t->refused++;
        t->failed += wrong;
        if (wrong) {
            printf("FAILED %s: %s: refused: %s\n", t->engine, c->text, result.failure);
        }
    } else {
        t->served++;
        t->worst = result.worst > t->worst ? result.worst : t->worst;
        t->failed += !result.passed;
        if (!result.passed) {
            printf("FAILED %s: %s: %s\n", t->engine, c->text, result.failure);
        }
    }
}

static int judge_case(clattn_runtime *runtime, const attn_case *c, tally *tallies, int count) {
    attn_case_data data;
    if (attn_case_data_create(&data, c, true, &error) != ATTN_DONE) {
        printf("FAILED %s: %s\n", c->text, error.text);
        return 1;
    }
    for (int n = 0; n < count; n++) {
        judge(runtime, c, &data, &tallies[n]);
    }
    attn_case_data_free(&data);
    return 0;
}

static int list_engines(const clattn_runtime *runtime, tally *tallies) {
    int count = 0;
    for (int64_t device = 0; device < clattn_runtime_device_count(runtime); device++) {
        clattn_device_info info;
        if (clattn_runtime_get_device(runtime, device, &info) != CLATTN_OK) {
            continue;
        }
        for (int64_t e = 0; e < clattn_engine_count() && count < TALLIES; e++) {
            const char *engine = clattn_engine_name(e);
            bool opencl = strncmp(engine, "opencl", 6) == 0;
            if (clattn_engine_built(engine) && opencl == (info.kind != CLATTN_DEVICE_CPU)) {
                tallies[count++] = (tally){ engine, device, 0, 0, 0, 0 };
            }
        }
    }
    return count;
}

static int judge_file(clattn_runtime *runtime, const char *name, tally *tallies, int count) {
    char path[512];
    int failed = 0;
    attn_cases cases = { 0 };
    snprintf(path, sizeof path, CLATTN_TEST_SOURCE_DIR "/cases/%s.txt", name);
    if (attn_cases_file(&cases, path, &error) != ATTN_DONE || cases.count == 0) {
        printf("FAILED %s: %s\n", path, error.text);
        failed = 1;
    }
    for (int64_t n = 0; n < cases.count; n++) {
        failed += judge_case(runtime, &cases.items[n], tallies, count);
    }
    printf("%s: %" PRId64 " problems\n", name, cases.count);
    attn_cases_free(&cases);
    return failed;
}

static int summarise(const clattn_runtime *runtime, const tally *tallies, int count) {
    int failed = 0;
    for (int n = 0; n < count; n++) {
        clattn_device_info info;
        const tally *t = &tallies[n];
        const char *device = clattn_runtime_get_device(runtime, t->device, &info) == CLATTN_OK ? info.name : "?";
        printf("%-15s on %s: %d served, %d refused, %d failed; largest error %.2f of its bound\n", t->engine, device, t->served,
               t->refused, t->failed, t->worst);
        failed += t->failed + (t->served == 0);
    }
    return failed;
}

int main(int argc, char **argv) {
    static tally tallies[TALLIES];
    clattn_runtime *runtime;
    if (argc < 2 || clattn_runtime_create(NULL, &runtime) != CLATTN_OK) {
        return EXIT_FAILURE;
    }
    int failed = 0, count = list_engines(runtime, tallies);
    for (int n = 1; n < argc; n++) {
        failed += judge_file(runtime, argv[n], tallies, count);
    }
    failed += summarise(runtime, tallies, count);
    clattn_runtime_destroy(runtime);
    if (failed == 0 && clattn_engine_built("opencl") && !suite_has_opencl()) {
        return suite_without_device();
    }
    return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
