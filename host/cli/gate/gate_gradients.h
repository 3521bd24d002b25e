/* Gold and bounds of gradients; used by gate*.c alone. */
#ifndef ATTN_CLI_GATE_GATE_GRADIENTS_H
#define ATTN_CLI_GATE_GATE_GRADIENTS_H

#include "gate/gate.h"

/** Gold of one gradient, dense in its shape, and what its bound is made of. Sums over all that contributes. */
typedef struct attn_gold_array {
    double *gold;
    double *size;         /* of absolute values: A of rule 6 */
    double *error;        /* of absolute values, each times its F */
    double *most;         /* of absolute values without the weights: 0 where nothing contributes */
    int64_t count, terms; /* terms: the longest sum */
    bool whole;           /* all that contributes was looked at */
} attn_gold_array;

struct attn_gradient_gold {
    const attn_case_data *data;
    attn_gold_array arrays[ATTN_GRADIENTS]; /* count 0: not asked for */
    unsigned char *seen;                    /* [batch * kv_heads]: whether its groups of heads were looked at */
    void *block;
};

/** Index of the first element of row (b, h, i) of a gradient's gold. */
static inline int64_t attn_gold_at(const attn_rows *rows, int64_t b, int64_t h, int64_t i) {
    return ((b * rows->sizes[1] + h) * rows->sizes[2] + i) * rows->dim;
}

/** Bound of element n of a gradient, for a result of that plan; 0 where nothing contributes. */
double attn_gradient_bound(const attn_gradient_gold *gold, int which, int64_t n, const clattn_plan_info *info);

#endif
