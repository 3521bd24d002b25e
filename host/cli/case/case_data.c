/*
 * Makes the memory of a case: layout, strides, guard zones, contents. Does not know what attention computes. Streams
 * of random numbers are distinguished by the enum below; adding one at its end leaves the data of known seeds as they
 * are.
 */
#include "case/case_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "case/case_fill.h"
#include "clattn/clattn_inspect.h"

enum { ATTN_GUARD = 4096 };

clattn_type attn_case_logsumexp_type(const clattn_problem *problem) {
    return problem->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
}

clattn_type attn_case_output_type(const clattn_problem *problem) {
    return problem->output_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : problem->type;
}

clattn_type attn_case_weights_type(const clattn_problem *problem) {
    return problem->weights == CLATTN_WEIGHTS_SOFTMAX ? problem->type : attn_case_logsumexp_type(problem);
}

int attn_guarded_create(attn_guarded *guarded, int64_t bytes, attn_error *error) {
    size_t total = (size_t)bytes + 2 * ATTN_GUARD + 64;
    guarded->block = bytes <= INT64_MAX - 16384 ? malloc(total) : NULL;
    if (!guarded->block) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for the problem's tensors");
    }
    memset(guarded->block, 0xff, ATTN_GUARD + 64);
    memset(guarded->block + total - ATTN_GUARD - 64, 0xff, ATTN_GUARD + 64);
    uintptr_t start = (uintptr_t)guarded->block + ATTN_GUARD;
    guarded->data = guarded->block + ATTN_GUARD + (64 - start % 64) % 64;
    guarded->bytes = bytes;
    return ATTN_DONE;
}

int64_t attn_case_data_query_length(const attn_case_data *data, int64_t b) {
    return data->problem.query_lengths ? attn_fill_get_integer(&data->tensors.query_lengths, b)
                                       : data->problem.query_length;
}

int64_t attn_case_data_key_length(const attn_case_data *data, int64_t b) {
    return data->problem.key_lengths ? attn_fill_get_integer(&data->tensors.key_lengths, b) : data->problem.key_length;
}

/* ------------------------------------------------------------------------------------ layout */

uint64_t attn_draw_layout(const attn_case *c, uint64_t index, uint64_t n) {
    return attn_draw(c->seed, ATTN_STREAM_LAYOUT, index) % n;
}

/* Random order of batch, heads and length, odd gaps, an odd start; inputs may have strides of 0. */
static void random_strides(attn_rows *rows, const attn_case *c, uint64_t salt, bool may_be_zero) {
    static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
    static const int64_t gaps[5] = { 0, 1, 3, 8, 5 };
    const int *order = orders[attn_draw_layout(c, salt, 6)];
    int64_t stride = rows->dim;
    rows->offset = (int64_t)attn_draw_layout(c, salt + 1, 6);
    for (int d = 2; d >= 0; d--) {
        int which = order[d];
        int64_t odds = which == 2 ? 16 : 5;
        stride += gaps[attn_draw_layout(c, salt + 2 + (uint64_t)d, 5)];
        rows->stride[which] = stride;
        if (may_be_zero && attn_draw_layout(c, salt + 5 + (uint64_t)d, (uint64_t)odds) == 0) {
            rows->stride[which] = 0;
        } else if (rows->sizes[which] > 0) {
            stride *= rows->sizes[which];
        }
    }
}

static void dense_strides(attn_rows *rows, bool bshd) {
    rows->stride[0] = rows->sizes[1] * rows->sizes[2] * rows->dim;
    rows->stride[1] = bshd ? rows->dim : rows->sizes[2] * rows->dim;
    rows->stride[2] = bshd ? rows->sizes[1] * rows->dim : rows->dim;
}

/* Elements from the start of the memory to the end of the last row. */
static int64_t rows_extent(const attn_rows *rows) {
    int64_t last = rows->offset;
    for (int d = 0; d < 3; d++) {
        if (rows->sizes[d] == 0) {
            return rows->offset;
        }
        last += (rows->sizes[d] - 1) * rows->stride[d];
    }
    return last + rows->dim;
}

