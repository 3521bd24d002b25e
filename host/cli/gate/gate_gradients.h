/* Gold and bounds of gradients; used by gate*.c alone. */
#ifndef ATTN_CLI_GATE_GATE_GRADIENTS_H
#define ATTN_CLI_GATE_GATE_GRADIENTS_H

#include "gate/gate.h"

/** Gold of one gradient and what its bound is made of, of those rows that are looked at. Sums over all that contributes. */
typedef struct attn_gold_array {
    int64_t *place; /* [rows] 1 + the row's place below; 0: it is not looked at */
    double *gold;
    double *size;             /* of absolute values: A of rule 6 */
    double *error;            /* of absolute values, each times its F */
    double *most;             /* of absolute values without the weights: 0 where nothing contributes */
    unsigned char *seen;      /* the sum is whole */
    int64_t rows, dim, terms; /* rows 0: not asked for; terms: the longest sum */
    int64_t places;
} attn_gold_array;

/** Pairs of rows and keys: from the first number to the one before the second, of entries, query heads, rows and keys. */
typedef struct attn_gold_look {
    int64_t b[2], h[2], i[2], j[2];
    bool adds[ATTN_GRADIENTS]; /* to which gradients; what they hold inside is whole by this look alone */
} attn_gold_look;

struct attn_gradient_gold {
    const attn_case_data *data;
    attn_gold_array arrays[ATTN_GRADIENTS];
    attn_gold_look *looks;
    int64_t look_count, look_capacity;
};

/** Where element d of row number `row` of a gradient stands in its arrays; -1: it was not looked at. */
static inline int64_t attn_gold_at(const attn_gold_array *array, int64_t row, int64_t d) {
    int64_t place = array->rows > 0 ? array->place[row] : 0;
    return place > 0 && array->seen[(place - 1) * array->dim + d] ? (place - 1) * array->dim + d : -1;
}

/** Number of row (b, h, i) of a gradient. */
static inline int64_t attn_gold_row(const attn_rows *rows, int64_t b, int64_t h, int64_t i) {
    return (b * rows->sizes[1] + h) * rows->sizes[2] + i;
}

/** Chooses what is looked at: everything, or what the work allows (gate_gradients_looks.c); and makes room for it. */
int attn_gold_choose(attn_gradient_gold *gold, const attn_gate_options *options, attn_error *error);

/** Bound of the element at a place of a gradient, which is number n of it, for a result of that plan. 0: nothing contributes. */
double attn_gradient_bound(const attn_gradient_gold *gold, int which, int64_t at, int64_t n,
                           const clattn_plan_info *info);

#endif
