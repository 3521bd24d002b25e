/*
 * The derivative of a neural memory: chunk after chunk from the last to the first, from the states that forward kept.
 * Errors depend on the state where their chunk begins, so what comes to them goes on to the matrices. Knows no engine.
 */
#include "layers/neural_memory.h"

void attn_memory_grads_end(clattn_neural_memory *memory) {
    attn_memory_grads *g = &memory->grads;
    float *const arrays[] = { g->key,        g->value,      g->query, g->output, g->error, g->bent,
                              g->bent_error, g->query_bent, g->back,  g->rise,   g->state };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        clattn_release(memory->runtime, arrays[k]);
    }
    attn_memory_factors_release(memory->runtime, &g->slopes);
    for (int n = 0; n < 2; n++) {
        attn_memory_matrix_learning_end(&memory->matrices[n]);
    }
    *g = (attn_memory_grads){ 0 };
}

static clattn_status make_ready(clattn_neural_memory *m, clattn_report *report) {
    const clattn_neural_memory_options *o = &m->options;
    attn_memory_grads *g = &m->grads;
    const struct {
        float **place;
        int64_t columns;
    } all[] = { { &g->key, o->key_dim },       { &g->query, o->key_dim },     { &g->value, o->value_dim },
                { &g->error, o->value_dim },   { &g->output, o->value_dim },  { &g->bent, o->hidden },
                { &g->bent_error, o->hidden }, { &g->query_bent, o->hidden }, { &g->back, o->hidden },
                { &g->rise, o->hidden } };
    for (int n = 0; n < (int)m->count; n++) {
        ATTN_TRY(attn_memory_matrix_learn(&m->matrices[n], report));
    }
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        *all[k].place = attn_layer_floats(m->runtime, o->chunk * all[k].columns);
        if (!*all[k].place) {
            return CLATTN_OUT_OF_MEMORY;
        }
    }
    if (!attn_memory_factors_create(m->runtime, o->chunk, &g->slopes)) {
        return CLATTN_OUT_OF_MEMORY;
    }
    g->state = attn_layer_floats(m->runtime, 2 * m->parameters);
    return g->state ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_neural_memory_learn(clattn_neural_memory *memory, clattn_report *report) {
    clattn_report_clear(report);
    if (!memory) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "memory: NULL");
    }
    attn_memory_grads_end(memory);
    clattn_status status = make_ready(memory, report);
    if (status != CLATTN_OK) {
        attn_memory_grads_end(memory);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------ one chunk */

typedef struct backward_call {
    attn_memory_call call;
    const clattn_neural_memory_gradients *g;
} backward_call;

/* The derivative of matrix n's read and step, whose chunk begins at `state`. */
static clattn_status matrix_backward(const backward_call *c, const attn_memory_place *place, int n, float *state,
                                     const float *grad_output, float *grad_input, float *grad_error,
                                     float *grad_query) {
    clattn_neural_memory *m = c->call.memory;
    const attn_memory_chunk chunk = attn_memory_chunk_of(&c->call, place, n, state);
    float *grad_w = m->grads.state + (chunk.w - state);
    const attn_memory_slopes slopes = { grad_output,     grad_input, grad_error,
                                        grad_query,      grad_w,     grad_w + m->parameters,
                                        &m->grads.slopes };
    return attn_memory_matrix_backward(&m->matrices[n], &chunk, &slopes);
}

/*
 * error = 2 (W input - value) of the last matrix: from grads.error to the value, to the matrix, and to its input, whose
 * gradient is added to.
 */
static clattn_status error_backward(const backward_call *c, const attn_memory_place *place, int n, const float *w,
                                    const float *input, float *grad_input) {
    clattn_neural_memory *m = c->call.memory;
    attn_memory_grads *g = &m->grads;
    int64_t count = m->options.chunk * m->options.value_dim;
    clattn_report *report = c->call.io->report;
    for (int64_t k = 0; k < count; k++) {
        g->error[k] *= 2;
        g->value[k] = -g->error[k];
    }
    float *grad_w = g->state + (n == 0 ? 0 : m->options.hidden * m->options.key_dim);
    ATTN_TRY(attn_memory_matrix_back(&m->matrices[n], place->tokens, w, g->error, true, grad_input, report));
    return attn_memory_matrix_outer(&m->matrices[n], g->error, input, grad_w, report);
}

static clattn_status linear_backward(const backward_call *c, const attn_memory_place *place, float *state) {
    clattn_neural_memory *m = c->call.memory;
    attn_memory_grads *g = &m->grads;
    ATTN_TRY(matrix_backward(c, place, 0, state, c->g->grad_output ? g->output : NULL, g->key, g->error, g->query));
    return error_backward(c, place, 0, state, m->rows.key, g->key);
}

/*
 * bent_error = (W2^T error) f'(rise): from grads.bent_error to error and W2, and to rise, whose gradient is written.
 */
static clattn_status bent_error_backward(const backward_call *c, const attn_memory_place *place, const float *w2) {
    clattn_neural_memory *m = c->call.memory;
    attn_memory_grads *g = &m->grads;
    const attn_memory_rows *r = &m->rows;
    int64_t n = place->tokens, hidden = m->options.hidden, count = n * hidden, value_dim = m->options.value_dim;
    clattn_report *report = c->call.io->report;
    ATTN_TRY(attn_memory_matrix_back(&m->matrices[1], n, w2, r->error, false, g->back, report));
    memset(g->rise, 0, (size_t)(m->options.chunk * hidden) * sizeof(float));
    for (int64_t k = 0; k < count; k++) {
        g->rise[k] = g->back[k] * g->bent_error[k];
    }
    attn_memory_bend_curve(m->options.bend, count, r->rise, g->rise, g->rise);
    attn_memory_bend_slope(m->options.bend, count, r->rise, g->bent_error, g->bent_error);
    ATTN_TRY(attn_memory_matrix_apply(&m->matrices[1], n, w2, g->bent_error, m->matrices[1].read, report));
    for (int64_t k = 0; k < n * value_dim; k++) {
        g->error[k] += m->matrices[1].read[k];
    }
    float *grad_w2 = g->state + hidden * m->options.key_dim;
    return attn_memory_matrix_outer(&m->matrices[1], r->error, g->bent_error, grad_w2, report);
}

static clattn_status layers_backward(const backward_call *c, const attn_memory_place *place, float *state) {
    clattn_neural_memory *m = c->call.memory;
    attn_memory_grads *g = &m->grads;
    const attn_memory_rows *r = &m->rows;
    int64_t count = place->tokens * m->options.hidden;
    const float *w2 = state + m->options.hidden * m->options.key_dim, *seen = NULL;
    clattn_report *report = c->call.io->report;
    if (c->g->grad_output) {
        ATTN_TRY(attn_memory_read_chunk(&c->call, place, state)); /* what stood between the layers */
        seen = g->query_bent;
    }
    ATTN_TRY(matrix_backward(c, place, 1, state, seen ? g->output : NULL, g->bent, g->error, g->query_bent));
    if (seen) {
        attn_memory_bend_slope(m->options.bend, count, r->query_rise, g->query_bent, g->query_bent);
    }
    ATTN_TRY(matrix_backward(c, place, 0, state, seen, g->key, g->bent_error, g->query));
    ATTN_TRY(bent_error_backward(c, place, w2));
    ATTN_TRY(error_backward(c, place, 1, w2, r->bent, g->bent));
    attn_memory_bend_slope(m->options.bend, count, r->rise, g->bent, g->bent);
    for (int64_t k = 0; k < count; k++) {
        g->rise[k] += g->bent[k];
    }
    ATTN_TRY(attn_memory_matrix_back(&m->matrices[0], place->tokens, state, g->rise, true, g->key, report));
    return attn_memory_matrix_outer(&m->matrices[0], g->rise, r->key, g->state, report);
}

static void clear_slopes(attn_memory_factors *slopes, int64_t tokens) {
    int64_t rows = slopes->chunk + 1;
    slopes->tokens = tokens;
    memset(slopes->keep, 0, (size_t)(3 * rows + 2 * rows * slopes->chunk) * sizeof(double)); /* one block */
}

static void hand_out(const backward_call *c, const attn_memory_place *place) {
    clattn_neural_memory *m = c->call.memory;
    const clattn_neural_memory_options *o = &m->options;
    const clattn_neural_memory_gradients *g = c->g;
    int64_t at = place->gates.alpha - c->call.io->alpha;
    if (g->grad_key) {
        attn_memory_scatter(&c->call, place, o->key_dim, m->grads.key, g->grad_key);
    }
    if (g->grad_value) {
        attn_memory_scatter(&c->call, place, o->value_dim, m->grads.value, g->grad_value);
    }
    if (g->grad_query) {
        attn_memory_scatter(&c->call, place, o->key_dim, m->grads.query, g->grad_query);
    }
    attn_memory_factors_backward(&m->factors, &place->gates, &m->grads.slopes,
                                 g->grad_alpha ? g->grad_alpha + at : NULL, g->grad_theta ? g->grad_theta + at : NULL,
                                 g->grad_eta ? g->grad_eta + at : NULL);
}

static clattn_status chunk_backward(const backward_call *c, const attn_memory_place *place, float *state) {
    clattn_neural_memory *m = c->call.memory;
    attn_memory_factors_make(&m->factors, &place->gates, place->tokens);
    clear_slopes(&m->grads.slopes, place->tokens);
    ATTN_TRY(attn_memory_errors(&c->call, place, state));
    if (c->g->grad_output) {
        attn_memory_gather(&c->call, place, m->options.value_dim, c->g->grad_output, m->grads.output);
    } else {
        memset(m->grads.query, 0, (size_t)(m->options.chunk * m->options.key_dim) * sizeof(float));
    }
    ATTN_TRY(m->count == 1 ? linear_backward(c, place, state) : layers_backward(c, place, state));
    hand_out(c, place);
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ one call */

static ATTN_NOT_INLINED clattn_status head_backward(const backward_call *c, int64_t b, int64_t h) {
    clattn_neural_memory *m = c->call.memory;
    int64_t size = 2 * m->parameters, at = (b * m->options.heads + h) * size;
    size_t bytes = (size_t)size * sizeof(float);
    if (c->g->grad_state_out) {
        memcpy(m->grads.state, c->g->grad_state_out + at, bytes);
    } else {
        memset(m->grads.state, 0, bytes);
    }
    for (int64_t n = c->call.chunks - 1; n >= 0; n--) {
        const attn_memory_place place = attn_memory_place_of(&c->call, b, h, n);
        ATTN_TRY(chunk_backward(c, &place, c->call.io->kept + at * c->call.chunks + n * size));
    }
    if (c->g->grad_state_in) {
        memcpy(c->g->grad_state_in + at, m->grads.state, bytes);
    }
    return CLATTN_OK;
}

static clattn_status check_call(const backward_call *c) {
    const clattn_neural_memory_options *o = &c->call.memory->options;
    const clattn_neural_memory_io *io = c->call.io;
    const clattn_neural_memory_gradients *g = c->g;
    int64_t rows = o->batch * c->call.length * o->heads;
    int64_t states = o->batch * o->heads * 2 * c->call.memory->parameters;
    bool in_place = g->grad_state_in == g->grad_state_out;
    const attn_layer_array all[] = {
        { "grad_key", g->grad_key, rows * o->key_dim, false, true },
        { "grad_value", g->grad_value, rows * o->value_dim, false, true },
        { "grad_query", g->grad_query, rows * o->key_dim, false, true },
        { "grad_alpha", g->grad_alpha, rows, false, true },
        { "grad_theta", g->grad_theta, rows, false, true },
        { "grad_eta", g->grad_eta, rows, false, true },
        { "grad_state_in", g->grad_state_in, states, false, true },
        { "grad_output", g->grad_output, rows * o->value_dim, false, false },
        { "grad_state_out", in_place ? NULL : g->grad_state_out, states, false, false },
        { "key", io->key, rows * o->key_dim, true, false },
        { "value", io->value, rows * o->value_dim, true, false },
        { "query", io->query, rows * o->key_dim, g->grad_output, false },
        { "alpha", io->alpha, rows, true, false },
        { "theta", io->theta, rows, true, false },
        { "eta", io->eta, rows, true, false },
        { "kept", io->kept, states * c->call.chunks, true, false },
    };
    return attn_layer_check(all, sizeof all / sizeof *all, io->report);
}

clattn_status clattn_neural_memory_backward(clattn_neural_memory *memory, const clattn_neural_memory_io *io,
                                            const clattn_neural_memory_gradients *gradients) {
    if (!memory || !io || io->struct_size != sizeof *io || !gradients || gradients->struct_size != sizeof *gradients) {
        return CLATTN_INVALID_ARGUMENT;
    }
    backward_call c = { .g = gradients };
    clattn_report_clear(io->report);
    if (!memory->grads.state) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT,
                            "memory: clattn_neural_memory_learn() has not made it ready for backward");
    }
    ATTN_TRY(attn_memory_begin(memory, io, &c.call));
    ATTN_TRY(check_call(&c));
    int64_t heads = memory->options.heads;
    clattn_status status = CLATTN_OK;
    attn_visit visit = attn_visit_begin();
    for (int64_t n = 0; n < memory->options.batch * heads && status == CLATTN_OK; n++) {
        status = head_backward(&c, n / heads, n % heads);
    }
    attn_visit_end(&visit);
    return status;
}
