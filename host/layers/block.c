/*
 * A transformer block: norm, attention, residual, norm, two linear maps with GELU between, residual. A composition of
 * the other layers; knows no engine. Of a call it keeps nothing: what backward needs is in the caller's memory, so one
 * block computes all blocks of a model, each with parameters of its own.
 */
#include "layers/block.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NORM1, QUERY, KEY, VALUE, CONTEXT, LOGSUMEXP, MIDDLE, NORM2, UP, BENT, KEPT }; /* what is kept of a call */

struct clattn_block {
    clattn_runtime *runtime;
    clattn_block_options options; /* resolved */
    clattn_attention_layer *attention;
    clattn_linear_plan *up, *down;
    clattn_linear_backward *up_backward, *down_backward;
    float *grad_wide, *grad_norm, *grad_middle;
    int64_t sizes[KEPT], kept;
};

void clattn_block_destroy(clattn_block *block) {
    if (block) {
        clattn_attention_layer_destroy(block->attention);
        clattn_linear_plan_destroy(block->up);
        clattn_linear_plan_destroy(block->down);
        clattn_linear_backward_destroy(block->up_backward);
        clattn_linear_backward_destroy(block->down_backward);
        clattn_release(block->runtime, block->grad_wide);
        clattn_release(block->runtime, block->grad_norm);
        clattn_release(block->runtime, block->grad_middle);
        clattn_release(block->runtime, block);
    }
}

static clattn_status make_attention(clattn_block *b, clattn_report *report) {
    const clattn_block_options *o = &b->options;
    clattn_attention_layer_options options = clattn_multi_head_attention(o->length, o->dim, o->heads);
    options.attention.batch = o->batch;
    options.attention.kv_heads = o->kv_heads;
    options.attention.causal = o->causal;
    options.attention.alignment = o->causal ? CLATTN_ALIGN_TOP_LEFT : CLATTN_ALIGN_UNSET;
    options.attention.logsumexp = true;
    options.residual = false; /* the block's own: its input is not the attention's */
    options.plan = o->plan;
    ATTN_TRY(clattn_attention_layer_create(b->runtime, &options, &b->attention, report));
    return o->learn ? clattn_attention_layer_learn(b->attention, 0, &o->backward, report) : CLATTN_OK;
}

