/* The misuse fuzzer on layers, linear maps and the functions of rows. Only in builds with layers. */
#include <inttypes.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "misuse.h"

static void misuse_linear(clattn_runtime *runtime) {
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_plan *plan = NULL;
    p.rows = draw_small_or_odd(0, 9), p.in_dim = draw_small_or_odd(1, 20), p.out_dim = draw_small_or_odd(1, 20);
    options.engine = draw_one_in(2) ? "cpu" : "reference";
    p.struct_size = draw_one_in(20) ? (size_t)draw_below(99) : p.struct_size;
    if (misuse_refused("clattn_linear_plan_create", clattn_linear_plan_create(runtime, &p, &options, &plan, NULL))) {
        return;
    }
    if (p.rows < 100 && p.in_dim < 100 && p.out_dim < 100) {
        clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
        t.rows = draw_between(0, p.rows);
        t.input = memory_floats(t.rows * p.in_dim), t.w = memory_floats(p.in_dim * p.out_dim);
        t.b = draw_one_in(2) ? NULL : memory_floats(p.out_dim), t.output = memory_results(t.rows * p.out_dim), t.add = draw_one_in(3);
        int64_t fault = draw_below(14);
        bool right = fault > 5 || (t.rows == 0 && fault < 5);
        switch (fault) {
            case 0: t.input = NULL; break;
            case 1: t.w = NULL; break;
            case 2: t.output = NULL; break;
            case 3: t.w = t.output; break;
            case 4: t.input = (const float *)(UINTPTR_MAX - 3); break;
            case 5: t.rows = draw_one_in(2) ? p.rows + 1 : -2; break;
            default: break;
        }
        memory_paint();
        misuse_expect("clattn_linear_execute", clattn_linear_execute(plan, &t), right);
        const walk output = { t.output, 0, { 1, 1, t.rows, p.out_dim }, { 0, 0, p.out_dim, 1 }, 4 };
        memory_written("clattn_linear_execute", &output, right);
    }
    clattn_linear_plan_destroy(plan);
}

static void misuse_attention_layer(clattn_runtime *runtime) {
    int64_t length = draw_small_or_odd(0, 6), dim = draw_small_or_odd(1, 24), heads = draw_small_or_odd(1, 4);
    clattn_attention_layer_options options = clattn_multi_head_attention(length, dim, heads);
    clattn_attention_layer *layer = NULL;
    options.plan.engine = draw_one_in(3) ? "reference" : "cpu";
    options.scores = draw_one_in(3), options.residual = draw_one_in(2);
    options.attention.mask = draw_one_in(2) ? CLATTN_MASK_BYTES : CLATTN_MASK_NONE;
    if (misuse_refused("clattn_attention_layer_create", clattn_attention_layer_create(runtime, &options, &layer, NULL))) {
        return;
    }
    if (dim % heads != 0) {
        misuse_fail("%" PRId64 " heads of %" PRId64, heads, dim);
    }
    if (length < 100 && dim < 100 && heads < 100) {
        int64_t rows = length * dim, square = dim * dim;
        clattn_attention_weights w = { memory_floats(square), memory_floats(square), memory_floats(square), memory_floats(square), 0, 0, 0, 0 };
        clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
        io.input = memory_floats(rows), io.output = memory_results(rows);
        io.query = memory_results(rows), io.context = memory_results(rows), io.scores = memory_results(heads * length * length);
        io.attention.mask.data = memory_bits(heads * length * length, 1);
        int64_t fault = draw_below(16);
        bool masked = options.attention.mask != CLATTN_MASK_NONE;
        switch (fault) {
            case 0: w.w_query = NULL; break;
            case 1: w.w_output = NULL; break;
            case 2: io.attention.mask.data = masked ? NULL : io.attention.mask.data; break;
            case 3: io.attention.mask.offset = masked ? INT64_MAX : 0; break;
            case 4: io.context = io.output; break;
            case 5: io.attention.past_length = length + 1; break;
            case 6: io.attention.struct_size = (size_t)draw_below(400); break;
            default: break;
        }
        bool nothing = length == 0 && (fault == 2 || fault == 3 || fault == 4);
        bool right = fault > 6 || nothing || (!masked && (fault == 2 || fault == 3));
        memory_paint();
        misuse_expect("clattn_attention_layer_forward", clattn_attention_layer_forward(layer, &w, &io), right);
    }
    clattn_attention_layer_destroy(layer);
}

static void misuse_glimpse(clattn_runtime *runtime) {
    clattn_glimpse_options options = CLATTN_GLIMPSE_OPTIONS_INIT;
    clattn_glimpse *layer = NULL;
    options.rows = draw_small_or_odd(0, 6), options.input_dim = draw_small_or_odd(1, 9), options.context_dim = draw_small_or_odd(1, 9);
    options.output_dim = draw_small_or_odd(1, 9), options.softmax = draw_one_in(2), options.plan.engine = "cpu";
    if (misuse_refused("clattn_glimpse_create", clattn_glimpse_create(runtime, &options, &layer, NULL))) {
        return;
    }
    int64_t rows = options.rows, in = options.input_dim, context = options.context_dim, out = options.output_dim;
    if (rows < 100 && in < 100 && context < 100 && out < 100) {
        clattn_glimpse_weights w = { memory_floats(in * context), NULL, memory_floats(out * in), NULL };
        clattn_glimpse_io io = CLATTN_GLIMPSE_IO_INIT;
        io.input = memory_floats(rows * in), io.context = memory_floats(rows * context);
        io.weights = memory_results(rows * in), io.output = memory_results(rows * out);
        int64_t fault = draw_below(8);
        io.output = fault == 0 ? NULL : io.output;
        w.w_output = fault == 1 ? NULL : w.w_output;
        io.input = fault == 2 ? io.weights : io.input;
        memory_paint();
        misuse_expect("clattn_glimpse_forward", clattn_glimpse_forward(layer, &w, &io), fault > 2 || rows == 0);
    }
    clattn_glimpse_destroy(layer);
}

static void misuse_rows(clattn_runtime *runtime) {
    int64_t rows = draw_small_or_odd(0, 6), dim = draw_small_or_odd(1, 9);
    bool real = rows >= 0 && dim >= 1 && rows < 100 && dim < 100, beyond = (wide)rows * dim * 4 > INT64_MAX;
    if (!real && !beyond && rows >= 0 && dim >= 1) {
        return;
    }
    float *input = memory_floats(real ? rows * dim : 4), *output = memory_results(real ? rows * dim : 4);
    int64_t ids[] = { 0 };
    memory_paint();
    misuse_expect("clattn_softmax", clattn_softmax(runtime, rows, dim, input, output), real);
    memory_paint();
    misuse_expect("clattn_layer_norm", clattn_layer_norm(runtime, rows, dim, 1e-5, NULL, NULL, input, output), real);
    memory_paint();
    misuse_expect("clattn_gelu", clattn_gelu(runtime, real ? rows * dim : -draw_between(1, 9), input, output), real);
    memory_paint();
    misuse_expect("clattn_positional_encoding", clattn_positional_encoding(draw_between(0, 9), rows, dim, 10000, false, output), real);
    memory_paint();
    misuse_expect("clattn_embedding_forward", clattn_embedding_forward(input, rows, dim, ids, 1, output, NULL), real && rows > 0);
}

void misuse_layers(clattn_runtime *runtime) {
    switch (draw_below(5)) {
        case 0: misuse_linear(runtime); break;
        case 1: misuse_glimpse(runtime); break;
        case 2: misuse_rows(runtime); break;
        default: misuse_attention_layer(runtime); break;
    }
}
