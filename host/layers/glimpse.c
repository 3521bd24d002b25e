/*
 * The contextual glimpse: the context's embedding weighs the input before a linear output. Two linear plans and the
 * memory between them; knows no engine.
 */
#include "layers/layer.h"

#include <inttypes.h>

struct clattn_glimpse {
    clattn_runtime *runtime;
    clattn_glimpse_options options;
    clattn_linear_plan *context, *output;
    float *weights, *seen; /* [rows, input_dim] each: weights, and weights times input */
    clattn_linear_backward *context_backward, *output_backward; /* NULL: it does not learn */
};

void clattn_glimpse_destroy(clattn_glimpse *glimpse) {
    if (glimpse) {
        clattn_linear_plan_destroy(glimpse->context);
        clattn_linear_plan_destroy(glimpse->output);
        clattn_linear_backward_destroy(glimpse->context_backward);
        clattn_linear_backward_destroy(glimpse->output_backward);
        clattn_release(glimpse->runtime, glimpse->weights);
        clattn_release(glimpse->runtime, glimpse->seen);
        clattn_release(glimpse->runtime, glimpse);
    }
}

static clattn_status make_ready(clattn_glimpse *g, clattn_report *report) {
    const clattn_glimpse_options *o = &g->options;
    clattn_operation_info info;
    ATTN_TRY(attn_layer_linear(g->runtime, o->rows, o->context_dim, o->input_dim, &o->plan, &g->context, report));
    ATTN_TRY(clattn_linear_plan_get_info(g->context, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    ATTN_TRY(attn_layer_linear(g->runtime, o->rows, o->input_dim, o->output_dim, &beside, &g->output, report));
    g->weights = attn_layer_floats(g->runtime, o->rows * o->input_dim); /* the plans checked the products */
    g->seen = attn_layer_floats(g->runtime, o->rows * o->input_dim);
    return g->weights && g->seen ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_glimpse_create(clattn_runtime *runtime, const clattn_glimpse_options *options,
                                    clattn_glimpse **glimpse, clattn_report *report) {
    clattn_report_clear(report);
    if (glimpse) {
        *glimpse = NULL;
    }
    if (!runtime || !options || !glimpse || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, options, glimpse: NULL, or options.struct_size is not clattn_glimpse_options'");
    }
    if (options->input_dim < 1 || options->context_dim < 1 || options->output_dim < 1) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "input_dim, context_dim, output_dim: %" PRId64 ", %" PRId64 ", %" PRId64
                            "; each must be at least 1",
                            options->input_dim, options->context_dim, options->output_dim);
    }
    clattn_glimpse *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_glimpse){ .runtime = runtime, .options = *options };
    clattn_status status = make_ready(made, report);
    if (status != CLATTN_OK) {
        clattn_glimpse_destroy(made);
        return status;
    }
    made->options.plan = (clattn_plan_options)CLATTN_PLAN_OPTIONS_INIT; /* nothing of the caller's is kept */
    *glimpse = made;
    return CLATTN_OK;
}

/* All that the two products will refuse, before the first of them writes. */
static clattn_status check_call(const clattn_glimpse *g, const clattn_glimpse_weights *w, const clattn_glimpse_io *io,
                                int64_t rows) {
    const clattn_glimpse_options *o = &g->options;
    const struct {
        const char *name;
        const float *data;
        int64_t count;
        bool written;
    } all[] = { { "output", io->output, rows * o->output_dim, true },
                { "weights", io->weights, rows * o->input_dim, true },
                { "input", io->input, rows * o->input_dim, false },
                { "context", io->context, rows * o->context_dim, false },
                { "w_context", w->w_context, o->input_dim * o->context_dim, false },
                { "w_output", w->w_output, o->output_dim * o->input_dim, false },
                { "b_context", w->b_context, o->input_dim, false },
                { "b_output", w->b_output, o->output_dim, false } };
    size_t count = sizeof all / sizeof *all, needed = count - 2;
    for (size_t k = 0; k < needed; k++) {
        if (!all[k].data && k != 1) { /* weights are optional */
            return LAYER_REFUSE(io->report, CLATTN_INVALID_TENSORS, "%s: missing", all[k].name);
        }
    }
    for (size_t k = 0; k < count && all[k].written; k++) {
        for (size_t n = k + 1; n < count; n++) {
            if (attn_layer_meet(all[k].data, all[k].count, all[n].data, all[n].count)) {
                return LAYER_REFUSE(io->report, CLATTN_INVALID_TENSORS, "%s: overlaps %s", all[k].name, all[n].name);
            }
        }
    }
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void multiply(int64_t count, const float *a, const float *b, float *product) {
    for (int64_t k = 0; k < count; k++) {
        product[k] = a[k] * b[k];
    }
}

clattn_status clattn_glimpse_forward(clattn_glimpse *glimpse, const clattn_glimpse_weights *weights,
                                     const clattn_glimpse_io *io) {
    if (!glimpse || !weights || !io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    clattn_report_clear(io->report);
    const clattn_glimpse_options *o = &glimpse->options;
    int64_t rows = io->rows == CLATTN_SAME ? o->rows : io->rows;
    if (rows < 0 || rows > o->rows) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_TENSORS, "rows: %" PRId64 " is not within 0 and %" PRId64,
                            io->rows, o->rows);
    }
    if (rows == 0) {
        return CLATTN_OK;
    }
    ATTN_TRY(check_call(glimpse, weights, io, rows));
    float *seen = glimpse->seen, *w = io->weights ? io->weights : glimpse->weights;
    ATTN_TRY(attn_layer_apply(glimpse->context, rows, io->context, weights->w_context, weights->b_context, false, w,
                              io->report));
    if (o->softmax) {
        ATTN_TRY(clattn_softmax(glimpse->runtime, rows, o->input_dim, w, w));
    }
    attn_visit visit = attn_visit_begin();
    multiply(rows * o->input_dim, w, io->input, seen);
    attn_visit_end(&visit);
    return attn_layer_apply(glimpse->output, rows, seen, weights->w_output, weights->b_output, false, io->output,
                            io->report);
}

