/*
 * The contextual glimpse: the context's embedding weighs the input before a linear output. Two linear plans and the
 * memory between them; knows no engine.
 */
#include "layers/layer.h"

struct clattn_glimpse {
    clattn_runtime *runtime;
    clattn_glimpse_options options;
    clattn_linear_plan *context, *output;
    float *weights, *seen; /* [rows, input_dim] each: weights, and weights times input */
};

void clattn_glimpse_destroy(clattn_glimpse *glimpse) {
    if (glimpse) {
        clattn_linear_plan_destroy(glimpse->context);
        clattn_linear_plan_destroy(glimpse->output);
        clattn_release(glimpse->runtime, glimpse->weights);
        clattn_release(glimpse->runtime, glimpse->seen);
        clattn_release(glimpse->runtime, glimpse);
    }
}

static clattn_status make_ready(clattn_glimpse *g, clattn_report *report) {
    const clattn_glimpse_options *o = &g->options;
    clattn_operation_info info;
    LAYER_TRY(attn_layer_linear(g->runtime, o->rows, o->context_dim, o->input_dim, o->engine, o->device, &g->context,
                                report));
    LAYER_TRY(clattn_linear_plan_get_info(g->context, &info));
    LAYER_TRY(attn_layer_linear(g->runtime, o->rows, o->input_dim, o->output_dim, info.engine, info.device, &g->output,
                                report));
    g->weights = attn_layer_floats(g->runtime, o->rows * o->input_dim); /* the plans checked the products */
    g->seen = attn_layer_floats(g->runtime, o->rows * o->input_dim);
    return g->weights && g->seen ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_glimpse_create(clattn_runtime *runtime, const clattn_glimpse_options *options,
                                    clattn_glimpse **glimpse, clattn_report *report) {
    attn_layer_clear(report);
    if (glimpse) {
        *glimpse = NULL;
    }
    if (!runtime || !options || !glimpse || options->struct_size != sizeof *options) {
        return attn_layer_refuse(report, CLATTN_INVALID_ARGUMENT,
                                 "runtime, options, glimpse: NULL, or options not initialised");
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
    made->options.engine = NULL; /* the caller's string is not kept */
    *glimpse = made;
    return CLATTN_OK;
}

clattn_status clattn_glimpse_forward(clattn_glimpse *glimpse, const clattn_glimpse_weights *weights,
                                     const clattn_glimpse_io *io) {
    if (!glimpse || !weights || !io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_layer_clear(io->report);
    const clattn_glimpse_options *o = &glimpse->options;
    int64_t rows = io->rows == CLATTN_SAME ? o->rows : io->rows;
    if (rows < 0 || rows > o->rows || (rows > 0 && !io->input)) {
        return attn_layer_refuse(io->report, CLATTN_INVALID_TENSORS, "rows: %lld of at most %lld; input: %s",
                                 (long long)rows, (long long)o->rows, io->input ? "there" : "missing");
    }
    float *seen = glimpse->seen, *w = io->weights ? io->weights : glimpse->weights;
    LAYER_TRY(attn_layer_apply(glimpse->context, rows, io->context, weights->w_context, weights->b_context, false, w,
                               io->report));
    if (o->softmax) {
        LAYER_TRY(clattn_softmax(rows, o->input_dim, w, w));
    }
    for (int64_t k = 0; k < rows * o->input_dim; k++) {
        seen[k] = w[k] * io->input[k];
    }
    return attn_layer_apply(glimpse->output, rows, seen, weights->w_output, weights->b_output, false, io->output,
                            io->report);
}
