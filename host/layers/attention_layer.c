/*
 * Attention layers: projections by linear plans, attention by a plan of clattn.h, output projection, residual. Knows no
 * engine: the attention plan chooses one, and the products go where it went. attention_systems.c has the options of
 * known systems.
 */
#include <inttypes.h>
#include <string.h>

#include "clattn/clattn_inspect.h" /* clattn_problem_resolve() */
#include "layers/attention_layer.h"

void clattn_attention_layer_destroy(clattn_attention_layer *layer) {
    if (!layer) {
        return;
    }
    attn_attention_learning_end(layer);
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
        o->plan.caller_workspace || p->dropout_mask) {
        return LAYER_REFUSE(
            report, CLATTN_INVALID_PROBLEM,
            "attention: a layer is fp32, forward, in host memory, with the plan's workspace, without dropout_mask");
    }
    o->memory_dim = o->memory_dim == CLATTN_SAME ? o->input_dim : o->memory_dim;
    l->query_dim = p->query_heads * p->head_dim;
    l->key_dim = p->kv_heads * p->head_dim;
    l->value_dim = p->kv_heads * p->value_dim;
    l->context_dim = p->query_heads * p->value_dim;
    if (o->input_dim < 1 || o->memory_dim < 1 || o->output_dim < 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "input_dim, memory_dim, output_dim: %" PRId64 ", %" PRId64 ", %" PRId64, o->input_dim,
                            o->memory_dim, o->output_dim);
    }
    if (!o->project && (o->input_dim != l->query_dim || o->memory_dim != l->key_dim || o->memory_dim != l->value_dim)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "project: without it input_dim must be heads * head_dim = %" PRId64 ", memory_dim %" PRId64
                            " and %" PRId64,
                            l->query_dim, l->key_dim, l->value_dim);
    }
    int64_t output_dim = o->output_dim > 0 ? o->output_dim : l->context_dim;
    if (o->residual && output_dim != o->input_dim) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "residual: the output has %" PRId64 " columns, the input %" PRId64, output_dim,
                            o->input_dim);
    }
    return CLATTN_OK;
}

static clattn_problem scores_of(const clattn_attention_layer_options *o) {
    clattn_problem scores = o->attention;
    scores.weights = CLATTN_WEIGHTS_RAW;
    scores.weights_first_head = scores.weights_first_row = 0;
    scores.weights_heads = scores.weights_rows = CLATTN_SAME;
    scores.logsumexp = false;
    scores.dropout = 0;
    return scores;
}

static clattn_status make_plans(clattn_attention_layer *l, clattn_report *report) {
    const clattn_attention_layer_options *o = &l->options;
    ATTN_TRY(clattn_plan_create(l->runtime, &o->attention, &o->plan, &l->plan, report));
    clattn_plan_info info;
    ATTN_TRY(clattn_plan_get_info(l->plan, &info));
    if (o->scores) {
        clattn_problem scores = scores_of(o);
        ATTN_TRY(clattn_plan_create(l->runtime, &scores, &o->plan, &l->scores_plan, report));
    }
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    int64_t rows = o->attention.batch * o->attention.query_length, keys = o->attention.batch * o->attention.key_length;
    if (o->project) {
        ATTN_TRY(attn_layer_linear(l->runtime, rows, o->input_dim, l->query_dim, &beside, &l->query_plan, report));
        ATTN_TRY(attn_layer_linear(l->runtime, keys, o->memory_dim, l->key_dim, &beside, &l->key_plan, report));
        ATTN_TRY(attn_layer_linear(l->runtime, keys, o->memory_dim, l->value_dim, &beside, &l->value_plan, report));
    }
    if (o->output_dim > 0) {
        ATTN_TRY(attn_layer_linear(l->runtime, rows, l->context_dim, o->output_dim, &beside, &l->output_plan, report));
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
    clattn_report_clear(report);
    if (layer) {
        *layer = NULL;
    }
    if (!runtime || !options || !layer || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, options, layer: NULL, or options.struct_size is not "
                            "clattn_attention_layer_options'");
    }
    if (options->attention.head_dim == 0 && options->attention.query_heads > 0 &&
        options->input_dim % options->attention.query_heads != 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "head_dim: 0; input_dim %" PRId64 " does not divide among %" PRId64 " heads",
                            options->input_dim, options->attention.query_heads);
    }
    clattn_problem problem;
    ATTN_TRY(clattn_problem_resolve(&options->attention, &problem, report));
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
    made->options.plan = (clattn_plan_options)CLATTN_PLAN_OPTIONS_INIT; /* nothing of the caller's is kept */
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
    float *query, *key, *value, *context; /* where they are written; NULL for what are the inputs */
} forward_call;

