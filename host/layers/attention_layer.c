/*
 * Attention layers: projections by linear plans, attention by a plan of clattn.h, output projection, residual. Knows no
 * engine: the attention plan chooses one, and the products go where it went. To add a system of the same build: a
 * function that fills the options, at the end.
 */
#include <string.h>

#include "clattn/clattn_inspect.h" /* clattn_problem_resolve() */
#include "layers/layer.h"

struct clattn_attention_layer {
    clattn_runtime *runtime;
    clattn_attention_layer_options options; /* resolved */
    clattn_plan *plan, *scores_plan;
    clattn_linear_plan *query_plan, *key_plan, *value_plan, *output_plan;
    int64_t query_dim, key_dim, value_dim, context_dim; /* columns of a row, all heads */
    float *query, *key, *value, *context;
};

void clattn_attention_layer_destroy(clattn_attention_layer *layer) {
    if (!layer) {
        return;
    }
    clattn_plan_destroy(layer->plan);
    clattn_plan_destroy(layer->scores_plan);
    clattn_linear_plan_destroy(layer->query_plan);
    clattn_linear_plan_destroy(layer->key_plan);
    clattn_linear_plan_destroy(layer->value_plan);
    clattn_linear_plan_destroy(layer->output_plan);
    clattn_release(layer->runtime, layer->query);
    clattn_release(layer->runtime, layer->key);
    clattn_release(layer->runtime, layer->value);
    clattn_release(layer->runtime, layer->context);
    clattn_release(layer->runtime, layer);
}

static clattn_status check_dims(clattn_attention_layer *l, clattn_report *report) {
    clattn_attention_layer_options *o = &l->options;
    const clattn_problem *p = &o->attention;
    if (p->type != CLATTN_FP32 || p->direction != CLATTN_FORWARD || p->memory != CLATTN_MEMORY_HOST ||
        p->caller_workspace) {
        return attn_layer_refuse(report, CLATTN_INVALID_PROBLEM,
                                 "attention: a layer is fp32, forward, in host memory, with the plan's workspace");
    }
    o->memory_dim = o->memory_dim == CLATTN_SAME ? o->input_dim : o->memory_dim;
    l->query_dim = p->query_heads * p->head_dim;
    l->key_dim = p->kv_heads * p->head_dim;
    l->value_dim = p->kv_heads * p->value_dim;
    l->context_dim = p->query_heads * p->value_dim;
    if (o->input_dim < 1 || o->memory_dim < 1 || o->output_dim < 0) {
        return attn_layer_refuse(report, CLATTN_INVALID_PROBLEM, "input_dim, memory_dim, output_dim: %lld, %lld, %lld",
                                 (long long)o->input_dim, (long long)o->memory_dim, (long long)o->output_dim);
    }
    if (!o->project && (o->input_dim != l->query_dim || o->memory_dim != l->key_dim || o->memory_dim != l->value_dim)) {
        return attn_layer_refuse(
            report, CLATTN_INVALID_PROBLEM,
            "project: without it input_dim must be heads * head_dim = %lld, memory_dim %lld and %lld",
            (long long)l->query_dim, (long long)l->key_dim, (long long)l->value_dim);
    }
    int64_t output_dim = o->output_dim > 0 ? o->output_dim : l->context_dim;
    if (o->residual && output_dim != o->input_dim) {
        return attn_layer_refuse(report, CLATTN_INVALID_PROBLEM,
                                 "residual: the output has %lld columns, the input %lld", (long long)output_dim,
                                 (long long)o->input_dim);
    }
    return CLATTN_OK;
}

