/* The misuse fuzzer on what learns: derivatives of layers, cross-entropy, decoders. Only in builds with layers. */
#include <inttypes.h>
#include <string.h>

#include "clattn/clattn_learning.h"
#include "misuse.h"

static float *wanted(wide count) {
    return draw_one_in(3) ? NULL : memory_results(count);
}

static void misuse_linear_backward(clattn_runtime *runtime) {
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_backward *backward = NULL;
    p.rows = draw_small_or_odd(0, 9), p.in_dim = draw_small_or_odd(1, 20), p.out_dim = draw_small_or_odd(1, 20);
    options.engine = draw_one_in(2) ? "cpu" : "reference";
    clattn_status status = clattn_linear_backward_create(runtime, &p, &options, &backward, NULL);
    if (misuse_refused("clattn_linear_backward_create", status)) {
        return;
    }
    if (p.rows < 100 && p.in_dim < 100 && p.out_dim < 100) {
        clattn_linear_gradients g = CLATTN_LINEAR_GRADIENTS_INIT;
        g.rows = draw_between(0, p.rows), g.add = draw_one_in(2);
        g.grad_output = memory_floats(g.rows * p.out_dim), g.input = memory_floats(g.rows * p.in_dim);
        g.w = memory_floats(p.in_dim * p.out_dim);
        g.grad_input = wanted(g.rows * p.in_dim), g.grad_w = wanted(p.in_dim * p.out_dim), g.grad_b = wanted(p.out_dim);
        int64_t fault = draw_below(12);
        bool right = fault > 4 || (g.rows == 0 && (fault == 0 || fault == 1)) || (fault == 1 && !g.grad_w) ||
                     (fault == 2 && !g.grad_input) || (fault == 3 && !g.grad_w);
        switch (fault) {
            case 0: g.grad_output = NULL; break;
            case 1: g.input = NULL; break;
            case 2: g.w = NULL; break;
            case 3: g.w = g.grad_w ? g.grad_w : g.w; break;
            case 4: g.rows = draw_one_in(2) ? p.rows + 1 : -2; break;
            default: break;
        }
        if (fault == 2 && g.grad_input && g.rows == 0) {
            right = false; /* an empty gradient still has its matrix */
        }
        memory_paint();
        misuse_expect("clattn_linear_backward_execute", clattn_linear_backward_execute(backward, &g), right);
    }
    clattn_linear_backward_destroy(backward);
}

static void misuse_entropy(clattn_runtime *runtime) {
    clattn_cross_entropy_io io = CLATTN_CROSS_ENTROPY_IO_INIT;
    int64_t labels[6], rows = draw_between(0, 6), classes = draw_between(1, 9);
    double loss;
    io.rows = rows, io.classes = classes, io.labels = labels, io.loss = &loss;
    io.runtime = draw_one_in(2) ? NULL : runtime;
    io.logits = memory_floats(rows * classes), io.grad_logits = wanted(rows * classes);
    for (int64_t k = 0; k < rows; k++) {
        labels[k] = draw_one_in(4) ? CLATTN_IGNORED_LABEL : draw_below(classes);
    }
    int64_t fault = draw_below(10);
    bool right = fault > 4 || (rows == 0 && (fault == 0 || fault == 1));
    switch (fault) {
        case 0: io.logits = NULL; break;
        case 1: labels[rows > 0 ? draw_below(rows) : 0] = draw_one_in(2) ? classes : -1; break;
        case 2: io.loss = NULL; break;
        case 3: io.rows = INT64_MAX - draw_below(9); break;
        case 4: io.classes = -draw_below(9); break;
        default: break;
    }
    memory_paint();
    misuse_expect("clattn_cross_entropy", clattn_cross_entropy(&io), right);
}

static void misuse_attention_backward(clattn_runtime *runtime) {
    int64_t length = draw_between(0, 6), heads = draw_between(1, 3), dim = heads * draw_between(1, 6);
    clattn_attention_layer_options options = clattn_multi_head_attention(length, dim, heads);
    clattn_plan_options plan = CLATTN_PLAN_OPTIONS_INIT;
    clattn_attention_layer *layer = NULL;
    options.attention.logsumexp = true, options.residual = draw_one_in(2);
    options.plan.engine = draw_one_in(2) ? "reference" : "cpu", plan.engine = "reference";
    if (misuse_refused("clattn_attention_layer_create",
                       clattn_attention_layer_create(runtime, &options, &layer, NULL))) {
        misuse_fail("an attention layer is refused");
    }
    if (misuse_refused("clattn_attention_layer_learn", clattn_attention_layer_learn(layer, 0, &plan, NULL))) {
        misuse_fail("an attention layer that learns is refused");
    }
    int64_t rows = length * dim, square = dim * dim;
    clattn_attention_weights w = { memory_floats(square), memory_floats(square), memory_floats(square), memory_floats(square), 0, 0, 0, 0 };
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    clattn_attention_gradients g = CLATTN_ATTENTION_GRADIENTS_INIT;
    io.input = memory_floats(rows), io.output = memory_results(rows), io.query = memory_floats(rows), io.key = memory_floats(rows);
    io.value = memory_floats(rows), io.context = memory_floats(rows), io.attention.logsumexp.data = memory_floats(heads * length);
    g.grad_output = memory_floats(rows), g.grad_input = wanted(rows), g.grad_query = wanted(rows),
    g.grad_value = wanted(rows);
    g.grad_w_query = wanted(square), g.grad_w_output = wanted(square), g.grad_b_key = wanted(dim);
    int64_t fault = draw_below(14);
    switch (fault) {
        case 0: w.w_query = NULL; break;
        case 1: io.query = length > 0 ? NULL : io.query; break;
        case 2: io.context = length > 0 ? NULL : io.context; break;
        case 3: g.grad_output = length > 0 ? NULL : g.grad_output; break;
        case 4: g.grad_memory = memory_results(rows); break;
        case 5: g.grad_b_output = g.grad_w_output = memory_results(square); break;
        case 6: io.attention.query_length = length + 1; break;
        case 7: io.attention.struct_size = 5; break;
        default: break;
    }
    bool right = fault > 7 || (length == 0 && fault >= 1 && fault <= 3);
    memory_paint();
    misuse_expect("clattn_attention_layer_backward", clattn_attention_layer_backward(layer, &w, &io, &g), right);
    clattn_attention_layer_destroy(layer);
}

