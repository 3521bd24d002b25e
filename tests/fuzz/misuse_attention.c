/*
 * The misuse fuzzer on attention: a problem (misuse_problem.c), a plan, and calls with tensors that
 * are right or have one fault. What the library cannot know (how much memory there is) is never lied about.
 */
#include <string.h>

#include "misuse.h"

/* ------------------------------------------------------------------------------------------------ tensors */

/* The call's memory as this file sees it. */
enum {
    QUERY, KEY, VALUE, OUTPUT, MASK, BIAS, SLOPES, SINKS, LOGSUMEXP, WEIGHTS, QUERY_LENGTHS, KEY_LENGTHS, OFFSETS, DROPOUT_MASK,
    GRAD_OUTPUT, GRAD_QUERY, GRAD_KEY, GRAD_VALUE, GRAD_BIAS, GRAD_SLOPES, GRAD_SINKS, GRAD_LOGSUMEXP, DELTA, FIRST_ROWS, FIRST_KEYS,
    WALKS
};
enum { MOST_OUTPUTS = 6 };

static walk tensor_walk(clattn_type type, const clattn_tensor *t, const int64_t shape[4], int64_t used) {
    int64_t h = shape[1], n = shape[2], d = shape[3];
    walk w = { t->data, t->offset, { shape[0], h, used, d }, { t->batch_stride, t->head_stride, t->length_stride, 1 },
               clattn_type_size(type) };
    const int64_t bhsd[3] = { h * n * d, n * d, d }, bshd[3] = { n * h * d, d, h * d };
    for (int k = 0; k < 3 && t->layout != CLATTN_STRIDED; k++) {
        w.stride[k] = t->layout == CLATTN_BHSD ? bhsd[k] : bshd[k];
    }
    return w;
}

static walk broadcast_walk(const clattn_broadcast *t, const int64_t shape[4], bool bits, int64_t size) {
    int64_t row = bits ? (shape[3] + 7) / 8 : shape[3];
    const int64_t dense[4] = { shape[1] * shape[2] * row, shape[2] * row, row, 1 };
    walk w = { t->data, t->offset, { shape[0], shape[1], shape[2], row }, { 0, 0, 0, 0 }, size };
    for (int k = 0; k < 4; k++) {
        w.stride[k] = shape[k] == 1 ? 0 : t->strided && !(bits && k == 3) ? t->strides[k] : dense[k];
    }
    return w;
}

static walk array_walk(const void *data, int64_t offset, const int64_t shape[4], int64_t size) {
    return (walk){ data, offset, { shape[0], shape[1], shape[2], shape[3] },
                   { shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1 }, size };
}

static walk integers_walk(const clattn_problem *p, const clattn_integers *list) {
    return array_walk(list->data, list->offset, (int64_t[4]){ 1, 1, 1, p->batch }, list->type == CLATTN_INT32 ? 4 : 8);
}

static clattn_type output_type(const clattn_problem *p) {
    return p->output_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
}

static clattn_type gradient_type(const clattn_problem *p) {
    return p->gradient_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
}

static clattn_type grad_bias_type(const clattn_problem *p) {
    return p->bias == CLATTN_BIAS_FP32 ? CLATTN_FP32 : gradient_type(p);
}

static bool asks(const clattn_problem *p, uint32_t bit) {
    return p->direction == CLATTN_BACKWARD && (p->gradients & bit);
}

