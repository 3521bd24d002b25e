/*
 * The path of gradients: delta of every row; then rows and keys, cut into slices, in as many phases as there are
 * slices, so that in a phase no two items add to the same row or key; then sums to results. The number of slices is
 * the problem's, never that of the threads: the same bits on any number of them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/cpu/backward/cpu_backward_careful.h"
#include "engines/cpu/backward/cpu_backward_job.h"
#include "engines/cpu/cpu_path.h"
#include "problem/mask.h"
#include "problem/problem.h"
#include "problem/training.h"

enum {
    ENOUGH_ITEMS = 32, /* in a phase: for that many threads */
    SLICE_ROWS = 512,  /* rows or keys of a slice that pay for packing keys once more: */
    FEW_SLICES = 4,    /* more than these only of that length, and these of half */
    NARROW_DIMS = 256  /* head_dim and value_dim together, up to which a block has all its keys: it must stay in L2 */
};

typedef struct backward_part {
    attn_cpu_backward_layout at;
    int64_t deltas, query, key, value; /* in the call's memory */
    int64_t pairs, key_bias, row_bias, row_slopes;
    int64_t block_key;
} backward_part;

static bool serves(const attn_cpu_plan *plan) {
    return plan->single || plan->problem.type == CLATTN_FP64;
}

static const attn_cpu_backward_kernels *kernels_of(const attn_cpu_plan *plan) {
    return plan->problem.type == CLATTN_FP64 ? plan->kernels->backward_double : plan->kernels->backward;
}

/** The type of the kernels' numbers. */
static clattn_type number_type(const clattn_problem *p) {
    return p->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
}

static clattn_status make_part(const attn_cpu_plan *plan, void *part, clattn_report *report) {
    backward_part *own = part;
    const clattn_problem *p = &plan->problem;
    int64_t asked = plan->blocks.block_key, rows = plan->blocks.block_query;
    if (asked % ATTN_CPU_BACKWARD_UNIT != 0 || asked < 0 || asked > ATTN_CPU_BACKWARD_KEYS) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "blocks.block_key: %" PRId64 " is no multiple of %d up to %d, as backward wants", asked,
                           (int)ATTN_CPU_BACKWARD_UNIT, (int)ATTN_CPU_BACKWARD_KEYS);
    }
    if (rows != 0 && rows != ATTN_CPU_BACKWARD_ROWS) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "blocks.block_query: %" PRId64 ", must be %d in backward", rows,
                           (int)ATTN_CPU_BACKWARD_ROWS);
    }
    int64_t dims = attn_min(p->head_dim, INT32_MAX) + attn_min(p->value_dim, INT32_MAX);
    own->block_key = asked ? asked : dims <= NARROW_DIMS ? ATTN_CPU_BACKWARD_KEYS : ATTN_CPU_BACKWARD_UNIT;
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------ grad_bias */

static attn_cpu_bias_sums bias_sums(const clattn_problem *p) {
    if (!attn_wants_gradient(p, CLATTN_GRADIENT_BIAS)) {
        return ATTN_CPU_BIAS_NONE;
    }
    return p->bias_shape[3] == 1   ? ATTN_CPU_BIAS_ROWS
           : p->bias_shape[2] == 1 ? ATTN_CPU_BIAS_KEYS
                                   : ATTN_CPU_BIAS_PAIRS;
}

static bool shares_entries(const clattn_problem *p) {
    return bias_sums(p) == ATTN_CPU_BIAS_PAIRS && p->bias_shape[0] == 1 && p->batch > 1;
}

static bool shares_heads(const clattn_problem *p) {
    return bias_sums(p) == ATTN_CPU_BIAS_PAIRS && p->bias_shape[1] == 1 && p->query_heads > 1;
}

/** Numbers of several heads come to one place. */
static bool is_shared(const clattn_problem *p) {
    return shares_entries(p) || shares_heads(p);
}

