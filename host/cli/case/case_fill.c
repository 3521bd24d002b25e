/*
 * What stands in the tensors of a case: normal queries, keys and values, masks and biases of several kinds, lengths.
 * Memory that no result may depend on holds NaN when the case says poison=yes. Lengths are filled before everything
 * else.
 */
#include "case/case_fill.h"

#include <math.h>
#include <string.h>

int64_t attn_fill_get_integer(const clattn_integers *integers, int64_t b) {
    return integers->type == CLATTN_INT32 ? (int64_t)((const int32_t *)integers->data)[integers->offset + b]
                                          : ((const int64_t *)integers->data)[integers->offset + b];
}

/* Random lengths: one in eight empty, one in eight full. */
static int64_t draw_length(const attn_case *c, int64_t most, uint64_t stream, int64_t b) {
    uint64_t draw = attn_draw(c->seed, stream, (uint64_t)b);
    switch (draw % 8) {
        case 0: return 0;
        case 1: return most;
        default: return (int64_t)((draw >> 3) % ((uint64_t)most + 1));
    }
}

void attn_fill_integers(attn_case_data *data, void *memory, clattn_int_type type, const attn_case_list *list,
                        int64_t most, uint64_t stream) {
    for (int64_t b = 0; b < data->problem.batch; b++) {
        int64_t value = list->kind == ATTN_LIST_GIVEN ? list->values[b] : draw_length(&data->c, most, stream, b);
        if (type == CLATTN_INT32) {
            ((int32_t *)memory)[b] = (int32_t)value;
        } else {
            ((int64_t *)memory)[b] = value;
        }
    }
}

/* ALiBi slopes fall with the head; a plain quotient, so that they are the same everywhere. */
void attn_fill_vectors(attn_case_data *data) {
    const clattn_problem *p = &data->problem;
    for (int64_t h = 0; h < p->query_heads; h++) {
        if (p->alibi) {
            ((float *)data->slopes.data)[h] = (float)(1.0 / (2.0 + 8.0 * (double)h / (double)p->query_heads));
        }
        if (p->sinks) {
            ((float *)data->sinks.data)[h] = (float)attn_draw_normal(data->c.seed, ATTN_STREAM_SINKS, (uint64_t)h);
        }
    }
}

/* Whether element n, in row n_row, of a mask allows; the kind of mask follows from the seed. */
static bool draw_mask(const attn_case *c, uint64_t n, uint64_t n_row, int64_t key, int64_t keys) {
    uint64_t draw = attn_draw(c->seed, ATTN_STREAM_MASK, n);
    bool row_empty = attn_draw(c->seed, ATTN_STREAM_MASK, ~n_row) % 16 == 0;
    switch (attn_draw(c->seed, ATTN_STREAM_MASK, UINT64_MAX / 2) % 4) {
        case 0: return draw % 4 != 0;                 /* dense */
        case 1: return draw % 16 == 0 && !row_empty;  /* sparse, some rows empty */
        case 2: return 2 * key >= keys && !row_empty; /* the first half forbidden */
        default: return (draw % 4 != 0 || keys == 1) && !row_empty;
    }
}

void attn_fill_mask(attn_case_data *data) {
    const int64_t *shape = data->problem.mask_shape;
    const clattn_broadcast *mask = &data->tensors.mask;
    bool bits = data->problem.mask == CLATTN_MASK_BITS;
    unsigned char *bytes = data->mask.data;
    int64_t rows = shape[0] * shape[1] * shape[2];
    memset(bytes, data->c.poison ? 0xff : 0, (size_t)data->mask.bytes);
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = mask->offset + row / (shape[1] * shape[2]) * mask->strides[0] +
                     row / shape[2] % shape[1] * mask->strides[1] + row % shape[2] * mask->strides[2];
        for (int64_t j = 0; j < shape[3]; j++) {
            bool allowed = draw_mask(&data->c, (uint64_t)(row * shape[3] + j), (uint64_t)row, j, shape[3]);
            if (!bits) {
                bytes[at + j] = allowed ? 1 : 0;
            } else if (allowed) {
                bytes[at + j / 8] = (unsigned char)(bytes[at + j / 8] | 1u << (j % 8));
            } else {
                bytes[at + j / 8] = (unsigned char)(bytes[at + j / 8] & ~(1u << (j % 8)));
            }
        }
    }
}

