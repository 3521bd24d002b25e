/*
 * The derivative of attention layers: of the output projection, of the attention by a plan of clattn.h, of projections.
 * Knows no engine: the plan of the attention's backward chooses one, and the products go where it went.
 */
#include <string.h>

#include "clattn/clattn_inspect.h" /* clattn_tensors_check() */
#include "layers/attention_layer.h"

void attn_attention_learning_end(clattn_attention_layer *layer) {
    attn_attention_learning *l = &layer->learning;
    clattn_plan_destroy(l->plan);
    clattn_linear_backward_destroy(l->query);
    clattn_linear_backward_destroy(l->key);
    clattn_linear_backward_destroy(l->value);
    clattn_linear_backward_destroy(l->output);
    clattn_release(layer->runtime, l->grad_query);
    clattn_release(layer->runtime, l->grad_key);
    clattn_release(layer->runtime, l->grad_value);
    clattn_release(layer->runtime, l->grad_context);
    *l = (attn_attention_learning){ 0 };
}

static clattn_status make_linear(const clattn_attention_layer *layer, int64_t rows, int64_t in_dim, int64_t out_dim,
                                 const clattn_plan_options *options, clattn_linear_backward **backward,
                                 clattn_report *report) {
    const clattn_linear_problem problem = { sizeof problem, rows, in_dim, out_dim };
    return clattn_linear_backward_create(layer->runtime, &problem, options, backward, report);
}

