/*
 * The engine opencl-decode: few query rows, many keys. The keys are split over work-groups, the query heads that share
 * a key-value head share each load, and attention_merge.cl puts the parts together by their logsumexps. Two bodies,
 * chosen by device: attention_decode_cpu.cl and attention_decode_gpu.cl. Workspace: the parts, linear in the query
 * rows.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/decode/opencl_decode_gpu.h"
#include "engines/opencl/opencl_grid.h"
#include "engines/unserved.h"

enum { PARTS, MERGE, REPAIR }; /* the kernels of a slot */

enum {
    FEW_ROWS = 16, /* rows a key-value head up to which this engine is the better one; also the most of a work-group */
    MOST_SPLITS = 128
};

/* How far keys are split when the caller does not say: until there are so many work-groups a compute unit, but into
 * parts of so many keys at least. */
typedef struct split_rule {
    int64_t groups, keys;
} split_rule;

static const split_rule cpu_rule = { 4, 256 };
/* A GPU needs some work-groups a unit to be busy at all, whatever merging costs; many only where parts stay long. */
static const split_rule gpu_busy = { 2, 128 }, gpu_even = { 16, 512 };

typedef struct decode_state {
    clattn_problem problem;
    attn_device device;
    attn_opencl_body body;
    cl_program main, merge, repair, mask;
    int64_t rows, threads, splits; /* rows of a work-group */
    int64_t local_memory;          /* bytes of the argument, where the kernel has one */
    int64_t workspace_size;
} decode_state;

static int64_t rows_of_head(const clattn_problem *p) {
    return p->kv_heads > 0 ? p->query_heads / p->kv_heads * p->query_length : 0;
}

/* What training asks for and this engine serves: ATTN_SERVES_ bits. */
enum { SERVES = ATTN_SERVES_DROPOUT | ATTN_SERVES_PREFIX | ATTN_SERVES_OUTPUT_TYPE };

static bool supports(const void *asked, const attn_device *device, clattn_report *why_not) {
    const clattn_problem *problem = asked;
    if (!attn_opencl_body_supports(problem, device, SERVES, why_not)) {
        return false;
    }
    if (device->blocks.block_query != 0 || device->blocks.block_key != 0) {
        attn_report_line(why_not, "block_query, block_key: opencl-decode takes splits only");
        return false;
    }
    if (device->blocks.splits < 0 || device->blocks.splits > MOST_SPLITS) {
        attn_report_line(why_not, "splits: %" PRId64 " is not in 0..%d", device->blocks.splits, MOST_SPLITS);
        return false;
    }
    return true;
}

static int preference(const void *asked, const attn_device *device) {
    const clattn_problem *problem = asked;
    return attn_opencl_preference(device) + (rows_of_head(problem) <= FEW_ROWS ? 30 : 10);
}

static int64_t split_by(const decode_state *state, int64_t groups, split_rule rule) {
    const int64_t enough = rule.groups * state->device.opencl->info.compute_units;
    return attn_min(attn_divide_up(enough, groups), state->problem.key_length / rule.keys);
}

/* Parts of the keys: enough work-groups for the device, each long enough to be worth its merge. */
static int64_t choose_splits(const decode_state *state) {
    const clattn_problem *p = &state->problem;
    if (state->device.blocks.splits != 0) {
        return state->device.blocks.splits;
    }
    const int64_t heads = p->kv_heads * (state->device.batch_invariant ? 1 : p->batch);
    const int64_t groups = attn_max(1, heads * (attn_divide_up(rows_of_head(p), state->rows)));
    const int64_t splits = state->body == ATTN_BODY_CPU
                               ? split_by(state, groups, cpu_rule)
                               : attn_max(split_by(state, groups, gpu_busy), split_by(state, groups, gpu_even));
    return attn_max(1, attn_min(splits, MOST_SPLITS));
}

static clattn_status set_workspace(decode_state *state, clattn_report *report) {
    const clattn_problem *p = &state->problem;
    int64_t parts = 0;
    if (!attn_multiply(p->batch, p->query_heads, &parts) || !attn_multiply(parts, p->query_length, &parts) ||
        !attn_multiply(parts, state->splits, &parts) || !attn_multiply(parts, p->value_dim + 2, &parts) ||
        !attn_multiply(parts, (int64_t)sizeof(float), &state->workspace_size)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "workspace: the parts of the output do not fit 63 bits");
    }
    return CLATTN_OK;
}