/** Pairs of grad_bias are added up in the result itself. */
static bool adds_pairs_in_place(const clattn_problem *p) {
    return attn_grad_bias_type(p) == number_type(p) && !(p->gradients_add && is_shared(p));
}

/** Pairs of grad_bias have one number each, of another type than the kernels'. */
static bool stores_pairs(const clattn_problem *p) {
    return bias_sums(p) == ATTN_CPU_BIAS_PAIRS && attn_grad_bias_type(p) != number_type(p) && !is_shared(p) &&
           !p->gradients_add;
}

static bool has_pair_sums(const clattn_problem *p) {
    return bias_sums(p) == ATTN_CPU_BIAS_PAIRS && !adds_pairs_in_place(p) && !stores_pairs(p);
}

/* ------------------------------------------------------------------------------------ memory */

/** Whether sums of dim numbers a row can be kept in the result: then it has their type, and whole vectors fit. */
static bool is_in_place(const clattn_problem *p, int64_t dim, int64_t vector) {
    return attn_gradient_type(p) == number_type(p) && !p->gradients_add && dim % vector == 0;
}

/** batch * heads * length, each of at least 0. */
static int64_t count_rows(const clattn_problem *p, int64_t heads, int64_t length, attn_cpu_taker *taker) {
    int64_t rows = 0;
    taker->overflow |= !attn_multiply(p->batch, heads, &rows) || !attn_multiply(rows, length, &rows);
    return rows;
}

static int64_t take_sums(const attn_cpu_plan *plan, uint32_t gradient, int64_t heads, int64_t length, int64_t dim,
                         attn_cpu_taker *call) {
    const clattn_problem *p = &plan->problem;
    const attn_cpu_backward_kernels *kernels = kernels_of(plan);
    int64_t vector = kernels->strip / 2;
    if (!attn_wants_gradient(p, gradient) || is_in_place(p, dim, vector)) {
        return 0;
    }
    return attn_cpu_take(call, count_rows(p, heads, length, call), attn_round_up(dim, vector) * kernels->size);
}

static void take_call(const attn_cpu_plan *plan, backward_part *own, attn_cpu_taker *call) {
    const clattn_problem *p = &plan->problem;
    const int64_t size = (int64_t)sizeof(double), rows = count_rows(p, p->query_heads, p->query_length, call);
    const int64_t keys = count_rows(p, p->query_heads, p->key_length, call);
    own->deltas = attn_cpu_take(call, rows, size);
    own->query = take_sums(plan, CLATTN_GRADIENT_QUERY, p->query_heads, p->query_length, p->head_dim, call);
    own->key = take_sums(plan, CLATTN_GRADIENT_KEY, p->kv_heads, p->key_length, p->head_dim, call);
    own->value = take_sums(plan, CLATTN_GRADIENT_VALUE, p->kv_heads, p->key_length, p->value_dim, call);
    own->row_slopes = attn_cpu_take(call, attn_wants_gradient(p, CLATTN_GRADIENT_ALIBI_SLOPES) ? rows : 0, size);
    own->row_bias = attn_cpu_take(call, bias_sums(p) == ATTN_CPU_BIAS_ROWS ? rows : 0, size);
    own->key_bias = attn_cpu_take(call, bias_sums(p) == ATTN_CPU_BIAS_KEYS ? keys : 0, size);
    if (has_pair_sums(p)) {
        int64_t pairs = 0;
        call->overflow |= !attn_multiply(p->bias_shape[0] * p->bias_shape[1], p->query_length, &pairs) ||
                          !attn_multiply(pairs, p->key_length, &pairs);
        own->pairs = attn_cpu_take(call, pairs, kernels_of(plan)->size);
    }
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    backward_part *own = part;
    attn_cpu_backward_layout *at = &own->at;
    const clattn_problem *p = &plan->problem;
    const attn_cpu_backward_kernels *kernels = kernels_of(plan);
    int64_t row = 0;
    if (!attn_cpu_dims_fit(plan, worker) || !attn_cpu_gradient_scratch(p, &row)) {
        worker->overflow = true;
        return;
    }
    const int64_t size = kernels->size, tile = plan->kernels->tile_rows, rows = ATTN_CPU_BACKWARD_ROWS;
    const int64_t head = attn_round_up(p->head_dim, kernels->strip) * size,
                  value = attn_round_up(p->value_dim, kernels->strip) * size;
    const int64_t keys = ATTN_CPU_BACKWARD_KEYS + 2 * tile, pitch = ATTN_CPU_BACKWARD_KEYS * size + 64;
    at->keys = attn_cpu_take(worker, keys, head);
    at->values = attn_cpu_take(worker, keys, value);
    at->key_rows = attn_cpu_take(worker, keys, head);
    at->queries = attn_cpu_take(worker, rows, head);
    at->given = attn_cpu_take(worker, rows, value);
    at->grad_key = attn_cpu_take(worker, keys, head);
    at->grad_value = attn_cpu_take(worker, keys, value);
    at->weights = attn_cpu_take(worker, rows, pitch);
    at->ds = attn_cpu_take(worker, rows, pitch);
    at->slopes = attn_cpu_take(worker, tile, pitch);
    at->keeps = attn_cpu_take(worker, tile, pitch);
    at->logsumexp = attn_cpu_take(worker, rows, size);
    at->delta = attn_cpu_take(worker, rows, size);
    at->row = attn_cpu_take(worker, row, 1);
    (void)attn_cpu_take(worker, ATTN_CPU_BACKWARD_KEYS, (int64_t)sizeof(double)); /* behind the row */
    take_call(plan, own, call);
}

