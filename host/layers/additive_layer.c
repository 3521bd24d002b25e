/*
 * Additive (Bahdanau) attention with its two matrices: projections by linear plans, scores and context by the fused
 * operation. The bias goes with the keys, which are projected once. Knows no engine.
 */
#include "layers/additive_layer.h"

#include <inttypes.h>

void clattn_additive_layer_destroy(clattn_additive_layer *layer) {
    if (layer) {
        attn_additive_learning_end(layer);
        clattn_additive_plan_destroy(layer->plan);
        clattn_linear_plan_destroy(layer->query_plan);
        clattn_linear_plan_destroy(layer->key_plan);
        clattn_release(layer->runtime, layer->query);
        clattn_release(layer->runtime, layer->key);
        clattn_release(layer->runtime, layer);
    }
}

static clattn_status make_ready(clattn_additive_layer *l, const clattn_additive_layer_options *options,
                                clattn_report *report) {
    const clattn_additive_problem *p = &l->problem;
    clattn_operation_info info;
    ATTN_TRY(clattn_additive_plan_create(l->runtime, p, &options->plan, &l->plan, report));
    ATTN_TRY(clattn_additive_plan_get_info(l->plan, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    ATTN_TRY(attn_layer_linear(l->runtime, p->batch * p->query_length, options->query_dim, p->hidden, &beside,
                               &l->query_plan, report));
    ATTN_TRY(attn_layer_linear(l->runtime, p->batch * p->key_length, options->key_dim, p->hidden, &beside, &l->key_plan,
                               report));
    l->query =
        attn_layer_floats(l->runtime, p->batch * p->query_length * p->hidden); /* the plans checked the products */
    l->key = attn_layer_floats(l->runtime, p->batch * p->key_length * p->hidden);
    return l->query && l->key ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_additive_layer_create(clattn_runtime *runtime, const clattn_additive_layer_options *options,
                                           clattn_additive_layer **layer, clattn_report *report) {
    clattn_report_clear(report);
    if (layer) {
        *layer = NULL;
    }
    if (!runtime || !options || !layer || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, options, layer: NULL, or options.struct_size is not "
                            "clattn_additive_layer_options'");
    }
    if (options->query_dim < 1 || options->key_dim < 1) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "query_dim, key_dim: %" PRId64 ", %" PRId64 "; each must be at least 1", options->query_dim,
                            options->key_dim);
    }
    clattn_additive_layer *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_additive_layer){
        .runtime = runtime, .problem = options->additive, .query_dim = options->query_dim, .key_dim = options->key_dim
    };
    if (made->problem.value_dim == 0) {
        made->problem.value_dim = options->key_dim;
    }
    clattn_status status = make_ready(made, options, report);
    if (status != CLATTN_OK) {
        clattn_additive_layer_destroy(made);
        return status;
    }
    *layer = made;
    return CLATTN_OK;
}

clattn_status clattn_additive_layer_project_keys(clattn_additive_layer *layer, const clattn_additive_weights *weights,
                                                 const float *key, float *projected, clattn_report *report) {
    clattn_report_clear(report);
    if (!layer || !weights) {
        return CLATTN_INVALID_ARGUMENT;
    }
    int64_t rows = layer->problem.batch * layer->problem.key_length;
    return attn_layer_apply(layer->key_plan, rows, key, weights->w_key, weights->b, false, projected, report);
}

clattn_status attn_additive_compute(clattn_additive_layer *layer, clattn_additive_plan *plan,
                                    const clattn_additive_weights *weights, const clattn_additive_layer_io *io,
                                    clattn_additive_tensors *tensors) {
    const clattn_additive_problem *p = &layer->problem;
    clattn_report *report = tensors->report;
    if (!io->value && p->value_dim != layer->key_dim) {
        return LAYER_REFUSE(report, CLATTN_INVALID_TENSORS,
                            "value: missing, and key, which would serve, has rows of %" PRId64
                            ", not of value_dim %" PRId64,
                            layer->key_dim, p->value_dim);
    }
    ATTN_TRY(attn_layer_apply(layer->query_plan, p->batch * p->query_length, io->query, weights->w_query, NULL, false,
                              layer->query, report));
    if (!io->projected_key) {
        ATTN_TRY(clattn_additive_layer_project_keys(layer, weights, io->key, layer->key, report));
    }
    tensors->query = layer->query;
    tensors->key = io->projected_key ? io->projected_key : layer->key;
    tensors->v = weights->v;
    tensors->value = io->value ? io->value : io->key;
    return clattn_additive_execute(plan, tensors);
}

clattn_status clattn_additive_layer_forward(clattn_additive_layer *layer, const clattn_additive_weights *weights,
                                            const clattn_additive_layer_io *io) {
    if (!layer || !weights || !io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    clattn_additive_tensors tensors = io->additive;
    clattn_report_clear(tensors.report);
    tensors.output = io->context;
    return attn_additive_compute(layer, layer->plan, weights, io, &tensors);
}
