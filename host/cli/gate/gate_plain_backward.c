/*
 * The plain backward of some rows, timed: what bench compares backward with. A row's work is all that it takes, its shares
 * of grad_key and grad_value too, so rows stand for the whole.
 */
#include <stdlib.h>

#include "gate/gate_row.h"

static double time_row(attn_gate_row *row, const float *given, const float *output, float *gradients, int runs) {
    const attn_case_data *data = row->data;
    const clattn_problem *p = &data->problem;
    int64_t number = (row->b * p->query_heads + row->h) * p->query_length + row->i;
    attn_plain plain = attn_gate_plain_arguments(row, ATTN_PLAIN_FP32);
    attn_plain_gradients g = { .output = output,
                               .grad_output = given,
                               .logsumexp = ((const float *)data->logsumexp.data)[number],
                               .grad_query = gradients,
                               .grad_keys = gradients + p->head_dim };
    double fastest = 0;
    g.grad_values = g.grad_keys + p->key_length * p->head_dim;
    for (int run = 0; run < runs; run++) {
        double start = attn_seconds();
        attn_plain_backward_row(&plain, &g);
        double seconds = attn_seconds() - start;
        fastest = run == 0 || seconds < fastest ? seconds : fastest;
    }
    return fastest;
}

static void load_floats(float *to, clattn_type type, const void *from, int64_t at, int64_t dim) {
    for (int64_t d = 0; d < dim; d++) {
        to[d] = (float)clattn_get_element(type, from, at + d);
    }
}

static int time_rows(attn_gate_row *row, float *memory, int64_t rows, int runs, double *seconds, attn_error *error) {
    const attn_case_data *data = row->data;
    const clattn_problem *p = &data->problem;
    int64_t all = p->batch * p->query_heads * p->query_length, head = -1;
    float *given = memory, *output = given + p->value_dim, *gradients = output + p->value_dim;
    clattn_type type = attn_case_output_type(p);
    for (int64_t n = 0; n < rows; n++) {
        int64_t which = rows == 1 ? 0 : (int64_t)((double)n * (double)(all - 1) / (double)(rows - 1) + 0.5);
        int64_t b = which / (p->query_heads * p->query_length), h = which / p->query_length % p->query_heads;
        int64_t g = h / (p->query_heads / p->kv_heads), i = which % p->query_length;
        if (b * p->kv_heads + g != head) {
            head = b * p->kv_heads + g;
            attn_gate_row_load_head(row, b, g);
        }
        if (attn_gate_row_compute(row, h, i, error) != ATTN_DONE) {
            return error->status;
        }
        load_floats(given, type, data->grad_output.data, attn_rows_at(&data->grad_output_rows, b, h, i), p->value_dim);
        load_floats(output, type, data->output.data, attn_rows_at(&data->output_rows, b, h, i), p->value_dim);
        *seconds += i < attn_case_data_query_length(data, b) ? time_row(row, given, output, gradients, runs) : 0;
    }
    return ATTN_DONE;
}

int attn_gate_plain_backward(const attn_case_data *data, const attn_gate_options *options, int64_t *rows,
                             double *seconds, attn_error *error) {
    const clattn_problem *p = &data->problem;
    attn_gate_row row;
    int64_t all = p->batch * p->query_heads * p->query_length, dims = p->head_dim + p->value_dim;
    double work = (double)(p->key_length + 1) * (double)(5 * dims); /* of a row, its gold included */
    *rows = 0;
    *seconds = 0;
    if (all == 0 || p->type == CLATTN_FP64) {
        return ATTN_DONE;
    }
    bool few = options->max_work > 0 && work * (double)all > options->max_work;
    int64_t count = few ? (int64_t)(options->max_work / work / 4) : all;
    count = count < 4 ? (all < 4 ? all : 4) : count;
    float *memory = calloc((size_t)(2 * p->value_dim + p->head_dim + p->key_length * dims), sizeof *memory);
    if (!memory) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for the plain loops");
    }
    int status = attn_gate_row_create(&row, data, error);
    if (status == ATTN_DONE) {
        status = time_rows(&row, memory, count, options->plain_runs > 0 ? options->plain_runs : 1, seconds, error);
        attn_gate_row_free(&row);
    }
    *rows = status == ATTN_DONE ? count : 0;
    free(memory);
    return status;
}
