/*
 * What a backward case has beside its forward: gradients given, memory for those asked for, and as inputs the output and
 * logsumexp of the reference, unless the case is timed. Whether grad_logsumexp or delta is given follows from the seed; all gradients that a problem
 * can have are asked for.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "case/case_fill.h"
#include "clattn/clattn_inspect.h"

void attn_case_gradients_choose(clattn_problem *p, const attn_case *c) {
    uint64_t way = attn_draw(c->seed, ATTN_STREAM_GRADIENTS, 0);
    if (p->direction != CLATTN_BACKWARD || c->timed) {
        return;
    }
    p->delta = way % 4 == 0;
    p->grad_logsumexp = way % 4 >= 2;
}

/* Memory of one gradient, unless it is not asked for. */
static int make_tensor(attn_case_data *data, int which, const attn_rows *like, clattn_tensor *tensor, uint64_t salt,
                       attn_error *error) {
    static const char *const names[] = { "grad_query", "grad_key", "grad_value" };
    attn_case_gradient *g = &data->gradients[which];
    const clattn_problem *p = &data->problem;
    g->name = names[which];
    g->type = p->gradient_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
    attn_set_sizes(&g->rows, like->sizes[0], like->sizes[1], like->sizes[2], like->dim);
    return attn_make_rows(data, &g->rows, &g->memory, tensor, g->type, false, salt, error);
}

/* Dense, or with gaps between rows. */
static int make_bias(attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    const int64_t *shape = p->bias_shape;
    attn_case_gradient *g = &data->gradients[ATTN_GRAD_BIAS];
    clattn_broadcast *broadcast = &data->tensors.grad_bias;
    g->name = "grad_bias";
    bool wide = p->gradient_type == CLATTN_RESULT_FP32 || p->bias == CLATTN_BIAS_FP32;
    g->type = wide ? CLATTN_FP32 : p->type;
    attn_set_sizes(&g->rows, shape[0], shape[1], shape[2], shape[3]);
    int64_t gap = data->c.strides_random ? (int64_t)attn_draw_layout(&data->c, 1000, 4) : 0;
    int64_t strides[4] = { 0, 0, shape[3] + gap, 1 };
    strides[1] = strides[2] * shape[2];
    strides[0] = strides[1] * shape[1];
    broadcast->strided = true;
    memcpy(broadcast->strides, strides, sizeof strides);
    memcpy(g->rows.stride, strides, sizeof g->rows.stride);
    int64_t bytes = strides[0] * shape[0] * clattn_type_size(g->type);
    if (attn_guarded_create(&g->memory, bytes, error) != ATTN_DONE) {
        return error->status;
    }
    broadcast->data = g->memory.data;
    return ATTN_DONE;
}

/* One number a head. */
static int make_heads(attn_case_data *data, int which, const char *name, clattn_array *array, attn_error *error) {
    attn_case_gradient *g = &data->gradients[which];
    g->name = name;
    g->type = attn_case_logsumexp_type(&data->problem);
    attn_set_sizes(&g->rows, 1, 1, 1, data->problem.query_heads);
    if (attn_guarded_create(&g->memory, data->problem.query_heads * clattn_type_size(g->type), error) != ATTN_DONE) {
        return error->status;
    }
    array->data = g->memory.data;
    return ATTN_DONE;
}

static int make_gradients(attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    clattn_tensors *t = &data->tensors;
    if (make_tensor(data, ATTN_GRAD_QUERY, &data->query_rows, &t->grad_query, 700, error) != ATTN_DONE ||
        make_tensor(data, ATTN_GRAD_KEY, &data->key_rows, &t->grad_key, 800, error) != ATTN_DONE ||
        make_tensor(data, ATTN_GRAD_VALUE, &data->value_rows, &t->grad_value, 900, error) != ATTN_DONE ||
        (p->bias != CLATTN_BIAS_NONE && make_bias(data, error) != ATTN_DONE) ||
        (p->alibi &&
         make_heads(data, ATTN_GRAD_SLOPES, "grad_alibi_slopes", &t->grad_alibi_slopes, error) != ATTN_DONE) ||
        (p->sinks && make_heads(data, ATTN_GRAD_SINKS, "grad_sinks", &t->grad_sinks, error) != ATTN_DONE)) {
        return error->status;
    }
    return ATTN_DONE;
}

/* One number a row; NaN where nothing may be read. */
static void set_row(const attn_case_data *data, attn_guarded *memory, int64_t b, int64_t h, int64_t i, double x) {
    const clattn_problem *p = &data->problem;
    int64_t row = (b * p->query_heads + h) * p->query_length + i;
    bool unread = data->c.poison && i >= attn_case_data_query_length(data, b);
    clattn_set_element(attn_case_logsumexp_type(p), memory->data, row, unread ? (double)NAN : x);
}