static clattn_status make_ready(clattn_attention_layer *layer, const clattn_plan_options *plan, clattn_report *report) {
    attn_attention_learning *l = &layer->learning;
    const clattn_attention_layer_options *o = &layer->options;
    clattn_plan_info info;
    ATTN_TRY(clattn_plan_create(layer->runtime, &l->problem, plan, &l->plan, report));
    ATTN_TRY(clattn_plan_get_info(l->plan, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    int64_t rows = l->problem.batch * l->problem.query_length, keys = l->problem.batch * l->problem.key_length;
    if (o->project) {
        ATTN_TRY(make_linear(layer, rows, o->input_dim, layer->query_dim, &beside, &l->query, report));
        ATTN_TRY(make_linear(layer, keys, o->memory_dim, layer->key_dim, &beside, &l->key, report));
        ATTN_TRY(make_linear(layer, keys, o->memory_dim, layer->value_dim, &beside, &l->value, report));
    }
    if (o->output_dim > 0) {
        ATTN_TRY(make_linear(layer, rows, layer->context_dim, o->output_dim, &beside, &l->output, report));
    }
    l->grad_query = attn_layer_floats(layer->runtime, rows * layer->query_dim); /* as the layer's own memory */
    l->grad_key = attn_layer_floats(layer->runtime, keys * layer->key_dim);
    l->grad_value = attn_layer_floats(layer->runtime, keys * layer->value_dim);
    l->grad_context = attn_layer_floats(layer->runtime, o->output_dim > 0 ? rows * layer->context_dim : 0);
    return l->grad_query && l->grad_key && l->grad_value && l->grad_context ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_attention_layer_learn(clattn_attention_layer *layer, uint32_t gradients,
                                           const clattn_plan_options *plan, clattn_report *report) {
    const uint32_t known = CLATTN_GRADIENT_BIAS | CLATTN_GRADIENT_ALIBI_SLOPES | CLATTN_GRADIENT_SINKS;
    clattn_report_clear(report);
    if (!layer || (gradients & ~known) != 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%s",
                            layer ? "gradients: only those of bias, ALiBi slopes and sinks are asked for"
                                  : "layer: NULL");
    }
    if (!layer->options.attention.logsumexp) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "attention.logsumexp: backward needs it; ask the layer's forward to write it");
    }
    attn_attention_learning_end(layer); /* of an earlier call */
    clattn_problem problem = layer->options.attention;
    problem.direction = CLATTN_BACKWARD;
    problem.gradients = CLATTN_GRADIENT_QUERY | CLATTN_GRADIENT_KEY | CLATTN_GRADIENT_VALUE | gradients;
    problem.gradients_add = true;
    problem.weights = CLATTN_WEIGHTS_NONE;
    layer->learning.problem = problem;
    clattn_status status = make_ready(layer, plan, report);
    if (status != CLATTN_OK) {
        attn_attention_learning_end(layer);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------ one call */

typedef struct backward_call {
    clattn_attention_layer *layer;
    const clattn_attention_weights *weights;
    const clattn_attention_layer_io *io;
    const clattn_attention_gradients *gradients;
    clattn_tensors tensors;
    attn_attention_call call;
    const float *query, *key, *value, *context; /* what the forward made, or its inputs */
    float *grad_query, *grad_key, *grad_value;  /* the caller's, or the layer's */
    bool keys_made;                             /* by this layer's projections, of this call's memory */
} backward_call;

static clattn_tensor writable(float *data) {
    return attn_attention_rows(data);
}

static void place(backward_call *c) {
    const clattn_attention_layer *layer = c->layer;
    const attn_attention_learning *l = &layer->learning;
    const clattn_attention_layer_io *io = c->io;
    const clattn_attention_gradients *g = c->gradients;
    bool project = layer->options.project, bare = !layer->output_plan && !layer->options.residual;
    c->keys_made = project && !io->keep_memory;
    c->query = project ? io->query : io->input;
    c->key = project ? io->key : c->call.memory;
    c->value = project ? io->value : c->call.memory;
    c->context = io->context ? io->context : bare ? io->output : NULL;
    c->grad_query = g->grad_query ? g->grad_query : l->grad_query;
    c->grad_key = g->grad_key ? g->grad_key : l->grad_key;
    c->grad_value = g->grad_value ? g->grad_value : l->grad_value;
    clattn_tensors *t = &c->tensors;
    t->query = attn_attention_rows(c->query);
    t->key = attn_attention_rows(c->key);
    t->value = attn_attention_rows(c->value);
    t->output = attn_attention_rows(c->context);
    t->grad_output = attn_attention_rows(layer->output_plan ? l->grad_context : g->grad_output);
    t->grad_query = writable(c->grad_query);
    t->grad_key = writable(c->grad_key);
    t->grad_value = writable(c->grad_value);
    t->grad_bias = g->grad_bias;
    t->grad_alibi_slopes = g->grad_alibi_slopes;
    t->grad_sinks = g->grad_sinks;
}

/* Gradients of what the layer, or the call, does not have. */
static clattn_status check_wanted(const backward_call *c) {
    const clattn_attention_gradients *g = c->gradients;
    const uint32_t asked = c->layer->learning.problem.gradients;
    bool project = c->layer->options.project, output = c->layer->output_plan, made = c->keys_made;
    const struct {
        const char *name;
        bool wanted, there;
    } all[] = { { "grad_memory", g->grad_memory, !c->call.self && !c->io->keep_memory },
                { "grad_w_query", g->grad_w_query, project },
                { "grad_b_query", g->grad_b_query, project },
                { "grad_w_key", g->grad_w_key, made },
                { "grad_b_key", g->grad_b_key, made },
                { "grad_w_value", g->grad_w_value, made },
                { "grad_b_value", g->grad_b_value, made },
                { "grad_w_output", g->grad_w_output, output },
                { "grad_b_output", g->grad_b_output, output },
                { "grad_bias", g->grad_bias.data, (asked & CLATTN_GRADIENT_BIAS) != 0 },
                { "grad_alibi_slopes", g->grad_alibi_slopes.data, (asked & CLATTN_GRADIENT_ALIBI_SLOPES) != 0 },
                { "grad_sinks", g->grad_sinks.data, (asked & CLATTN_GRADIENT_SINKS) != 0 } };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (all[k].wanted && !all[k].there) {
            return LAYER_REFUSE(
                c->tensors.report, CLATTN_INVALID_TENSORS,
                "%s: the layer, the call or clattn_attention_layer_learn() has nothing that it belongs to",
                all[k].name);
        }
    }
    return CLATTN_OK;
}

static clattn_status check_memory(const backward_call *c) {
    const clattn_attention_layer *l = c->layer;
    const clattn_attention_layer_options *o = &l->options;
    const clattn_attention_gradients *g = c->gradients;
    const clattn_attention_weights *w = c->weights;
    int64_t rows = c->call.rows, keys = c->call.keys;
    int64_t output_dim = l->output_plan ? o->output_dim : l->context_dim;
    const attn_layer_array all[] = {
        { "grad_input", g->grad_input, rows * o->input_dim, false, true },
        { "grad_memory", g->grad_memory, keys * o->memory_dim, false, true },
        { "grad_query", g->grad_query, rows * l->query_dim, false, true },
        { "grad_key", g->grad_key, keys * l->key_dim, false, true },
        { "grad_value", g->grad_value, keys * l->value_dim, false, true },
        { "grad_w_query", g->grad_w_query, l->query_dim * o->input_dim, false, true },
        { "grad_w_key", g->grad_w_key, l->key_dim * o->memory_dim, false, true },
        { "grad_w_value", g->grad_w_value, l->value_dim * o->memory_dim, false, true },
        { "grad_w_output", g->grad_w_output, output_dim * l->context_dim, false, true },
        { "grad_b_query", g->grad_b_query, l->query_dim, false, true },
        { "grad_b_key", g->grad_b_key, l->key_dim, false, true },
        { "grad_b_value", g->grad_b_value, l->value_dim, false, true },
        { "grad_b_output", g->grad_b_output, output_dim, false, true },
        { "grad_output", g->grad_output, rows * output_dim, true, false },
        { "input", c->io->input, rows * o->input_dim, true, false },
        { "memory", c->call.self ? NULL : c->call.memory, keys * o->memory_dim, !c->call.self && !c->io->keep_memory,
          false },
        { "query", o->project ? c->query : NULL, rows * l->query_dim, o->project, false },
        { "key", o->project ? c->key : NULL, keys * l->key_dim, o->project, false },
        { "value", o->project ? c->value : NULL, keys * l->value_dim, o->project, false },
        { "context", c->context, rows * l->context_dim, true, false },
        { "w_query", w ? w->w_query : NULL, l->query_dim * o->input_dim, o->project, false },
        { "w_key", w ? w->w_key : NULL, l->key_dim * o->memory_dim, c->keys_made, false },
        { "w_value", w ? w->w_value : NULL, l->value_dim * o->memory_dim, c->keys_made, false },
        { "w_output", w ? w->w_output : NULL, output_dim * l->context_dim, o->output_dim > 0, false },
    };
    return attn_layer_check(all, sizeof all / sizeof *all, c->tensors.report);
}

static clattn_status check_call(backward_call *c) {
    ATTN_TRY(attn_attention_size(c->layer, c->io, &c->tensors, &c->call));
    place(c);
    ATTN_TRY(check_wanted(c));
    ATTN_TRY(check_memory(c));
    return clattn_tensors_check(&c->layer->learning.problem, &c->tensors, c->tensors.report);
}

/* From the output to the context. */
static clattn_status output_backward(const backward_call *c) {
    const attn_attention_learning *l = &c->layer->learning;
    const clattn_attention_gradients *g = c->gradients;
    if (!c->layer->output_plan) {
        return CLATTN_OK;
    }
    clattn_linear_gradients call = CLATTN_LINEAR_GRADIENTS_INIT;
    call.grad_output = g->grad_output;
    call.input = c->context;
    call.w = c->weights->w_output;
    call.grad_input = l->grad_context;
    call.grad_w = g->grad_w_output;
    call.grad_b = g->grad_b_output;
    call.report = c->tensors.report;
    return attn_layer_backward(l->output, &c->call.of_output, &call);
}

static clattn_status attention_backward(const backward_call *c) {
    const clattn_attention_layer *l = c->layer;
    memset(c->grad_query, 0, (size_t)(c->call.rows * l->query_dim) * sizeof(float));
    memset(c->grad_key, 0, (size_t)(c->call.keys * l->key_dim) * sizeof(float));
    memset(c->grad_value, 0, (size_t)(c->call.keys * l->value_dim) * sizeof(float));
    return clattn_execute(l->learning.plan, &c->tensors); /* added to */
}

typedef struct projection {
    clattn_linear_backward *backward;
    int64_t rows;
    const float *grad_output, *input, *w;
    float *grad_input, *grad_w, *grad_b;
    bool add;
} projection;

static clattn_status project_backward(const backward_call *c) {
    const attn_attention_learning *l = &c->layer->learning;
    const clattn_attention_gradients *g = c->gradients;
    const clattn_attention_weights *w = c->weights;
    float *memory = c->call.self ? g->grad_input : g->grad_memory;
    const projection all[] = {
        { l->query, c->call.rows, c->grad_query, c->io->input, w->w_query, g->grad_input, g->grad_w_query,
          g->grad_b_query, false },
        { l->key, c->call.keys, c->grad_key, c->call.memory, w->w_key, memory, g->grad_w_key, g->grad_b_key,
          c->call.self },
        { l->value, c->call.keys, c->grad_value, c->call.memory, w->w_value, memory, g->grad_w_value, g->grad_b_value,
          true },
    };
    for (int k = 0; k < (c->keys_made ? 3 : 1); k++) {
        const projection *p = &all[k];
        const clattn_linear_gradients call = { sizeof call,   p->rows, p->grad_output, p->input,  p->w,
                                               p->grad_input, p->add,  p->grad_w,      p->grad_b, c->tensors.report };
        ATTN_TRY(attn_layer_backward(p->backward, &(attn_layer_rows){ 1, p->rows, p->rows }, &call));
    }
    return CLATTN_OK;
}

/* Without projections query is the input, key and value are the memory. */
static void inputs_backward(const backward_call *c) {
    const clattn_attention_layer *l = c->layer;
    int64_t rows = c->call.rows * l->query_dim, keys = c->call.keys * l->key_dim;
    float *input = c->gradients->grad_input, *memory = c->call.self ? input : c->gradients->grad_memory;
    if (input) {
        memcpy(input, c->grad_query, (size_t)rows * sizeof(float));
    }
    if (memory) {
        if (c->call.self) {
            attn_layer_sum(l->runtime, keys, c->grad_key, memory);
        } else {
            memcpy(memory, c->grad_key, (size_t)keys * sizeof(float));
        }
        attn_layer_sum(l->runtime, keys, c->grad_value, memory);
    }
}

static void residual_backward(const backward_call *c) {
    const attn_layer_rows *rows = &c->call.of_output;
    int64_t dim = c->layer->options.input_dim;
    for (int64_t group = 0; group < rows->groups && c->gradients->grad_input; group++) {
        int64_t at = group * rows->pitch * dim;
        attn_layer_sum(c->layer->runtime, rows->used * dim, c->gradients->grad_output + at,
                       c->gradients->grad_input + at);
    }
}

clattn_status clattn_attention_layer_backward(clattn_attention_layer *layer, const clattn_attention_weights *weights,
                                              const clattn_attention_layer_io *io,
                                              const clattn_attention_gradients *gradients) {
    if (!layer || !io || io->struct_size != sizeof *io || io->attention.struct_size != sizeof io->attention ||
        !gradients || gradients->struct_size != sizeof *gradients) {
        return CLATTN_INVALID_ARGUMENT;
    }
    backward_call c = {
        .layer = layer, .weights = weights, .io = io, .gradients = gradients, .tensors = io->attention
    };
    clattn_report_clear(c.tensors.report);
    if (!layer->learning.plan) {
        return LAYER_REFUSE(c.tensors.report, CLATTN_INVALID_ARGUMENT,
                            "layer: clattn_attention_layer_learn() has not made it ready for backward");
    }
    ATTN_TRY(check_call(&c));
    ATTN_TRY(output_backward(&c));
    ATTN_TRY(attention_backward(&c));
    if (layer->options.project) {
        ATTN_TRY(project_backward(&c));
    } else {
        inputs_backward(&c);
    }
    if (layer->options.residual) {
        residual_backward(&c);
    }
    return CLATTN_OK;
}

void clattn_attention_gradients_init(clattn_attention_gradients *gradients, size_t size) {
    static const clattn_attention_gradients start = CLATTN_ATTENTION_GRADIENTS_INIT;
    attn_init_structure(gradients, size, &start, sizeof start);
}
