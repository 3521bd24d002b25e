/*
 * Neural memories: making them ready, their states, and what is checked of a call. neural_memory_forward.c computes.
 * A composition of linear plans; knows no engine.
 */
#include "layers/neural_memory.h"

#include <inttypes.h>

enum { MOST_CHUNK = 65536 };

void clattn_neural_memory_destroy(clattn_neural_memory *memory) {
    if (!memory) {
        return;
    }
    const attn_memory_rows *r = &memory->rows;
    float *const arrays[] = { r->key,        r->value,      r->query,      r->error,  r->rise,      r->bent,
                              r->bent_error, r->query_rise, r->query_bent, r->output, memory->state };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        clattn_release(memory->runtime, arrays[k]);
    }
    attn_memory_grads_end(memory);
    attn_memory_matrix_destroy(&memory->matrices[0]);
    attn_memory_matrix_destroy(&memory->matrices[1]);
    attn_memory_factors_release(memory->runtime, &memory->factors);
    clattn_release(memory->runtime, memory);
}

static clattn_status check_options(clattn_neural_memory_options *o, clattn_report *report) {
    bool deep = o->depth == CLATTN_MEMORY_TWO_LAYERS;
    o->value_dim = o->value_dim == CLATTN_SAME ? o->key_dim : o->value_dim;
    if (o->depth != CLATTN_MEMORY_LINEAR && !deep) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "depth: %d is no depth of a memory", (int)o->depth);
    }
    if (o->bend != CLATTN_MEMORY_SILU && o->bend != CLATTN_MEMORY_GELU) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "bend: %d is none of those known", (int)o->bend);
    }
    if (o->batch < 0 || o->length < 0 || o->heads < 1) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "batch, heads, length: %" PRId64 ", %" PRId64 ", %" PRId64 "; at least 0, heads at least 1",
                            o->batch, o->heads, o->length);
    }
    if (o->chunk < 1 || o->chunk > MOST_CHUNK) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "chunk: %" PRId64 "; 1 to %d", o->chunk, (int)MOST_CHUNK);
    }
    if (o->key_dim < 1 || o->key_dim > INT32_MAX || o->value_dim < 1 || o->value_dim > INT32_MAX) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "key_dim, value_dim: %" PRId64 ", %" PRId64 "; each is 1 to 2^31 - 1", o->key_dim,
                            o->value_dim);
    }
    o->hidden = !deep ? 0 : o->hidden == CLATTN_SAME ? 4 * o->key_dim : o->hidden;
    if (deep && (o->hidden < 1 || o->hidden > INT32_MAX)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "hidden: %" PRId64 "; 1 to 2^31 - 1", o->hidden);
    }
    return CLATTN_OK;
}

/* Whether each array of a call has a size in bytes. */
static clattn_status check_sizes(const clattn_neural_memory *m, clattn_report *report) {
    const clattn_neural_memory_options *o = &m->options;
    int64_t heads, rows, kept, size, dim = attn_max(o->key_dim, o->value_dim);
    bool fits = attn_multiply(o->batch, o->heads, &heads) && attn_multiply(heads, o->length, &rows) &&
                attn_multiply(rows, dim, &size) && size <= INT64_MAX / (int64_t)sizeof(float);
    fits = fits && attn_multiply(heads, attn_max(attn_divide_up(o->length, o->chunk), 1), &kept) &&
           attn_multiply(kept, 2 * m->parameters, &size) && size <= INT64_MAX / (int64_t)sizeof(float);
    return fits ? CLATTN_OK
                : LAYER_REFUSE(report, CLATTN_OVERFLOW,
                               "batch, heads, length, key_dim, value_dim: an array of more than 2^63 - 1 bytes");
}

static clattn_status make_matrices(clattn_neural_memory *m, clattn_report *report) {
    const clattn_neural_memory_options *o = &m->options;
    bool deep = o->depth == CLATTN_MEMORY_TWO_LAYERS;
    int64_t middle = deep ? o->hidden : o->value_dim; /* rows of the first matrix */
    int64_t columns = deep ? o->key_dim + o->value_dim : o->key_dim;
    if (columns > INT64_MAX / 16 / middle) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "key_dim, value_dim, hidden: a state of more than 2^63 - 1 bytes");
    }
    m->count = deep ? 2 : 1;
    m->parameters = middle * columns;
    ATTN_TRY(check_sizes(m, report));
    ATTN_TRY(attn_memory_matrix_create(m->runtime, o->key_dim, middle, o->chunk, &o->plan, &m->matrices[0], report));
    return deep ? attn_memory_matrix_create(m->runtime, o->hidden, o->value_dim, o->chunk, &o->plan, &m->matrices[1],
                                            report)
                : CLATTN_OK;
}