static void find_training_walks(const clattn_problem *p, const clattn_tensors *t, int64_t rows, int64_t keys, walk w[WALKS]) {
    const int64_t heads[4] = { 1, 1, 1, p->query_heads }, sums[4] = { p->batch, p->query_heads, p->query_length, 1 };
    const int64_t square[4] = { p->batch, p->query_heads, p->query_length, p->key_length };
    const int64_t query[4] = { p->batch, p->query_heads, p->query_length, p->head_dim };
    const int64_t key[4] = { p->batch, p->kv_heads, p->key_length, p->head_dim };
    const int64_t value[4] = { p->batch, p->kv_heads, p->key_length, p->value_dim };
    const int64_t output[4] = { p->batch, p->query_heads, p->query_length, p->value_dim };
    int64_t wide_size = p->type == CLATTN_FP64 ? 8 : 4;
    bool backward = p->direction == CLATTN_BACKWARD, dropout = p->dropout > 0;
    if (p->dropout_mask) {
        w[DROPOUT_MASK] = array_walk(t->dropout_mask.data, t->dropout_mask.offset, square, 1);
    }
    if (backward) {
        w[GRAD_OUTPUT] = tensor_walk(output_type(p), &t->grad_output, output, rows);
    }
    if (asks(p, CLATTN_GRADIENT_QUERY)) {
        w[GRAD_QUERY] = tensor_walk(gradient_type(p), &t->grad_query, query, rows);
    }
    if (asks(p, CLATTN_GRADIENT_KEY)) {
        w[GRAD_KEY] = tensor_walk(gradient_type(p), &t->grad_key, key, keys);
    }
    if (asks(p, CLATTN_GRADIENT_VALUE)) {
        w[GRAD_VALUE] = tensor_walk(gradient_type(p), &t->grad_value, value, keys);
    }
    if (asks(p, CLATTN_GRADIENT_BIAS)) {
        w[GRAD_BIAS] = broadcast_walk(&t->grad_bias, p->bias_shape, false, clattn_type_size(grad_bias_type(p)));
    }
    if (asks(p, CLATTN_GRADIENT_ALIBI_SLOPES)) {
        w[GRAD_SLOPES] = array_walk(t->grad_alibi_slopes.data, t->grad_alibi_slopes.offset, heads, wide_size);
    }
    if (asks(p, CLATTN_GRADIENT_SINKS)) {
        w[GRAD_SINKS] = array_walk(t->grad_sinks.data, t->grad_sinks.offset, heads, wide_size);
    }
    if (p->grad_logsumexp) {
        w[GRAD_LOGSUMEXP] = array_walk(t->grad_logsumexp.data, t->grad_logsumexp.offset, sums, wide_size);
    }
    if (p->delta) {
        w[DELTA] = array_walk(t->delta.data, t->delta.offset, sums, wide_size);
    }
    if (p->delta) { /* not looked at */
        memset(&w[OUTPUT], 0, sizeof w[OUTPUT]);
    }
    if (dropout && t->first_rows.data) {
        w[FIRST_ROWS] = integers_walk(p, &t->first_rows);
    }
    if (dropout && t->first_keys.data) {
        w[FIRST_KEYS] = integers_walk(p, &t->first_keys);
    }
}

static void find_walks(const clattn_problem *p, const clattn_tensors *t, int64_t rows, int64_t keys, walk w[WALKS]) {
    const int64_t heads[4] = { 1, 1, 1, p->query_heads }, sums[4] = { p->batch, p->query_heads, p->query_length, 1 };
    const int64_t chosen[4] = { p->batch, p->weights_heads, p->weights_rows, p->key_length };
    int64_t wide_size = p->type == CLATTN_FP64 ? 8 : 4, size = clattn_type_size(p->type);
    memset(w, 0, WALKS * sizeof *w);
    w[QUERY] = tensor_walk(p->type, &t->query, (int64_t[4]){ p->batch, p->query_heads, p->query_length, p->head_dim }, rows);
    w[KEY] = tensor_walk(p->type, &t->key, (int64_t[4]){ p->batch, p->kv_heads, p->key_length, p->head_dim }, keys);
    w[VALUE] = tensor_walk(p->type, &t->value, (int64_t[4]){ p->batch, p->kv_heads, p->key_length, p->value_dim }, keys);
    w[OUTPUT] = tensor_walk(output_type(p), &t->output, (int64_t[4]){ p->batch, p->query_heads, p->query_length, p->value_dim }, rows);
    if (p->mask != CLATTN_MASK_NONE) {
        w[MASK] = broadcast_walk(&t->mask, p->mask_shape, p->mask == CLATTN_MASK_BITS, 1);
    }
    if (p->bias != CLATTN_BIAS_NONE) {
        w[BIAS] = broadcast_walk(&t->bias, p->bias_shape, false, p->bias == CLATTN_BIAS_FP32 ? 4 : size);
    }
    if (p->alibi) {
        w[SLOPES] = array_walk(t->alibi_slopes.data, t->alibi_slopes.offset, heads, 4);
    }
    if (p->sinks) {
        w[SINKS] = array_walk(t->sinks.data, t->sinks.offset, heads, 4);
    }
    if (p->logsumexp) {
        w[LOGSUMEXP] = array_walk(t->logsumexp.data, t->logsumexp.offset, sums, wide_size);
    }
    if (p->weights != CLATTN_WEIGHTS_NONE) {
        w[WEIGHTS] = array_walk(t->weights.data, t->weights.offset, chosen,
                                p->weights == CLATTN_WEIGHTS_SOFTMAX ? size : wide_size);
    }
    if (p->query_lengths) {
        w[QUERY_LENGTHS] = integers_walk(p, &t->query_lengths);
    }
    if (p->key_lengths) {
        w[KEY_LENGTHS] = integers_walk(p, &t->key_lengths);
    }
    if (p->alignment == CLATTN_ALIGN_OFFSETS) {
        w[OFFSETS] = integers_walk(p, &t->offsets);
    }
    find_training_walks(p, t, rows, keys, w);
}

