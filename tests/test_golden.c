/*
 * Every engine on every device against the numbers of other implementations (tests/golden). What an engine must serve is
 * restated here from the README's table, so that a refusal that should not be is a failure.
 */
#include <stdio.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/golden_check.h"
#include "support/suite.h"

static clattn_report report;

static bool must_serve(const char *engine, clattn_device_kind kind, const clattn_problem *p) {
    bool opencl = strncmp(engine, "opencl", 6) == 0;
    if (opencl != (kind != CLATTN_DEVICE_CPU)) {
        return false;
    }
    if (opencl && p->type == CLATTN_FP64) {
        return false;
    }
    bool writes_weights = !opencl || strcmp(engine, "opencl-unfused") == 0;
    return p->weights == CLATTN_WEIGHTS_NONE || writes_weights;
}

static void check_engine(clattn_runtime *runtime, const char *engine, int64_t device, const clattn_device_info *info) {
    golden g;
    int served = 0, refused = 0;
    for (long position = 0; golden_next(&position, &g); golden_free(&g)) {
        clattn_status status = golden_check(runtime, &g, engine, device, &report);
        if (status != CLATTN_OK && must_serve(engine, info->kind, &g.problem)) {
            ck_abort_msg("%s on %s refuses golden %s: %s", engine, info->name, g.name, report.text);
        }
        served += status == CLATTN_OK;
        refused += status != CLATTN_OK;
    }
    printf("%s on %s: %d served, %d refused\n", engine, info->name, served, refused);
}

START_TEST(test_every_engine) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int64_t device = 0; device < clattn_runtime_device_count(runtime); device++) {
        clattn_device_info info;
        EXPECT_STATUS(clattn_runtime_get_device(runtime, device, &info), CLATTN_OK, NULL);
        for (int64_t e = 0; e < clattn_engine_count(); e++) {
            if (clattn_engine_built(clattn_engine_name(e))) {
                check_engine(runtime, clattn_engine_name(e), device, &info);
            }
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_every_engine };
    return suite_run(SUITE_OF("golden", tests, 0), SUITE_NO_FORK);
}
