/*
 * Choices of the cpu engine: pure functions from a problem and the number of threads to blocks, parts and scratch. Nothing
 * here looks at a call's pointers. Measured reasons stand beside the numbers.
 */
#include "engines/cpu/cpu_plan.h"

#include <math.h>

#include "cpu/threads.h"
#include "engines/cpu/cpu_bodies.h"
#include "engines/cpu/cpu_careful.h"

enum {
    KEEP_FLOATS = 262144,  /* packed keys that a worker keeps from item to item: half of L2, beside as many values */
    ROW_FLOATS = 65536,    /* queries or sums of an item: they must not push keys out of L2 */
    ITEMS_PER_THREAD = 16, /* enough for causal triangles to balance */
    ROWS_THAT_PAY = 240,   /* for calling in a head's keys once more */
    MOST_DECODED = 32,
    ITEMS_PER_THREAD_DECODE = 4,
    FEWEST_KEYS_A_PART = 256
};

/** Numbers that single precision takes without overflow or lost digits before anything is known of the inputs. */
static bool is_moderate(double x) {
    return x == 0 || (fabs(x) >= 1e-12 && fabs(x) <= 1e12);
}

static clattn_status choose_kernels(const clattn_problem *problem, const attn_device *device, attn_cpu_plan *plan,
                                    clattn_report *report) {
    attn_cpu_body body;
    if (!attn_cpu_body_choose(device->blocks.body, problem, &body)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "body: %s cannot run here", device->blocks.body);
    }
    plan->isa = body.isa;
    plan->kernels = body.kernels;
    plan->matrix = body.matrix;
    plan->doubles = problem->type == CLATTN_FP64 ? plan->kernels : NULL;
    if (problem->type == CLATTN_FP64 || !is_moderate(problem->scale) || !is_moderate(problem->softcap)) {
        plan->kernels = NULL;
        plan->matrix = NULL;
    }
    return CLATTN_OK;
}

static int64_t tile_rows(const attn_cpu_plan *plan) {
    return plan->matrix ? plan->matrix->tile_rows : plan->kernels->tile_rows;
}

static int64_t tile_keys(const attn_cpu_plan *plan) {
    return plan->matrix ? plan->matrix->tile_keys : plan->kernels->tile_keys;
}

static clattn_status choose_blocks(const clattn_problem *problem, const attn_device *device, attn_cpu_plan *plan,
                                   clattn_report *report) {
    const clattn_block_override *asked = &device->blocks;
    plan->block_key = asked->block_key ? asked->block_key : ATTN_CPU_BLOCK_KEY;
    plan->block_query = asked->block_query;
    if (plan->block_key < 1 || plan->block_key > ATTN_CPU_BLOCK_KEY ||
        plan->block_key % tile_keys(plan) != 0) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "blocks.block_key: %lld is no multiple of %lld up to %d",
                           (long long)plan->block_key, (long long)tile_keys(plan), (int)ATTN_CPU_BLOCK_KEY);
    }
    if (plan->block_query < 0 || plan->block_query > ATTN_CPU_MOST_ROWS) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "blocks.block_query: %lld is outside 1..%d",
                           (long long)plan->block_query, (int)ATTN_CPU_MOST_ROWS);
    }
    if (asked->splits < 0 || asked->splits > 4096) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "blocks.splits: %lld is outside 1..4096",
                           (long long)asked->splits);
    }
    int64_t widest = attn_max(problem->head_dim, problem->value_dim),
            blocks = (problem->key_length + plan->block_key - 1) / plan->block_key;
    plan->slots = attn_max(1, attn_min(blocks, KEEP_FLOATS / plan->block_key / widest));
    plan->most_rows = plan->block_query ? plan->block_query : attn_min(ATTN_CPU_MOST_ROWS, ROW_FLOATS / widest);
    plan->most_rows = attn_round_up(attn_max(plan->most_rows, 1), tile_rows(plan));
    return CLATTN_OK;
}

