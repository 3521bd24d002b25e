/*
 * The engine opencl-fused: one pass over the keys with a running maximum and sum; scores are never stored, memory is
 * linear in the lengths. Four bodies, opencl_fused_{cpu,gpu,mma,tf32}.c, chosen by device and type. To add one: another file
 * with take and submit, its line in bodies[], and its name in named[].
 */
#include "engines/opencl/fused/opencl_fused.h"
#include "engines/opencl/fused/opencl_fused_tiles.h"
#include "engines/unserved.h"

typedef struct fused_body {
    const char *program;
    bool (*serves)(const clattn_problem *problem, const attn_device *device, clattn_report *why_not); /* NULL = all */
    attn_fused_take *take;
    clattn_status (*submit)(const attn_fused *fused, attn_grid_slot *slot, attn_opencl_call *call);
} fused_body;

static const fused_body bodies[] = {
    [ATTN_BODY_CPU] = { "attention_fused_cpu", NULL, attn_fused_cpu_take, attn_fused_cpu_submit },
    [ATTN_BODY_GPU] = { "attention_fused_gpu", NULL, attn_fused_gpu_take, attn_fused_groups_submit },
    [ATTN_BODY_MMA] = { "attention_fused_mma", attn_fused_mma_serves, attn_fused_mma_take, attn_fused_groups_submit },
    [ATTN_BODY_TF32] = { "attention_fused_tf32", attn_fused_tf32_serves, attn_fused_tf32_take,
                         attn_fused_groups_submit },
};

static const attn_body named[] = {
    ATTN_BODY_CPU_SHAPED,
    ATTN_BODY_GPU_SHAPED,
    { "matrix", "matrix units, TF32 for fp32; without them the same in portable C, for tests", attn_opencl_why_not },
    { "emulated-mfma", "the matrix units of AMD's CDNA (MFMA), emulated: slow, for tests on any device",
      attn_opencl_why_not },
    { "emulated-gfx11", "the matrix units of AMD's RDNA3, emulated: slow, for tests on any device",
      attn_opencl_why_not },
    { "emulated-gfx12", "the matrix units of AMD's RDNA4, emulated: slow, for tests on any device",
      attn_opencl_why_not },
    { "emulated-intel", "the matrix units of Intel's GPUs, emulated: slow, for tests on any device",
      attn_opencl_why_not },
    { NULL, NULL, NULL },
};

/* Of the two bodies on matrix units the one for the problem's type; those that are emulated have no other. */
static attn_opencl_body matrix_body(const clattn_problem *problem, const attn_device *device) {
    return problem->type == CLATTN_FP32 && !attn_mma_tile_emulated(device->blocks.body) ? ATTN_BODY_TF32
                                                                                        : ATTN_BODY_MMA;
}

static attn_opencl_body choose_body(const clattn_problem *problem, const attn_device *device) {
    const attn_opencl_body body = attn_opencl_body_choose(device);
    return body == ATTN_BODY_MMA ? matrix_body(problem, device) : body;
}

static bool is_served(const fused_body *body, const clattn_problem *problem, const attn_device *device,
                      clattn_report *why_not) {
    return !body->serves || body->serves(problem, device, why_not);
}

/* Whether matrix units are the first choice: nothing else was asked for, they are there and serve the problem. */
static bool has_matrix_units(const clattn_problem *problem, const attn_device *device) {
    return !device->blocks.body && attn_mma_tile_trusted(device->opencl) &&
           is_served(&bodies[matrix_body(problem, device)], problem, device, NULL);
}

/* What training asks for and this engine serves: ATTN_SERVES_ bits. */
enum { SERVES = ATTN_SERVES_BACKWARD | ATTN_SERVES_DROPOUT | ATTN_SERVES_PREFIX | ATTN_SERVES_OUTPUT_TYPE };

static bool supports(const void *asked, const attn_device *device, clattn_report *why_not) {
    const clattn_problem *problem = asked;
    if (device->blocks.splits != 0) {
        attn_report_line(why_not, "blocks.splits: opencl-fused does not split keys");
        return false;
    }
    if (!attn_opencl_body_supports(problem, device, SERVES, why_not)) {
        return false;
    }
    if (problem->direction == CLATTN_BACKWARD) {
        return attn_backward_serves(problem, device, why_not);
    }
    return is_served(&bodies[choose_body(problem, device)], problem, device, why_not);
}

static int preference(const void *problem, const attn_device *device) {
    (void)problem;
    return attn_opencl_preference(device) + 20;
}

static void release(void *state) {
    attn_fused *fused = state;
    if (fused) {
        attn_release(fused->device.memory, fused);
    }
}