int attn_make_rows(attn_case_data *data, attn_rows *rows, attn_guarded *memory, clattn_tensor *tensor, clattn_type type,
                   bool is_input, uint64_t salt, attn_error *error) {
    const attn_case *c = &data->c;
    tensor->layout = c->bshd ? CLATTN_BSHD : CLATTN_BHSD;
    dense_strides(rows, c->bshd);
    if (c->strides_random) {
        random_strides(rows, c, salt, is_input && !c->poison);
        tensor->layout = CLATTN_STRIDED;
        tensor->batch_stride = rows->stride[0];
        tensor->head_stride = rows->stride[1];
        tensor->length_stride = rows->stride[2];
    }
    if (attn_guarded_create(memory, rows_extent(rows) * clattn_type_size(type), error) != ATTN_DONE) {
        return error->status;
    }
    tensor->data = memory->data;
    tensor->offset = rows->offset;
    return ATTN_DONE;
}

void attn_set_sizes(attn_rows *rows, int64_t batch, int64_t heads, int64_t length, int64_t dim) {
    *rows = (attn_rows){ .sizes = { batch, heads, length }, .dim = dim };
}

static int make_tensors(attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    clattn_tensors *t = &data->tensors;
    attn_set_sizes(&data->query_rows, p->batch, p->query_heads, p->query_length, p->head_dim);
    attn_set_sizes(&data->key_rows, p->batch, p->kv_heads, p->key_length, p->head_dim);
    attn_set_sizes(&data->value_rows, p->batch, p->kv_heads, p->key_length, p->value_dim);
    attn_set_sizes(&data->output_rows, p->batch, p->query_heads, p->query_length, p->value_dim);
    if (attn_make_rows(data, &data->query_rows, &data->query, &t->query, p->type, true, 100, error) != ATTN_DONE ||
        attn_make_rows(data, &data->key_rows, &data->key, &t->key, p->type, true, 200, error) != ATTN_DONE ||
        attn_make_rows(data, &data->value_rows, &data->value, &t->value, p->type, true, 300, error) != ATTN_DONE) {
        return error->status;
    }
    return attn_make_rows(data, &data->output_rows, &data->output, &t->output, attn_case_output_type(p), false, 400,
                          error);
}

/* Strides of a dense or gapped broadcast tensor, in elements (bits: bytes); answers how many of them there are. */
static int64_t broadcast_strides(attn_case_data *data, const int64_t shape[4], bool bits, clattn_broadcast *broadcast,
                                 uint64_t salt) {
    int64_t row = bits ? (shape[3] + 7) / 8 : shape[3];
    int64_t strides[4] = { 0, 0, row, 1 };
    if (data->c.strides_random) {
        broadcast->strided = true;
        broadcast->offset = (int64_t)attn_draw_layout(&data->c, salt, 4);
        strides[2] += (int64_t)attn_draw_layout(&data->c, salt + 1, 4);
    }
    strides[1] = strides[2] * shape[2];
    strides[0] = strides[1] * shape[1];
    for (int d = 0; d < 4; d++) {
        broadcast->strides[d] = shape[d] == 1 ? 0 : strides[d];
    }
    return broadcast->offset + strides[0] * shape[0];
}

static int make_mask_and_bias(attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    if (p->mask != CLATTN_MASK_NONE) {
        bool bits = p->mask == CLATTN_MASK_BITS;
        int64_t count = broadcast_strides(data, p->mask_shape, bits, &data->tensors.mask, 500);
        if (attn_guarded_create(&data->mask, count, error) != ATTN_DONE) {
            return error->status;
        }
        data->tensors.mask.data = data->mask.data;
        attn_fill_mask(data);
    }
    if (p->bias != CLATTN_BIAS_NONE) {
        clattn_type type = p->bias == CLATTN_BIAS_FP32 ? CLATTN_FP32 : p->type;
        int64_t count = broadcast_strides(data, p->bias_shape, false, &data->tensors.bias, 600);
        if (attn_guarded_create(&data->bias, count * clattn_type_size(type), error) != ATTN_DONE) {
            return error->status;
        }
        data->tensors.bias.data = data->bias.data;
        attn_fill_bias(data, type);
    }
    return ATTN_DONE;
}