/* Strides with gaps now and then, an offset now and then. */
static clattn_tensor draw_tensor(int64_t heads, int64_t length, int64_t dim) {
    clattn_tensor t = CLATTN_TENSOR_INIT;
    t.layout = (clattn_layout)draw_below(3);
    t.offset = draw_one_in(3) ? draw_between(0, 9) : 0;
    t.length_stride = dim + draw_between(0, 3);
    t.head_stride = t.length_stride * length + draw_between(0, 3);
    t.batch_stride = t.head_stride * heads + draw_between(0, 3);
    return t;
}

static clattn_integers draw_integers(const clattn_problem *p, int64_t low, int64_t high) {
    clattn_integers list = { NULL, draw_between(0, 2), (clattn_int_type)draw_below(2) };
    int64_t size = list.type == CLATTN_INT32 ? 4 : 8;
    char *data = memory_bits((list.offset + p->batch) * size, size);
    for (int64_t b = 0; b < p->batch; b++) {
        int64_t x = draw_between(low, high);
        int32_t narrow = (int32_t)x;
        memcpy(data + (list.offset + b) * size, size == 4 ? (const void *)&narrow : &x, (size_t)size);
    }
    list.data = data;
    return list;
}

/* The part that training has; `w` are the walks of tensors that have no memory yet. */
static void draw_training_tensors(const clattn_problem *p, clattn_tensors *t, const walk w[WALKS]) {
    clattn_type wide_type = p->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
    int64_t wide_size = clattn_type_size(wide_type);
    t->dropout_mask.data = memory_output(walk_bytes(&w[DROPOUT_MASK]), 1);
    t->grad_output.data = memory_numbers(walk_bytes(&w[GRAD_OUTPUT]), output_type(p));
    t->grad_query.data = memory_output(walk_bytes(&w[GRAD_QUERY]), clattn_type_size(gradient_type(p)));
    t->grad_key.data = memory_output(walk_bytes(&w[GRAD_KEY]), clattn_type_size(gradient_type(p)));
    t->grad_value.data = memory_output(walk_bytes(&w[GRAD_VALUE]), clattn_type_size(gradient_type(p)));
    t->grad_bias.data = memory_output(walk_bytes(&w[GRAD_BIAS]), clattn_type_size(grad_bias_type(p)));
    t->grad_alibi_slopes.data = memory_output(walk_bytes(&w[GRAD_SLOPES]), wide_size);
    t->grad_sinks.data = memory_output(walk_bytes(&w[GRAD_SINKS]), wide_size);
    t->grad_logsumexp.data = memory_numbers(walk_bytes(&w[GRAD_LOGSUMEXP]), wide_type);
    t->delta.data = memory_numbers(walk_bytes(&w[DELTA]), wide_type);
    t->dropout_seed = (uint64_t)draw_odd();
}