/* The first row of the body's table that fits the device. */
static clattn_status prepare_body(attn_fused *fused, attn_opencl_body body, clattn_plan_info *info,
                                  clattn_report *report) {
    attn_tuning_row rows[ATTN_OPENCL_ROWS];
    clattn_status status = CLATTN_UNSUPPORTED;
    fused->body = body;
    fused->program = bodies[body].program;
    const int64_t count = attn_opencl_find_rows(fused->program, &fused->problem, &fused->device, rows);
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        status = bodies[body].take(fused, &rows[k], k == count - 1, info, report);
    }
    return status;
}

/* Matrix units are tried first where there are some; whether their program builds, only the device can tell. */
static clattn_status prepare_bodies(attn_fused *fused, clattn_plan_info *info, clattn_report *report) {
    const clattn_problem *problem = &fused->problem;
    const attn_device *device = &fused->device;
    if (has_matrix_units(problem, device) &&
        prepare_body(fused, matrix_body(problem, device), info, report) == CLATTN_OK) {
        return CLATTN_OK;
    }
    return prepare_body(fused, choose_body(problem, device), info, report);
}

static clattn_status prepare_backward(attn_fused *fused, clattn_plan_info *info, void **state, clattn_report *report) {
    clattn_status status = attn_backward_prepare(&fused->backward, &fused->problem, &fused->device, info, report);
    if (status != CLATTN_OK) {
        release(fused);
        return status;
    }
    *state = fused;
    return CLATTN_OK;
}

static clattn_status prepare(const void *asked, const attn_device *device, void **state,
                             clattn_plan_info *info, clattn_report *report) {
    const clattn_problem *problem = asked;
    attn_fused *fused = attn_allocate_zeroed(device->memory, (int64_t)sizeof *fused);
    *state = NULL;
    if (!fused) {
        return CLATTN_OUT_OF_MEMORY;
    }
    fused->problem = *problem;
    fused->device = *device;
    attn_opencl_body_describe(info);
    if (problem->direction == CLATTN_BACKWARD) {
        return prepare_backward(fused, info, state, report);
    }
    clattn_status status = prepare_bodies(fused, info, report);
    if (status == CLATTN_OK && (attn_repair_needed(problem) || fused->body == ATTN_BODY_TF32)) {
        status = attn_repair_build(device->opencl, problem, &fused->repair, report);
    }
    if (status == CLATTN_OK) {
        status = attn_dropout_mask_build(device->opencl, problem, &fused->mask, report);
    }
    if (status != CLATTN_OK) {
        release(fused);
        return status;
    }
    info->workspace_size = fused->workspace_size;
    *state = fused;
    return CLATTN_OK;
}

static clattn_status slot_open(void *state, void **slot, clattn_report *report) {
    const attn_fused *fused = state;
    if (fused->problem.direction == CLATTN_BACKWARD) {
        return attn_backward_slot_open(&fused->backward, slot, report);
    }
    const attn_slot_kernel kernels[ATTN_SLOT_KERNELS] = { [ATTN_FUSED_MAIN] = { fused->main, fused->program },
                                                          [ATTN_FUSED_PACK] = { fused->pack, "attention_pack" },
                                                          [ATTN_FUSED_REPAIR] = { fused->repair, "attention_repair" },
                                                          [ATTN_SLOT_MASK] = { fused->mask, "dropout_mask" } };
    return attn_grid_slot_open(fused->device.opencl, &fused->problem,
                               fused->device.caller_workspace ? 0 : fused->workspace_size, kernels, slot, report);
}

static clattn_status submit(const void *state, attn_grid_slot *slot, attn_opencl_call *call) {
    const attn_fused *fused = state;
    cl_kernel repair = slot->kernels[ATTN_FUSED_REPAIR];
    ATTN_TRY(bodies[fused->body].submit(fused, slot, call));
    ATTN_TRY(attn_dropout_mask_launch(call, slot->kernels[ATTN_SLOT_MASK]));
    return repair ? attn_repair_launch(call, repair) : CLATTN_OK;
}

static clattn_status execute(void *state, const attn_execution *execution) {
    const attn_fused *fused = state;
    return fused->problem.direction == CLATTN_BACKWARD ? attn_backward_execute(&fused->backward, execution)
                                                       : attn_grid_execute(state, execution, submit);
}

const attn_engine attn_engine_opencl_fused = {
    .name = "opencl-fused",
    .bodies = named,
    .supports = supports,
    .preference = preference,
    .prepare = prepare,
    .slot_open = slot_open,
    .slot_close = attn_grid_slot_close,
    .execute = execute,
    .release = release,
};