static int make_integers(attn_case_data *data, attn_guarded *memory, clattn_integers *integers,
                         const attn_case_list *list, int64_t most, uint64_t stream, attn_error *error) {
    integers->type = data->c.seed % 2 == 0 ? CLATTN_INT32 : CLATTN_INT64;
    for (int64_t b = 0; b < list->count; b++) { /* offsets may need 64 bits */
        integers->type = list->values[b] != (int32_t)list->values[b] ? CLATTN_INT64 : integers->type;
    }
    integers->type = most > INT32_MAX ? CLATTN_INT64 : integers->type;
    int64_t size = integers->type == CLATTN_INT32 ? 4 : 8;
    if (attn_guarded_create(memory, data->problem.batch * size, error) != ATTN_DONE) {
        return error->status;
    }
    integers->data = memory->data;
    attn_fill_integers(data, memory->data, integers->type, list, most, stream);
    return ATTN_DONE;
}

static int make_vectors(attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    const attn_case *c = &data->c;
    clattn_tensors *t = &data->tensors;
    if ((p->query_lengths && make_integers(data, &data->query_lengths, &t->query_lengths, &c->query_lengths,
                                           p->query_length, ATTN_STREAM_QUERY_LENGTHS, error) != ATTN_DONE) ||
        (p->key_lengths && make_integers(data, &data->key_lengths, &t->key_lengths, &c->key_lengths, p->key_length,
                                         ATTN_STREAM_KEY_LENGTHS, error) != ATTN_DONE) ||
        (c->offsets.kind != ATTN_LIST_NONE &&
         make_integers(data, &data->offsets, &t->offsets, &c->offsets, 0, 0, error) != ATTN_DONE)) {
        return error->status;
    }
    if ((p->alibi && attn_guarded_create(&data->slopes, p->query_heads * 4, error) != ATTN_DONE) ||
        (p->sinks && attn_guarded_create(&data->sinks, p->query_heads * 4, error) != ATTN_DONE)) {
        return error->status;
    }
    t->alibi_slopes.data = data->slopes.data;
    t->sinks.data = data->sinks.data;
    attn_fill_vectors(data);
    return ATTN_DONE;
}

static int make_results(attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    int64_t rows = p->batch * p->query_heads * p->query_length;
    int64_t weights = p->batch * p->weights_heads * p->weights_rows * p->key_length;
    if ((p->logsumexp && attn_guarded_create(&data->logsumexp, rows * clattn_type_size(attn_case_logsumexp_type(p)),
                                             error) != ATTN_DONE) ||
        (p->weights != CLATTN_WEIGHTS_NONE &&
         attn_guarded_create(&data->weights, weights * clattn_type_size(attn_case_weights_type(p)), error) !=
             ATTN_DONE)) {
        return error->status;
    }
    data->tensors.logsumexp.data = data->logsumexp.data;
    data->tensors.weights.data = data->weights.data;
    attn_case_data_fill_outputs(data, 0xff);
    return ATTN_DONE;
}

