/*
 * The list of a call's tensors with the memory that each one spans, and a resolved problem and call as the struct that
 * kernels take. Knows nothing of OpenCL calls. To add a tensor: an id, a line in attn_opencl_placements(), and its place in
 * attn_opencl_arguments().
 */
#include "engines/opencl/opencl_arguments.h"

#include "base/memory.h"
#include "problem/problem.h"
#include "problem/training.h"

static attn_int64 far_or(int64_t value) {
    return value == CLATTN_OPEN || value > ATTN_FAR ? ATTN_FAR : value;
}

static void set_band(const clattn_problem *problem, attn_arguments *a) {
    a->band_left = far_or(problem->window_left);
    a->band_right = far_or(problem->window_right);
    if (problem->causal) {
        a->band_right = attn_min(a->band_right, 0);
    }
    if (problem->causal || attn_problem_has_window(problem)) {
        a->features |= ATTN_HAS_BAND;
    }
}

static void set_offset(const clattn_problem *problem, const attn_call *call, attn_arguments *a) {
    a->offset_kind = ATTN_OFFSET_NUMBER;
    switch (problem->alignment) {
        case CLATTN_ALIGN_BOTTOM_RIGHT: a->offset_kind = ATTN_OFFSET_BOTTOM_RIGHT; break;
        case CLATTN_ALIGN_PAST: a->offset = call->past_length; break;
        case CLATTN_ALIGN_OFFSET: a->offset = problem->offset; break; /* within ATTN_MOST_OFFSET: problem.c checks */
        case CLATTN_ALIGN_OFFSETS:
            a->offset_kind = ATTN_OFFSET_ARRAY;
            a->features |= call->offsets.type == CLATTN_INT64 ? ATTN_HAS_WIDE_OFFSETS : 0;
            break;
        default: break;
    }
}

static void set_features(const clattn_problem *problem, const attn_call *call, attn_arguments *a) {
    attn_int32 features = 0;
    features |= problem->mask == CLATTN_MASK_BYTES ? ATTN_HAS_MASK_BYTES : 0;
    features |= problem->mask == CLATTN_MASK_BITS ? ATTN_HAS_MASK_BITS : 0;
    if (problem->bias != CLATTN_BIAS_NONE) {
        features |= attn_bias_type(problem) == CLATTN_FP32 ? ATTN_HAS_BIAS_FP32 : ATTN_HAS_BIAS_STORAGE;
    }
    features |= problem->alibi ? ATTN_HAS_ALIBI : 0;
    features |= problem->sinks ? ATTN_HAS_SINKS : 0;
    features |= problem->softcap > 0.0 ? ATTN_HAS_SOFTCAP : 0;
    features |= problem->logsumexp ? ATTN_HAS_LOGSUMEXP : 0;
    if (problem->query_lengths) {
        features |= ATTN_HAS_QUERY_LENGTHS;
        features |= call->query_lengths.type == CLATTN_INT64 ? ATTN_HAS_WIDE_QUERY_LENGTHS : 0;
    }
    if (problem->key_lengths) {
        features |= ATTN_HAS_KEY_LENGTHS;
        features |= call->key_lengths.type == CLATTN_INT64 ? ATTN_HAS_WIDE_KEY_LENGTHS : 0;
    }
    a->features = features;
}

static attn_layout layout_of(const attn_view *view) {
    return (attn_layout){ view->offset, { view->stride[0], view->stride[1], view->stride[2], view->stride[3] } };
}

/* Fills the span; a tensor without elements is none. */
attn_placement attn_placement_finish(attn_placement p) {
    p.first = p.end = p.layout.offset;
    for (int k = 0; k < 4; ++k) {
        if (p.size[k] <= 0) {
            p.name = NULL;
            return p;
        }
        p.end += (p.size[k] - 1) * p.walk[k];
    }
    p.end += 1;
    return p;
}

attn_placement attn_placement_of(const char *name, const attn_view *view, clattn_type type, const int64_t size[4]) {
    return attn_placement_finish(
        (attn_placement){ .name = name,
                          .data = view->data,
                          .element = clattn_type_size(type),
                          .size = { size[0], size[1], size[2], size[3] },
                          .walk = { view->stride[0], view->stride[1], view->stride[2], view->stride[3] },
                          .layout = layout_of(view) });
}

static attn_placement array(const char *name, const void *data, int64_t element, int64_t count, int64_t offset) {
    return attn_placement_finish((attn_placement){ .name = name,
                                                   .data = (void *)(uintptr_t)data,
                                                   .element = element,
                                                   .size = { 1, 1, 1, count },
                                                   .walk = { 0, 0, 0, 1 },
                                                   .layout = { .offset = offset } });
}

static attn_placement integers(const char *name, const clattn_integers *list, int64_t count) {
    return array(name, list->data, list->type == CLATTN_INT64 ? 8 : 4, count, list->offset);
}

static attn_placement mask(const clattn_problem *problem, const attn_call *call) {
    int64_t last = call->key_length;
    if (problem->mask == CLATTN_MASK_BITS) {
        last = call->mask.stride[3] != 0 ? (last + 7) / 8 : attn_min(last, 1);
    }
    int64_t size[4] = { problem->batch, problem->query_heads, call->query_length, last };
    attn_placement p = attn_placement_of("mask", &call->mask, CLATTN_FP32, size);
    p.element = 1;
    return p;
}

/* Whole rows: 0 beyond the call's keys. */
static attn_placement weights(const clattn_problem *problem, const attn_call *call) {
    int64_t rows = attn_min(problem->weights_rows, attn_max(call->query_length - problem->weights_first_row, 0));
    int64_t size[4] = { problem->batch, problem->weights_heads, rows, problem->key_length };
    return attn_placement_of("weights", &call->weights, attn_weights_type(problem), size);
}

