/*
 * Layers with a memory: making them ready, and their states. memory_layer_forward.c computes. A composition of a neural
 * memory, an attention layer and linear plans; knows no engine.
 */
#include "layers/memory_layer.h"

#include <inttypes.h>
#include <math.h>

void clattn_memory_layer_destroy(clattn_memory_layer *layer) {
    if (!layer) {
        return;
    }
    float *const arrays[] = { layer->query, layer->key,      layer->value,    layer->gate_rows,
                              layer->alpha, layer->sequence, layer->attended, layer->remembered };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        clattn_release(layer->runtime, arrays[k]);
    }
    clattn_release(layer->runtime, layer->mask);
    clattn_linear_plan_destroy(layer->square);
    clattn_linear_plan_destroy(layer->gates);
    clattn_attention_layer_destroy(layer->attention);
    clattn_neural_memory_destroy(layer->memory);
    clattn_release(layer->runtime, layer);
}

static clattn_status check_options(const clattn_memory_layer_options *o, clattn_report *report) {
    bool attends = o->form != CLATTN_MEMORY_ALONE;
    if ((int)o->form < CLATTN_MEMORY_ALONE || o->form > CLATTN_MEMORY_AS_LAYER) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "form: %d is no form of a layer", (int)o->form);
    }
    if (o->batch < 0 || o->length < 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "batch, length: %" PRId64 ", %" PRId64 "; at least 0",
                            o->batch, o->length);
    }
    if (o->dim < 1 || o->dim > INT32_MAX || o->heads < 1 || o->dim % o->heads != 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "dim, heads: %" PRId64 ", %" PRId64 "; heads divide the dim, which is 1 to 2^31 - 1",
                            o->dim, o->heads);
    }
    if (o->memory_heads < 1 || o->dim % o->memory_heads != 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "memory_heads: %" PRId64 "; they divide the dim %" PRId64,
                            o->memory_heads, o->dim);
    }
    if (attends && (o->window < 1 || o->window > INT64_MAX / 8)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "window: %" PRId64 "; 1 to 2^60 - 1", o->window);
    }
    if (o->persistent < 0 || (!attends && o->persistent > 0)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "persistent: %" PRId64 "; at least 0, and 0 when alone",
                            o->persistent);
    }
    if (!isfinite(o->most_theta) || o->most_theta < 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "most_theta: must be finite and >= 0");
    }
    return CLATTN_OK;
}

static clattn_status make_attention(clattn_memory_layer *l, int64_t keys, clattn_report *report) {
    const clattn_memory_layer_options *o = &l->options;
    bool context = o->form == CLATTN_MEMORY_AS_CONTEXT;
    clattn_attention_layer_options options = clattn_cross_attention(l->rows, keys, o->dim, o->dim, o->dim / o->heads);
    clattn_problem *p = &options.attention;
    p->query_heads = o->heads;
    p->value_dim = CLATTN_SAME;
    options.output_dim = o->dim;
    options.plan = o->plan;
    if (context) {
        p->mask = CLATTN_MASK_BYTES;
        p->mask_shape[0] = p->mask_shape[1] = 1;
    } else {
        p->causal = true;
        p->alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
        p->window_left = o->window - 1;
        p->prefix = o->persistent;
    }
    return clattn_attention_layer_create(l->runtime, &options, &l->attention, report);
}

static clattn_status make_memory(clattn_memory_layer *l, const clattn_plan_options *beside, clattn_report *report) {
    const clattn_memory_layer_options *o = &l->options;
    clattn_neural_memory_options options = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    options.heads = o->memory_heads;
    options.length = l->rows;
    options.chunk = o->chunk;
    options.key_dim = o->dim / o->memory_heads;
    options.depth = o->depth;
    options.bend = o->bend;
    options.hidden = o->hidden;
    options.plan = *beside;
    ATTN_TRY(clattn_neural_memory_create(l->runtime, &options, &l->memory, report));
    l->memories = o->memory_heads * clattn_neural_memory_get_state_size(l->memory);
    return CLATTN_OK;
}