/* ------------------------------------------------------------------------------------ items */

/** Entries and key-value heads that have items of their own. */
static int64_t count_heads(const clattn_problem *p, bool of_entry) {
    int64_t entries = shares_entries(p) || of_entry ? 1 : p->batch;
    return entries * (shares_heads(p) ? 1 : p->kv_heads);
}

static int64_t count_slices(const attn_cpu_plan *plan) {
    const clattn_problem *p = &plan->problem;
    int64_t heads = attn_max(1, count_heads(p, plan->batch_invariant));
    int64_t length = attn_min(p->query_length, p->key_length);
    int64_t most = attn_max(length / SLICE_ROWS, attn_min(FEW_SLICES, length / (SLICE_ROWS / 2)));
    return attn_max(1, attn_min(most, attn_divide_up(ENOUGH_ITEMS, heads)));
}

static int64_t count_blocks(const clattn_problem *p, int64_t heads, int64_t length) {
    return p->batch * heads * attn_divide_up(length, ATTN_CPU_BACKWARD_ROWS);
}

static int64_t count_bias_rows(const clattn_problem *p, const attn_call *call) {
    bool any = bias_sums(p) == ATTN_CPU_BIAS_ROWS || bias_sums(p) == ATTN_CPU_BIAS_KEYS || has_pair_sums(p);
    return any ? p->bias_shape[0] * p->bias_shape[1] * (p->bias_shape[2] == 1 ? 1 : call->query_length) : 0;
}

static bool has_heads(const clattn_problem *p) {
    return attn_wants_gradient(p, CLATTN_GRADIENT_ALIBI_SLOPES) || attn_wants_gradient(p, CLATTN_GRADIENT_SINKS);
}

static int64_t count_items(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    const clattn_problem *p = &plan->problem;
    int64_t slices = count_slices(plan);
    (void)part;
    return 2 * count_blocks(p, p->query_heads, call->query_length) + count_blocks(p, p->kv_heads, call->key_length) +
           slices * slices * (p->batch > 0 ? count_heads(p, false) : 0) + count_bias_rows(p, call) +
           (has_heads(p) ? p->query_heads : 0) + (p->batch == 0); /* the bias alone */
}