static clattn_tensors draw_tensors(const clattn_problem *p, int64_t rows, int64_t keys) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    walk w[WALKS];
    t.query_length = rows, t.key_length = keys, t.past_length = draw_between(0, keys);
    t.query = draw_tensor(p->query_heads, p->query_length, p->head_dim);
    t.key = draw_tensor(p->kv_heads, p->key_length, p->head_dim);
    t.value = draw_tensor(p->kv_heads, p->key_length, p->value_dim);
    t.output = draw_tensor(p->query_heads, p->query_length, p->value_dim);
    t.grad_output = draw_tensor(p->query_heads, p->query_length, p->value_dim);
    t.grad_query = draw_tensor(p->query_heads, p->query_length, p->head_dim);
    t.grad_key = draw_tensor(p->kv_heads, p->key_length, p->head_dim);
    t.grad_value = draw_tensor(p->kv_heads, p->key_length, p->value_dim);
    t.mask.offset = draw_between(0, 3), t.bias.offset = draw_between(0, 3), t.grad_bias.offset = draw_between(0, 3);
    if (draw_one_in(4)) {
        t.first_rows = draw_integers(p, 0, 99);
    } else {
        t.first_row = draw_between(0, 99);
    }
    t.first_entry = draw_between(0, 3), t.first_key = draw_between(0, 9);
    find_walks(p, &t, rows, keys, w);
    t.query.data = memory_numbers(walk_bytes(&w[QUERY]), p->type);
    t.key.data = memory_numbers(walk_bytes(&w[KEY]), p->type);
    t.value.data = memory_numbers(walk_bytes(&w[VALUE]), p->type);
    bool backward = p->direction == CLATTN_BACKWARD;
    t.output.data = backward ? memory_numbers(walk_bytes(&w[OUTPUT]), output_type(p))
                             : memory_output(walk_bytes(&w[OUTPUT]), clattn_type_size(output_type(p)));
    t.mask.data = memory_bits(walk_bytes(&w[MASK]), 1);
    t.bias.data = memory_numbers(walk_bytes(&w[BIAS]), p->bias == CLATTN_BIAS_FP32 ? CLATTN_FP32 : p->type);
    t.alibi_slopes.data = memory_numbers(walk_bytes(&w[SLOPES]), CLATTN_FP32);
    t.sinks.data = memory_numbers(walk_bytes(&w[SINKS]), CLATTN_FP32);
    clattn_type wide_type = p->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
    t.logsumexp.data = backward ? memory_numbers(walk_bytes(&w[LOGSUMEXP]), wide_type)
                                : memory_output(walk_bytes(&w[LOGSUMEXP]), clattn_type_size(wide_type));
    t.weights.data = memory_output(walk_bytes(&w[WEIGHTS]), p->weights == CLATTN_WEIGHTS_SOFTMAX ? clattn_type_size(p->type) : 8);
    t.query_lengths = draw_integers(p, 0, rows);
    t.key_lengths = draw_integers(p, 0, keys);
    t.offsets = draw_integers(p, -20, 20);
    draw_training_tensors(p, &t, w);
    return t;
}

static void spoil_list(clattn_integers *list, const clattn_tensors *t) {
    switch (draw_below(4)) {
        case 0: list->data = draw_one_in(2) ? NULL : t->output.data; break;
        case 1: list->type = (clattn_int_type)draw_between(-1, 3); break;
        default: list->offset = draw_odd(); break;
    }
}

