/* One row of gold, its bounds and its plain evaluation; used by gate*.c alone. */
#ifndef ATTN_CLI_GATE_GATE_ROW_H
#define ATTN_CLI_GATE_GATE_ROW_H

#include "gate/gate.h"
#include "gate/plain.h"

/** Scratch and the present row. */
typedef struct attn_gate_row {
    const attn_case_data *data;
    int64_t b, h, i, used_keys;
    clattn_reference_row gold;
    int64_t terms;            /* of the sum of weights: allowed keys and the sink */
    bool any_allowed, pooled; /* pooled: at least two terms, every allowed score within 30 */
    double score_error;       /* sum_j w_j F_j; the other sums have dropout's factor in them, too */
    double *key_error;        /* [key_length] F_j, the factor of u in a key's error */
    double *value_sum;        /* [value_dim] sum_j |v_j| over allowed keys */
    double *weight_sum;       /* [value_dim] sum_j w_j |v_j| */
    double *error_sum;        /* [value_dim] sum_j w_j F_j |v_j| */
    double *values;           /* [key_length][value_dim] of the present key-value head */
    double tf32_score,
        tf32_least;      /* sum_j w_j (exp(e_j) - 1); 1 + sum_j w_j (exp(-e_j) - 1), e_j the error of a score */
    double *tf32_sum;    /* [value_dim] sum_j w_j (exp(e_j) - 1) |v_j| */
    double score_square; /* sum_j w_j scale^2 sum_d (q_d k_jd)^2; there once the plain TF32 row is */
    float *keys_float, *values_float, *query_float, *added, *keep, *plain_scores, *plain[ATTN_PLAIN_FORMS];
    float
        *tf32; /* query, keys and values like those above, rounded to TF32; NULL where the problem does not allow it */
    unsigned char *allowed;
    bool plain_done[ATTN_PLAIN_FORMS];
    double plain_seconds[ATTN_PLAIN_FORMS]; /* of the present row: the fastest of plain_runs */
    int plain_runs;
    void *block;
} attn_gate_row;

int attn_gate_row_create(attn_gate_row *row, const attn_case_data *data, attn_error *error);
void attn_gate_row_free(attn_gate_row *row);

/** Loads keys and values of a key-value head. */
void attn_gate_row_load_head(attn_gate_row *row, int64_t b, int64_t g);

/** Computes gold and bounds of a row. */
int attn_gate_row_compute(attn_gate_row *row, int64_t h, int64_t i, attn_error *error);

/** Bound of output element d for a result of that plan. */
double attn_gate_output_bound(const attn_gate_row *row, const clattn_plan_info *info, int64_t d);
double attn_gate_logsumexp_bound(const attn_gate_row *row, const clattn_plan_info *info);
double attn_gate_weight_bound(const attn_gate_row *row, const clattn_plan_info *info, int64_t j);

/** What plain evaluation rounds to be compared with that plan; TF32 only where the problem allows it. */
attn_plain_form attn_gate_form(const attn_gate_row *row, const clattn_plan_info *info);

/** What plain evaluation of the row works with. */
attn_plain attn_gate_plain_arguments(attn_gate_row *row, attn_plain_form form);

/** The plain evaluation of the row, rounded to the storage type. */
const float *attn_gate_plain(attn_gate_row *row, attn_plain_form form);

double attn_unit_roundoff(clattn_type type);

/** Notes a broken rule; the first one is told. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void attn_gate_break(attn_gate_result *result, const char *format, ...);

/** Whether a result is within its bound of the gold, or overflows where it may. */
bool attn_gate_is_within(clattn_type type, double got, long double gold, double bound, double *error);

/**
 * A plan of the case on an engine, its info in the result with strings that outlive it. NULL: the engine refuses, which the
 * result then says in one line. own_workspace: the plan takes none, every call brings its own.
 */
clattn_plan *attn_gate_plan(clattn_runtime *runtime, const char *engine, int64_t device, const attn_case_data *data,
                            bool own_workspace, attn_gate_result *result);

#endif