/* ------------------------------------------------------------------------------------ calls */

/** A call's job, and what does it. */
typedef struct backward_call {
    attn_cpu_backward_job job;
    const attn_cpu_backward_kernels *kernels;
} backward_call;

static void work_delta(const void *job, int64_t item, void *scratch) {
    const backward_call *call = job;
    call->kernels->delta(&call->job, item, scratch);
}

static void work_walk(const void *job, int64_t item, void *scratch) {
    const backward_call *call = job;
    call->kernels->walk(&call->job, item, scratch);
}

static void work_finish(const void *job, int64_t item, void *scratch) {
    const backward_call *call = job;
    call->kernels->finish(&call->job, item, scratch);
}

static void work_bias(const void *job, int64_t item, void *scratch) {
    const backward_call *call = job;
    call->kernels->finish_bias(&call->job, item, scratch);
}

/** grad_alibi_slopes and grad_sinks of a head. */
static void work_head(const void *job, int64_t h, void *scratch) {
    const attn_cpu_backward_job *own = &((const backward_call *)job)->job;
    const clattn_problem *p = own->job.problem;
    const attn_call *c = own->job.call;
    const attn_cpu_careful_gradients careful = { p, c, own->deltas };
    double sum = 0;
    (void)scratch;
    for (int64_t b = 0; b < p->batch && own->row_slopes; b++) {
        const double *rows = own->row_slopes + (b * p->query_heads + h) * c->query_length;
        for (int64_t i = 0; i < c->query_length; i++) {
            sum += rows[i];
        }
    }
    if (own->row_slopes) {
        attn_cpu_put_gradient(p, attn_logsumexp_type(p), &c->grad_alibi_slopes, c->grad_alibi_slopes.offset + h, sum);
    }
    if (attn_wants_gradient(p, CLATTN_GRADIENT_SINKS)) {
        attn_cpu_careful_grad_sink(&careful, h);
    }
}

/** Where the sums of a gradient are. */
static attn_cpu_backward_sums place_sums(const attn_cpu_run *run, const attn_view *view, int64_t at, int64_t heads,
                                         int64_t length, int64_t dim) {
    const int64_t vector = kernels_of(run->plan)->strip / 2, pitch = attn_round_up(dim, vector);
    attn_cpu_backward_sums sums = { .in_place = is_in_place(&run->plan->problem, dim, vector) };
    if (!view->data || sums.in_place) {
        sums.data = view->data;
        sums.offset = view->offset;
        for (int k = 0; k < 3; k++) {
            sums.stride[k] = view->stride[k];
        }
        return sums;
    }
    sums.data = run->shared + at;
    sums.stride[0] = heads * length * pitch;
    sums.stride[1] = length * pitch;
    sums.stride[2] = pitch;
    return sums;
}

static void place_bias(const attn_cpu_run *run, const backward_part *own, attn_cpu_backward_job *job) {
    const clattn_problem *p = &run->plan->problem;
    const attn_view *view = &run->call->grad_bias;
    job->bias = bias_sums(p);
    job->pairs_stored = stores_pairs(p);
    job->pairs.in_place = adds_pairs_in_place(p);
    job->key_bias = (double *)(void *)(run->shared + own->key_bias);
    job->row_bias = (double *)(void *)(run->shared + own->row_bias);
    if (attn_wants_gradient(p, CLATTN_GRADIENT_ALIBI_SLOPES)) {
        job->row_slopes = (double *)(void *)(run->shared + own->row_slopes);
    }
    if (job->pairs.in_place) {
        job->pairs.data = view->data;
        job->pairs.offset = view->offset;
        for (int k = 0; k < 3; k++) {
            job->pairs.stride[k] = view->stride[k];
        }
    } else if (has_pair_sums(p)) {
        const int64_t row = run->call->key_length, head = run->call->query_length * row;
        job->pairs.data = run->shared + own->pairs;
        job->pairs.stride[0] = p->bias_shape[0] == 1 ? 0 : p->bias_shape[1] * head;
        job->pairs.stride[1] = p->bias_shape[1] == 1 ? 0 : head;
        job->pairs.stride[2] = row;
    }
}

