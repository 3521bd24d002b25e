/* What layers with a memory compute: entry by entry; as context segment by segment. Knows no engine. */
#include <inttypes.h>
#include <math.h>

#include "layers/memory_layer.h"
#include "layers/neural_memory.h"

/** One call, resolved. */
typedef struct layer_call {
    clattn_memory_layer *layer;
    const clattn_memory_layer_weights *w;
    const clattn_memory_layer_io *io;
    int64_t length, before; /* tokens; rows of the tokens before that the state has */
} layer_call;

/* ------------------------------------------------------------------------------------------------ the memory's part */

static ATTN_NOT_INLINED void silu(int64_t count, float *x) {
    attn_memory_bend(CLATTN_MEMORY_SILU, count, x, x);
}

/* Rows of length 1; rows of 0 stay. */
static ATTN_NOT_INLINED void make_units(int64_t rows, int64_t dim, float *x) {
    for (int64_t r = 0; r < rows; r++) {
        double square = 1e-12;
        for (int64_t k = r * dim; k < (r + 1) * dim; k++) {
            square += (double)x[k] * (double)x[k];
        }
        double factor = 1 / sqrt(square);
        for (int64_t k = r * dim; k < (r + 1) * dim; k++) {
            x[k] = (float)((double)x[k] * factor);
        }
    }
}

/* From rows of [alpha of all heads, theta, eta] to three arrays, through the sigmoid. */
static ATTN_NOT_INLINED void make_gates(int64_t rows, int64_t heads, double most_theta, const float *x, float *gates) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < 3 * heads; k++) {
            double gate = 1 / (1 + exp(-(double)x[r * 3 * heads + k]));
            gate *= k / heads == 1 ? most_theta : 1;
            gates[(k / heads * rows + r) * heads + k % heads] = (float)gate;
        }
    }
}

/* What the memory is asked: unit(silu(W_mq x)). */
static clattn_status ask(const layer_call *c, int64_t rows, const float *x, const float *w, float *result, bool units) {
    const clattn_memory_layer_options *o = &c->layer->options;
    ATTN_TRY(attn_layer_apply(c->layer->square, rows, x, w, NULL, false, result, c->io->report));
    attn_visit visit = attn_visit_begin();
    silu(rows * o->dim, result);
    if (units) {
        make_units(rows * o->memory_heads, o->dim / o->memory_heads, result);
    }
    attn_visit_end(&visit);
    return CLATTN_OK;
}

/* output = remember(x); the memories of the state learn. */
static clattn_status remember(const layer_call *c, int64_t rows, const float *x, float *state, float *output) {
    clattn_memory_layer *l = c->layer;
    const clattn_memory_layer_options *o = &l->options;
    clattn_report *report = c->io->report;
    ATTN_TRY(ask(c, rows, x, c->w->w_memory_query, l->query, true));
    ATTN_TRY(ask(c, rows, x, c->w->w_memory_key, l->key, true));
    ATTN_TRY(ask(c, rows, x, c->w->w_memory_value, l->value, false));
    ATTN_TRY(attn_layer_apply(l->gates, rows, x, c->w->w_gates, c->w->b_gates, false, l->gate_rows, report));
    attn_visit visit = attn_visit_begin();
    make_gates(rows, o->memory_heads, o->most_theta, l->gate_rows, l->alpha);
    attn_visit_end(&visit);
    clattn_neural_memory_io io = CLATTN_NEURAL_MEMORY_IO_INIT;
    io.length = rows;
    io.query = l->query, io.key = l->key, io.value = l->value;
    io.alpha = l->alpha, io.theta = l->alpha + rows * o->memory_heads, io.eta = l->alpha + 2 * rows * o->memory_heads;
    io.state_in = io.state_out = state;
    io.output = output;
    io.report = report;
    return clattn_neural_memory_forward(l->memory, &io);
}

