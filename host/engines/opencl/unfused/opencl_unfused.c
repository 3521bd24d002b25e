/*
 * The engine opencl-unfused: scores by CLBlast, masked softmax, weighted sums by CLBlast, each its own dispatch with
 * the scores in memory between them. For weights out, for comparison, and for showing what fusion buys. This file makes
 * plans and slots; opencl_unfused_run.c runs calls, _backward.c those of backward, _matrices.c what both have, _parts.c plans
 * memory, _product.c speaks to CLBlast.
 */
#include <stdio.h>

#include "base/report.h"
#include "engines/opencl/unfused/opencl_unfused.h"
#include "engines/opencl/unfused/opencl_unfused_backward.h"
#include "engines/unserved.h"

/* What training asks for and this engine serves: ATTN_SERVES_ bits. */
enum {
    SERVES = ATTN_SERVES_BACKWARD | ATTN_SERVES_DROPOUT | ATTN_SERVES_PREFIX | ATTN_SERVES_OUTPUT_TYPE
};

static bool supports(const void *asked, const attn_device *device, clattn_report *why_not) {
    const clattn_problem *problem = asked;
    if (device->blocks.block_key != 0 || device->blocks.splits != 0) {
        attn_report_line(why_not, "blocks.%s: only block_query (rows of a part) and body mean something here",
                         device->blocks.splits != 0 ? "splits" : "block_key");
        return false;
    }
    return attn_opencl_supports(problem, device, SERVES, why_not) && attn_product_serves(device->opencl, why_not);
}

static int preference(const void *problem, const attn_device *device) {
    (void)problem;
    return attn_opencl_preference(device) + 1; /* the last choice among the OpenCL engines */
}

static clattn_status temporary(const attn_unfused_sizes *sizes, int64_t rows, int64_t *bytes, clattn_report *report) {
    const attn_product scores = { .m = sizes->key_length, .n = rows, .k = sizes->head_dim, .a_transposed = true };
    const attn_product sums = { .m = sizes->value_dim, .n = rows, .k = sizes->key_length };
    int64_t first = 0, second = 0;
    ATTN_TRY(attn_product_temporary(sizes->user, &scores, &first, report));
    ATTN_TRY(attn_product_temporary(sizes->user, &sums, &second, report));
    *bytes = attn_max(first, second);
    return CLATTN_OK;
}

clattn_status attn_unfused_sizes_of(const attn_unfused_state *state, int64_t query_length, int64_t key_length,
                                    attn_unfused_sizes *sizes) {
    const clattn_problem *p = &state->problem;
    int64_t group = p->kv_heads > 0 ? p->query_heads / p->kv_heads : 0;
    *sizes = (attn_unfused_sizes){ .key_length = key_length,
                                   .head_dim = p->head_dim,
                                   .value_dim = p->value_dim,
                                   .most_rows = state->blocks.block_query,
                                   .regions = state->regions,
                                   .backward = p->direction == CLATTN_BACKWARD,
                                   .temporary = temporary,
                                   .user = state->device };
    if (sizes->backward) {
        sizes->temporary = attn_unfused_backward_temporary;
        ATTN_TRY(attn_unfused_bias_elements(p, &sizes->bias_elements));
    }
    return attn_multiply(p->batch, p->kv_heads, &sizes->pairs) && attn_multiply(group, query_length, &sizes->rows)
               ? CLATTN_OK
               : CLATTN_OVERFLOW;
}

/* A quarter of the device's memory at most: the tensors and other users need some too. */
static int64_t workspace_limit(const struct attn_opencl_device *device) {
    int64_t quarter = device->info.memory / 4;
    return attn_min(device->info.max_allocation, attn_max(quarter, 1 << 20));
}

static void choose_groups(attn_unfused_state *state) {
    const struct attn_opencl_device *device = state->device;
    if (state->body == ATTN_BODY_CPU) {
        state->row_group = 1;
        state->row_width = (int)attn_opencl_vector(device);
        state->lanes = 1;
        return;
    }
    state->row_group = 256;
    while (state->row_group > device->info.max_work_group && state->row_group > 1) {
        state->row_group /= 2;
    }
    state->row_width = 4;
    state->lanes = (int)attn_min(64, device->info.max_work_group);
}

/* A kernel may allow fewer work-items than its device does: then half as many take a row. */
clattn_status attn_unfused_build_rows(attn_unfused_state *state, const attn_device *device, int place, const char *name,
                                      clattn_report *report) {
    for (;; state->row_group /= 2) {
        char options[256];
        snprintf(options, sizeof options, "-DATTN_TYPE=%d -DROW_GROUP=%d -DROW_WIDTH=%d%s", (int)state->problem.type,
                 state->row_group, state->row_width, attn_training_defines(&state->problem));
        state->kernels[place].name = name;
        clattn_status status = attn_opencl_build(device, name, options, state->row_group, false,
                                                 &state->kernels[place].program, NULL, report);
        if (status != CLATTN_UNSUPPORTED || state->row_group == 1) {
            return status;
        }
    }
}