static clattn_status make_products(clattn_block *b, clattn_report *report) {
    const clattn_block_options *o = &b->options;
    clattn_plan_info info;
    ATTN_TRY(clattn_attention_layer_get_info(b->attention, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    int64_t rows = o->batch * o->length; /* the attention checked the products */
    ATTN_TRY(attn_layer_linear(b->runtime, rows, o->dim, o->mlp_dim, &beside, &b->up, report));
    ATTN_TRY(attn_layer_linear(b->runtime, rows, o->mlp_dim, o->dim, &beside, &b->down, report));
    if (!o->learn) {
        return CLATTN_OK;
    }
    const clattn_linear_problem up = { sizeof up, rows, o->dim, o->mlp_dim };
    const clattn_linear_problem down = { sizeof down, rows, o->mlp_dim, o->dim };
    ATTN_TRY(clattn_linear_backward_create(b->runtime, &up, &beside, &b->up_backward, report));
    ATTN_TRY(clattn_linear_backward_create(b->runtime, &down, &beside, &b->down_backward, report));
    b->grad_wide = attn_layer_floats(b->runtime, rows * o->mlp_dim);
    b->grad_norm = attn_layer_floats(b->runtime, rows * o->dim);
    b->grad_middle = attn_layer_floats(b->runtime, rows * o->dim);
    return b->grad_wide && b->grad_norm && b->grad_middle ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

static clattn_status make_sizes(clattn_block *b, clattn_report *report) {
    const clattn_block_options *o = &b->options;
    int64_t rows = o->batch * o->length, of_keys = rows * (o->dim / o->heads * o->kv_heads);
    const int64_t sizes[] = {
        [NORM1] = rows * o->dim,   [QUERY] = rows * o->dim,       [KEY] = of_keys,          [VALUE] = of_keys,
        [CONTEXT] = rows * o->dim, [LOGSUMEXP] = rows * o->heads, [MIDDLE] = rows * o->dim, [NORM2] = rows * o->dim,
        [UP] = rows * o->mlp_dim,  [BENT] = rows * o->mlp_dim
    };
    for (int k = 0; k < KEPT; k++) {
        b->sizes[k] = attn_round_up(sizes[k], 16); /* each begins on a cache line */
        if (!attn_add(b->kept, b->sizes[k], &b->kept) || b->kept > INT64_MAX / (int64_t)sizeof(float)) {
            return LAYER_REFUSE(report, CLATTN_OVERFLOW, "batch, length, dim: what is kept does not fit 63 bits");
        }
    }
    return CLATTN_OK;
}

static clattn_status make_ready(clattn_block *b, clattn_report *report) {
    clattn_block_options *o = &b->options;
    o->kv_heads = o->kv_heads == CLATTN_SAME ? o->heads : o->kv_heads;
    if (o->dim < 1 || o->dim > INT32_MAX || o->heads < 1 || o->dim % o->heads != 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "dim, heads: %" PRId64 ", %" PRId64 "; heads divide the dim", o->dim, o->heads);
    }
    o->mlp_dim = o->mlp_dim == CLATTN_SAME ? 4 * o->dim : o->mlp_dim;
    if (!(o->epsilon >= 0)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "epsilon: must be >= 0");
    }
    ATTN_TRY(make_attention(b, report));
    ATTN_TRY(make_products(b, report));
    return make_sizes(b, report);
}

clattn_status clattn_block_create(clattn_runtime *runtime, const clattn_block_options *options, clattn_block **block,
                                  clattn_report *report) {
    clattn_report_clear(report);
    if (block) {
        *block = NULL;
    }
    if (!runtime || !options || !block || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, options, block: NULL, or options.struct_size is not clattn_block_options'");
    }
    clattn_block *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_block){ .runtime = runtime, .options = *options };
    clattn_status status = make_ready(made, report);
    if (status != CLATTN_OK) {
        clattn_block_destroy(made);
        return status;
    }
    made->options.plan = made->options.backward = (clattn_plan_options)CLATTN_PLAN_OPTIONS_INIT;
    *block = made;
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ parameters */

clattn_status attn_block_add(clattn_parameters *parameters, const char *prefix, const char *name, int64_t rows,
                             int64_t columns, uint64_t seed, float start, clattn_report *report) {
    const int64_t shape[] = { rows, columns };
    clattn_parameter added;
    size_t size = strlen(prefix) + strlen(name) + 1;
    char *whole = clattn_allocate(parameters->runtime, (int64_t)size);
    if (!whole) {
        return CLATTN_OUT_OF_MEMORY;
    }
    (void)snprintf(whole, size, "%s%s", prefix, name);
    clattn_status status = clattn_parameters_add(parameters, whole, columns > 0 ? 2 : 1, shape, &added, report);
    clattn_release(parameters->runtime, whole);
    if (status != CLATTN_OK || columns > 0) {
        return status == CLATTN_OK ? clattn_fill(CLATTN_FILL_XAVIER, seed, rows, columns, added.value) : status;
    }
    for (int64_t k = 0; k < rows; k++) {
        added.value[k] = start;
    }
    return CLATTN_OK;
}

clattn_status clattn_block_add_parameters(const clattn_block *block, clattn_parameters *parameters, const char *prefix,
                                          uint64_t seed, int64_t *first, clattn_report *report) {
    clattn_report_clear(report);
    if (!block || !parameters || !prefix || !first) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "block, parameters, prefix, first: NULL");
    }
    const clattn_block_options *o = &block->options;
    int64_t of_keys = o->dim / o->heads * o->kv_heads;
    const struct {
        const char *name;
        int64_t rows, columns;
        float start;
    } all[ATTN_BLOCK_PARAMETERS] = {
        [ATTN_GAIN1] = { "norm1.gain", o->dim, 0, 1 },
        [ATTN_BIAS1] = { "norm1.bias", o->dim, 0, 0 },
        [ATTN_W_QUERY] = { "attention.query.weight", o->dim, o->dim, 0 },
        [ATTN_B_QUERY] = { "attention.query.bias", o->dim, 0, 0 },
        [ATTN_W_KEY] = { "attention.key.weight", of_keys, o->dim, 0 },
        [ATTN_B_KEY] = { "attention.key.bias", of_keys, 0, 0 },
        [ATTN_W_VALUE] = { "attention.value.weight", of_keys, o->dim, 0 },
        [ATTN_B_VALUE] = { "attention.value.bias", of_keys, 0, 0 },
        [ATTN_W_OUTPUT] = { "attention.output.weight", o->dim, o->dim, 0 },
        [ATTN_B_OUTPUT] = { "attention.output.bias", o->dim, 0, 0 },
        [ATTN_GAIN2] = { "norm2.gain", o->dim, 0, 1 },
        [ATTN_BIAS2] = { "norm2.bias", o->dim, 0, 0 },
        [ATTN_W_UP] = { "mlp.up.weight", o->mlp_dim, o->dim, 0 },
        [ATTN_B_UP] = { "mlp.up.bias", o->mlp_dim, 0, 0 },
        [ATTN_W_DOWN] = { "mlp.down.weight", o->dim, o->mlp_dim, 0 },
        [ATTN_B_DOWN] = { "mlp.down.bias", o->dim, 0, 0 },
    };
    int64_t before = clattn_parameters_count(parameters);
    for (int k = 0; k < ATTN_BLOCK_PARAMETERS; k++) {
        ATTN_TRY(attn_block_add(parameters, prefix, all[k].name, all[k].rows, all[k].columns, seed + (uint64_t)k,
                                all[k].start, report));
    }
    *first = before;
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ one call */