/* Output, logsumexp and delta of one row, from the reference. */
static int fill_row(attn_case_data *data, const clattn_problem *forward, int64_t b, int64_t h, int64_t i,
                    clattn_reference_row *row, attn_error *error) {
    const clattn_problem *p = &data->problem;
    clattn_type type = attn_case_output_type(p);
    clattn_status status = clattn_reference_get_row(forward, &data->tensors, b, h, i, row, NULL);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, NULL);
    }
    int64_t output = attn_rows_at(&data->output_rows, b, h, i), given = attn_rows_at(&data->grad_output_rows, b, h, i);
    int64_t number = (b * p->query_heads + h) * p->query_length + i;
    double grad_logsumexp = attn_draw_normal(data->c.seed, ATTN_STREAM_GRAD_LOGSUMEXP, (uint64_t)number), delta = 0;
    bool unread = data->c.poison && (p->delta || i >= attn_case_data_query_length(data, b));
    for (int64_t d = 0; d < p->value_dim; d++) {
        clattn_set_element(type, data->output.data, output + d, (double)row->output[d]);
        delta += clattn_get_element(type, data->output.data, output + d) *
                 clattn_get_element(type, data->grad_output.data, given + d);
        if (unread) {
            clattn_set_element(type, data->output.data, output + d, (double)NAN);
        }
    }
    set_row(data, &data->logsumexp, b, h, i, (double)row->logsumexp);
    if (p->grad_logsumexp) {
        set_row(data, &data->grad_logsumexp, b, h, i, grad_logsumexp);
    }
    if (p->delta) { /* which may hold any grad_logsumexp */
        set_row(data, &data->delta, b, h, i, delta - grad_logsumexp);
    }
    return ATTN_DONE;
}

static int fill_forward(attn_case_data *data, attn_error *error) {
    clattn_problem forward = data->problem;
    int64_t rows = forward.batch * forward.query_heads * forward.query_length, keys = forward.key_length + 1;
    long double *w = malloc((size_t)(5 * keys + forward.value_dim) * sizeof *w);
    if (!w) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for the forward of the reference");
    }
    clattn_reference_row row = { .raw = w,
                                 .softcap = w + keys,
                                 .scores = w + 2 * keys,
                                 .weights = w + 3 * keys,
                                 .keep = w + 4 * keys,
                                 .output = w + 5 * keys };
    forward.direction = CLATTN_FORWARD;
    forward.logsumexp = false;
    int status = ATTN_DONE;
    for (int64_t n = 0; n < rows && status == ATTN_DONE; n++) {
        int64_t i = n % forward.query_length, h = n / forward.query_length % forward.query_heads;
        status = fill_row(data, &forward, n / forward.query_length / forward.query_heads, h, i, &row, error);
    }
    free(w);
    return status;
}

int attn_case_gradients_create(attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    clattn_tensors *t = &data->tensors;
    clattn_type type = attn_case_output_type(p);
    int64_t rows = p->batch * p->query_heads * p->query_length * clattn_type_size(attn_case_logsumexp_type(p));
    attn_set_sizes(&data->grad_output_rows, p->batch, p->query_heads, p->query_length, p->value_dim);
    if (attn_make_rows(data, &data->grad_output_rows, &data->grad_output, &t->grad_output, type, true, 1100, error) !=
            ATTN_DONE ||
        (p->grad_logsumexp && attn_guarded_create(&data->grad_logsumexp, rows, error) != ATTN_DONE) ||
        (p->delta && attn_guarded_create(&data->delta, rows, error) != ATTN_DONE) ||
        make_gradients(data, error) != ATTN_DONE) {
        return error->status;
    }
    t->grad_logsumexp.data = data->grad_logsumexp.data;
    t->delta.data = data->delta.data;
    attn_fill_rows(data, &data->grad_output_rows, &data->grad_output, type, ATTN_STREAM_GRAD_OUTPUT);
    attn_case_gradients_fill(data, 0xff);
    return data->c.timed ? ATTN_DONE : fill_forward(data, error);
}

void attn_case_gradients_free(attn_case_data *data) {
    attn_guarded *const all[] = { &data->grad_output, &data->grad_logsumexp, &data->delta };
    for (size_t g = 0; g < sizeof all / sizeof all[0]; g++) {
        free(all[g]->block);
        *all[g] = (attn_guarded){ 0 };
    }
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        free(data->gradients[g].memory.block);
        data->gradients[g].memory = (attn_guarded){ 0 };
    }
}

double attn_case_gradient_start(const attn_case_data *data, int which, int64_t n) {
    clattn_type type = data->gradients[which].type;
    double stored = 0;
    if (data->problem.gradients_add) {
        double x = attn_draw_normal(data->c.seed, ATTN_STREAM_GRAD_START, (uint64_t)(n * ATTN_GRADIENTS + which));
        clattn_set_element(type, &stored, 0, x);
        stored = clattn_get_element(type, &stored, 0);
    }
    return stored;
}

/* What stands in a gradient's elements before something is added. */
static void put_starts(attn_case_data *data, int which) {
    attn_case_gradient *g = &data->gradients[which];
    const attn_rows *r = &g->rows;
    int64_t rows = g->memory.block ? r->sizes[0] * r->sizes[1] * r->sizes[2] : 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t at =
            attn_rows_at(r, row / r->sizes[2] / r->sizes[1], row / r->sizes[2] % r->sizes[1], row % r->sizes[2]);
        for (int64_t d = 0; d < r->dim; d++) {
            double start = attn_case_gradient_start(data, which, row * r->dim + d);
            clattn_set_element(g->type, g->memory.data, at + d, start);
        }
    }
}

void attn_case_gradients_fill(attn_case_data *data, unsigned char pattern) {
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        attn_guarded_fill(&data->gradients[g].memory, pattern);
        if (data->problem.gradients_add) {
            put_starts(data, g);
        }
    }
}

const char *attn_case_gradients_check_guards(attn_case_data *data, unsigned char pattern) {
    for (int n = 0; n < ATTN_GRADIENTS; n++) {
        attn_case_gradient *g = &data->gradients[n];
        if (g->memory.block) {
            attn_rows_fill(&g->rows, g->memory.data, clattn_type_size(g->type), pattern);
            if (!attn_guarded_holds(&g->memory, pattern)) {
                return g->name;
            }
        }
    }
    return NULL;
}