/**
 * Query rows of a head up to which a call may be decoded. A unit for bf16 is faster as soon as its tiles, which hold rows
 * of one head, are filled well enough; the later, the more bf16 it takes a number of the type apart into, and only where
 * its items are enough for the threads. Without one, rows beyond MOST_DECODED are prefill's, unless its items were too few.
 */
static int64_t most_decoded(const clattn_problem *problem, const attn_cpu_plan *plan) {
    int64_t times = problem->type == CLATTN_BF16 ? 1 : problem->type == CLATTN_FP16 ? 2 : 4;
    int64_t heads = problem->query_heads * (problem->batch_invariant ? 1 : problem->batch);
    if (plan->matrix) {
        int64_t idle = plan->workers * plan->matrix->tile_rows / plan->matrix->speed / attn_max(heads, 1);
        return attn_max(times * plan->matrix->decode_rows, attn_min(idle, ATTN_CPU_DECODE_ROWS));
    }
    return heads * (MOST_DECODED / tile_rows(plan)) < plan->workers ? ATTN_CPU_DECODE_ROWS : MOST_DECODED;
}

/** How the keys of few rows are split: by the problem and the threads alone, so that the same call gives the same bits. */
static void choose_parts(const clattn_problem *problem, const attn_device *device, attn_cpu_plan *plan) {
    int64_t group = problem->query_heads / problem->kv_heads;
    int64_t heads = attn_max(1, problem->batch_invariant ? problem->kv_heads : problem->batch * problem->kv_heads);
    int64_t rows = group * attn_min(problem->query_length, most_decoded(problem, plan));
    plan->decode_rows = group <= ATTN_CPU_DECODE_ROWS ? attn_min(ATTN_CPU_DECODE_ROWS, rows) : 0;
    int64_t parts = (ITEMS_PER_THREAD_DECODE * plan->workers + heads - 1) / heads;
    parts = attn_max(1, attn_min(parts, problem->key_length / FEWEST_KEYS_A_PART));
    plan->splits = device->blocks.splits ? device->blocks.splits : parts;
}

/** Appends count * size bytes to *end, at a cache line; *at receives where. */
static bool place(int64_t *end, int64_t count, int64_t size, int64_t *at) {
    int64_t bytes;
    *at = *end;
    return attn_multiply(count, size, &bytes) && attn_add(bytes, ATTN_ALIGNMENT - 1, &bytes) &&
           attn_add(*end, bytes / ATTN_ALIGNMENT * ATTN_ALIGNMENT, end);
}

/** Bytes of a packed key, of a value beside it, of a query, of a row's sums, of a row of patches. */
typedef struct row_sizes {
    int64_t key, value, query, output, patch;
} row_sizes;

static row_sizes sizes_of(const clattn_problem *problem, const attn_cpu_plan *plan) {
    const int64_t size = (int64_t)sizeof(float), lanes = plan->kernels->lanes;
    row_sizes sizes = { problem->head_dim * size, attn_round_up(problem->value_dim, lanes) * size,
                        attn_round_up(problem->head_dim, lanes) * size, attn_round_up(problem->value_dim, lanes) * size,
                        0 };
    if (plan->matrix) { /* queries and sums are also those of decode */
        int64_t columns = attn_round_up(problem->value_dim, plan->matrix->columns), pieces = attn_cpu_pieces(problem->type);
        sizes.key = attn_round_up(problem->head_dim, plan->matrix->tile_keys) * 2 * pieces;
        sizes.value = columns * 2 * pieces;
        sizes.query = attn_max(sizes.query, sizes.key);
        sizes.output = columns * size;
        sizes.patch = plan->matrix->pairs ? 0 : 2 * ATTN_CPU_PATCH_KEYS * (size + 2 * pieces) + sizes.output;
    }
    return sizes;
}