/* One fault, or what looks like one. */
static void spoil_tensors(clattn_tensors *t) {
    clattn_tensor *const tensors[] = { &t->query,       &t->key,        &t->value,    &t->output,
                                       &t->grad_output, &t->grad_query, &t->grad_key, &t->grad_value };
    clattn_array *const arrays[] = { &t->alibi_slopes,      &t->sinks,      &t->logsumexp,      &t->weights,
                                     &t->grad_alibi_slopes, &t->grad_sinks, &t->grad_logsumexp, &t->delta, &t->dropout_mask };
    clattn_integers *const lists[] = { &t->query_lengths, &t->key_lengths, &t->offsets, &t->first_rows, &t->first_keys };
    int64_t *const lengths[] = { &t->query_length, &t->key_length, &t->past_length, &t->first_row, &t->first_key, &t->first_head };
    clattn_broadcast *const broadcasts[] = { &t->mask, &t->bias, &t->grad_bias };
    clattn_tensor *tensor = tensors[draw_below(8)];
    clattn_broadcast *broadcast = broadcasts[draw_below(3)];
    clattn_array *array = arrays[draw_below(9)];
    switch (draw_below(12)) {
        case 0: tensor->data = draw_one_in(2) ? NULL : tensors[draw_below(8)]->data; break;
        case 1: tensor->offset = draw_odd(); break;
        case 2: tensor->layout = (clattn_layout)draw_between(-1, 4); break;
        case 3: tensor->layout = CLATTN_STRIDED, tensor->batch_stride = draw_odd(); break;
        case 4: tensor->layout = CLATTN_STRIDED, tensor->head_stride = draw_odd(); break;
        case 5: tensor->layout = CLATTN_STRIDED, tensor->length_stride = draw_one_in(2) ? draw_between(0, 4) : draw_odd(); break;
        case 6: broadcast->strided = true, broadcast->strides[draw_below(4)] = draw_odd(); break;
        case 7: broadcast->offset = draw_odd(); break;
        case 8: array->offset = draw_odd(); break;
        case 9: array->data = draw_one_in(2) ? NULL : t->query.data; break;
        case 10: spoil_list(lists[draw_below(5)], t); break;
        default: *lengths[draw_below(6)] = draw_odd(); break;
    }
}

/* ------------------------------------------------------------------------------------------------ calls */

static int64_t call_length(int64_t given, int64_t largest) {
    return given == CLATTN_SAME ? largest : given >= 0 && given <= largest ? given : -1;
}

/* Whether the call may be made: everything it names is there, or the library can see that it is not. */
static bool is_honest(const clattn_problem *p, const clattn_tensors *t, bool *must_refuse, walk outputs[MOST_OUTPUTS]) {
    walk w[WALKS];
    int64_t rows = call_length(t->query_length, p->query_length), keys = call_length(t->key_length, p->key_length);
    *must_refuse = rows < 0 || keys < 0;
    find_walks(p, t, rows < 0 ? 0 : rows, keys < 0 ? 0 : keys, w);
    for (int k = 0; k < WALKS && !*must_refuse; k++) {
        walk_kind kind = walk_judge(&w[k]);
        if (kind == WALK_LIE) {
            return false;
        }
        *must_refuse = kind == WALK_REFUSED && walk_bytes(&w[k]) != 0;
    }
    w[LOGSUMEXP].extent[2] = w[OUTPUT].extent[2]; /* rows of this call alone are written */
    w[WEIGHTS].extent[2] = rows - p->weights_first_row < p->weights_rows ? rows - p->weights_first_row : p->weights_rows;
    w[WEIGHTS].extent[2] = w[WEIGHTS].extent[2] < 0 ? 0 : w[WEIGHTS].extent[2];
    w[DROPOUT_MASK].extent[2] = w[OUTPUT].extent[2];
    w[GRAD_BIAS].extent[2] = p->bias_shape[2] == 1 ? w[GRAD_BIAS].extent[2] : w[GRAD_OUTPUT].extent[2];
    w[GRAD_BIAS].extent[3] = p->bias_shape[3] == 1 ? w[GRAD_BIAS].extent[3] : keys;
    const int forward[MOST_OUTPUTS] = { OUTPUT, LOGSUMEXP, WEIGHTS, DROPOUT_MASK, DROPOUT_MASK, DROPOUT_MASK };
    const int backward[MOST_OUTPUTS] = { GRAD_QUERY, GRAD_KEY, GRAD_VALUE, GRAD_BIAS, GRAD_SLOPES, GRAD_SINKS };
    for (int k = 0; k < MOST_OUTPUTS; k++) {
        outputs[k] = w[p->direction == CLATTN_BACKWARD ? backward[k] : forward[k]];
    }
    return true;
}