/* Element n of a bias; the kind follows from the seed: plain, some forbidden, or some very low. */
static double draw_bias(const attn_case *c, uint64_t n) {
    static const double low[4] = { -1e9, -65504, -3.4e38, -1e4 };
    uint64_t kind = attn_draw(c->seed, ATTN_STREAM_BIAS, UINT64_MAX / 2) % 4;
    uint64_t draw = attn_draw(c->seed, ATTN_STREAM_BIAS, ~n);
    if (kind == 1 && draw % 8 == 0) {
        return -(double)INFINITY;
    }
    if (kind == 2 && draw % 4 == 0) {
        return low[(draw >> 8) % 4];
    }
    return attn_draw_normal(c->seed, ATTN_STREAM_BIAS, n);
}

void attn_fill_bias(attn_case_data *data, clattn_type type) {
    const int64_t *shape = data->problem.bias_shape;
    const clattn_broadcast *bias = &data->tensors.bias;
    const clattn_problem *p = &data->problem;
    int64_t rows = shape[0] * shape[1] * shape[2];
    bool own_entry = shape[0] == p->batch, own_row = shape[2] == p->query_length, own_key = shape[3] == p->key_length;
    memset(data->bias.data, data->c.poison ? 0xff : 0, (size_t)data->bias.bytes);
    for (int64_t row = 0; row < rows; row++) {
        int64_t b = row / (shape[1] * shape[2]), i = row % shape[2];
        int64_t at =
            bias->offset + b * bias->strides[0] + row / shape[2] % shape[1] * bias->strides[1] + i * bias->strides[2];
        for (int64_t j = 0; j < shape[3]; j++) {
            bool unused = own_entry && ((own_row && i >= attn_case_data_query_length(data, b)) ||
                                        (own_key && j >= attn_case_data_key_length(data, b)));
            if (!unused || !data->c.poison) {
                clattn_set_element(type, (char *)data->bias.data, at + j,
                                   draw_bias(&data->c, (uint64_t)(row * shape[3] + j)));
            }
        }
    }
}

static void fill_row(const attn_case_data *data, const attn_rows *rows, void *memory, clattn_type type, uint64_t stream,
                     int64_t number, int64_t at) {
    double factor = stream == ATTN_STREAM_QUERY || stream == ATTN_STREAM_KEY ? data->c.spread : 1;
    for (int64_t d = 0; d < rows->dim; d++) {
        double x = attn_draw_normal(data->c.seed, stream, (uint64_t)(number * rows->dim + d));
        clattn_set_element(type, memory, at + d, factor * x);
    }
}

void attn_fill_rows(attn_case_data *data, const attn_rows *rows, attn_guarded *memory, clattn_type type,
                    uint64_t stream) {
    int64_t elements = memory->bytes / clattn_type_size(type);
    bool of_keys = stream == ATTN_STREAM_KEY || stream == ATTN_STREAM_VALUE;
    if (data->c.strides_random || data->c.poison) { /* gaps and rows beyond a length */
        memset(memory->data, 0xff, (size_t)memory->bytes);
        for (int64_t n = 0; n < elements && !data->c.poison; n++) {
            clattn_set_element(type, memory->data, n, 7);
        }
    }
    for (int64_t b = 0; b < rows->sizes[0]; b++) {
        int64_t used = of_keys ? attn_case_data_key_length(data, b) : attn_case_data_query_length(data, b);
        int64_t length = data->c.poison ? used : rows->sizes[2];
        for (int64_t h = 0; h < rows->sizes[1]; h++) {
            for (int64_t i = 0; i < length; i++) {
                int64_t number = (b * rows->sizes[1] + h) * rows->sizes[2] + i;
                fill_row(data, rows, memory->data, type, stream, number, attn_rows_at(rows, b, h, i));
            }
        }
    }
}
