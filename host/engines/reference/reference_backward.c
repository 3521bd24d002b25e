/*
 * Gradients of the reference: the oracle of backward. First delta of every row, then each kind of gradient in a step of its
 * own, where an item makes all that one row, key or head receives. Slow on purpose: every step computes scores and weights
 * anew, and nothing but delta is kept.
 */
#include "engines/reference/reference_backward.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "cpu/threads.h"

#define ATTN_REFERENCE_WIDE 0
#include "engines/reference/reference_gradients.h"
#undef ATTN_REFERENCE_WIDE
#define ATTN_REFERENCE_WIDE 1
#include "engines/reference/reference_gradients.h"

/** One call, at one of its steps. */
typedef struct job {
    const clattn_problem *problem;
    const attn_call *call;
    void *deltas; /* [batch, query_heads, query_length], double or long double */
    char *scratch;
    int64_t scratch_bytes; /* of one worker */
    int64_t first;         /* item of the present slice */
    bool wide;             /* in long double */
} job;

typedef void (*work)(void *user, int64_t item, int64_t worker);

/** Bytes of delta and of one worker's sums. */
static bool measure(const clattn_problem *p, int64_t *deltas, int64_t *scratch) {
    int64_t rows, dims;
    return attn_multiply(p->batch, p->query_heads, &rows) && attn_multiply(rows, p->query_length, &rows) &&
           attn_multiply(rows, (int64_t)sizeof(long double), deltas) && attn_add(p->head_dim, p->value_dim, &dims) &&
           attn_multiply(attn_max(dims, p->key_length), (int64_t)sizeof(long double), scratch);
}

clattn_status attn_reference_backward_prepare(const clattn_problem *p, const struct attn_threads *threads,
                                              clattn_plan_info *info, clattn_report *report) {
    int64_t deltas, scratch;
    strcpy(info->kernel,
           p->type == CLATTN_FP64 ? "plain loops in long double, backward" : "plain loops in double, backward");
    if (!measure(p, &deltas, &scratch) || !attn_multiply(scratch, attn_threads_count(threads), &scratch) ||
        !attn_add(deltas, scratch, &info->workspace_size)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "query_length: delta of every row has more than 2^63 - 1 bytes");
    }
    return CLATTN_OK;
}

/** A place of [outer, inner, innermost] by its number. */
static void split(int64_t number, int64_t inner, int64_t innermost, int64_t place[3]) {
    place[0] = number / innermost / inner;
    place[1] = number / innermost % inner;
    place[2] = number % innermost;
}

static void *sums_of(const job *j, int64_t worker) {
    return j->scratch + worker * j->scratch_bytes;
}

static void work_delta(void *user, int64_t item, int64_t worker) {
    const job *j = user;
    int64_t at[3], number = j->first + item;
    (void)worker;
    split(number, j->problem->query_heads, j->call->query_length, at);
    attn_position position = attn_reference_position(j->problem, j->call, at[0], at[1], at[2]);
    if (j->wide) {
        ((long double *)j->deltas)[number] = long_delta(j->problem, j->call, &position);
    } else {
        ((double *)j->deltas)[number] = double_delta(j->problem, j->call, &position);
    }
}

static void work_query(void *user, int64_t item, int64_t worker) {
    const job *j = user;
    int64_t at[3];
    split(j->first + item, j->problem->query_heads, j->call->query_length, at);
    if (j->wide) {
        long_grad_query(j->problem, j->call, j->deltas, at[0], at[1], at[2], sums_of(j, worker));
    } else {
        double_grad_query(j->problem, j->call, j->deltas, at[0], at[1], at[2], sums_of(j, worker));
    }
}

static void work_key_value(void *user, int64_t item, int64_t worker) {
    const job *j = user;
    int64_t at[3];
    split(j->first + item, j->problem->kv_heads, j->call->key_length, at);
    if (j->wide) {
        long_grad_key_value(j->problem, j->call, j->deltas, at[0], at[1], at[2], sums_of(j, worker));
    } else {
        double_grad_key_value(j->problem, j->call, j->deltas, at[0], at[1], at[2], sums_of(j, worker));
    }
}

/** Rows of the bias: of those that it has one by one, this call's. */
static int64_t bias_rows(const job *j) {
    return j->problem->bias_shape[2] == 1 ? 1 : j->call->query_length;
}

static void work_bias(void *user, int64_t item, int64_t worker) {
    const job *j = user;
    int64_t at[3];
    split(j->first + item, j->problem->bias_shape[1], bias_rows(j), at);
    if (j->wide) {
        long_grad_bias(j->problem, j->call, j->deltas, at[0], at[1], at[2], sums_of(j, worker));
    } else {
        double_grad_bias(j->problem, j->call, j->deltas, at[0], at[1], at[2], sums_of(j, worker));
    }
}

static void work_head(void *user, int64_t item, int64_t worker) {
    const job *j = user;
    (void)worker;
    if (j->wide) {
        long_grad_head(j->problem, j->call, j->deltas, j->first + item);
    } else {
        double_grad_head(j->problem, j->call, j->deltas, j->first + item);
    }
}

/** Runs the items of a step in slices, between which progress is told. */
static clattn_status run_step(struct attn_threads *threads, job *j, int64_t items, work work, double begin,
                              double share) {
    const attn_call *call = j->call;
    int64_t slice = 64 * attn_threads_count(threads);
    for (j->first = 0; j->first < items; j->first += slice) {
        attn_threads_run(threads, attn_min(slice, items - j->first), work, j);
        double done = (double)attn_min(j->first + slice, items) / (double)items;
        if (call->progress && !call->progress(call->progress_user, begin + share * done)) {
            return CLATTN_CANCELLED;
        }
    }
    return CLATTN_OK;
}

clattn_status attn_reference_backward_execute(struct attn_threads *threads, const attn_execution *execution) {
    const clattn_problem *p = execution->problem;
    const attn_call *c = execution->call;
    int64_t deltas = 0, rows = p->batch * p->query_heads * c->query_length;
    job j = { .problem = p, .call = c, .deltas = execution->workspace, .wide = p->type == CLATTN_FP64 };
    (void)measure(p, &deltas, &j.scratch_bytes);
    j.scratch = (char *)execution->workspace + deltas;
    const struct {
        const char *name;
        bool asked;
        int64_t items;
        work work;
    } steps[] = {
        { "delta", true, rows, work_delta },
        { "query", c->grad_query.data, rows, work_query },
        { "key and value", c->grad_key.data || c->grad_value.data, p->batch * p->kv_heads * c->key_length,
          work_key_value },
        { "bias", c->grad_bias.data, p->bias_shape[0] * p->bias_shape[1] * bias_rows(&j), work_bias },
        { "heads", c->grad_alibi_slopes.data || c->grad_sinks.data, p->query_heads, work_head },
    };
    const double share = 1.0 / (double)(sizeof steps / sizeof *steps);
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        int64_t start = attn_clock_now();
        ATTN_TRY(run_step(threads, &j, steps[s].asked ? steps[s].items : 0, steps[s].work, share * (double)s, share));
        if (c->timing) {
            strcpy(c->timing->steps[s].name, steps[s].name);
            c->timing->steps[s].seconds = attn_clock_seconds_since(start);
            c->timing->count = (int64_t)s + 1;
        }
    }
    if (c->progress && !c->progress(c->progress_user, 1)) {
        return CLATTN_CANCELLED;
    }
    return CLATTN_OK;
}