/* Arrays of a chunk, each with `columns`; false when there is no room. */
static bool make_arrays(clattn_neural_memory *m) {
    const clattn_neural_memory_options *o = &m->options;
    attn_memory_rows *r = &m->rows;
    const struct {
        float **place;
        int64_t columns;
    } all[] = { { &r->key, o->key_dim },      { &r->query, o->key_dim },     { &r->value, o->value_dim },
                { &r->error, o->value_dim },  { &r->output, o->value_dim },  { &r->rise, o->hidden },
                { &r->bent, o->hidden },      { &r->bent_error, o->hidden }, { &r->query_rise, o->hidden },
                { &r->query_bent, o->hidden } };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        int64_t count = o->chunk * all[k].columns;
        *all[k].place = attn_layer_floats(m->runtime, count);
        if (!*all[k].place) {
            return false;
        }
        memset(*all[k].place, 0, (size_t)count * sizeof(float));
    }
    m->state = attn_layer_floats(m->runtime, 2 * m->parameters);
    return m->state != NULL;
}

static clattn_status make_ready(clattn_neural_memory *m, clattn_report *report) {
    ATTN_TRY(check_options(&m->options, report));
    ATTN_TRY(make_matrices(m, report));
    bool factors = attn_memory_factors_create(m->runtime, m->options.chunk, &m->factors);
    return factors && make_arrays(m) ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_neural_memory_create(clattn_runtime *runtime, const clattn_neural_memory_options *options,
                                          clattn_neural_memory **memory, clattn_report *report) {
    clattn_report_clear(report);
    if (memory) {
        *memory = NULL;
    }
    if (!runtime || !options || !memory || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, options, memory: NULL, or options.struct_size is not "
                            "clattn_neural_memory_options'");
    }
    clattn_neural_memory *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_neural_memory){ .runtime = runtime, .options = *options };
    clattn_status status = make_ready(made, report);
    if (status != CLATTN_OK) {
        clattn_neural_memory_destroy(made);
        return status;
    }
    made->options.plan = (clattn_plan_options)CLATTN_PLAN_OPTIONS_INIT; /* nothing of the caller's is kept */
    *memory = made;
    return CLATTN_OK;
}

int64_t clattn_neural_memory_get_state_size(const clattn_neural_memory *memory) {
    return memory ? 2 * memory->parameters : 0;
}

int64_t clattn_neural_memory_get_kept(const clattn_neural_memory *memory) {
    const clattn_neural_memory_options *o = memory ? &memory->options : NULL;
    return o ? o->batch * o->heads * attn_divide_up(o->length, o->chunk) * 2 * memory->parameters : 0;
}

clattn_status clattn_neural_memory_start(const clattn_neural_memory *memory, uint64_t seed, float *state) {
    if (!memory || !state) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_neural_memory_options *o = &memory->options;
    int64_t size = 2 * memory->parameters, count = o->batch * o->heads;
    memset(state, 0, (size_t)(count * size) * sizeof *state);
    for (int64_t n = 0; n < count && memory->count == 2; n++) {
        uint64_t of_head = seed + 2 * (uint64_t)(n % o->heads);
        float *w1 = state + n * size, *w2 = w1 + o->hidden * o->key_dim;
        ATTN_TRY(clattn_fill(CLATTN_FILL_XAVIER, of_head, o->hidden, o->key_dim, w1));
        ATTN_TRY(clattn_fill(CLATTN_FILL_XAVIER, of_head + 1, o->value_dim, o->hidden, w2));
    }
    return CLATTN_OK;
}

clattn_status attn_memory_begin(clattn_neural_memory *memory, const clattn_neural_memory_io *io,
                                attn_memory_call *call) {
    const clattn_neural_memory_options *o = &memory->options;
    clattn_report_clear(io->report);
    int64_t length = io->length == CLATTN_SAME ? o->length : io->length;
    if (length < 0 || length > o->length) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_TENSORS, "length: %" PRId64 " is not within 0 and %" PRId64,
                            io->length, o->length);
    }
    *call =
        (attn_memory_call){ .memory = memory, .io = io, .length = length, .chunks = attn_divide_up(length, o->chunk) };
    return CLATTN_OK;
}

void clattn_neural_memory_options_init(clattn_neural_memory_options *options, size_t size) {
    static const clattn_neural_memory_options start = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}

void clattn_neural_memory_io_init(clattn_neural_memory_io *io, size_t size) {
    static const clattn_neural_memory_io start = CLATTN_NEURAL_MEMORY_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}

void clattn_neural_memory_gradients_init(clattn_neural_memory_gradients *gradients, size_t size) {
    static const clattn_neural_memory_gradients start = CLATTN_NEURAL_MEMORY_GRADIENTS_INIT;
    attn_init_structure(gradients, size, &start, sizeof start);
}