typedef struct block_call {
    clattn_block *block;
    const clattn_parameter *p; /* [ATTN_BLOCK_PARAMETERS] */
    int64_t length, rows;
    float *kept[KEPT];
    clattn_report *report;
} block_call;

static clattn_status check_call(block_call *c, const clattn_parameters *parameters, int64_t first,
                                const clattn_block_io *io) {
    const clattn_block_options *o = &c->block->options;
    c->report = io->report;
    clattn_report_clear(io->report);
    c->length = io->length == CLATTN_SAME ? o->length : io->length;
    if (c->length < 0 || c->length > o->length || (o->batch != 1 && c->length != o->length)) {
        return LAYER_REFUSE(c->report, CLATTN_INVALID_TENSORS,
                            "length: %" PRId64 " of %" PRId64 "; a batch of several entries has no other", io->length,
                            o->length);
    }
    if (first < 0 || first > parameters->count - ATTN_BLOCK_PARAMETERS ||
        parameters->list[first + ATTN_W_UP].count != o->mlp_dim * o->dim ||
        parameters->list[first + ATTN_W_KEY].count != o->dim / o->heads * o->kv_heads * o->dim) {
        return LAYER_REFUSE(c->report, CLATTN_INVALID_ARGUMENT, "first: no parameters of such a block begin there");
    }
    c->p = parameters->list + first;
    c->rows = o->batch * c->length;
    float *at = io->kept;
    for (int k = 0; k < KEPT; k++) {
        c->kept[k] = at;
        at += at ? c->block->sizes[k] : 0;
    }
    return CLATTN_OK;
}

static clattn_attention_weights weights_of(const block_call *c) {
    const clattn_parameter *p = c->p;
    return (clattn_attention_weights){ p[ATTN_W_QUERY].value,  p[ATTN_W_KEY].value,   p[ATTN_W_VALUE].value,
                                       p[ATTN_W_OUTPUT].value, p[ATTN_B_QUERY].value, p[ATTN_B_KEY].value,
                                       p[ATTN_B_VALUE].value,  p[ATTN_B_OUTPUT].value };
}