static void make_call(clattn_plan *plan, const clattn_problem *p, bool caller_workspace, clattn_tensors *t, bool spoilt) {
    clattn_report report;
    walk outputs[MOST_OUTPUTS];
    bool must_refuse, beside = false;
    if (!is_honest(p, t, &must_refuse, outputs)) {
        return;
    }
    memory_paint();
    clattn_status check = clattn_tensors_check(p, t, &report), status = clattn_execute(plan, t);
    bool refused = misuse_refused("clattn_execute", status);
    if (check != CLATTN_OK && check != status) {
        misuse_fail("clattn_tensors_check answers %s, clattn_execute %s", clattn_status_name(check), clattn_status_name(status));
    }
    if (refused != (must_refuse || refused) || (refused && !spoilt && !caller_workspace)) {
        misuse_fail("clattn_execute answers %s: %s", clattn_status_name(status), report.text);
    }
    if (refused) {
        memory_unwritten("clattn_execute");
        return;
    }
    for (int k = 0; k < MOST_OUTPUTS; k++) {
        beside = beside || memory_is_input(outputs[k].data);
    }
    if (beside) {
        return; /* beside an input that ends before it */
    }
    memory_written("clattn_execute", outputs, MOST_OUTPUTS);
    uint64_t sum = memory_outputs();
    memory_paint();
    if (clattn_execute(plan, t) != CLATTN_OK || memory_outputs() != sum) {
        misuse_fail("clattn_execute: the same call twice gives other bits");
    }
}

/* Larger than the fuzzer's memory: a call that has nothing to do may not look at any. */
static void make_empty_call(clattn_plan *plan, const clattn_problem *p) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    void *nobody = memory_forbidden();
    if (p->direction == CLATTN_BACKWARD || p->dropout_mask || p->query_lengths || p->key_lengths ||
        p->alignment == CLATTN_ALIGN_OFFSETS) {
        return;
    }
    t.query_length = t.key_length = t.past_length = 0;
    t.query.data = t.key.data = t.value.data = t.output.data = t.logsumexp.data = t.weights.data = nobody;
    t.mask.data = t.bias.data = t.alibi_slopes.data = t.sinks.data = nobody;
    misuse_refused("clattn_execute without rows", clattn_execute(plan, &t));
}

void misuse_attention(clattn_runtime *runtime) {
    clattn_plan_options options;
    clattn_problem p = misuse_draw_problem(clattn_runtime_device_count(runtime) > 1, &options), full;
    clattn_report report = { 0 }, resolving;
    clattn_plan *plan = (clattn_plan *)&p;
    clattn_status status = clattn_plan_create(runtime, &p, &options, &plan, &report), known = clattn_problem_resolve(&p, &full, &resolving);
    if ((status == CLATTN_OK) != (plan != NULL) || (known != CLATTN_OK && status != known)) {
        misuse_fail("clattn_plan_create answers %s, clattn_problem_resolve %s", clattn_status_name(status), clattn_status_name(known));
    }
    if (misuse_refused("clattn_plan_create", status)) {
        if (report.length == 0 && status != CLATTN_OUT_OF_MEMORY) {
            misuse_fail("%s without a reason", clattn_status_name(status));
        }
        return;
    }
    bool host = full.memory == CLATTN_MEMORY_HOST; /* else the plan is for clattn_enqueue() */
    if ((!misuse_is_small(&full) || !host) && !options.caller_workspace) {
        make_empty_call(plan, &full);
    }
    for (int n = 0; n < 3 && host && misuse_is_small(&full); n++) {
        memory_begin();
        int64_t rows = draw_one_in(2) ? full.query_length : draw_between(0, full.query_length);
        int64_t keys = draw_one_in(2) ? full.key_length : draw_between(0, full.key_length);
        clattn_tensors t = draw_tensors(&full, rows, keys);
        bool spoilt = full.alignment == CLATTN_ALIGN_UNSET; /* which some lengths make wrong */
        clattn_plan_info info;
        if (clattn_plan_get_info(plan, &info) == CLATTN_OK && options.caller_workspace) {
            static _Alignas(64) unsigned char workspace[1 << 22]; /* larger ones are missing, which is refused */
            t.workspace = workspace;
            t.workspace_size = info.workspace_size < (int64_t)sizeof workspace ? info.workspace_size : draw_below(sizeof workspace);
        }
        if (draw_one_in(2)) {
            spoil_tensors(&t);
            spoilt = true;
        }
        make_call(plan, &full, options.caller_workspace, &t, spoilt);
    }
    clattn_plan_destroy(plan);
}