/* Steps, each right or wrong in one thing; what was refused leaves the past as it was. */
static void misuse_past(clattn_decoder *decoder, const clattn_decoder_options *o) {
    clattn_plan_options plan = CLATTN_PLAN_OPTIONS_INIT;
    clattn_decoder_past *past = NULL;
    plan.engine = draw_one_in(9) ? "abacus" : "reference";
    if (misuse_refused("clattn_decoder_past_create", clattn_decoder_past_create(decoder, &plan, &past, NULL))) {
        return;
    }
    float *logits = memory_results(o->words);
    for (int step = 0; step < 3; step++) {
        int64_t ids[8] = { 0 }, length = clattn_decoder_past_get_length(past), fault = draw_below(5);
        int64_t count = draw_between(-1, 6), back = draw_small_or_odd(0, 5);
        ids[0] = fault == 0 ? -1 : draw_below(o->words);
        bool right = fault != 0 && count > 0 && count <= o->length - length;
        memory_paint();
        misuse_expect("clattn_decoder_step", clattn_decoder_step(past, ids, count, logits, NULL), right);
        length += right ? count : 0;
        if (clattn_decoder_past_get_length(past) != length) {
            misuse_fail("clattn_decoder_past_get_length: not %" PRId64, length);
        }
        memory_paint();
        misuse_expect("clattn_decoder_past_rewind", clattn_decoder_past_rewind(past, back), back >= 0 && back <= length);
    }
    clattn_decoder_past_destroy(past);
}

static void misuse_decoder(clattn_runtime *runtime) {
    clattn_decoder_options o = CLATTN_DECODER_OPTIONS_INIT;
    clattn_decoder *decoder = NULL;
    o.words = draw_small_or_odd(1, 9), o.batch = draw_small_or_odd(1, 2), o.length = draw_small_or_odd(0, 5);
    o.heads = draw_small_or_odd(1, 3), o.dim = draw_small_or_odd(1, 3) * (o.heads > 0 && o.heads < 9 ? o.heads : 1);
    o.blocks = draw_small_or_odd(0, 2), o.mlp_dim = draw_small_or_odd(1, 9), o.learn = draw_one_in(2);
    o.words = o.words > 9 && o.words < INT32_MAX ? 9 : o.words; /* drawing that many takes its time */
    o.plan.engine = o.backward.engine = "reference";
    if (misuse_refused("clattn_decoder_create", clattn_decoder_create(runtime, &o, &decoder, NULL))) {
        return;
    }
    if (o.words < 100 && o.batch < 100 && o.length < 100) {
        static int64_t ids[100 * 100];
        int64_t count = o.batch * o.length, fault = draw_below(6);
        double loss;
        for (int64_t k = 0; k < count; k++) {
            ids[k] = draw_below(o.words);
        }
        ids[0] = fault == 0 && count > 0 ? o.words : ids[0];
        int64_t length = fault == 1 ? o.length + 1 : CLATTN_SAME;
        bool right = fault > 1 || (fault == 0 && count == 0);
        float *logits = memory_results(count * o.words);
        memory_paint();
        misuse_expect("clattn_decoder_forward", clattn_decoder_forward(decoder, ids, length, logits, NULL), right);
        memory_paint();
        misuse_expect("clattn_decoder_learn", clattn_decoder_learn(decoder, ids, ids, length, 1, &loss, NULL),
               right && o.learn);
        misuse_past(decoder, &o);
    }
    clattn_decoder_destroy(decoder);
}

void misuse_learning(clattn_runtime *runtime) {
    switch (draw_below(4)) {
        case 0: misuse_linear_backward(runtime); break;
        case 1: misuse_entropy(runtime); break;
        case 2: misuse_decoder(runtime); break;
        default: misuse_attention_backward(runtime); break;
    }
}