/* The lists of numbers, one a head or one a batch entry. */
static void place_arrays(const clattn_problem *problem, const attn_call *call, attn_placement list[ATTN_TENSOR_COUNT]) {
    const int64_t b = problem->batch, h = problem->query_heads;
    if (problem->alibi) {
        list[ATTN_TENSOR_SLOPES] = array("alibi_slopes", call->alibi_slopes.data, 4, h, call->alibi_slopes.offset);
    }
    if (problem->sinks) {
        list[ATTN_TENSOR_SINKS] = array("sinks", call->sinks.data, 4, h, call->sinks.offset);
    }
    if (problem->query_lengths) {
        list[ATTN_TENSOR_QUERY_LENGTHS] = integers("query_lengths", &call->query_lengths, b);
    }
    if (problem->key_lengths) {
        list[ATTN_TENSOR_KEY_LENGTHS] = integers("key_lengths", &call->key_lengths, b);
    }
    if (problem->alignment == CLATTN_ALIGN_OFFSETS) {
        list[ATTN_TENSOR_OFFSETS] = integers("offsets", &call->offsets, b);
    }
}

void attn_opencl_placements(const clattn_problem *problem, const attn_call *call, cl_mem nothing,
                            attn_placement list[ATTN_TENSOR_COUNT]) {
    const clattn_type type = problem->type;
    const int64_t b = problem->batch, h = problem->query_heads, g = problem->kv_heads;
    const int64_t sq = call->query_length, sk = call->key_length, d = problem->head_dim, dv = problem->value_dim;
    for (int k = 0; k < ATTN_TENSOR_COUNT; ++k) {
        list[k] = (attn_placement){ .name = NULL };
    }
    list[ATTN_TENSOR_QUERY] = attn_placement_of("query", &call->query, type, (int64_t[]){ b, h, sq, d });
    list[ATTN_TENSOR_KEY] = attn_placement_of("key", &call->key, type, (int64_t[]){ b, g, sk, d });
    list[ATTN_TENSOR_VALUE] = attn_placement_of("value", &call->value, type, (int64_t[]){ b, g, sk, dv });
    list[ATTN_TENSOR_OUTPUT] =
        attn_placement_of("output", &call->output, attn_output_type(problem), (int64_t[]){ b, h, sq, dv });
    if (problem->mask != CLATTN_MASK_NONE) {
        list[ATTN_TENSOR_MASK] = mask(problem, call);
    }
    if (problem->bias != CLATTN_BIAS_NONE) {
        list[ATTN_TENSOR_BIAS] =
            attn_placement_of("bias", &call->bias, attn_bias_type(problem), (int64_t[]){ b, h, sq, sk });
    }
    place_arrays(problem, call, list);
    if (problem->logsumexp) {
        list[ATTN_TENSOR_LOGSUMEXP] =
            attn_placement_of("logsumexp", &call->logsumexp, CLATTN_FP32, (int64_t[]){ b, h, sq, 1 });
    }
    if (problem->weights != CLATTN_WEIGHTS_NONE) {
        list[ATTN_TENSOR_WEIGHTS] = weights(problem, call);
    }
    bool forward = problem->direction == CLATTN_FORWARD;
    list[ATTN_TENSOR_OUTPUT].output = list[ATTN_TENSOR_LOGSUMEXP].output = list[ATTN_TENSOR_WEIGHTS].output = forward;
    attn_opencl_place_training(problem, call, list);
    for (int k = 0; k < ATTN_TENSOR_COUNT; ++k) {
        list[k].memory = nothing;
    }
}

void attn_opencl_arguments(const clattn_problem *problem, const attn_call *call,
                           const attn_placement list[ATTN_TENSOR_COUNT], attn_arguments *a) {
    *a = (attn_arguments){
        .batch = problem->batch,
        .query_heads = problem->query_heads,
        .kv_heads = problem->kv_heads,
        .group = problem->kv_heads > 0 ? problem->query_heads / problem->kv_heads : 1,
        .query_length = call->query_length,
        .key_length = call->key_length,
        .head_dim = problem->head_dim,
        .value_dim = problem->value_dim,
        .query = list[ATTN_TENSOR_QUERY].layout,
        .key = list[ATTN_TENSOR_KEY].layout,
        .value = list[ATTN_TENSOR_VALUE].layout,
        .output = list[ATTN_TENSOR_OUTPUT].layout,
        .mask = list[ATTN_TENSOR_MASK].layout,
        .bias = list[ATTN_TENSOR_BIAS].layout,
        .logsumexp = list[ATTN_TENSOR_LOGSUMEXP].layout,
        .weights = list[ATTN_TENSOR_WEIGHTS].layout,
        .slopes_at = list[ATTN_TENSOR_SLOPES].layout.offset,
        .sinks_at = list[ATTN_TENSOR_SINKS].layout.offset,
        .query_lengths_at = list[ATTN_TENSOR_QUERY_LENGTHS].layout.offset,
        .key_lengths_at = list[ATTN_TENSOR_KEY_LENGTHS].layout.offset,
        .offsets_at = list[ATTN_TENSOR_OFFSETS].layout.offset,
        .weights_first_head = problem->weights_first_head,
        .weights_heads = problem->weights_heads,
        .weights_first_row = problem->weights_first_row,
        .weights_rows = problem->weights_rows,
        .scale = (float)problem->scale,
        .softcap = (float)problem->softcap,
        .weights_stage = (attn_int32)problem->weights,
    };
    set_features(problem, call, a);
    set_band(problem, a);
    set_offset(problem, call, a);
}