static clattn_status make_plans(clattn_attention_layer *l, clattn_report *report) {
    const clattn_attention_layer_options *o = &l->options;
    LAYER_TRY(clattn_plan_create(l->runtime, &o->attention, &l->plan, report));
    clattn_plan_info info;
    LAYER_TRY(clattn_plan_get_info(l->plan, &info));
    if (o->scores) {
        clattn_problem scores = o->attention;
        scores.weights = CLATTN_WEIGHTS_RAW;
        scores.weights_first_head = scores.weights_first_row = 0;
        scores.weights_heads = scores.weights_rows = CLATTN_SAME;
        scores.logsumexp = false;
        LAYER_TRY(clattn_plan_create(l->runtime, &scores, &l->scores_plan, report));
    }
    int64_t rows = o->attention.batch * o->attention.query_length, keys = o->attention.batch * o->attention.key_length;
    if (o->project) {
        LAYER_TRY(attn_layer_linear(l->runtime, rows, o->input_dim, l->query_dim, info.engine, info.device,
                                    &l->query_plan, report));
        LAYER_TRY(attn_layer_linear(l->runtime, keys, o->memory_dim, l->key_dim, info.engine, info.device, &l->key_plan,
                                    report));
        LAYER_TRY(attn_layer_linear(l->runtime, keys, o->memory_dim, l->value_dim, info.engine, info.device,
                                    &l->value_plan, report));
    }
    if (o->output_dim > 0) {
        LAYER_TRY(attn_layer_linear(l->runtime, rows, l->context_dim, o->output_dim, info.engine, info.device,
                                    &l->output_plan, report));
    }
    return CLATTN_OK;
}

static clattn_status make_memory(clattn_attention_layer *l) {
    const clattn_attention_layer_options *o = &l->options;
    int64_t rows = o->attention.batch * o->attention.query_length, keys = o->attention.batch * o->attention.key_length;
    if (o->project) {
        l->query = attn_layer_floats(l->runtime, rows * l->query_dim);
        l->key = attn_layer_floats(l->runtime, keys * l->key_dim);
        l->value = attn_layer_floats(l->runtime, keys * l->value_dim);
    }
    if (o->output_dim > 0 || o->scores) {
        l->context = attn_layer_floats(l->runtime, rows * l->context_dim);
    }
    bool projections = !o->project || (l->query && l->key && l->value);
    return projections && (l->context || (o->output_dim == 0 && !o->scores)) ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_attention_layer_create(clattn_runtime *runtime, const clattn_attention_layer_options *options,
                                            clattn_attention_layer **layer, clattn_report *report) {
    attn_layer_clear(report);
    if (layer) {
        *layer = NULL;
    }
    if (!runtime || !options || !layer || options->struct_size != sizeof *options) {
        return attn_layer_refuse(report, CLATTN_INVALID_ARGUMENT,
                                 "runtime, options, layer: NULL, or options not initialised");
    }
    clattn_problem problem;
    LAYER_TRY(clattn_problem_resolve(&options->attention, &problem, report));
    clattn_attention_layer *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_attention_layer){ .runtime = runtime, .options = *options };
    made->options.attention = problem;
    clattn_status status = check_dims(made, report);
    status = status == CLATTN_OK ? make_plans(made, report) : status;
    status = status == CLATTN_OK ? make_memory(made) : status;
    if (status != CLATTN_OK) {
        clattn_attention_layer_destroy(made);
        return status;
    }
    made->options.attention.engine = NULL; /* the caller's string is not kept */
    *layer = made;
    return CLATTN_OK;
}

clattn_status clattn_attention_layer_get_info(const clattn_attention_layer *layer, clattn_plan_info *info) {
    return layer ? clattn_plan_get_info(layer->plan, info) : CLATTN_INVALID_ARGUMENT;
}

/* ------------------------------------------------------------------------------------------------ one call */

typedef struct forward_call {
    clattn_attention_layer *layer;
    const clattn_attention_weights *weights;
    const clattn_attention_layer_io *io;
    clattn_tensors tensors;
    int64_t rows, keys; /* of the call: of all entries */
    const float *memory;
} forward_call;