/* The copies take any number of work-items a row. */
clattn_status attn_unfused_build_copy(attn_unfused_state *state, const attn_device *device, int place, const char *name,
                                      clattn_type type, const char *defines, clattn_report *report) {
    for (;; state->lanes /= 2) {
        char options[128];
        snprintf(options, sizeof options, "-DATTN_TYPE=%d%s", (int)type, defines);
        state->kernels[place].name = name;
        clattn_status status =
            attn_opencl_build(device, name, options, state->lanes, false, &state->kernels[place].program, NULL, report);
        if (status != CLATTN_UNSUPPORTED || state->lanes == 1) {
            return status;
        }
    }
}

static clattn_status build(attn_unfused_state *state, const attn_device *device, clattn_report *report) {
    const clattn_type type = state->problem.type;
    ATTN_TRY(attn_unfused_build_copy(state, device, ATTN_UNFUSED_GATHER, "gather", type, "", report));
    if (state->problem.direction == CLATTN_BACKWARD) {
        ATTN_TRY(attn_unfused_backward_build(state, device, report));
    } else {
        ATTN_TRY(attn_unfused_build_rows(state, device, ATTN_UNFUSED_SOFTMAX, "softmax_masked", report));
        ATTN_TRY(attn_unfused_build_copy(state, device, ATTN_UNFUSED_OUTPUT, "weighted_output", type,
                                         attn_training_defines(&state->problem), report));
        state->kernels[ATTN_SLOT_MASK].name = "dropout_mask";
        ATTN_TRY(
            attn_dropout_mask_build(state->device, &state->problem, &state->kernels[ATTN_SLOT_MASK].program, report));
    }
    return attn_product_prepare(state->device, report);
}

/* Whether some product of the largest part takes temporary memory: those have kernels of their own. */
static clattn_status try_large(const attn_unfused_sizes *sizes, const attn_unfused_part *part, clattn_report *report) {
    int64_t bytes = 0;
    if (part->pairs > 0 && part->rows > 0 && sizes->key_length > 0) {
        ATTN_TRY(sizes->temporary(sizes, part->rows, &bytes, report));
    }
    return bytes > 0 ? attn_product_prepare_large(sizes->user, report) : CLATTN_OK;
}

static void describe(const attn_unfused_state *state, const attn_unfused_part *part, clattn_plan_info *info) {
    const bool backward = state->problem.direction == CLATTN_BACKWARD;
    snprintf(info->kernel, sizeof info->kernel, "CLBlast Sgemm, %s (%d x float%d a row), CLBlast Sgemm",
             backward ? "backward_scores" : "softmax_masked", state->row_group, state->row_width);
    info->accumulate = "fp32";
    info->weights_rounded = false;
    info->sum_running = true; /* CLBlast keeps one accumulator a sum */
    info->clean_values = true;
    info->block_query = part->rows; /* of a pair's stacked rows in one part; every key at once */
    info->block_key = state->problem.key_length;
    info->workspace_size = state->workspace_size;
    info->private_memory = -1;
    info->local_memory = state->row_group > 1 ? (int64_t)sizeof(float) * state->row_group : 0;
}

static void release(void *opaque) {
    attn_unfused_state *state = opaque;
    if (state) {
        attn_release(state->memory, state);
    }
}

static clattn_status prepare(const void *asked, const attn_device *device, void **result, clattn_plan_info *info,
                             clattn_report *report) {
    const clattn_problem *problem = asked;
    attn_unfused_state *state = attn_allocate_zeroed(device->memory, (int64_t)sizeof *state);
    if (!state) {
        return CLATTN_OUT_OF_MEMORY;
    }
    state->memory = device->memory;
    state->device = device->opencl;
    state->problem = *problem;
    state->blocks = device->blocks;
    state->caller_workspace = device->caller_workspace;
    state->body = attn_opencl_body_choose(device);
    state->regions = problem->direction == CLATTN_BACKWARD
                         ? attn_unfused_backward_regions(problem)
                         : (1u << (ATTN_REGION_SUMS + 1)) - 1u - (1u << ATTN_REGION_GIVEN);
    choose_groups(state);
    attn_unfused_sizes sizes;
    attn_unfused_part part;
    clattn_status status = build(state, device, report);
    ATTN_TRY_TO(status, fail);
    ATTN_TRY_TO(attn_unfused_sizes_of(state, problem->query_length, problem->key_length, &sizes), fail);
    ATTN_TRY_TO(attn_unfused_cut(&sizes, workspace_limit(device->opencl), &part, report), fail);
    ATTN_TRY_TO(try_large(&sizes, &part, report), fail);
    state->workspace_size = attn_max(4 * part.floats, 1024);
    describe(state, &part, info);
    *result = state;
    return CLATTN_OK;
fail:
    release(state);
    return status;
}

static clattn_status slot_open(void *opaque, void **slot, clattn_report *report) {
    const attn_unfused_state *state = opaque;
    return attn_grid_slot_open(state->device, &state->problem, state->caller_workspace ? 0 : state->workspace_size,
                               state->kernels, slot, report);
}

const attn_engine attn_engine_opencl_unfused = {
    .name = "opencl-unfused",
    .bodies = attn_opencl_bodies,
    .supports = supports,
    .preference = preference,
    .prepare = prepare,
    .slot_open = slot_open,
    .slot_close = attn_grid_slot_close,
    .execute = attn_unfused_execute,
    .release = release,
};