/** Weights out: rows of an item, and their scores where they must wait for their sum. */
static bool place_weights(const clattn_problem *problem, attn_cpu_plan *plan, int64_t *end) {
    plan->weights_rows = 0;
    if (!plan->kernels || problem->weights == CLATTN_WEIGHTS_NONE) return true;
    int64_t tile = plan->kernels->tile_rows, pitch = attn_round_up(problem->key_length, plan->kernels->lanes);
    int64_t fitting = ATTN_CPU_WEIGHTS_FLOATS / attn_max(1, pitch) / tile * tile;
    plan->weights_rows = attn_min(attn_max(fitting, tile), ATTN_CPU_WEIGHTS_ROWS);
    bool wait = problem->weights == CLATTN_WEIGHTS_SOFTMAX;
    return place(end, wait ? pitch : 0, plan->weights_rows * (int64_t)sizeof(float), &plan->layout.weights);
}

/** fp64: the same places, for doubles and smaller blocks. */
static bool lay_out_doubles(const clattn_problem *problem, attn_cpu_plan *plan, int64_t *end) {
    attn_cpu_layout *at = &plan->layout;
    const int64_t size = (int64_t)sizeof(double), most = INT64_MAX / 65536, rows = ATTN_CPU_DOUBLE_ROWS,
                  keys = ATTN_CPU_DOUBLE_KEYS, lanes = plan->doubles->lanes;
    if (problem->head_dim > most || problem->value_dim > most) return false;
    int64_t dim = problem->head_dim * size, value_dim = attn_round_up(problem->value_dim, lanes) * size;
    return place(end, keys, dim, &at->keys) && place(end, keys, value_dim, &at->values) &&
           place(end, rows, dim, &at->queries) && place(end, rows, value_dim, &at->output) &&
           place(end, plan->doubles->tile_rows, (keys + 8) * size, &at->scores) && place(end, rows, size, &at->maxima) &&
           place(end, rows, lanes * size, &at->sums);
}

static bool lay_out(const clattn_problem *problem, attn_cpu_plan *plan) {
    attn_cpu_layout *at = &plan->layout;
    int64_t end = 0, row_bytes, size = (int64_t)sizeof(float);
    bool ok = attn_cpu_row_scratch(problem, &row_bytes);
    if (plan->doubles) {
        return ok && lay_out_doubles(problem, plan, &end) && place(&end, row_bytes, 1, &at->row) && (at->total = end, true);
    }
    if (plan->kernels) {
        int64_t lanes = plan->kernels->lanes, most = INT64_MAX / 65536;
        if (problem->head_dim > most || problem->value_dim > most) return false;
        row_sizes sizes = sizes_of(problem, plan);
        sizes.key = attn_max(sizes.key, problem->head_dim * size); /* decode packs floats beside any unit */
        sizes.value = attn_max(sizes.value, attn_round_up(problem->value_dim, lanes) * size);
        int64_t rows = attn_max(plan->most_rows, attn_round_up(plan->decode_rows, plan->kernels->tile_rows));
        int64_t chosen = problem->weights == CLATTN_WEIGHTS_NONE ? 0 : ATTN_CPU_WEIGHTS_ROWS + plan->kernels->tile_rows,
                keys = plan->slots * plan->block_key,
                scores = tile_rows(plan) * (int64_t)ATTN_CPU_SCORE_PITCH;
        ok = ok && place(&end, plan->slots, (int64_t)sizeof(int64_t), &at->tags);
        ok = ok && place(&end, keys, sizes.key, &at->keys);
        ok = ok && place(&end, keys, sizes.value, &at->values);
        ok = ok && place(&end, attn_max(rows, chosen), sizes.query, &at->queries);
        ok = ok && place(&end, rows, sizes.output, &at->output);
        ok = ok && place(&end, rows, lanes * size, &at->sums);
        ok = ok && place(&end, plan->matrix ? rows : 0, lanes * size, &at->exact);
        ok = ok && place(&end, rows, size, &at->maxima);
        ok = ok && place(&end, rows, (int64_t)sizeof(int64_t) * 2, &at->ranges);
        ok = ok && place(&end, scores, size, &at->scores);
        ok = ok && place(&end, ATTN_CPU_PATCH_ROWS, sizes.patch, &at->patches);
    }
    ok = ok && place_weights(problem, plan, &end) && place(&end, row_bytes, 1, &at->row);
    at->total = end;
    return ok;
}

