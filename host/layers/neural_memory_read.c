/* Reading a neural memory without learning, and its derivative. Knows no engine. */
#include "layers/neural_memory.h"

#include <inttypes.h>

/** One call: arrays of all heads. */
typedef struct read_call {
    attn_memory_call call;
    const float *state, *query, *grad_output;
    float *output, *grad_query, *grad_state;
} read_call;

/* The rows of the place, with what stands between two layers. */
static clattn_status read_rows(const read_call *c, const attn_memory_place *place, const float *state) {
    clattn_neural_memory *m = c->call.memory;
    attn_memory_rows *r = &m->rows;
    attn_memory_gather(&c->call, place, m->options.key_dim, c->query, r->query);
    return attn_memory_evaluate(m, state, place->tokens, r->query, r->query_rise, r->query_bent, r->output,
                                c->call.io->report);
}

/* From grads.output to grads.query, and to the matrices of grads.state, which are added to. */
static clattn_status rows_backward(const read_call *c, const attn_memory_place *place, const float *state) {
    clattn_neural_memory *m = c->call.memory;
    const clattn_neural_memory_options *o = &m->options;
    attn_memory_grads *g = &m->grads;
    attn_memory_rows *r = &m->rows;
    clattn_report *report = c->call.io->report;
    int64_t n = place->tokens, first = o->hidden * o->key_dim;
    const float *grad_first = g->output;
    attn_memory_gather(&c->call, place, o->value_dim, c->grad_output, g->output);
    if (m->count == 2) {
        attn_memory_clear_rest(o->chunk, n, o->hidden, r->query_bent);
        ATTN_TRY(attn_memory_matrix_back(&m->matrices[1], n, state + first, g->output, false, g->query_bent, report));
        ATTN_TRY(attn_memory_matrix_outer(&m->matrices[1], g->output, r->query_bent, g->state + first, report));
        attn_memory_bend_slope(o->bend, n * o->hidden, r->query_rise, g->query_bent, g->query_bent);
        attn_memory_clear_rest(o->chunk, n, o->hidden, g->query_bent);
        grad_first = g->query_bent;
    }
    ATTN_TRY(attn_memory_matrix_back(&m->matrices[0], n, state, grad_first, false, g->query, report));
    return attn_memory_matrix_outer(&m->matrices[0], grad_first, r->query, g->state, report);
}

static clattn_status rows_of_chunk(const read_call *c, const attn_memory_place *place, const float *state) {
    clattn_neural_memory *m = c->call.memory;
    ATTN_TRY(read_rows(c, place, state));
    if (!c->grad_output) {
        attn_memory_scatter(&c->call, place, m->options.value_dim, m->rows.output, c->output);
        return CLATTN_OK;
    }
    ATTN_TRY(rows_backward(c, place, state));
    if (c->grad_query) {
        attn_memory_scatter(&c->call, place, m->options.key_dim, m->grads.query, c->grad_query);
    }
    return CLATTN_OK;
}

static clattn_status run_head(const read_call *c, int64_t b, int64_t h) {
    clattn_neural_memory *m = c->call.memory;
    int64_t at = (b * m->options.heads + h) * 2 * m->parameters;
    attn_memory_place place = { .b = b, .h = h };
    if (c->grad_output) {
        memset(m->grads.state, 0, (size_t)m->parameters * sizeof(float));
    }
    for (; place.first < c->call.length; place.first += m->options.chunk) {
        place.tokens = attn_min(m->options.chunk, c->call.length - place.first);
        ATTN_TRY(rows_of_chunk(c, &place, c->state + at));
    }
    for (int64_t k = 0; k < m->parameters && c->grad_state; k++) {
        c->grad_state[at + k] += m->grads.state[k];
    }
    return CLATTN_OK;
}

static ATTN_NOT_INLINED clattn_status run_call(const read_call *c) {
    const clattn_neural_memory_options *o = &c->call.memory->options;
    for (int64_t n = 0; n < o->batch * o->heads; n++) {
        ATTN_TRY(run_head(c, n / o->heads, n % o->heads));
    }
    return CLATTN_OK;
}

static clattn_status run_visit(const read_call *c) {
    attn_visit visit = attn_visit_begin();
    clattn_status status = run_call(c);
    attn_visit_end(&visit);
    return status;
}

static clattn_status check_rows(const clattn_neural_memory *memory, int64_t rows, clattn_report *report) {
    if (!memory || rows < 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "memory, rows: NULL, %" PRId64 "; rows are at least 0",
                            rows);
    }
    const clattn_neural_memory_options *o = &memory->options;
    int64_t heads = o->batch * o->heads;
    if (heads > 0 && rows > INT64_MAX / (int64_t)sizeof(float) / heads / attn_max(o->key_dim, o->value_dim)) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "rows: an array of more than 2^63 - 1 bytes");
    }
    return CLATTN_OK;
}

clattn_status clattn_neural_memory_read(clattn_neural_memory *memory, int64_t rows, const float *state,
                                        const float *query, float *output, clattn_report *report) {
    clattn_report_clear(report);
    ATTN_TRY(check_rows(memory, rows, report));
    const clattn_neural_memory_options *o = &memory->options;
    int64_t heads = o->batch * o->heads, states = rows > 0 ? heads * 2 * memory->parameters : 0;
    const attn_layer_array all[] = { { "output", output, heads * rows * o->value_dim, true, true },
                                     { "query", query, heads * rows * o->key_dim, true, false },
                                     { "state", state, states, true, false } };
    ATTN_TRY(attn_layer_check(all, sizeof all / sizeof *all, report));
    const clattn_neural_memory_io io = { .struct_size = sizeof io, .report = report };
    const read_call c = {
        .call = { .memory = memory, .io = &io, .length = rows }, .state = state, .query = query, .output = output
    };
    return run_visit(&c);
}

clattn_status clattn_neural_memory_read_backward(clattn_neural_memory *memory, int64_t rows, const float *state,
                                                 const float *query, const float *grad_output, float *grad_query,
                                                 float *grad_state, clattn_report *report) {
    clattn_report_clear(report);
    ATTN_TRY(check_rows(memory, rows, report));
    if (!memory->grads.state) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "memory: clattn_neural_memory_learn() has not made it ready for backward");
    }
    const clattn_neural_memory_options *o = &memory->options;
    int64_t heads = o->batch * o->heads, states = rows > 0 ? heads * 2 * memory->parameters : 0;
    const attn_layer_array all[] = { { "grad_query", grad_query, heads * rows * o->key_dim, false, true },
                                     { "grad_state", grad_state, states, false, true },
                                     { "grad_output", grad_output, heads * rows * o->value_dim, true, false },
                                     { "query", query, heads * rows * o->key_dim, true, false },
                                     { "state", state, states, true, false } };
    ATTN_TRY(attn_layer_check(all, sizeof all / sizeof *all, report));
    if (rows == 0) {
        return CLATTN_OK;
    }
    const clattn_neural_memory_io io = { .struct_size = sizeof io, .report = report };
    const read_call c = { .call = { .memory = memory, .io = &io, .length = rows },
                          .state = state,
                          .query = query,
                          .grad_output = grad_output,
                          .grad_query = grad_query,
                          .grad_state = grad_state };
    return run_visit(&c);
}
