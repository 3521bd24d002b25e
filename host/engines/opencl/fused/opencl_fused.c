/*
 * The engine opencl-fused: one pass over the keys with a running maximum and sum; scores are never stored, memory is
 * linear in the lengths. Four shapes of kernels, opencl_fused_{cpu,gpu,mma,tf32}.c, chosen by device and type. To add one:
 * another shape, another file with prepare and submit, its line in shapes[], and its name in named[].
 */
#include "engines/opencl/fused/opencl_fused.h"
#include "engines/opencl/fused/opencl_fused_tiles.h"

#include <stdio.h>

typedef struct fused_shape {
    const char *kernel;
    clattn_status (*prepare)(attn_fused *fused, clattn_plan_info *info, clattn_report *report);
    clattn_status (*submit)(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call);
} fused_shape;

static const fused_shape shapes[] = {
    [ATTN_SHAPE_CPU] = { "attention_fused_cpu", attn_fused_cpu_prepare, attn_fused_cpu_submit },
    [ATTN_SHAPE_GPU] = { "attention_fused_gpu", attn_fused_gpu_prepare, attn_fused_gpu_submit },
    [ATTN_SHAPE_MMA] = { "attention_fused_mma", attn_fused_mma_prepare, attn_fused_mma_submit },
    [ATTN_SHAPE_TF32] = { "attention_fused_tf32", attn_fused_tf32_prepare, attn_fused_tf32_submit },
};

static const attn_body named[] = {
    ATTN_BODY_CPU_SHAPED,
    ATTN_BODY_GPU_SHAPED,
    { "matrix", "matrix units, TF32 for fp32; without them the same in portable C, for tests", attn_shape_why_not },
    { "emulated-mfma", "the matrix units of AMD's CDNA (MFMA), emulated: slow, for tests on any device", attn_shape_why_not },
    { "emulated-gfx11", "the matrix units of AMD's RDNA3, emulated: slow, for tests on any device", attn_shape_why_not },
    { "emulated-gfx12", "the matrix units of AMD's RDNA4, emulated: slow, for tests on any device", attn_shape_why_not },
    { "emulated-intel", "the matrix units of Intel's GPUs, emulated: slow, for tests on any device", attn_shape_why_not },
    { NULL, NULL, NULL },
};

/* Of the two shapes for matrix units the one for the problem's type. */
static attn_shape matrix_shape(const clattn_problem *problem) {
    return problem->type == CLATTN_FP32 ? ATTN_SHAPE_TF32 : ATTN_SHAPE_MMA;
}

static bool matrix_serves(const clattn_problem *problem, const attn_device *device, clattn_report *why_not) {
    const bool emulated = attn_mma_tile_emulated(device->blocks.body) != NULL;
    return !emulated && matrix_shape(problem) == ATTN_SHAPE_TF32 ? attn_fused_tf32_serves(problem, why_not)
                                                                 : attn_fused_mma_serves(problem, why_not);
}

static bool matrix_wanted(const clattn_problem *problem, const attn_device *device) {
    return matrix_shape(problem) == ATTN_SHAPE_TF32 ? attn_fused_tf32_wanted(problem, device)
                                                    : attn_fused_mma_wanted(problem, device);
}

static bool supports(const clattn_problem *problem, const attn_device *device, clattn_report *why_not) {
    return attn_shape_supports(problem, device, why_not) &&
           (attn_shape_choose(device) != ATTN_SHAPE_MMA || matrix_serves(problem, device, why_not));
}

static int preference(const clattn_problem *problem, const attn_device *device) {
    (void)problem;
    return attn_opencl_preference(device) + 20;
}

static void release(void *state) {
    attn_fused *fused = state;
    if (fused != NULL) {
        attn_release(fused->device.memory, fused);
    }
}

/* The body on matrix units is tried first where there are some; whether it builds, only the device can tell. */
static clattn_status prepare_body(attn_fused *fused, clattn_plan_info *info, clattn_report *report) {
    const attn_shape matrix = matrix_shape(&fused->problem);
    if (matrix_wanted(&fused->problem, &fused->device)) {
        fused->shape = matrix;
        if (shapes[matrix].prepare(fused, info, report) == CLATTN_OK) {
            return CLATTN_OK;
        }
    }
    fused->shape = attn_shape_choose(&fused->device);
    fused->shape = fused->shape == ATTN_SHAPE_MMA ? matrix : fused->shape;
    return shapes[fused->shape].prepare(fused, info, report);
}

static clattn_status prepare(const clattn_problem *problem, const attn_device *device, void **state,
                             clattn_plan_info *info, clattn_report *report) {
    attn_fused *fused = attn_allocate_zeroed(device->memory, (int64_t)sizeof *fused);
    *state = NULL;
    if (fused == NULL) {
        return CLATTN_OUT_OF_MEMORY;
    }
    fused->problem = *problem;
    fused->device = *device;
    attn_shape_describe(info);
    clattn_status status = prepare_body(fused, info, report);
    if (status == CLATTN_OK && (attn_repair_needed(problem) || fused->shape == ATTN_SHAPE_TF32)) {
        char options[32];
        snprintf(options, sizeof options, "-DATTN_TYPE=%d", (int)problem->type);
        status = attn_program_get(device->opencl, "attention_repair", options, &fused->repair, report);
    }
    if (status != CLATTN_OK) {
        release(fused);
        return status;
    }
    info->workspace_size = fused->workspace_size;
    *state = fused;
    return CLATTN_OK;
}

static void slot_close(void *state, void *slot) {
    const attn_fused *fused = state;
    attn_shape_slot_close(&fused->device, slot);
}

static clattn_status slot_open(void *state, void **slot, clattn_report *report) {
    const attn_fused *fused = state;
    const attn_slot_programs programs = { fused->main, fused->pack, fused->repair, shapes[fused->shape].kernel,
                                          "attention_pack" };
    return attn_shape_slot_open(&fused->device, &fused->problem, fused->workspace_size, &programs, slot, report);
}

static clattn_status submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call) {
    ATTN_TRY(shapes[fused->shape].submit(fused, slot, call));
    return slot->repair != NULL ? attn_repair_launch(call, slot->repair) : CLATTN_OK;
}

static clattn_status execute(void *state, const attn_execution *execution) {
    attn_shape_slot *slot = execution->slot;
    attn_opencl_call call;
    ATTN_TRY(attn_opencl_call_begin(&call, &slot->base, execution));
    clattn_status status = CLATTN_OK;
    if (call.arguments.batch > 0 && call.arguments.query_heads > 0 && call.arguments.query_length > 0) {
        status = submit(state, slot, &call);
    }
    return attn_opencl_call_end(&call, status);
}

const attn_engine attn_engine_opencl_fused = {
    .name = "opencl-fused",
    .bodies = named,
    .supports = supports,
    .preference = preference,
    .prepare = prepare,
    .slot_open = slot_open,
    .slot_close = slot_close,
    .execute = execute,
    .release = release,
};