static clattn_attention_layer_io attention_io(const block_call *c) {
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = c->kept[NORM1];
    io.output = c->kept[MIDDLE];
    io.query = c->kept[QUERY];
    io.key = c->kept[KEY];
    io.value = c->kept[VALUE];
    io.context = c->kept[CONTEXT];
    io.attention.logsumexp.data = c->kept[LOGSUMEXP];
    io.attention.query_length = c->length;
    io.attention.report = c->report;
    return io;
}

clattn_status clattn_block_forward(clattn_block *block, const clattn_parameters *parameters, int64_t first,
                                   const clattn_block_io *io) {
    if (!block || !parameters || !io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_block_options *o = &block->options;
    block_call c = { .block = block };
    ATTN_TRY(check_call(&c, parameters, first, io));
    int64_t count = c.rows * o->dim;
    const attn_layer_array all[] = { { "output", io->output, count, true, true },
                                     { "kept", io->kept, block->kept, true, true },
                                     { "input", io->input, count, true, false } };
    ATTN_TRY(attn_layer_check(all, 3, io->report));
    const clattn_parameter *p = c.p;
    float *const *kept = c.kept;
    ATTN_TRY(clattn_layer_norm(block->runtime, c.rows, o->dim, o->epsilon, p[ATTN_GAIN1].value, p[ATTN_BIAS1].value,
                               io->input, kept[NORM1]));
    const clattn_attention_weights weights = weights_of(&c);
    const clattn_attention_layer_io attention = attention_io(&c);
    ATTN_TRY(clattn_attention_layer_forward(block->attention, &weights, &attention));
    attn_layer_sum(block->runtime, count, io->input, kept[MIDDLE]);
    ATTN_TRY(clattn_layer_norm(block->runtime, c.rows, o->dim, o->epsilon, p[ATTN_GAIN2].value, p[ATTN_BIAS2].value,
                               kept[MIDDLE], kept[NORM2]));
    ATTN_TRY(attn_layer_apply(block->up, c.rows, kept[NORM2], p[ATTN_W_UP].value, p[ATTN_B_UP].value, false, kept[UP],
                              c.report));
    ATTN_TRY(clattn_gelu(block->runtime, c.rows * o->mlp_dim, kept[UP], kept[BENT]));
    memcpy(io->output, kept[MIDDLE], (size_t)count * sizeof(float));
    return attn_layer_apply(block->down, c.rows, kept[BENT], p[ATTN_W_DOWN].value, p[ATTN_B_DOWN].value, true,
                            io->output, c.report);
}

/* From the output to the middle: grad_middle is the derivative by what the attention and its residual made. */
static clattn_status mlp_backward(const block_call *c, const float *grad_output) {
    clattn_block *b = c->block;
    const clattn_block_options *o = &b->options;
    const clattn_parameter *p = c->p;
    const attn_layer_rows rows = { 1, c->rows, c->rows };
    clattn_linear_gradients down = CLATTN_LINEAR_GRADIENTS_INIT, up = CLATTN_LINEAR_GRADIENTS_INIT;
    down.grad_output = grad_output, down.input = c->kept[BENT], down.w = p[ATTN_W_DOWN].value, down.report = c->report;
    down.grad_input = b->grad_wide, down.grad_w = p[ATTN_W_DOWN].gradient, down.grad_b = p[ATTN_B_DOWN].gradient;
    ATTN_TRY(attn_layer_backward(b->down_backward, &rows, &down));
    ATTN_TRY(clattn_gelu_backward(b->runtime, c->rows * o->mlp_dim, c->kept[UP], b->grad_wide, b->grad_wide));
    up.grad_output = b->grad_wide, up.input = c->kept[NORM2], up.w = p[ATTN_W_UP].value, up.report = c->report;
    up.grad_input = b->grad_norm, up.grad_w = p[ATTN_W_UP].gradient, up.grad_b = p[ATTN_B_UP].gradient;
    ATTN_TRY(attn_layer_backward(b->up_backward, &rows, &up));
    ATTN_TRY(clattn_layer_norm_backward(b->runtime, c->rows, o->dim, o->epsilon, p[ATTN_GAIN2].value, c->kept[MIDDLE],
                                        b->grad_norm, b->grad_middle, p[ATTN_GAIN2].gradient, p[ATTN_BIAS2].gradient));
    attn_layer_sum(b->runtime, c->rows * o->dim, grad_output, b->grad_middle);
    return CLATTN_OK;
}

static clattn_status attention_backward(const block_call *c) {
    const clattn_parameter *p = c->p;
    const clattn_attention_weights weights = weights_of(c);
    const clattn_attention_layer_io io = attention_io(c);
    clattn_attention_gradients g = CLATTN_ATTENTION_GRADIENTS_INIT;
    g.grad_output = c->block->grad_middle, g.grad_input = c->block->grad_norm;
    g.grad_w_query = p[ATTN_W_QUERY].gradient, g.grad_w_key = p[ATTN_W_KEY].gradient,
    g.grad_w_value = p[ATTN_W_VALUE].gradient;
    g.grad_b_query = p[ATTN_B_QUERY].gradient, g.grad_b_key = p[ATTN_B_KEY].gradient,
    g.grad_b_value = p[ATTN_B_VALUE].gradient;
    g.grad_w_output = p[ATTN_W_OUTPUT].gradient, g.grad_b_output = p[ATTN_B_OUTPUT].gradient;
    return clattn_attention_layer_backward(c->block->attention, &weights, &io, &g);
}

clattn_status clattn_block_backward(clattn_block *block, const clattn_parameters *parameters, int64_t first,
                                    const clattn_block_io *io) {
    if (!block || !parameters || !io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_block_options *o = &block->options;
    block_call c = { .block = block };
    ATTN_TRY(check_call(&c, parameters, first, io));
    if (!o->learn) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "block: its options do not say learn");
    }
    int64_t count = c.rows * o->dim;
    bool in_place = io->grad_input == io->grad_output;
    const attn_layer_array all[] = { { "grad_input", io->grad_input, count, true, true },
                                     { "grad_output", in_place ? NULL : io->grad_output, count, !in_place, false },
                                     { "kept", io->kept, block->kept, true, false },
                                     { "input", io->input, count, true, false } };
    ATTN_TRY(attn_layer_check(all, 4, io->report));
    ATTN_TRY(mlp_backward(&c, io->grad_output));
    ATTN_TRY(attention_backward(&c));
    ATTN_TRY(clattn_layer_norm_backward(block->runtime, c.rows, o->dim, o->epsilon, c.p[ATTN_GAIN1].value, io->input,
                                        block->grad_norm, io->grad_input, c.p[ATTN_GAIN1].gradient,
                                        c.p[ATTN_BIAS1].gradient));
    attn_layer_sum(block->runtime, count, block->grad_middle, io->grad_input);
    return CLATTN_OK;
}

void attn_block_keys(const clattn_block *block, const float *kept, const float **key, const float **value) {
    *key = kept;
    for (int k = 0; k < KEY; k++) {
        *key += block->sizes[k];
    }
    *value = *key + block->sizes[KEY];
}

clattn_status attn_block_info(const clattn_block *block, clattn_plan_info *info) {
    return clattn_attention_layer_get_info(block->attention, info);
}

int64_t clattn_block_get_kept(const clattn_block *block) {
    return block ? block->kept : 0;
}

void clattn_block_options_init(clattn_block_options *options, size_t size) {
    static const clattn_block_options start = CLATTN_BLOCK_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}

void clattn_block_io_init(clattn_block_io *io, size_t size) {
    static const clattn_block_io start = CLATTN_BLOCK_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}