/* What a row of a segment sees: P, and of the memory's readings and the segment those up to its own. */
static clattn_status make_mask(clattn_memory_layer *l, int64_t keys) {
    int64_t persistent = l->options.persistent, size;
    l->mask = attn_multiply(l->rows, keys, &size) ? clattn_allocate(l->runtime, attn_max(size, 1)) : NULL;
    for (int64_t i = 0; i < l->rows && l->mask; i++) {
        for (int64_t j = 0; j < keys; j++) {
            l->mask[i * keys + j] = j < persistent || (j - persistent) % l->rows <= i;
        }
    }
    return l->mask ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

static clattn_status make_arrays(clattn_memory_layer *l, int64_t keys) {
    int64_t dim = l->options.dim, heads = l->options.memory_heads;
    const struct {
        float **place;
        int64_t rows, columns;
    } all[] = { { &l->query, l->rows, dim },           { &l->key, l->rows, dim },         { &l->value, l->rows, dim },
                { &l->gate_rows, l->rows, 3 * heads }, { &l->alpha, l->rows, 3 * heads }, { &l->sequence, keys, dim },
                { &l->attended, l->rows, dim },        { &l->remembered, l->rows, dim } };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        int64_t count;
        *all[k].place =
            attn_multiply(all[k].rows, all[k].columns, &count) ? attn_layer_floats(l->runtime, count) : NULL;
        if (!*all[k].place) {
            return CLATTN_OUT_OF_MEMORY;
        }
    }
    return CLATTN_OK;
}

static clattn_status make_ready(clattn_memory_layer *l, clattn_report *report) {
    const clattn_memory_layer_options *o = &l->options;
    clattn_plan_options beside = o->plan;
    int64_t keys = 0, total;
    ATTN_TRY(check_options(o, report));
    bool context = o->form == CLATTN_MEMORY_AS_CONTEXT, attends = o->form != CLATTN_MEMORY_ALONE;
    bool windowed = attends && !context;
    l->rows = context ? attn_min(o->window, o->length) : o->length;
    l->recent = windowed ? o->window - 1 : 0;
    bool fits =
        !attends || (attn_add(context ? l->rows : l->recent, l->rows, &keys) && attn_add(keys, o->persistent, &keys));
    fits = fits && attn_multiply(attn_max(keys, o->length), o->dim, &total) && total <= INT64_MAX / 8;
    fits = fits && attn_multiply(attn_max(o->batch, 1), total, &total) && total <= INT64_MAX / 8;
    if (!fits) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW,
                            "batch, length, window, persistent: an array of more than 2^63 - 1 bytes");
    }
    if (attends) {
        ATTN_TRY(make_attention(l, keys, report));
        clattn_plan_info info;
        ATTN_TRY(clattn_attention_layer_get_info(l->attention, &info));
        beside = attn_layer_beside(info.engine, info.device);
    }
    ATTN_TRY(make_memory(l, &beside, report));
    if (!attn_multiply(attn_max(o->batch, 1), l->memories + l->recent * o->dim, &total) || total > INT64_MAX / 8) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "batch, hidden: states of more than 2^63 - 1 bytes");
    }
    ATTN_TRY(attn_layer_linear(l->runtime, l->rows, o->dim, o->dim, &beside, &l->square, report));
    ATTN_TRY(attn_layer_linear(l->runtime, l->rows, o->dim, 3 * o->memory_heads, &beside, &l->gates, report));
    ATTN_TRY(context ? make_mask(l, keys) : CLATTN_OK);
    return make_arrays(l, keys);
}

clattn_status clattn_memory_layer_create(clattn_runtime *runtime, const clattn_memory_layer_options *options,
                                         clattn_memory_layer **layer, clattn_report *report) {
    clattn_report_clear(report);
    if (layer) {
        *layer = NULL;
    }
    if (!runtime || !options || !layer || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, options, layer: NULL, or options.struct_size is not "
                            "clattn_memory_layer_options'");
    }
    clattn_memory_layer *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_memory_layer){ .runtime = runtime, .options = *options };
    clattn_status status = make_ready(made, report);
    if (status != CLATTN_OK) {
        clattn_memory_layer_destroy(made);
        return status;
    }
    made->options.plan = (clattn_plan_options)CLATTN_PLAN_OPTIONS_INIT; /* nothing of the caller's is kept */
    *layer = made;
    return CLATTN_OK;
}

int64_t clattn_memory_layer_get_state_size(const clattn_memory_layer *layer) {
    return layer ? layer->memories + layer->recent * layer->options.dim : 0;
}

clattn_status clattn_memory_layer_start(const clattn_memory_layer *layer, uint64_t seed, float *state) {
    if (!layer || !state) {
        return CLATTN_INVALID_ARGUMENT;
    }
    int64_t size = clattn_memory_layer_get_state_size(layer), recent = layer->recent * layer->options.dim;
    for (int64_t b = 0; b < layer->options.batch; b++) {
        float *own = state + b * size;
        ATTN_TRY(clattn_neural_memory_start(layer->memory, seed, own));
        memset(own + layer->memories, 0, (size_t)recent * sizeof *own);
    }
    return CLATTN_OK;
}

void clattn_memory_layer_options_init(clattn_memory_layer_options *options, size_t size) {
    static const clattn_memory_layer_options start = CLATTN_MEMORY_LAYER_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}

void clattn_memory_layer_io_init(clattn_memory_layer_io *io, size_t size) {
    static const clattn_memory_layer_io start = CLATTN_MEMORY_LAYER_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}