/* ------------------------------------------------------------------------------------------------ attention's part */

static void copy_rows(const layer_call *c, int64_t rows, const float *from, float *to) {
    memcpy(to, from, (size_t)(rows * c->layer->options.dim) * sizeof *to);
}

/* Attention of `rows` rows to the first `keys` rows of the sequence. */
static clattn_status attend(const layer_call *c, int64_t rows, const float *x, int64_t keys, float *output) {
    clattn_memory_layer *l = c->layer;
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = x;
    io.memory = l->sequence;
    io.output = output;
    io.attention.query_length = rows;
    io.attention.key_length = keys;
    io.attention.mask.data = l->mask;
    io.attention.report = c->io->report;
    return clattn_attention_layer_forward(l->attention, &c->w->attention, &io);
}

/* output = attention of all rows x of the entry to P, to the rows before them in the state, and to themselves. */
static clattn_status attend_window(const layer_call *c, const float *x, float *recent, float *output) {
    clattn_memory_layer *l = c->layer;
    int64_t n = c->length, dim = l->options.dim, persistent = l->options.persistent, rows = c->before + n;
    float *window = l->sequence + persistent * dim;
    copy_rows(c, persistent, persistent > 0 ? c->w->persistent : x, l->sequence);
    copy_rows(c, c->before, recent, window);
    copy_rows(c, n, x, window + c->before * dim);
    ATTN_TRY(attend(c, n, window + c->before * dim, persistent + rows, output));
    int64_t stay = attn_min(rows, l->recent); /* for the next call */
    copy_rows(c, stay, window + (rows - stay) * dim, recent);
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void gate_by(int64_t count, const float *gate, float *x) {
    for (int64_t k = 0; k < count; k++) {
        x[k] = (float)((double)x[k] / (1 + exp(-(double)gate[k])));
    }
}

/* output = norm(attended) sigmoid(norm(remembered)) */
static clattn_status combine(const layer_call *c, int64_t rows, float *output) {
    clattn_memory_layer *l = c->layer;
    const double epsilon = 1e-5;
    int64_t dim = l->options.dim;
    ATTN_TRY(clattn_layer_norm(l->runtime, rows, dim, epsilon, c->w->gain_memory, NULL, l->remembered, l->remembered));
    ATTN_TRY(clattn_layer_norm(l->runtime, rows, dim, epsilon, c->w->gain_attention, NULL, l->attended, output));
    attn_visit visit = attn_visit_begin();
    gate_by(rows * dim, l->remembered, output);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ the forms */

static clattn_status run_segment(const layer_call *c, int64_t rows, const float *x, float *state, float *output) {
    clattn_memory_layer *l = c->layer;
    int64_t dim = l->options.dim, persistent = l->options.persistent;
    float *known = l->sequence + persistent * dim, *segment = known + l->rows * dim;
    copy_rows(c, persistent, persistent > 0 ? c->w->persistent : x, l->sequence);
    ATTN_TRY(ask(c, rows, x, c->w->w_memory_query, l->query, true));
    ATTN_TRY(clattn_neural_memory_read(l->memory, rows, state, l->query, known, c->io->report));
    memset(known + rows * dim, 0, (size_t)((l->rows - rows) * dim) * sizeof *known); /* nobody sees them */
    copy_rows(c, rows, x, segment);
    ATTN_TRY(attend(c, rows, segment, persistent + l->rows + rows, l->attended));
    ATTN_TRY(remember(c, rows, l->attended, state, l->remembered));
    return combine(c, rows, output);
}

static clattn_status run_context(const layer_call *c, const float *x, float *state, float *output) {
    int64_t dim = c->layer->options.dim, most = c->layer->rows;
    for (int64_t first = 0; first < c->length; first += most) {
        int64_t rows = attn_min(most, c->length - first);
        ATTN_TRY(run_segment(c, rows, x + first * dim, state, output + first * dim));
    }
    return CLATTN_OK;
}

static clattn_status run_entry(const layer_call *c, const float *x, float *state, float *output) {
    clattn_memory_layer *l = c->layer;
    float *recent = state + l->memories;
    switch (l->options.form) {
        case CLATTN_MEMORY_ALONE: return remember(c, c->length, x, state, output);
        case CLATTN_MEMORY_AS_CONTEXT: return run_context(c, x, state, output);
        case CLATTN_MEMORY_AS_GATE:
            ATTN_TRY(attend_window(c, x, recent, l->attended));
            ATTN_TRY(remember(c, c->length, x, state, l->remembered));
            return combine(c, c->length, output);
        case CLATTN_MEMORY_AS_LAYER:
            ATTN_TRY(remember(c, c->length, x, state, l->remembered));
            return attend_window(c, l->remembered, recent, output);
    }
    return CLATTN_INVALID_ARGUMENT;
}

/* ------------------------------------------------------------------------------------------------ one call */

static clattn_status check_arrays(const layer_call *c) {
    const clattn_memory_layer_options *o = &c->layer->options;
    const clattn_memory_layer_weights *w = c->w;
    const clattn_memory_layer_io *io = c->io;
    int64_t count = o->batch * c->length * o->dim, square = o->dim * o->dim;
    int64_t states = o->batch * clattn_memory_layer_get_state_size(c->layer);
    bool attends = c->layer->attention;
    const clattn_attention_weights none = { 0 }, *a = attends ? &w->attention : &none;
    const attn_layer_array all[] = {
        { "output", io->output, count, true, true },
        { "state", io->state, states, true, true },
        { "input", io->input, count, true, false },
        { "w_memory_query", w->w_memory_query, square, true, false },
        { "w_memory_key", w->w_memory_key, square, true, false },
        { "w_memory_value", w->w_memory_value, square, true, false },
        { "w_gates", w->w_gates, 3 * o->memory_heads * o->dim, true, false },
        { "b_gates", w->b_gates, 3 * o->memory_heads, false, false },
        { "persistent", w->persistent, o->persistent * o->dim, true, false },
        { "gain_attention", w->gain_attention, o->dim, false, false },
        { "gain_memory", w->gain_memory, o->dim, false, false },
        { "attention.w_query", a->w_query, square, attends, false },
        { "attention.w_key", a->w_key, square, attends, false },
        { "attention.w_value", a->w_value, square, attends, false },
        { "attention.w_output", a->w_output, square, attends, false },
    };
    return attn_layer_check(all, sizeof all / sizeof *all, io->report);
}

static clattn_status check_call(layer_call *c) {
    const clattn_memory_layer_options *o = &c->layer->options;
    const clattn_memory_layer_io *io = c->io;
    clattn_report_clear(io->report);
    c->length = io->length == CLATTN_SAME ? o->length : io->length;
    if (c->length < 0 || c->length > o->length) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_TENSORS, "length: %" PRId64 " is not within 0 and %" PRId64,
                            io->length, o->length);
    }
    if (io->seen < 0) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_TENSORS, "seen: %" PRId64 "; at least 0", io->seen);
    }
    c->before = attn_min(io->seen, c->layer->recent);
    return check_arrays(c);
}

clattn_status clattn_memory_layer_forward(clattn_memory_layer *layer, const clattn_memory_layer_weights *weights,
                                          const clattn_memory_layer_io *io) {
    if (!layer || !weights || !io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    layer_call c = { .layer = layer, .w = weights, .io = io };
    ATTN_TRY(check_call(&c));
    int64_t count = c.length * layer->options.dim, size = clattn_memory_layer_get_state_size(layer);
    for (int64_t b = 0; b < layer->options.batch && count > 0; b++) {
        ATTN_TRY(run_entry(&c, io->input + b * count, io->state + b * size, io->output + b * count));
    }
    return CLATTN_OK;
}
