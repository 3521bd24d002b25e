/*
 * A matrix that learns, chunk by chunk: attention without a softmax, whose scores are marked by what the gates come to.
 * Products by linear plans; single tokens by plain loops. Knows no engine.
 */
#include "layers/memory_matrix.h"

enum { LANES = 16, TILE = 16 };

void attn_memory_matrix_destroy(attn_memory_matrix *m) {
    if (!m->runtime) { /* never made */
        return;
    }
    clattn_linear_plan *const plans[] = { m->forward, m->backward, m->scores, m->mix, m->outer };
    float *const arrays[] = { m->marks, m->read, m->turned_error, m->turned_input, m->turned_w };
    for (size_t k = 0; k < 5; k++) {
        clattn_linear_plan_destroy(plans[k]);
        clattn_release(m->runtime, arrays[k]);
    }
    *m = (attn_memory_matrix){ 0 };
}

clattn_status attn_memory_matrix_create(clattn_runtime *runtime, int64_t in, int64_t out, int64_t chunk,
                                        const clattn_plan_options *options, attn_memory_matrix *m,
                                        clattn_report *report) {
    *m = (attn_memory_matrix){ .runtime = runtime, .in = in, .out = out, .chunk = chunk };
    int64_t rows = attn_max(chunk, out);
    ATTN_TRY(attn_layer_linear(runtime, chunk, in, out, options, &m->forward, report));
    clattn_operation_info info;
    ATTN_TRY(clattn_linear_plan_get_info(m->forward, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    ATTN_TRY(attn_layer_linear(runtime, chunk, out, in, &beside, &m->backward, report));
    ATTN_TRY(attn_layer_linear(runtime, chunk, in, chunk, &beside, &m->scores, report));
    ATTN_TRY(attn_layer_linear(runtime, chunk, chunk, out, &beside, &m->mix, report));
    ATTN_TRY(attn_layer_linear(runtime, rows, chunk, in, &beside, &m->outer, report));
    m->marks = attn_layer_floats(runtime, chunk * chunk);
    m->read = attn_layer_floats(runtime, chunk * out);
    m->turned_error = attn_layer_floats(runtime, chunk * out);
    m->turned_input = attn_layer_floats(runtime, chunk * in);
    m->turned_w = attn_layer_floats(runtime, in * out);
    return m->marks && m->read && m->turned_error && m->turned_input && m->turned_w ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

/* ------------------------------------------------------------------------------------------------ products */

void attn_memory_transpose(int64_t rows, int64_t columns, const float *from, float *to) {
    for (int64_t top = 0; top < rows; top += TILE) {
        int64_t bottom = attn_min(top + TILE, rows);
        for (int64_t c = 0; c < columns; c++) {
            for (int64_t r = top; r < bottom; r++) {
                to[c * rows + r] = from[r * columns + c];
            }
        }
    }
}

/* sum_i a[i] b[i], in as many sums as vectors have lanes, in float. */
static float dot(int64_t count, const float *a, const float *b) {
    float lanes[LANES] = { 0 }, sum = 0;
    int64_t whole = count - count % LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int64_t n = 0; n < LANES; n++) {
            lanes[n] += a[i + n] * b[i + n];
        }
    }
    for (int64_t i = whole; i < count; i++) {
        lanes[i - whole] += a[i] * b[i];
    }
    for (int64_t n = 0; n < LANES; n++) {
        sum += lanes[n];
    }
    return sum;
}

clattn_status attn_memory_matrix_apply(attn_memory_matrix *m, int64_t rows, const float *w, const float *input,
                                       float *output, clattn_report *report) {
    if (rows > 1) {
        return attn_layer_apply(m->forward, rows, input, w, NULL, false, output, report);
    }
    for (int64_t o = 0; o < m->out && rows == 1; o++) {
        output[o] = dot(m->in, w + o * m->in, input);
    }
    return CLATTN_OK;
}

clattn_status attn_memory_matrix_back(attn_memory_matrix *m, int64_t rows, const float *w, const float *error, bool add,
                                      float *output, clattn_report *report) {
    if (rows > 1) {
        attn_memory_transpose(m->out, m->in, w, m->turned_w);
        return attn_layer_apply(m->backward, rows, error, m->turned_w, NULL, add, output, report);
    }
    if (!add) {
        memset(output, 0, (size_t)(rows * m->in) * sizeof *output);
    }
    for (int64_t o = 0; o < m->out && rows == 1; o++) {
        for (int64_t i = 0; i < m->in; i++) {
            output[i] += error[o] * w[o * m->in + i];
        }
    }
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ one chunk */

/* marks = -reach * (query input^T): how much of each error a query sees. What comes after the query it does not. */
static void mark(attn_memory_matrix *m, const attn_memory_chunk *c) {
    for (int64_t t = 0; t < c->tokens; t++) {
        int64_t after = t + 1 - c->behind;
        const float *reach = attn_memory_factors_row(c->factors, c->factors->reach + after * m->chunk, after);
        float *marks = m->marks + t * m->chunk;
        for (int64_t j = 0; j < after; j++) {
            marks[j] *= reach[j];
        }
        memset(marks + after, 0, (size_t)(m->chunk - after) * sizeof *marks);
    }
}

/* output = keep output + lift read, each row by its own factors */
static void blend(const attn_memory_matrix *m, const attn_memory_chunk *c, float *output) {
    for (int64_t t = 0; t < c->tokens; t++) {
        int64_t at = t + 1 - c->behind;
        float keep = attn_memory_factor(c->factors->keep[at]), lift = attn_memory_factor(c->factors->lift[at]);
        for (int64_t o = t * m->out; o < (t + 1) * m->out; o++) {
            output[o] = keep * output[o] + lift * m->read[o];
        }
    }
}

clattn_status attn_memory_matrix_read(attn_memory_matrix *m, const attn_memory_chunk *c, float *output) {
    int64_t n = c->tokens;
    ATTN_TRY(attn_layer_apply(m->forward, n, c->query, c->w, NULL, false, output, c->report));
    ATTN_TRY(attn_layer_apply(m->forward, n, c->query, c->s, NULL, false, m->read, c->report));
    ATTN_TRY(attn_layer_apply(m->scores, n, c->query, c->input, NULL, false, m->marks, c->report));
    attn_memory_transpose(m->chunk, m->out, c->error, m->turned_error);
    mark(m, c);
    blend(m, c, output);
    return attn_layer_apply(m->mix, n, m->marks, m->turned_error, NULL, true, output, c->report);
}

/* turned_error = -factors * error, transposed */
static void turn_errors(attn_memory_matrix *m, const attn_memory_chunk *c, const double *factors) {
    const float *row = attn_memory_factors_row(c->factors, factors, c->tokens);
    attn_memory_transpose(m->chunk, m->out, c->error, m->turned_error);
    for (int64_t o = 0; o < m->out; o++) {
        for (int64_t j = 0; j < c->tokens; j++) {
            m->turned_error[o * m->chunk + j] *= row[j];
        }
    }
}

static void fade(int64_t count, const attn_memory_factors *f, int64_t tokens, float *w, float *s) {
    float keep = attn_memory_factor(f->keep[tokens]), lift = attn_memory_factor(f->lift[tokens]);
    float hold = attn_memory_factor(f->hold[tokens]);
    for (int64_t k = 0; k < count; k++) {
        w[k] = keep * w[k] + lift * s[k];
        s[k] = hold * s[k];
    }
}

clattn_status attn_memory_matrix_step(attn_memory_matrix *m, const attn_memory_chunk *c) {
    const attn_memory_factors *f = c->factors;
    fade(m->in * m->out, f, c->tokens, c->w, c->s);
    attn_memory_transpose(m->chunk, m->in, c->input, m->turned_input);
    turn_errors(m, c, f->reach + c->tokens * m->chunk);
    ATTN_TRY(attn_layer_apply(m->outer, m->out, m->turned_error, m->turned_input, NULL, true, c->w, c->report));
    turn_errors(m, c, f->push + c->tokens * m->chunk);
    return attn_layer_apply(m->outer, m->out, m->turned_error, m->turned_input, NULL, true, c->s, c->report);
}

void attn_memory_matrix_token(int64_t in, int64_t out, const attn_memory_gates *gates, const float *input,
                              const float *error, float *w, float *s) {
    const float stay = 1 - *gates->alpha, eta = *gates->eta;
    for (int64_t o = 0; o < out; o++) {
        const float along = *gates->theta * error[o];
        for (int64_t i = o * in; i < (o + 1) * in; i++) {
            s[i] = eta * s[i] - along * input[i - o * in];
            w[i] = stay * w[i] + s[i];
        }
    }
}