static clattn_status check_call(forward_call *c) {
    const clattn_attention_layer_options *o = &c->layer->options;
    const clattn_problem *p = &o->attention;
    clattn_tensors *t = &c->tensors;
    bool self = !c->io->memory && !c->io->keep_memory;
    if (self && (o->memory_dim != o->input_dim || p->key_length != p->query_length)) {
        return attn_layer_refuse(t->report, CLATTN_INVALID_TENSORS,
                                 "memory: missing, and the input is of another shape");
    }
    if (c->io->keep_memory && (!o->project || !c->io->key || !c->io->value)) {
        return attn_layer_refuse(t->report, CLATTN_INVALID_TENSORS, "keep_memory: needs projections, key and value");
    }
    if (!c->weights && (o->project || o->output_dim > 0)) {
        return attn_layer_refuse(t->report, CLATTN_INVALID_TENSORS, "weights: missing");
    }
    if (!c->io->input || !c->io->output || (o->scores && !c->io->scores)) {
        return attn_layer_refuse(t->report, CLATTN_INVALID_TENSORS, "%s: missing",
                                 !c->io->input    ? "input"
                                 : !c->io->output ? "output"
                                                  : "scores");
    }
    if (self && t->key_length == CLATTN_SAME) {
        t->key_length = t->query_length;
    }
    int64_t rows = t->query_length == CLATTN_SAME ? p->query_length : t->query_length;
    int64_t keys = t->key_length == CLATTN_SAME ? p->key_length : t->key_length;
    if (rows < 0 || rows > p->query_length || keys < 0 || keys > p->key_length) {
        return attn_layer_refuse(t->report, CLATTN_INVALID_TENSORS,
                                 "query_length, key_length: %lld, %lld of at most %lld, %lld", (long long)rows,
                                 (long long)keys, (long long)p->query_length, (long long)p->key_length);
    }
    /* entries lie at the largest length: of a single one only the used rows are projected */
    c->rows = p->batch == 1 ? rows : p->batch * p->query_length;
    c->keys = p->batch == 1 ? keys : p->batch * p->key_length;
    c->memory = self ? c->io->input : c->io->memory;
    return CLATTN_OK;
}

static clattn_tensor rows_of(const float *data) {
    return (clattn_tensor){ .data = (void *)(uintptr_t)data, .layout = CLATTN_BSHD }; /* inputs are only read */
}

static clattn_status project(forward_call *c) {
    clattn_attention_layer *l = c->layer;
    const clattn_attention_layer_io *io = c->io;
    const clattn_attention_weights *w = c->weights;
    clattn_report *report = c->tensors.report;
    float *query = io->query ? io->query : l->query, *key = io->key ? io->key : l->key,
          *value = io->value ? io->value : l->value;
    LAYER_TRY(attn_layer_apply(l->query_plan, c->rows, io->input, w->w_query, w->b_query, false, query, report));
    if (!io->keep_memory) {
        LAYER_TRY(attn_layer_apply(l->key_plan, c->keys, c->memory, w->w_key, w->b_key, false, key, report));
        LAYER_TRY(attn_layer_apply(l->value_plan, c->keys, c->memory, w->w_value, w->b_value, false, value, report));
    }
    c->tensors.query = rows_of(query);
    c->tensors.key = rows_of(key);
    c->tensors.value = rows_of(value);
    return CLATTN_OK;
}

/* Whoever asks for query, key and value of a layer without projections gets copies of what served as such. */
static void use_inputs(forward_call *c) {
    const clattn_attention_layer_io *io = c->io;
    c->tensors.query = rows_of(io->input);
    c->tensors.key = rows_of(c->memory);
    c->tensors.value = rows_of(c->memory);
    if (io->query) {
        memcpy(io->query, io->input, (size_t)(c->rows * c->layer->query_dim) * sizeof(float));
    }
    if (io->key) {
        memcpy(io->key, c->memory, (size_t)(c->keys * c->layer->key_dim) * sizeof(float));
    }
    if (io->value) {
        memcpy(io->value, c->memory, (size_t)(c->keys * c->layer->value_dim) * sizeof(float));
    }
}

static clattn_status write_scores(forward_call *c) {
    clattn_tensors tensors = c->tensors;
    tensors.output = rows_of(c->layer->context);
    tensors.weights = (clattn_array){ c->io->scores, 0 };
    return clattn_execute(c->layer->scores_plan, &tensors);
}