/* The second pass of attention, for the scores alone. */
static clattn_tensors scores_tensors(const forward_call *c) {
    clattn_tensors tensors = c->tensors;
    tensors.output = (clattn_tensor){ .data = c->layer->context, .layout = CLATTN_BSHD };
    tensors.weights = (clattn_array){ c->io->scores, 0 };
    return tensors;
}

clattn_tensor attn_attention_rows(const float *data) {
    return (clattn_tensor){ .data = (void *)(uintptr_t)data, .layout = CLATTN_BSHD }; /* inputs are only read */
}

/* Where query, key, value and context of the call are: the caller's arrays, the layer's, or the inputs as they are. */
static void place_tensors(forward_call *c) {
    const clattn_attention_layer *l = c->layer;
    const clattn_attention_layer_io *io = c->io;
    bool project = l->options.project;
    c->query = !project ? NULL : io->query ? io->query : l->query;
    c->key = !project ? NULL : io->key ? io->key : l->key;
    c->value = !project ? NULL : io->value ? io->value : l->value;
    c->context = io->context ? io->context : l->output_plan ? l->context : io->output;
    c->tensors.query = attn_attention_rows(project ? c->query : io->input);
    c->tensors.key = attn_attention_rows(project ? c->key : c->memory);
    c->tensors.value = attn_attention_rows(project ? c->value : c->memory);
    c->tensors.output = attn_attention_rows(c->context);
}

static const float *floats_of(bool written, const clattn_array *array) {
    return written && array->data ? (const float *)array->data + array->offset : NULL;
}

/* No array that is written may overlap another one of the caller's. The tensors of the attention are checked already. */
static clattn_status check_overlap(const forward_call *c) {
    const clattn_attention_layer *l = c->layer;
    const clattn_attention_layer_options *o = &l->options;
    const clattn_problem *p = &o->attention;
    const clattn_attention_layer_io *io = c->io;
    bool kept = io->keep_memory, twice = io->context == io->output && !l->output_plan; /* the output is the context */
    const struct {
        const char *name;
        const float *data;
        int64_t count;
        bool written;
    } all[] = {
        { "output", io->output, c->rows * (l->output_plan ? o->output_dim : l->context_dim), true },
        { "context", twice ? NULL : io->context, c->rows * l->context_dim, true },
        { "query", io->query, c->rows * l->query_dim, true },
        { "key", io->key, c->keys * l->key_dim, !kept },
        { "value", io->value, c->keys * l->value_dim, !kept },
        { "scores", o->scores ? io->scores : NULL, p->batch * p->query_heads * p->query_length * p->key_length, true },
        { "attention.weights", floats_of(p->weights != CLATTN_WEIGHTS_NONE, &c->tensors.weights),
          p->batch * p->weights_heads * p->weights_rows * p->key_length, true },
        { "attention.logsumexp", floats_of(p->logsumexp, &c->tensors.logsumexp),
          p->batch * p->query_heads * p->query_length, true },
        { "input", io->input, c->rows * o->input_dim, false },
        { "memory", c->memory == io->input ? NULL : c->memory, c->keys * o->memory_dim, false },
    };
    size_t count = sizeof all / sizeof *all;
    for (size_t k = 0; k < count; k++) {
        for (size_t n = 0; n < k; n++) {
            if ((all[k].written || all[n].written) &&
                attn_layer_meet(all[k].data, all[k].count, all[n].data, all[n].count)) {
                return LAYER_REFUSE(c->tensors.report, CLATTN_INVALID_TENSORS, "%s: overlaps %s", all[n].name,
                                    all[k].name);
            }
        }
    }
    return CLATTN_OK;
}

clattn_status attn_attention_weights(const clattn_attention_layer *layer, const clattn_attention_weights *w,
                                     bool keep_memory, clattn_report *report) {
    const clattn_attention_layer_options *o = &layer->options;
    bool memory = o->project && !keep_memory;
    const struct {
        const char *name;
        bool needed, there;
    } all[] = { { "weights", o->project || o->output_dim > 0, w },
                { "w_query", o->project, w && w->w_query },
                { "w_key", memory, w && w->w_key },
                { "w_value", memory, w && w->w_value },
                { "w_output", o->output_dim > 0, w && w->w_output } };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (all[k].needed && !all[k].there) {
            return LAYER_REFUSE(report, CLATTN_INVALID_TENSORS, "%s: missing", all[k].name);
        }
    }
    return CLATTN_OK;
}

/* What the attention of the call will refuse, before the projections write anything. */
static clattn_status check_attention(const forward_call *c) {
    const clattn_attention_layer *l = c->layer;
    ATTN_TRY(clattn_tensors_check(&l->options.attention, &c->tensors, c->tensors.report));
    if (l->scores_plan) {
        clattn_problem problem = scores_of(&l->options);
        clattn_tensors tensors = scores_tensors(c);
        ATTN_TRY(clattn_tensors_check(&problem, &tensors, c->tensors.report));
    }
    return CLATTN_OK;
}

