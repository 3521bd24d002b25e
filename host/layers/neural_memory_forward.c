/* What a neural memory computes: chunk after chunk, one head of one entry at a time. Knows no engine. */
#include "layers/neural_memory.h"

attn_memory_place attn_memory_place_of(const attn_memory_call *call, int64_t b, int64_t h, int64_t chunk) {
    const clattn_neural_memory_options *o = &call->memory->options;
    int64_t first = chunk * o->chunk, at = (b * call->length + first) * o->heads + h;
    return (attn_memory_place){ .b = b,
                                .h = h,
                                .first = first,
                                .tokens = attn_min(o->chunk, call->length - first),
                                .gates = { call->io->alpha + at, call->io->theta + at, call->io->eta + at, o->heads } };
}

void attn_memory_gather(const attn_memory_call *call, const attn_memory_place *place, int64_t columns,
                        const float *from, float *rows) {
    const clattn_neural_memory_options *o = &call->memory->options;
    size_t bytes = (size_t)columns * sizeof *rows;
    for (int64_t t = 0; t < place->tokens; t++) {
        int64_t row = place->b * call->length + place->first + t;
        memcpy(rows + t * columns, from + (row * o->heads + place->h) * columns, bytes);
    }
    memset(rows + place->tokens * columns, 0, bytes * (size_t)(o->chunk - place->tokens));
}

void attn_memory_scatter(const attn_memory_call *call, const attn_memory_place *place, int64_t columns,
                         const float *rows, float *to) {
    int64_t heads = call->memory->options.heads;
    for (int64_t t = 0; t < place->tokens; t++) {
        int64_t row = place->b * call->length + place->first + t;
        memcpy(to + (row * heads + place->h) * columns, rows + t * columns, (size_t)columns * sizeof *to);
    }
}

clattn_status attn_memory_evaluate(clattn_neural_memory *m, const float *state, int64_t rows, const float *x,
                                   float *rise, float *bent, float *y, clattn_report *report) {
    const clattn_neural_memory_options *o = &m->options;
    if (m->count == 1) {
        return attn_memory_matrix_apply(&m->matrices[0], rows, state, x, y, report);
    }
    ATTN_TRY(attn_memory_matrix_apply(&m->matrices[0], rows, state, x, rise, report));
    attn_memory_bend(o->bend, rows * o->hidden, rise, bent);
    return attn_memory_matrix_apply(&m->matrices[1], rows, state + o->hidden * o->key_dim, bent, y, report);
}

void attn_memory_clear_rest(int64_t chunk, int64_t tokens, int64_t columns, float *rows) {
    memset(rows + tokens * columns, 0, (size_t)((chunk - tokens) * columns) * sizeof *rows);
}

clattn_status attn_memory_errors(const attn_memory_call *call, const attn_memory_place *place, const float *state) {
    clattn_neural_memory *m = call->memory;
    const clattn_neural_memory_options *o = &m->options;
    attn_memory_rows *r = &m->rows;
    int64_t n = place->tokens;
    attn_memory_gather(call, place, o->key_dim, call->io->key, r->key);
    attn_memory_gather(call, place, o->value_dim, call->io->value, r->value);
    if (call->io->query) {
        attn_memory_gather(call, place, o->key_dim, call->io->query, r->query);
    }
    ATTN_TRY(attn_memory_evaluate(m, state, n, r->key, r->rise, r->bent, r->error, call->io->report));
    for (int64_t k = 0; k < n * o->value_dim; k++) {
        r->error[k] = 2 * (r->error[k] - r->value[k]);
    }
    attn_memory_clear_rest(o->chunk, n, o->value_dim, r->error);
    if (m->count == 1) {
        return CLATTN_OK;
    }
    const float *w2 = state + o->hidden * o->key_dim;
    ATTN_TRY(attn_memory_matrix_back(&m->matrices[1], n, w2, r->error, false, r->bent_error, call->io->report));
    attn_memory_bend_slope(o->bend, n * o->hidden, r->rise, r->bent_error, r->bent_error);
    attn_memory_clear_rest(o->chunk, n, o->hidden, r->bent);
    attn_memory_clear_rest(o->chunk, n, o->hidden, r->bent_error);
    return CLATTN_OK;
}

attn_memory_chunk attn_memory_chunk_of(const attn_memory_call *call, const attn_memory_place *place, int n,
                                       float *state) {
    clattn_neural_memory *m = call->memory;
    const attn_memory_rows *r = &m->rows;
    bool last = n == (int)m->count - 1;
    float *w = state + (n == 0 ? 0 : m->options.hidden * m->options.key_dim);
    return (attn_memory_chunk){ .factors = &m->factors,
                                .tokens = place->tokens,
                                .behind = m->options.read_before ? 1 : 0,
                                .input = n == 0 ? r->key : r->bent,
                                .error = last ? r->error : r->bent_error,
                                .query = n == 0 ? r->query : r->query_bent,
                                .w = w,
                                .s = w + m->parameters,
                                .report = call->io->report };
}