int attn_case_data_create(attn_case_data *data, const attn_case *c, bool logsumexp, attn_error *error) {
    clattn_problem problem = c->problem;
    clattn_report report = { 0 };
    *data = (attn_case_data){ .tensors = CLATTN_TENSORS_INIT };
    data->c = *c;
    data->options = c->options;
    problem.logsumexp = logsumexp;
    attn_case_gradients_choose(&problem, c);
    data->tensors.dropout_seed = c->seed;
    clattn_status status = clattn_problem_resolve(&problem, &data->problem, &report);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    if ((double)data->problem.batch * (double)data->problem.query_heads > ATTN_CASE_HEADS_MAX) {
        return attn_fail(error, ATTN_UNSERVED,
                         "batch=%" PRId64 " of %" PRId64 " heads: more heads than the program walks over",
                         data->problem.batch, data->problem.query_heads);
    }
    if (make_vectors(data, error) != ATTN_DONE || make_tensors(data, error) != ATTN_DONE ||
        make_mask_and_bias(data, error) != ATTN_DONE || make_results(data, error) != ATTN_DONE) {
        attn_case_data_free(data);
        return error->status;
    }
    attn_fill_rows(data, &data->query_rows, &data->query, data->problem.type, ATTN_STREAM_QUERY);
    attn_fill_rows(data, &data->key_rows, &data->key, data->problem.type, ATTN_STREAM_KEY);
    attn_fill_rows(data, &data->value_rows, &data->value, data->problem.type, ATTN_STREAM_VALUE);
    if (data->problem.direction == CLATTN_BACKWARD && attn_case_gradients_create(data, error) != ATTN_DONE) {
        attn_case_data_free(data);
        return error->status;
    }
    return ATTN_DONE;
}

void attn_case_data_free(attn_case_data *data) {
    attn_guarded *const all[] = { &data->query,    &data->key,     &data->value,         &data->mask,
                                  &data->bias,     &data->slopes,  &data->sinks,         &data->offsets,
                                  &data->output,   &data->weights, &data->query_lengths, &data->key_lengths,
                                  &data->logsumexp };
    for (size_t g = 0; g < sizeof all / sizeof all[0]; g++) {
        free(all[g]->block);
        *all[g] = (attn_guarded){ 0 };
    }
    attn_case_gradients_free(data);
}

/* ------------------------------------------------------------------------------------ outputs */

void attn_guarded_fill(attn_guarded *guarded, unsigned char pattern) {
    if (guarded->block) {
        memset(guarded->block, pattern, (size_t)guarded->bytes + 2 * ATTN_GUARD + 64);
    }
}

void attn_case_data_fill_outputs(attn_case_data *data, unsigned char pattern) {
    attn_guarded_fill(&data->output, pattern);
    attn_guarded_fill(&data->logsumexp, pattern);
    attn_guarded_fill(&data->weights, pattern);
}

bool attn_guarded_holds(const attn_guarded *guarded, unsigned char pattern) {
    const unsigned char *at = guarded->block, *end = at + (at ? guarded->bytes + 2 * ATTN_GUARD + 64 : 0);
    for (; at < end; at++) {
        if (*at != pattern) {
            return false;
        }
    }
    return true;
}

void attn_rows_fill(const attn_rows *rows, void *data, int64_t size, unsigned char pattern) {
    for (int64_t b = 0; b < rows->sizes[0]; b++) {
        for (int64_t h = 0; h < rows->sizes[1]; h++) {
            for (int64_t i = 0; i < rows->sizes[2]; i++) {
                memset((char *)data + attn_rows_at(rows, b, h, i) * size, pattern, (size_t)(rows->dim * size));
            }
        }
    }
}

const char *attn_case_data_check_guards(attn_case_data *data, unsigned char pattern) {
    attn_rows_fill(&data->output_rows, data->output.data, clattn_type_size(attn_case_output_type(&data->problem)),
                   pattern);
    memset(data->logsumexp.block ? data->logsumexp.data : data->output.data, pattern, (size_t)data->logsumexp.bytes);
    memset(data->weights.block ? data->weights.data : data->output.data, pattern, (size_t)data->weights.bytes);
    return !attn_guarded_holds(&data->output, pattern)      ? "output"
           : !attn_guarded_holds(&data->logsumexp, pattern) ? "logsumexp"
           : !attn_guarded_holds(&data->weights, pattern)   ? "weights"
                                                            : NULL;
}
