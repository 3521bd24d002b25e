/* A call of opencl-unfused under way, and the matrices of its part as CLBlast takes them. */
#ifndef ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_MATRICES_H
#define ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_MATRICES_H

#include "engines/opencl/unfused/opencl_unfused.h"

/** Begins the run of backward too, which adds members. */
typedef struct attn_unfused_run {
    attn_opencl_call call;
    attn_unfused_state *state;
    attn_grid_slot *slot;
    attn_unfused_part part;                     /* the largest part, and the workspace's layout */
    int64_t first_pair, pairs, first_row, rows; /* the part at work */
} attn_unfused_run;

/**
 * Rows of the part, or keys of its pairs, as a dense matrix of floats: the tensor where it lies, or a copy in the workspace.
 * Copies hold 0 beyond the used lengths; `clean` asks for that where the tensor could be taken as it lies, because a product
 * 0 * NaN is NaN.
 */
clattn_status attn_unfused_get_query(attn_unfused_run *run, bool clean, struct attn_matrix *matrix);
clattn_status attn_unfused_get_given(attn_unfused_run *run, bool clean, struct attn_matrix *matrix); /* grad_output */
clattn_status attn_unfused_get_key(attn_unfused_run *run, bool clean, struct attn_matrix *matrix);
clattn_status attn_unfused_get_value(attn_unfused_run *run, bool clean, struct attn_matrix *matrix);

/** A region of one matrix a pair, [lines of a pair][columns]. */
struct attn_matrix attn_unfused_region_matrix(const attn_unfused_run *run, attn_unfused_region region, int64_t lines,
                                              int64_t columns);

/** Scores of the part, row by row: scale * query * key. */
clattn_status attn_unfused_scores(attn_unfused_run *run, const struct attn_matrix *query,
                                  const struct attn_matrix *key);

/**
 * Calls work(run) for each part, with the run's part set. Where there is nothing, no rows or no pairs, once for an empty part
 * (of the pairs there are) if `empty` says so. Tells progress; may be CANCELLED.
 */
clattn_status attn_unfused_walk(attn_unfused_run *run, const attn_unfused_sizes *sizes, bool empty,
                                clattn_status (*work)(attn_unfused_run *run));

#endif