static bool size_partials(const clattn_problem *problem, attn_cpu_plan *plan) {
    plan->partials_size = 0;
    if (!plan->kernels || plan->decode_rows == 0) {
        return true;
    }
    int64_t pitch = attn_round_up(problem->value_dim, plan->kernels->lanes) + 2, n = pitch * (int64_t)sizeof(float);
    return attn_multiply(n, plan->decode_rows, &n) && attn_multiply(n, plan->splits, &n) &&
           attn_multiply(n, problem->batch, &n) && attn_multiply(n, problem->kv_heads, &plan->partials_size);
}

clattn_status attn_cpu_plan_make(const clattn_problem *problem, const attn_device *device, attn_cpu_plan *plan,
                                 clattn_report *report) {
    plan->memory = device->memory;
    plan->threads = device->threads;
    plan->workers = attn_threads_count(device->threads);
    plan->calls_near = attn_cpu_calls_near();
    ATTN_TRY(choose_kernels(problem, device, plan, report));
    if (plan->kernels) {
        ATTN_TRY(choose_blocks(problem, device, plan, report));
        choose_parts(problem, device, plan);
    }
    int64_t scratch;
    if (!lay_out(problem, plan) || !size_partials(problem, plan) ||
        !attn_multiply(plan->layout.total, plan->workers, &scratch) ||
        !attn_add(scratch, plan->partials_size, &plan->workspace_size)) {
        return attn_refuse(report, CLATTN_OVERFLOW,
                           "key_length, head_dim, value_dim: the workspace has more than 2^63 - 1 bytes");
    }
    return CLATTN_OK;
}

bool attn_cpu_plan_decodes(const attn_cpu_plan *plan, const clattn_problem *problem, int64_t query_length) {
    return plan->kernels && query_length * (problem->query_heads / problem->kv_heads) <= plan->decode_rows &&
           query_length <= most_decoded(problem, plan);
}

/** Rows of an item when a head's rows make items / heads of them, at least; whole tiles. */
static int64_t rows_of_share(int64_t query_length, int64_t items, int64_t heads, int64_t tile) {
    int64_t shares = (items + heads - 1) / heads;
    return attn_round_up(attn_max(1, (query_length + shares - 1) / shares), tile);
}

int64_t attn_cpu_plan_rows(const attn_cpu_plan *plan, const clattn_problem *problem, int64_t query_length) {
    if (plan->block_query) {
        return plan->block_query;
    }
    int64_t tile = tile_rows(plan),
            heads = attn_max(1, problem->query_heads * (problem->batch_invariant ? 1 : problem->batch));
    int64_t rows = rows_of_share(query_length, ITEMS_PER_THREAD * plan->workers, heads, tile);
    /* Each item reads all keys: few rows only where threads would be idle, or the last of them alone for long. */
    rows = attn_max(rows, attn_min(8 * tile, rows_of_share(query_length, 2 * plan->workers, heads, tile)));
    rows = attn_max(rows, attn_min(attn_round_up(ROWS_THAT_PAY, tile),
                                   rows_of_share(query_length, 6 * plan->workers, heads, tile)));
    rows = attn_min(rows, plan->most_rows / tile * tile);
    int64_t chunks =
        attn_max(1, (query_length + rows - 1) / rows); /* even chunks: 1024 = 504 + 504 + 16 would be a bad split */
    return attn_round_up(attn_max(1, (query_length + chunks - 1) / chunks), tile);
}