clattn_status attn_memory_read_chunk(const attn_memory_call *call, const attn_memory_place *place, float *state) {
    clattn_neural_memory *m = call->memory;
    const clattn_neural_memory_options *o = &m->options;
    attn_memory_rows *r = &m->rows;
    const attn_memory_chunk first = attn_memory_chunk_of(call, place, 0, state);
    if (m->count == 1) {
        return attn_memory_matrix_read(&m->matrices[0], &first, r->output);
    }
    ATTN_TRY(attn_memory_matrix_read(&m->matrices[0], &first, r->query_rise));
    attn_memory_bend(o->bend, place->tokens * o->hidden, r->query_rise, r->query_bent);
    attn_memory_clear_rest(o->chunk, place->tokens, o->hidden, r->query_bent);
    const attn_memory_chunk second = attn_memory_chunk_of(call, place, 1, state);
    return attn_memory_matrix_read(&m->matrices[1], &second, r->output);
}

/* A chunk of several tokens: all its products at the state where it begins. */
static clattn_status run_chunk(const attn_memory_call *call, const attn_memory_place *place, float *state) {
    clattn_neural_memory *m = call->memory;
    attn_memory_factors_make(&m->factors, &place->gates, place->tokens);
    ATTN_TRY(attn_memory_errors(call, place, state));
    if (call->io->query) {
        ATTN_TRY(attn_memory_read_chunk(call, place, state));
    }
    for (int n = 0; n < (int)m->count; n++) {
        const attn_memory_chunk chunk = attn_memory_chunk_of(call, place, n, state);
        ATTN_TRY(attn_memory_matrix_step(&m->matrices[n], &chunk));
    }
    return CLATTN_OK;
}

/* A chunk of one token: the rule itself. */
static clattn_status run_token(const attn_memory_call *call, const attn_memory_place *place, float *state) {
    clattn_neural_memory *m = call->memory;
    attn_memory_rows *r = &m->rows;
    bool reads = call->io->query, before = m->options.read_before;
    ATTN_TRY(attn_memory_errors(call, place, state));
    if (reads && before) {
        ATTN_TRY(
            attn_memory_evaluate(m, state, 1, r->query, r->query_rise, r->query_bent, r->output, call->io->report));
    }
    for (int n = 0; n < (int)m->count; n++) {
        const attn_memory_chunk chunk = attn_memory_chunk_of(call, place, n, state);
        attn_memory_matrix_token(m->matrices[n].in, m->matrices[n].out, &place->gates, chunk.input, chunk.error,
                                 chunk.w, chunk.s);
    }
    return reads && !before
               ? attn_memory_evaluate(m, state, 1, r->query, r->query_rise, r->query_bent, r->output, call->io->report)
               : CLATTN_OK;
}

static clattn_status run_head(const attn_memory_call *call, int64_t b, int64_t h) {
    clattn_neural_memory *m = call->memory;
    const clattn_neural_memory_io *io = call->io;
    int64_t size = 2 * m->parameters, at = (b * m->options.heads + h) * size;
    size_t bytes = (size_t)size * sizeof(float);
    if (io->state_in) {
        memcpy(m->state, io->state_in + at, bytes);
    } else {
        memset(m->state, 0, bytes);
    }
    for (int64_t n = 0; n < call->chunks; n++) {
        const attn_memory_place place = attn_memory_place_of(call, b, h, n);
        if (io->kept) {
            memcpy(io->kept + at * call->chunks + n * size, m->state, bytes);
        }
        ATTN_TRY(place.tokens == 1 ? run_token(call, &place, m->state) : run_chunk(call, &place, m->state));
        if (io->query) {
            attn_memory_scatter(call, &place, m->options.value_dim, m->rows.output, io->output);
        }
    }
    if (io->state_out) {
        memcpy(io->state_out + at, m->state, bytes);
    }
    return CLATTN_OK;
}

static ATTN_NOT_INLINED clattn_status run_call(const attn_memory_call *call) {
    const clattn_neural_memory_options *o = &call->memory->options;
    for (int64_t n = 0; n < o->batch * o->heads; n++) {
        ATTN_TRY(run_head(call, n / o->heads, n % o->heads));
    }
    return CLATTN_OK;
}

static clattn_status check_call(const attn_memory_call *call) {
    const clattn_neural_memory_options *o = &call->memory->options;
    const clattn_neural_memory_io *io = call->io;
    int64_t rows = o->batch * call->length * o->heads;
    int64_t states = o->batch * o->heads * 2 * call->memory->parameters;
    bool reads = io->query || io->output, in_place = io->state_in == io->state_out;
    const attn_layer_array all[] = {
        { "output", io->output, rows * o->value_dim, reads, true },
        { "state_out", io->state_out, states, false, true },
        { "kept", io->kept, states * call->chunks, false, true },
        { "key", io->key, rows * o->key_dim, true, false },
        { "value", io->value, rows * o->value_dim, true, false },
        { "query", io->query, rows * o->key_dim, reads, false },
        { "alpha", io->alpha, rows, true, false },
        { "theta", io->theta, rows, true, false },
        { "eta", io->eta, rows, true, false },
        { "state_in", in_place ? NULL : io->state_in, states, call->memory->count == 2 && !io->state_in, false },
    };
    return attn_layer_check(all, sizeof all / sizeof *all, io->report);
}

clattn_status clattn_neural_memory_forward(clattn_neural_memory *memory, const clattn_neural_memory_io *io) {
    if (!memory || !io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_memory_call call;
    ATTN_TRY(attn_memory_begin(memory, io, &call));
    ATTN_TRY(check_call(&call));
    attn_visit visit = attn_visit_begin();
    clattn_status status = run_call(&call);
    attn_visit_end(&visit);
    return status;
}
