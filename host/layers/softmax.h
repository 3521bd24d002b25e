/* Softmax of a row, as cross-entropy needs it too. */
#ifndef ATTN_LAYERS_SOFTMAX_H
#define ATTN_LAYERS_SOFTMAX_H

#include <math.h>

#include "layers/blocks.h"

/** What softmax knows of a row: its largest number, and the sum of exp(x - top). */
typedef struct attn_softmax_row {
    double top, sum;
} attn_softmax_row;

ATTN_INLINED attn_softmax_row attn_softmax_of(int64_t dim, const float *row) {
    double x[ATTN_BLOCK], tops[ATTN_BLOCK], sums[ATTN_LANES] = { 0 };
    for (int k = 0; k < ATTN_BLOCK; k++) {
        tops[k] = -INFINITY;
    }
    for (int64_t d = 0; d < dim; d += ATTN_BLOCK) {
        attn_block_load(dim - d, row + d, -INFINITY, x);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            tops[k] = x[k] > tops[k] ? x[k] : tops[k];
        }
    }
    double top = -INFINITY;
    for (int k = 0; k < ATTN_BLOCK; k++) {
        top = tops[k] > top ? tops[k] : top;
    }
    for (int64_t d = 0; d < dim; d += ATTN_BLOCK) {
        attn_block_load(dim - d, row + d, -INFINITY, x);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            x[k] -= top;
        }
        attn_block_exp(x);
        attn_lanes_add(x, sums);
    }
    return (attn_softmax_row){ top, attn_lanes_sum(sums) };
}

/** The weights of count numbers, at most a block. */
ATTN_INLINED void attn_softmax_block(const attn_softmax_row *of, int64_t count, const float *from, double *weights) {
    attn_block_load(count, from, of->top, weights);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        weights[k] -= of->top;
    }
    attn_block_exp(weights);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        weights[k] /= of->sum;
    }
}

#endif