/** Without entries no item of the walk clears a bias that has no entries either. */
static void clear_bias(const clattn_problem *p, const attn_call *c) {
    const int64_t rows = p->bias_shape[2] == 1 ? 1 : c->query_length, keys = p->bias_shape[3] == 1 ? 1 : c->key_length;
    for (int64_t b = 0; b < p->bias_shape[0]; b++) {
        for (int64_t row = 0; row < p->bias_shape[1] * rows; row++) {
            int64_t at = attn_view_row(&c->grad_bias, b, row / rows, row % rows);
            for (int64_t j = 0; j < keys; j++) {
                attn_cpu_put_gradient(p, attn_grad_bias_type(p), &c->grad_bias, at + j * c->grad_bias.stride[3], 0);
            }
        }
    }
}

static clattn_status run_backward(const attn_cpu_run *run, const void *part) {
    const backward_part *own = part;
    const clattn_problem *p = &run->plan->problem;
    const attn_call *c = run->call;
    backward_call call = { .job = { .job = attn_cpu_job_start(run), .at = own->at }, .kernels = kernels_of(run->plan) };
    attn_cpu_backward_job *job = &call.job;
    job->job.block_key = own->block_key;
    job->deltas = (double *)(void *)(run->shared + own->deltas);
    job->query = place_sums(run, &c->grad_query, own->query, p->query_heads, p->query_length, p->head_dim);
    job->key = place_sums(run, &c->grad_key, own->key, p->kv_heads, p->key_length, p->head_dim);
    job->value = place_sums(run, &c->grad_value, own->value, p->kv_heads, p->key_length, p->value_dim);
    place_bias(run, own, job);
    job->share_entries = shares_entries(p);
    job->share_groups = shares_heads(p);
    job->slices = count_slices(run->plan);
    int64_t query_blocks = count_blocks(p, p->query_heads, c->query_length),
            key_blocks = count_blocks(p, p->kv_heads, c->key_length);
    ATTN_TRY(attn_cpu_share(run, query_blocks, work_delta, &call));
    for (job->phase = 0; job->phase < job->slices && p->batch > 0; job->phase++) {
        ATTN_TRY(attn_cpu_share(run, count_heads(p, false) * job->slices, work_walk, &call));
    }
    ATTN_TRY(attn_cpu_share(run, query_blocks + key_blocks, work_finish, &call));
    if (p->batch == 0 && attn_wants_gradient(p, CLATTN_GRADIENT_BIAS)) {
        clear_bias(p, c);
    } else {
        ATTN_TRY(attn_cpu_share(run, count_bias_rows(p, c), work_bias, &call));
    }
    return attn_cpu_share(run, has_heads(p) ? p->query_heads : 0, work_head, &call);
}

static void describe(const attn_cpu_plan *plan, const void *part, clattn_plan_info *info) {
    const backward_part *own = part;
    info->block_query = ATTN_CPU_BACKWARD_ROWS;
    info->block_key = own->block_key;
    snprintf(info->kernel, sizeof info->kernel, "backward %s %" PRId64 "x%" PRId64 ", %" PRId64 " slices",
             plan->kernels->floats.name, plan->kernels->tile_rows, kernels_of(plan)->strip, count_slices(plan));
}

const attn_cpu_path attn_cpu_backward_path = {
    .result = ATTN_CPU_GRADIENTS,
    .part_size = (int64_t)sizeof(backward_part),
    .serves = serves,
    .plan = make_part,
    .scratch = take_scratch,
    .items = count_items,
    .run = run_backward,
    .describe = describe,
};
