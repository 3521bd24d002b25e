/* How a call of opencl-unfused is cut into parts and where each matrix of a part lies in the workspace. */
#ifndef ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_PARTS_H
#define ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_PARTS_H

#include "clattn/clattn.h"

/** What lies in the workspace, in this order. Rows and keys are those of a part's pairs. */
typedef enum attn_unfused_region {
    ATTN_REGION_TEMPORARY, /* CLBlast's, from the workspace's beginning */
    ATTN_REGION_SCORES,    /* [rows][key_length]; then the weights */
    ATTN_REGION_QUERY,     /* [rows][head_dim], as the next three where CLBlast cannot take the tensor as it lies */
    ATTN_REGION_KEY,       /* [keys][head_dim] */
    ATTN_REGION_VALUE,     /* [keys][value_dim] */
    ATTN_REGION_GIVEN,     /* [rows][value_dim]: grad_output */
    ATTN_REGION_SUMS,      /* [rows][value_dim]: the output; backward: grad_query, [rows][head_dim] */

    ATTN_REGION_CHANGES,    /* [rows][key_length]: the loss's derivative by the weights, then by the scores */
    ATTN_REGION_UNCAPPED,   /* [rows][key_length]: the latter before softcap's factor, which grad_bias needs */
    ATTN_REGION_KEY_SUMS,   /* [keys][head_dim]: grad_key of the part's rows */
    ATTN_REGION_VALUE_SUMS, /* [keys][value_dim] */
    ATTN_REGION_KEY_TOTAL,  /* the same of the parts before, where a pair is cut */
    ATTN_REGION_VALUE_TOTAL,

    ATTN_REGION_DELTA,      /* of all the call's rows, as the next three */
    ATTN_REGION_SINK_ROWS,  /* what each row gives to its head's sink */
    ATTN_REGION_SLOPE_ROWS, /* to its head's slope */
    ATTN_REGION_BIAS_ROWS,  /* to a bias that has size 1 over the keys */
    ATTN_REGION_BIAS_TOTAL, /* grad_bias of the parts before, where parts share elements of it */
    ATTN_REGIONS
} attn_unfused_region;

/** Whether a region is in use. */
#define ATTN_HAS_REGION(regions, region) (((regions) >> (region)&1u) != 0)

/** Sizes that decide about memory. A pair is a batch entry and a key-value head; its rows are those of its query
 * heads. */
typedef struct attn_unfused_sizes {
    int64_t pairs, rows, key_length, head_dim, value_dim;
    int64_t most_rows;     /* of a part, when the caller wants fewer than fit; 0 = no wish */
    uint32_t regions;      /* in use: a bit each; of totals, in use where parts ask for it */
    bool backward;         /* SUMS holds grad_query */
    int64_t bias_elements; /* of BIAS_TOTAL */
    /** Bytes of temporary memory that the products of one pair need with so many rows. */
    clattn_status (*temporary)(const struct attn_unfused_sizes *sizes, int64_t rows, int64_t *bytes,
                               clattn_report *report);
    void *user;
} attn_unfused_sizes;

/** One part: either whole pairs, or some rows of one pair. */
typedef struct attn_unfused_part {
    int64_t pairs, rows;      /* the most a part has */
    int64_t at[ATTN_REGIONS]; /* floats from the workspace's beginning */
    int64_t floats;           /* of workspace in all */
} attn_unfused_part;

/** The largest part, by halving, whose workspace is at most `limit` bytes; one line with sizes when not even a row
 * fits. What fits for some sizes fits for smaller ones too. */
clattn_status attn_unfused_cut(const attn_unfused_sizes *sizes, int64_t limit, attn_unfused_part *part,
                               clattn_report *report);

#endif