static clattn_status finish(forward_call *c, float *context) {
    clattn_attention_layer *l = c->layer;
    const clattn_attention_layer_io *io = c->io;
    size_t columns = (size_t)c->rows * (size_t)l->context_dim;
    if (l->output_plan) {
        bool residual = l->options.residual;
        if (residual) {
            memcpy(io->output, io->input, (size_t)(c->rows * l->options.input_dim) * sizeof(float));
        }
        return attn_layer_apply(l->output_plan, c->rows, context, c->weights->w_output, c->weights->b_output, residual,
                                io->output, c->tensors.report);
    }
    if (context != io->output) {
        memcpy(io->output, context, columns * sizeof(float));
    }
    for (size_t k = 0; l->options.residual && k < columns; k++) {
        io->output[k] += io->input[k];
    }
    return CLATTN_OK;
}

clattn_status clattn_attention_layer_forward(clattn_attention_layer *layer, const clattn_attention_weights *weights,
                                             const clattn_attention_layer_io *io) {
    if (!layer || !io || io->struct_size != sizeof *io || io->attention.struct_size != sizeof io->attention) {
        return CLATTN_INVALID_ARGUMENT;
    }
    forward_call c = { .layer = layer, .weights = weights, .io = io, .tensors = io->attention };
    attn_layer_clear(c.tensors.report);
    LAYER_TRY(check_call(&c));
    if (layer->options.project) {
        LAYER_TRY(project(&c));
    } else {
        use_inputs(&c);
    }
    if (layer->scores_plan) {
        LAYER_TRY(write_scores(&c));
    }
    float *context = io->context ? io->context : layer->output_plan ? layer->context : io->output;
    c.tensors.output = rows_of(context);
    LAYER_TRY(clattn_execute(layer->plan, &c.tensors));
    return finish(&c, context);
}

/* ------------------------------------------------------------------------------------------------ the systems */

static clattn_attention_layer_options of_heads(int64_t query_length, int64_t key_length, int64_t input_dim,
                                               int64_t heads, int64_t head_dim) {
    clattn_attention_layer_options options = { .struct_size = sizeof options, .attention = CLATTN_PROBLEM_INIT };
    options.attention.query_heads = heads;
    options.attention.query_length = query_length;
    options.attention.key_length = key_length;
    options.attention.head_dim = head_dim;
    options.input_dim = input_dim;
    options.memory_dim = CLATTN_SAME;
    options.project = true;
    return options;
}

clattn_attention_layer_options clattn_simplified_self_attention(int64_t length, int64_t dim) {
    clattn_attention_layer_options options = of_heads(length, CLATTN_SAME, dim, 1, dim);
    options.project = false;
    options.scores = true;
    options.attention.has_scale = true;
    options.attention.scale = 1;
    options.attention.weights = CLATTN_WEIGHTS_SOFTMAX;
    return options;
}

clattn_attention_layer_options clattn_self_attention(int64_t length, int64_t input_dim, int64_t head_dim, bool causal) {
    clattn_attention_layer_options options = of_heads(length, CLATTN_SAME, input_dim, 1, head_dim);
    options.attention.causal = causal;
    options.attention.alignment = causal ? CLATTN_ALIGN_TOP_LEFT : CLATTN_ALIGN_UNSET;
    return options;
}

clattn_attention_layer_options clattn_multi_head_attention(int64_t length, int64_t dim, int64_t heads) {
    clattn_attention_layer_options options = of_heads(length, CLATTN_SAME, dim, heads, heads > 0 ? dim / heads : 0);
    options.output_dim = dim;
    options.residual = true;
    return options;
}

clattn_attention_layer_options clattn_cross_attention(int64_t query_length, int64_t memory_length, int64_t input_dim,
                                                      int64_t memory_dim, int64_t head_dim) {
    clattn_attention_layer_options options = of_heads(query_length, memory_length, input_dim, 1, head_dim);
    options.memory_dim = memory_dim;
    return options;
}