clattn_status attn_attention_size(const clattn_attention_layer *layer, const clattn_attention_layer_io *io,
                                  clattn_tensors *t, attn_attention_call *call) {
    const clattn_attention_layer_options *o = &layer->options;
    const clattn_problem *p = &o->attention;
    bool self = !io->memory && !io->keep_memory;
    if (self && (o->memory_dim != o->input_dim || p->key_length != p->query_length)) {
        return LAYER_REFUSE(t->report, CLATTN_INVALID_TENSORS, "memory: missing, and the input is of another shape");
    }
    if (io->keep_memory && (!o->project || !io->key || !io->value)) {
        return LAYER_REFUSE(t->report, CLATTN_INVALID_TENSORS, "keep_memory: needs projections, key and value");
    }
    if (self && t->key_length == CLATTN_SAME) {
        t->key_length = t->query_length;
    }
    int64_t rows = t->query_length == CLATTN_SAME ? p->query_length : t->query_length;
    int64_t keys = t->key_length == CLATTN_SAME ? p->key_length : t->key_length;
    if (rows < 0 || rows > p->query_length || keys < 0 || keys > p->key_length) {
        return LAYER_REFUSE(t->report, CLATTN_INVALID_TENSORS,
                            "query_length, key_length: %" PRId64 ", %" PRId64 " of at most %" PRId64 ", %" PRId64, rows,
                            keys, p->query_length, p->key_length);
    }
    /* entries lie at the largest length: of a single one only the used rows are projected */
    int64_t pitch = p->batch == 1 ? rows : p->query_length;
    *call = (attn_attention_call){ .rows = p->batch * pitch,
                                   .keys = p->batch == 1 ? keys : p->batch * p->key_length,
                                   .of_output = { p->batch, rows, pitch },
                                   .memory = self ? io->input : io->memory,
                                   .self = self };
    return CLATTN_OK;
}

static clattn_status check_call(forward_call *c) {
    const clattn_attention_layer_options *o = &c->layer->options;
    clattn_tensors *t = &c->tensors;
    attn_attention_call call;
    ATTN_TRY(attn_attention_size(c->layer, c->io, t, &call));
    ATTN_TRY(attn_attention_weights(c->layer, c->weights, c->io->keep_memory, t->report));
    if (!c->io->input || !c->io->output || (o->scores && !c->io->scores)) {
        return LAYER_REFUSE(t->report, CLATTN_INVALID_TENSORS, "%s: missing",
                            !c->io->input    ? "input"
                            : !c->io->output ? "output"
                                             : "scores");
    }
    c->rows = call.rows;
    c->keys = call.keys;
    c->memory = call.memory;
    place_tensors(c);
    ATTN_TRY(check_attention(c));
    return check_overlap(c);
}

static clattn_status project(forward_call *c) {
    clattn_attention_layer *l = c->layer;
    const clattn_attention_layer_io *io = c->io;
    const clattn_attention_weights *w = c->weights;
    clattn_report *report = c->tensors.report;
    ATTN_TRY(attn_layer_apply(l->query_plan, c->rows, io->input, w->w_query, w->b_query, false, c->query, report));
    if (!io->keep_memory) {
        ATTN_TRY(attn_layer_apply(l->key_plan, c->keys, c->memory, w->w_key, w->b_key, false, c->key, report));
        ATTN_TRY(attn_layer_apply(l->value_plan, c->keys, c->memory, w->w_value, w->b_value, false, c->value, report));
    }
    return CLATTN_OK;
}

/* Whoever asks for query, key and value of a layer without projections gets copies of what served as such. */
static void copy_inputs(forward_call *c) {
    const clattn_attention_layer_io *io = c->io;
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
    clattn_tensors tensors = scores_tensors(c);
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
    if (l->options.residual) {
        attn_layer_sum(l->runtime, (int64_t)columns, io->input, io->output);
    }
    return CLATTN_OK;
}

clattn_status clattn_attention_layer_forward(clattn_attention_layer *layer, const clattn_attention_weights *weights,
                                             const clattn_attention_layer_io *io) {
    if (!layer || !io || io->struct_size != sizeof *io || io->attention.struct_size != sizeof io->attention) {
        return CLATTN_INVALID_ARGUMENT;
    }
    forward_call c = { .layer = layer, .weights = weights, .io = io, .tensors = io->attention };
    clattn_report_clear(c.tensors.report);
    ATTN_TRY(check_call(&c));
    if (layer->options.project) {
        ATTN_TRY(project(&c));
    } else {
        copy_inputs(&c);
    }
    if (layer->scores_plan) {
        ATTN_TRY(write_scores(&c));
    }
    ATTN_TRY(clattn_execute(layer->plan, &c.tensors));
    return finish(&c, c.context);
}