static clattn_status build_program(decode_state *state, const attn_blocks *blocks, const char *others,
                                   bool spills_matter, clattn_plan_info *info, clattn_report *report) {
    char sizes[192], options[384];
    attn_blocks_options(blocks, sizes, sizeof sizes);
    snprintf(options, sizeof options, "-DATTN_TYPE=%d%s%s%s", (int)state->problem.type, others, sizes,
             attn_training_defines(&state->problem));
    info->program = blocks->table->program;
    return attn_opencl_build(&state->device, info->program, options, state->threads, spills_matter, &state->main, info,
                             report);
}

static clattn_status build_cpu(decode_state *state, const attn_tuning_row *row, clattn_plan_info *info,
                               clattn_report *report) {
    char others[64];
    attn_blocks blocks;
    const int64_t vector = attn_opencl_vector(state->device.opencl);
    ATTN_TRY(attn_blocks_take("attention_decode_cpu", row, NULL, vector, &blocks, report));
    state->rows = rows_of_head(&state->problem) <= 4 ? 4 : FEW_ROWS;
    state->threads = 1;
    info->block_key = attn_blocks_get(&blocks, "block_key");
    snprintf(info->kernel, sizeof info->kernel, "attention_decode_cpu: float%" PRId64 ", attention_merge", vector);
    snprintf(others, sizeof others, " -DVECTOR=%" PRId64 " -DTILE_ROWS=4 -DITEM_ROWS=%" PRId64, vector, state->rows);
    return build_program(state, &blocks, others, false, info, report);
}

static clattn_status build_gpu(decode_state *state, const attn_tuning_row *row, bool last, clattn_plan_info *info,
                               clattn_report *report) {
    attn_decode_blocks blocks;
    ATTN_TRY(
        attn_decode_gpu_choose(&state->device, &state->problem, rows_of_head(&state->problem), row, &blocks, report));
    state->rows = blocks.rows;
    state->threads = blocks.threads;
    state->local_memory = blocks.local_memory;
    ATTN_TRY(build_program(state, &blocks.sizes, "", !last, info, report));
    info->local_memory += blocks.local_memory;
    info->block_key = blocks.threads / blocks.lanes * blocks.keys;
    snprintf(info->kernel, sizeof info->kernel,
             "attention_decode_gpu: %" PRId64 " teams of %" PRId64 " %s, %" PRId64 " keys each, attention_merge",
             blocks.threads / blocks.lanes, blocks.lanes,
             attn_blocks_get(&blocks.sizes, "warp") != 0 ? "in warps" : "with barriers", blocks.keys);
    return CLATTN_OK;
}

static clattn_status build(decode_state *state, clattn_plan_info *info, clattn_report *report) {
    attn_tuning_row rows[ATTN_OPENCL_ROWS];
    const bool cpu = state->body == ATTN_BODY_CPU;
    const char *table = cpu ? "attention_decode_cpu" : "attention_decode_gpu";
    int64_t count = attn_opencl_find_rows(table, &state->problem, &state->device, rows);
    clattn_status status = CLATTN_UNSUPPORTED;
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        status =
            cpu ? build_cpu(state, &rows[k], info, report) : build_gpu(state, &rows[k], k == count - 1, info, report);
    }
    ATTN_TRY(status);
    char options[96];
    snprintf(options, sizeof options, "-DATTN_TYPE=%d%s", (int)state->problem.type,
             attn_training_defines(&state->problem));
    ATTN_TRY(attn_program_get(state->device.opencl, "attention_merge", options, &state->merge, report));
    if (attn_repair_needed(&state->problem)) {
        ATTN_TRY(attn_repair_build(state->device.opencl, &state->problem, &state->repair, report));
    }
    ATTN_TRY(attn_dropout_mask_build(state->device.opencl, &state->problem, &state->mask, report));
    state->splits = choose_splits(state);
    info->block_query = state->rows;
    return set_workspace(state, report);
}

static void release(void *memory) {
    decode_state *state = memory;
    if (state) {
        attn_release(state->device.memory, state);
    }
}

static clattn_status prepare(const void *asked, const attn_device *device, void **result,
                             clattn_plan_info *info, clattn_report *report) {
    const clattn_problem *problem = asked;
    decode_state *state = attn_allocate_zeroed(device->memory, (int64_t)sizeof *state);
    *result = NULL;
    if (!state) {
        return CLATTN_OUT_OF_MEMORY;
    }
    state->problem = *problem;
    state->device = *device;
    state->body = attn_opencl_body_choose(device);
    attn_opencl_body_describe(info);
    clattn_status status = build(state, info, report);
    if (status != CLATTN_OK) {
        release(state);
        return status;
    }
    info->workspace_size = state->workspace_size;
    *result = state;
    return CLATTN_OK;
}

