/*
 * Tensors of training for OpenCL engines: gradients, what backward is given, and the numbers of dropout.
 */
#include "engines/opencl/opencl_arguments.h"
#include "problem/dropout.h"
#include "problem/training.h"

/** An output of backward; gradients are added to what is there when the problem says so. */
static attn_placement gradient(const clattn_problem *problem, uint32_t bit, const char *name, const attn_view *view,
                               clattn_type type, const int64_t size[4]) {
    bool asked = attn_wants_gradient(problem, bit);
    attn_placement p = asked ? attn_placement_of(name, view, type, size) : (attn_placement){ .name = NULL };
    p.output = true;
    p.kept = problem->gradients_add;
    return p;
}

/** A dense list of one number a head or batch entry. */
static attn_view list_of(const void *data, int64_t offset) {
    return (attn_view){ .data = (void *)(uintptr_t)data, .offset = offset, .stride = { 0, 0, 0, 1 } };
}

static void place_gradients(const clattn_problem *problem, const attn_call *call, attn_placement *list) {
    const clattn_type type = attn_gradient_type(problem);
    const int64_t b = problem->batch, h = problem->query_heads, g = problem->kv_heads;
    const int64_t sq = call->query_length, sk = call->key_length, d = problem->head_dim, dv = problem->value_dim;
    list[ATTN_TENSOR_GRAD_QUERY] =
        gradient(problem, CLATTN_GRADIENT_QUERY, "grad_query", &call->grad_query, type, (int64_t[]){ b, h, sq, d });
    list[ATTN_TENSOR_GRAD_KEY] =
        gradient(problem, CLATTN_GRADIENT_KEY, "grad_key", &call->grad_key, type, (int64_t[]){ b, g, sk, d });
    list[ATTN_TENSOR_GRAD_VALUE] =
        gradient(problem, CLATTN_GRADIENT_VALUE, "grad_value", &call->grad_value, type, (int64_t[]){ b, g, sk, dv });
    int64_t bias[4] = { b, h, sq, sk }; /* of a bias that is 1 where there are no rows or keys there is a gradient, 0 */
    for (int k = 0; k < 4; k++) {
        bias[k] = problem->bias_shape[k] == 1 ? 1 : bias[k];
    }
    list[ATTN_TENSOR_GRAD_BIAS] = gradient(problem, CLATTN_GRADIENT_BIAS, "grad_bias", &call->grad_bias,
                                           attn_grad_bias_type(problem), bias);
    attn_view slopes = list_of(call->grad_alibi_slopes.data, call->grad_alibi_slopes.offset),
              sinks = list_of(call->grad_sinks.data, call->grad_sinks.offset);
    list[ATTN_TENSOR_GRAD_SLOPES] = gradient(problem, CLATTN_GRADIENT_ALIBI_SLOPES, "grad_alibi_slopes", &slopes,
                                             CLATTN_FP32, (int64_t[]){ 1, 1, 1, h });
    list[ATTN_TENSOR_GRAD_SINKS] =
        gradient(problem, CLATTN_GRADIENT_SINKS, "grad_sinks", &sinks, CLATTN_FP32, (int64_t[]){ 1, 1, 1, h });
}

/** What backward is given beside what the forward was. */
static void place_given(const clattn_problem *problem, const attn_call *call, attn_placement *list) {
    const int64_t b = problem->batch, h = problem->query_heads, sq = call->query_length;
    list[ATTN_TENSOR_GRAD_OUTPUT] = attn_placement_of("grad_output", &call->grad_output, attn_output_type(problem),
                                                      (int64_t[]){ b, h, sq, problem->value_dim });
    if (problem->grad_logsumexp) {
        list[ATTN_TENSOR_GRAD_LOGSUMEXP] =
            attn_placement_of("grad_logsumexp", &call->grad_logsumexp, CLATTN_FP32, (int64_t[]){ b, h, sq, 1 });
    }
    if (problem->delta) {
        list[ATTN_TENSOR_DELTA] = attn_placement_of("delta", &call->delta, CLATTN_FP32, (int64_t[]){ b, h, sq, 1 });
        list[ATTN_TENSOR_OUTPUT] = (attn_placement){ .name = NULL };
    }
}

