/*
 * The loop over engines and devices (see every_engine.h). Knows of engines only what clattn_inspect.h lists: those whose
 * name begins with "opencl" run on OpenCL devices, the others on device 0.
 */
#include "support/every_engine.h"

#include <stdio.h>
#include <string.h>

#include "clattn/clattn_inspect.h"

static void check_device(clattn_runtime *runtime, int64_t device, bool fp64, void (*check)(const engine_at *at)) {
    clattn_device_info info;
    EXPECT_STATUS(clattn_runtime_get_device(runtime, device, &info), CLATTN_OK, NULL);
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        bool opencl = strncmp(engine, "opencl", 6) == 0;
        if (!clattn_engine_built(engine) || opencl != (info.kind != CLATTN_DEVICE_CPU) || (opencl && fp64)) {
            continue;
        }
        engine_at at = { runtime, engine, device, "" };
        snprintf(at.name, sizeof at.name, "%s on %s", engine, info.name);
        check(&at);
    }
}

void for_every_engine(bool fp64, void (*check)(const engine_at *at)) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int64_t device = 0; device < clattn_runtime_device_count(runtime); device++) {
        check_device(runtime, device, fp64, check);
    }
    clattn_runtime_destroy(runtime);
}

bool engine_take_body(const engine_at *at, int64_t n, clattn_block_override *blocks) {
    clattn_body_info info = { NULL, NULL, NULL };
    bool there = n == 0 || clattn_inspect_body(at->runtime, CLATTN_OPERATION_ATTENTION, at->engine, at->device, n - 1, &info) == CLATTN_OK;
    *blocks = (clattn_block_override){ .body = info.name };
    return there;
}

clattn_plan_options engine_options(const engine_at *at) {
    clattn_plan_options options = suite_on(at->engine, at->device);
    options.blocks = at->blocks;
    options.batch_invariant = at->batch_invariant;
    return options;
}

void engine_execute(const engine_at *at, clattn_problem problem, const clattn_tensors *tensors) {
    static clattn_report report;
    clattn_tensors t = *tensors;
    const clattn_plan_options options = engine_options(at);
    t.report = &report;
    clattn_status status = clattn_attention(at->runtime, &problem, &options, &t, &report);
    ck_assert_msg(status == CLATTN_OK, "%s: %s: %s", at->name, clattn_status_name(status), report.text);
}
