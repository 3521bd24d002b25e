// How the lines that attention_backward_cpu.cl walks over lie when packed, in fp32: keys and values in its pass over rows, queries
// and grad_output in its pass over keys. Each head has LINES lines; of all heads come panels of both tensors (as
// pack.cl.h has them for keys), their rows, then logsumexp and delta of rows. What pads is zero. Written by backward_pack.cl; the
// host sizes it with the same rules.
#ifndef ATTN_BACKWARD_PACK_CL_H
#define ATTN_BACKWARD_PACK_CL_H

#include "include/pack.cl.h"

// Where each of it begins, in floats.
typedef struct backward_packed {
    long lines; // of a head
    int dims, value_dims;       // of a panel
    int columns, value_columns; // of a row
    long panels, value_panels, rows, value_rows, logsumexp, delta;
} backward_packed;

static inline backward_packed backward_get_pack(const attn_arguments *a, int is_rows, long at) {
    backward_packed p;
    const long heads = a->batch * (is_rows ? a->query_heads : a->kv_heads);
    p.lines = PACK_KEYS(is_rows ? a->query_length : a->key_length);
    p.dims = (int)PACK_DIMS(a->head_dim);
    p.value_dims = (int)PACK_DIMS(a->value_dim);
    p.columns = (int)PACK_COLUMNS(a->head_dim);
    p.value_columns = (int)PACK_COLUMNS(a->value_dim);
    p.panels = at;
    p.value_panels = p.panels + heads * p.lines * p.dims;
    p.rows = p.value_panels + heads * p.lines * p.value_dims;
    p.value_rows = p.rows + heads * p.lines * p.columns;
    p.logsumexp = p.value_rows + (is_rows ? heads * p.lines * p.value_columns : 0);
    p.delta = p.logsumexp + heads * p.lines;
    return p;
}

// Elements of a line as fp32, zeros up to `padded`, of storage or of what output is.
#define LOAD_LINE(NAME, TYPE, SPACE, LOAD, LOADN)                                                                      \
    static inline void NAME(__global const TYPE *memory, long at, int there, int dims, int padded, SPACE float *line) { \
        int d = 0;                                                                                                     \
        for (; there && d + VECTOR <= dims; d += VECTOR) {                                                             \
            vector_store(LOADN(VECTOR, memory, at + d), 0, line + d);                                                  \
        }                                                                                                              \
        for (; d < padded; d++) {                                                                                      \
            line[d] = there && d < dims ? LOAD(memory, at + d) : 0.0f;                                                 \
        }                                                                                                              \
    }

#endif