/* ------------------------------------------------------------------------------------------------ backward */

static clattn_status make_backward(clattn_glimpse *g, clattn_report *report) {
    const clattn_glimpse_options *o = &g->options;
    const clattn_linear_problem context = { sizeof context, o->rows, o->context_dim, o->input_dim };
    const clattn_linear_problem output = { sizeof output, o->rows, o->input_dim, o->output_dim };
    clattn_operation_info info;
    ATTN_TRY(clattn_linear_plan_get_info(g->context, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    ATTN_TRY(clattn_linear_backward_create(g->runtime, &context, &beside, &g->context_backward, report));
    return clattn_linear_backward_create(g->runtime, &output, &beside, &g->output_backward, report);
}

static void end_backward(clattn_glimpse *g) {
    clattn_linear_backward_destroy(g->context_backward);
    clattn_linear_backward_destroy(g->output_backward);
    g->context_backward = g->output_backward = NULL;
}

clattn_status clattn_glimpse_learn(clattn_glimpse *glimpse, clattn_report *report) {
    clattn_report_clear(report);
    if (!glimpse) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "glimpse: NULL");
    }
    end_backward(glimpse);
    clattn_status status = make_backward(glimpse, report);
    if (status != CLATTN_OK) {
        end_backward(glimpse);
    }
    return status;
}

static clattn_status check_backward(const clattn_glimpse *glimpse, const clattn_glimpse_weights *w,
                                    const clattn_glimpse_io *io, const clattn_glimpse_gradients *g, int64_t rows) {
    const clattn_glimpse_options *o = &glimpse->options;
    const attn_layer_array all[] = {
        { "grad_input", g->grad_input, rows * o->input_dim, false, true },
        { "grad_context", g->grad_context, rows * o->context_dim, false, true },
        { "grad_w_context", g->grad_w_context, o->input_dim * o->context_dim, false, true },
        { "grad_b_context", g->grad_b_context, o->input_dim, false, true },
        { "grad_w_output", g->grad_w_output, o->output_dim * o->input_dim, false, true },
        { "grad_b_output", g->grad_b_output, o->output_dim, false, true },
        { "grad_output", g->grad_output, rows * o->output_dim, true, false },
        { "weights", io->weights, rows * o->input_dim, true, false },
        { "input", io->input, rows * o->input_dim, true, false },
        { "context", io->context, rows * o->context_dim, true, false },
        { "w_context", w->w_context, o->input_dim * o->context_dim, true, false },
        { "w_output", w->w_output, o->output_dim * o->input_dim, true, false },
    };
    return attn_layer_check(all, sizeof all / sizeof *all, io->report);
}

clattn_status clattn_glimpse_backward(clattn_glimpse *glimpse, const clattn_glimpse_weights *weights,
                                      const clattn_glimpse_io *io, const clattn_glimpse_gradients *gradients) {
    if (!glimpse || !weights || !io || io->struct_size != sizeof *io || !gradients ||
        gradients->struct_size != sizeof *gradients) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_glimpse_options *o = &glimpse->options;
    const clattn_glimpse_gradients *g = gradients;
    int64_t rows = io->rows == CLATTN_SAME ? o->rows : io->rows, count = rows * o->input_dim;
    float *seen = glimpse->seen, *grad_seen = glimpse->weights; /* then the gradient of the weights, in place */
    clattn_report_clear(io->report);
    if (!glimpse->context_backward) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT,
                            "glimpse: clattn_glimpse_learn() has not made it ready for backward");
    }
    if (rows < 0 || rows > o->rows) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_TENSORS, "rows: %" PRId64 " is not within 0 and %" PRId64,
                            io->rows, o->rows);
    }
    ATTN_TRY(check_backward(glimpse, weights, io, g, rows));
    attn_visit visit = attn_visit_begin();
    multiply(count, io->weights, io->input, seen);
    attn_visit_end(&visit);
    const attn_layer_rows all = { 1, rows, rows };
    const clattn_linear_gradients output = { sizeof output,     rows,      g->grad_output, seen,
                                             weights->w_output, grad_seen, false,          g->grad_w_output,
                                             g->grad_b_output,  io->report };
    ATTN_TRY(attn_layer_backward(glimpse->output_backward, &all, &output));
    visit = attn_visit_begin();
    if (g->grad_input) {
        multiply(count, grad_seen, io->weights, g->grad_input);
    }
    multiply(count, grad_seen, io->input, grad_seen);
    attn_visit_end(&visit);
    if (o->softmax) {
        ATTN_TRY(clattn_softmax_backward(glimpse->runtime, rows, o->input_dim, io->weights, grad_seen, grad_seen));
    }
    const clattn_linear_gradients context = {
        sizeof context,  rows,  grad_seen,         io->context,       weights->w_context,
        g->grad_context, false, g->grad_w_context, g->grad_b_context, io->report
    };
    return attn_layer_backward(glimpse->context_backward, &all, &context);
}

void clattn_glimpse_gradients_init(clattn_glimpse_gradients *gradients, size_t size) {
    static const clattn_glimpse_gradients start = CLATTN_GLIMPSE_GRADIENTS_INIT;
    attn_init_structure(gradients, size, &start, sizeof start);
}