static attn_placement integers(const char *name, const clattn_integers *list, int64_t count) {
    attn_view view = list_of(list->data, list->offset);
    attn_placement p = attn_placement_of(name, &view, CLATTN_FP32, (int64_t[]){ 1, 1, 1, count });
    p.element = list->type == CLATTN_INT64 ? 8 : 4;
    return p;
}

static void place_dropout(const clattn_problem *problem, const attn_call *call, attn_placement *list) {
    if (call->first_rows.data) {
        list[ATTN_TENSOR_FIRST_ROWS] = integers("first_rows", &call->first_rows, problem->batch);
    }
    if (call->first_keys.data) {
        list[ATTN_TENSOR_FIRST_KEYS] = integers("first_keys", &call->first_keys, problem->batch);
    }
    if (problem->dropout_mask) {
        const int64_t size[4] = { problem->batch, problem->query_heads, call->query_length, problem->key_length };
        attn_placement p = attn_placement_of("dropout_mask", &call->dropout_mask, CLATTN_FP32, size);
        p.element = 1;
        p.output = true;
        list[ATTN_TENSOR_DROPOUT_MASK] = p;
    }
}

void attn_opencl_place_training(const clattn_problem *problem, const attn_call *call,
                                attn_placement list[ATTN_TENSOR_COUNT]) {
    if (problem->direction == CLATTN_BACKWARD) {
        place_gradients(problem, call, list);
        place_given(problem, call, list);
    }
    place_dropout(problem, call, list);
}

const char *attn_training_defines(const clattn_problem *problem) {
    static const char *const defines[] = {
        "",
        " -DATTN_DROPOUT=1",
        " -DATTN_PREFIX=1",
        " -DATTN_DROPOUT=1 -DATTN_PREFIX=1",
        " -DATTN_OUTPUT_TYPE=0",
        " -DATTN_DROPOUT=1 -DATTN_OUTPUT_TYPE=0",
        " -DATTN_PREFIX=1 -DATTN_OUTPUT_TYPE=0",
        " -DATTN_DROPOUT=1 -DATTN_PREFIX=1 -DATTN_OUTPUT_TYPE=0",
    };
    return defines[(problem->dropout > 0 ? 1 : 0) + (problem->prefix > 0 ? 2 : 0) +
                   (attn_output_type(problem) != problem->type ? 4 : 0)];
}

void attn_opencl_training(const clattn_problem *problem, const attn_call *call,
                          const attn_placement list[ATTN_TENSOR_COUNT], attn_training *t) {
    *t = (attn_training){
        .prefix = problem->prefix,
        .first_entry = call->first_entry,
        .first_head = call->first_head,
        .first_row = call->first_row,
        .first_key = call->first_key,
        .first_rows_at = list[ATTN_TENSOR_FIRST_ROWS].layout.offset,
        .first_keys_at = list[ATTN_TENSOR_FIRST_KEYS].layout.offset,
        .dropout_mask = list[ATTN_TENSOR_DROPOUT_MASK].layout,
        .seed_low = (attn_int32)(uint32_t)call->dropout_seed,
        .seed_high = (attn_int32)(uint32_t)(call->dropout_seed >> 32),
        .threshold = (attn_int32)attn_dropout_threshold(problem),
        .keep = (float)(1 / (1 - problem->dropout)),
    };
    t->features |= problem->dropout > 0 ? ATTN_HAS_DROPOUT : 0;
    t->features |= problem->dropout_mask ? ATTN_HAS_DROPOUT_MASK : 0;
    t->features |= problem->causal ? ATTN_HAS_CAUSAL : 0;
    t->features |= call->first_rows.data ? ATTN_HAS_FIRST_ROWS : 0;
    t->features |= call->first_keys.data ? ATTN_HAS_FIRST_KEYS : 0;
    t->features |= call->first_rows.type == CLATTN_INT64 ? ATTN_HAS_WIDE_FIRST_ROWS : 0;
    t->features |= call->first_keys.type == CLATTN_INT64 ? ATTN_HAS_WIDE_FIRST_KEYS : 0;
}
