/*
 * The derivative of the additive layer: of the attention (additive_gradients.c) and of its two matrices. The
 * projections are made again; nothing of the forward is kept.
 */
#include <string.h>

#include "layers/additive_layer.h"

void attn_additive_learning_end(clattn_additive_layer *layer) {
    attn_additive_learning *l = &layer->learning;
    clattn_additive_plan_destroy(l->plan);
    clattn_linear_backward_destroy(l->query);
    clattn_linear_backward_destroy(l->key);
    clattn_release(layer->runtime, l->context);
    clattn_release(layer->runtime, l->grad_query);
    clattn_release(layer->runtime, l->grad_key);
    clattn_release(layer->runtime, l->work);
    *l = (attn_additive_learning){ 0 };
}

static clattn_status make_ready(clattn_additive_layer *layer, clattn_report *report) {
    attn_additive_learning *l = &layer->learning;
    const clattn_additive_problem *p = &layer->problem;
    clattn_operation_info info;
    ATTN_TRY(clattn_additive_plan_get_info(layer->plan, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    clattn_additive_problem plain = *p;
    plain.weights = plain.logsumexp = false;
    ATTN_TRY(clattn_additive_plan_create(layer->runtime, &plain, &beside, &l->plan, report));
    int64_t rows = p->batch * p->query_length, keys = p->batch * p->key_length, numbers;
    const clattn_linear_problem query = { sizeof query, rows, layer->query_dim, p->hidden };
    const clattn_linear_problem key = { sizeof key, keys, layer->key_dim, p->hidden };
    ATTN_TRY(clattn_linear_backward_create(layer->runtime, &query, &beside, &l->query, report));
    ATTN_TRY(clattn_linear_backward_create(layer->runtime, &key, &beside, &l->key, report));
    if (!attn_additive_work(p, &numbers) || !attn_multiply(numbers, (int64_t)sizeof *l->work, &numbers)) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "key_length, hidden: memory of more than 2^63 - 1 bytes");
    }
    l->context = attn_layer_floats(layer->runtime, rows * p->value_dim); /* the plans checked the products */
    l->grad_query = attn_layer_floats(layer->runtime, rows * p->hidden);
    l->grad_key = attn_layer_floats(layer->runtime, keys * p->hidden);
    l->work = clattn_allocate(layer->runtime, numbers);
    return l->context && l->grad_query && l->grad_key && l->work ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_additive_layer_learn(clattn_additive_layer *layer, clattn_report *report) {
    clattn_report_clear(report);
    if (!layer) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "layer: NULL");
    }
    attn_additive_learning_end(layer);
    clattn_status status = make_ready(layer, report);
    if (status != CLATTN_OK) {
        attn_additive_learning_end(layer);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------ one call */

typedef struct backward_call {
    clattn_additive_layer *layer;
    const clattn_additive_weights *weights;
    const clattn_additive_layer_io *io;
    const clattn_additive_gradients *gradients;
    clattn_report *report;
} backward_call;

static clattn_status check(const backward_call *c) {
    const clattn_additive_problem *p = &c->layer->problem;
    const clattn_additive_gradients *g = c->gradients;
    const clattn_additive_weights *w = c->weights;
    const clattn_additive_layer_io *io = c->io;
    const char *nothing = g->grad_value && !io->value                     ? "grad_value"
                          : g->grad_w_key && io->projected_key            ? "grad_w_key"
                          : g->grad_b && io->projected_key                ? "grad_b"
                          : g->grad_key && io->projected_key && io->value ? "grad_key"
                                                                          : NULL;
    if (nothing) {
        return LAYER_REFUSE(c->report, CLATTN_INVALID_TENSORS, "%s: the call has nothing that it belongs to", nothing);
    }
    int64_t rows = p->batch * p->query_length, keys = p->batch * p->key_length, hidden = p->hidden;
    const attn_layer_array all[] = {
        { "grad_query", g->grad_query, rows * c->layer->query_dim, false, true },
        { "grad_key", g->grad_key, keys * c->layer->key_dim, false, true },
        { "grad_projected_key", g->grad_projected_key, keys * hidden, false, true },
        { "grad_value", g->grad_value, keys * p->value_dim, false, true },
        { "grad_w_query", g->grad_w_query, hidden * c->layer->query_dim, false, true },
        { "grad_w_key", g->grad_w_key, hidden * c->layer->key_dim, false, true },
        { "grad_v", g->grad_v, hidden, false, true },
        { "grad_b", g->grad_b, hidden, false, true },
        { "grad_context", g->grad_context, rows * p->value_dim, true, false },
        { "query", io->query, rows * c->layer->query_dim, true, false },
        { "key", io->key, keys * c->layer->key_dim, !io->projected_key || !io->value, false },
        { "projected_key", io->projected_key, keys * hidden, false, false },
        { "value", io->value, keys * p->value_dim, false, false },
        { "w_query", w->w_query, hidden * c->layer->query_dim, true, false },
        { "w_key", w->w_key, hidden * c->layer->key_dim, !io->projected_key, false },
        { "v", w->v, hidden, true, false },
    };
    return attn_layer_check(all, sizeof all / sizeof *all, c->report);
}

static clattn_status project_backward(const backward_call *c) {
    const attn_additive_learning *l = &c->layer->learning;
    const clattn_additive_problem *p = &c->layer->problem;
    const clattn_additive_gradients *g = c->gradients;
    int64_t rows = p->batch * p->query_length, keys = p->batch * p->key_length;
    const clattn_linear_gradients query = { sizeof query,  rows,  l->grad_query,   c->io->query, c->weights->w_query,
                                            g->grad_query, false, g->grad_w_query, NULL,         c->report };
    const clattn_linear_gradients key = { sizeof key,  keys, l->grad_key,   c->io->key, c->weights->w_key,
                                          g->grad_key, true, g->grad_w_key, g->grad_b,  c->report };
    ATTN_TRY(attn_layer_backward(l->query, &(attn_layer_rows){ 1, rows, rows }, &query));
    return c->io->projected_key ? CLATTN_OK : attn_layer_backward(l->key, &(attn_layer_rows){ 1, keys, keys }, &key);
}

clattn_status clattn_additive_layer_backward(clattn_additive_layer *layer, const clattn_additive_weights *weights,
                                             const clattn_additive_layer_io *io,
                                             const clattn_additive_gradients *gradients) {
    if (!layer || !weights || !io || io->struct_size != sizeof *io || !gradients ||
        gradients->struct_size != sizeof *gradients) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_additive_problem *p = &layer->problem;
    const attn_additive_learning *l = &layer->learning;
    const backward_call c = { layer, weights, io, gradients, io->additive.report };
    const clattn_additive_gradients *g = gradients;
    clattn_report_clear(c.report);
    if (!l->plan) {
        return LAYER_REFUSE(c.report, CLATTN_INVALID_ARGUMENT,
                            "layer: clattn_additive_layer_learn() has not made it ready for backward");
    }
    ATTN_TRY(check(&c));
    clattn_additive_tensors tensors = io->additive;
    tensors.output = l->context;
    ATTN_TRY(attn_additive_compute(layer, l->plan, weights, io, &tensors)); /* lengths and mask are checked there */
    int64_t keys = p->batch * p->key_length;
    float *grad_key = g->grad_projected_key ? g->grad_projected_key : l->grad_key;
    float *grad_value = io->value ? g->grad_value : g->grad_key;
    if (g->grad_key) { /* what the keys give as values comes first, then what they give as keys */
        memset(g->grad_key, 0, (size_t)(keys * layer->key_dim) * sizeof(float));
    }
    if (g->grad_value) {
        memset(g->grad_value, 0, (size_t)(keys * p->value_dim) * sizeof(float));
    }
    attn_additive_differentiate(&(attn_additive_backward){ .problem = p,
                                                           .tensors = &tensors,
                                                           .grad_output = g->grad_context,
                                                           .grad_query = l->grad_query,
                                                           .grad_key = grad_key,
                                                           .grad_value = grad_value,
                                                           .grad_v = g->grad_v,
                                                           .work = l->work });
    if (grad_key != l->grad_key) {
        memcpy(l->grad_key, grad_key, (size_t)(keys * p->hidden) * sizeof(float));
    }
    return project_backward(&c);
}

void clattn_additive_gradients_init(clattn_additive_gradients *gradients, size_t size) {
    static const clattn_additive_gradients start = CLATTN_ADDITIVE_GRADIENTS_INIT;
    attn_init_structure(gradients, size, &start, sizeof start);
}