static const char *main_kernel(const decode_state *state) {
    return state->body == ATTN_BODY_CPU ? "attention_decode_cpu" : "attention_decode_gpu";
}

static clattn_status slot_open(void *memory, void **slot, clattn_report *report) {
    const decode_state *state = memory;
    const attn_slot_kernel kernels[ATTN_SLOT_KERNELS] = { [PARTS] = { state->main, main_kernel(state) },
                                                          [MERGE] = { state->merge, "attention_merge" },
                                                          [REPAIR] = { state->repair, "attention_repair" },
                                                          [ATTN_SLOT_MASK] = { state->mask, "dropout_mask" } };
    return attn_grid_slot_open(state->device.opencl, &state->problem,
                               state->device.caller_workspace ? 0 : state->workspace_size, kernels, slot, report);
}

static clattn_status submit_parts(const decode_state *state, attn_grid_slot *slot, attn_opencl_call *call,
                                  int64_t stats_at) {
    const attn_arguments *a = &call->arguments;
    const int64_t blocks = attn_divide_up(a->group * a->query_length, state->rows);
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[PARTS]),
                       .what = main_kernel(state),
                       .groups = a->batch * a->kv_heads * blocks * state->splits,
                       .threads = state->threads,
                       .work = 2.0 * (double)(a->head_dim + a->value_dim) * (double)state->rows *
                               (double)a->key_length / (double)state->splits };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int32(&grid.kernel, (int32_t)state->splits);
    attn_pass_rules(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_QUERY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_KEY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_VALUE);
    attn_pass_buffer(&grid.kernel, call->workspace);
    attn_pass_int64(&grid.kernel, stats_at);
    if (state->local_memory > 0) {
        attn_pass_local(&grid.kernel, state->local_memory);
    }
    ATTN_TRY(attn_chain_step(&call->chain, "parts"));
    return attn_grid_launch(call, grid, 0.0, 0.98);
}

static clattn_status submit_merge(const decode_state *state, attn_grid_slot *slot, attn_opencl_call *call,
                                  int64_t stats_at) {
    const attn_arguments *a = &call->arguments;
    const bool cpu = call->slot->device->is_cpu;
    const int64_t columns = cpu ? a->value_dim : 4, blocks = attn_divide_up(a->value_dim, columns);
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[MERGE]),
                       .what = "attention_merge",
                       .groups = a->batch * a->query_heads * a->query_length * blocks,
                       .threads = cpu ? 1 : 0 };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int32(&grid.kernel, (int32_t)state->splits);
    attn_pass_int32(&grid.kernel, (int32_t)columns);
    attn_pass_rules(&grid.kernel, call);
    attn_pass_buffer(&grid.kernel, call->workspace);
    attn_pass_int64(&grid.kernel, stats_at);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_LOGSUMEXP);
    ATTN_TRY(attn_chain_step(&call->chain, "merge"));
    return attn_grid_launch(call, grid, 0.98, 0.99);
}

static clattn_status submit(const void *memory, attn_grid_slot *slot, attn_opencl_call *call) {
    const decode_state *state = memory;
    const attn_arguments *a = &call->arguments;
    const int64_t stats_at = a->batch * a->query_heads * a->query_length * state->splits * a->value_dim;
    ATTN_TRY(submit_parts(state, slot, call, stats_at));
    ATTN_TRY(submit_merge(state, slot, call, stats_at));
    ATTN_TRY(attn_dropout_mask_launch(call, slot->kernels[ATTN_SLOT_MASK]));
    return slot->kernels[REPAIR] ? attn_repair_launch(call, slot->kernels[REPAIR]) : CLATTN_OK;
}

static clattn_status execute(void *state, const attn_execution *execution) {
    return attn_grid_execute(state, execution, submit);
}

const attn_engine attn_engine_opencl_decode = {
    .name = "opencl-decode",
    .bodies = attn_opencl_bodies,
    .supports = supports,
    .preference = preference,
    .prepare = prepare,
    .slot_open = slot_open,
    .slot_close = attn_grid_slot_close,
    .execute = execute,
    .release = release,
};
