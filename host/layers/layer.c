/* What the layers share. */
#include "layers/layer.h"

#include "layers/blocks.h"

bool attn_layer_meet(const float *a, int64_t a_count, const float *b, int64_t b_count) {
    uintptr_t from = (uintptr_t)a, other = (uintptr_t)b;
    if (!a || !b || a_count <= 0 || b_count <= 0) {
        return false;
    }
    return from <= other ? (other - from) / sizeof *a < (uint64_t)a_count
                         : (from - other) / sizeof *a < (uint64_t)b_count;
}

clattn_status attn_layer_check(const attn_layer_array *all, size_t count, clattn_report *report) {
    for (size_t k = 0; k < count; k++) {
        if (!all[k].data && all[k].needed && all[k].count > 0) {
            return LAYER_REFUSE(report, CLATTN_INVALID_TENSORS, "%s: missing", all[k].name);
        }
        if (!attn_fits_address(all[k].data, all[k].count * (int64_t)sizeof(float))) {
            return LAYER_REFUSE(report, CLATTN_OVERFLOW, "%s: its last element lies beyond the address space",
                                all[k].name);
        }
    }
    for (size_t k = 0; k < count; k++) {
        for (size_t n = 0; n < k; n++) {
            if ((all[k].written || all[n].written) &&
                attn_layer_meet(all[k].data, all[k].count, all[n].data, all[n].count)) {
                return LAYER_REFUSE(report, CLATTN_INVALID_TENSORS, "%s: overlaps %s", all[n].name, all[k].name);
            }
        }
    }
    return CLATTN_OK;
}

typedef struct sum_work {
    int64_t count;
    const float *x;
    float *sum;
} sum_work;

static void sum_item(void *user, int64_t item) {
    const sum_work *w = user;
    const float *restrict x = w->x;
    float *restrict sum = w->sum;
    int64_t end = attn_min((item + 1) * ATTN_ITEM, w->count);
    for (int64_t k = item * ATTN_ITEM; k < end; k++) {
        sum[k] += x[k];
    }
}

void attn_layer_sum(clattn_runtime *runtime, int64_t count, const float *x, float *sum) {
    sum_work work = { count, x, sum };
    clattn_share(runtime, attn_divide_up(count, ATTN_ITEM), sum_item, &work);
}

float *attn_layer_floats(clattn_runtime *runtime, int64_t count) {
    return count < 0 || count > INT64_MAX / (int64_t)sizeof(float)
               ? NULL
               : clattn_allocate(runtime, count * (int64_t)sizeof(float));
}

clattn_plan_options attn_layer_beside(const char *engine, int64_t device) {
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    options.engine = engine;
    options.device = device;
    return options;
}

clattn_status attn_layer_linear(clattn_runtime *runtime, int64_t rows, int64_t in_dim, int64_t out_dim,
                                const clattn_plan_options *options, clattn_linear_plan **plan, clattn_report *report) {
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    problem.rows = rows;
    problem.in_dim = in_dim;
    problem.out_dim = out_dim;
    return clattn_linear_plan_create(runtime, &problem, options, plan, report);
}

clattn_status attn_layer_apply(clattn_linear_plan *plan, int64_t rows, const float *input, const float *w,
                               const float *b, bool add, float *output, clattn_report *report) {
    clattn_linear_tensors tensors = CLATTN_LINEAR_TENSORS_INIT;
    tensors.rows = rows;
    tensors.input = input;
    tensors.w = w;
    tensors.b = b;
    tensors.add = add;
    tensors.output = output;
    tensors.report = report;
    return clattn_linear_execute(plan, &tensors);
}

void clattn_attention_layer_io_init(clattn_attention_layer_io *io, size_t size) {
    static const clattn_attention_layer_io start = CLATTN_ATTENTION_LAYER_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}

void clattn_additive_layer_options_init(clattn_additive_layer_options *options, size_t size) {
    static const clattn_additive_layer_options start = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}

void clattn_additive_layer_io_init(clattn_additive_layer_io *io, size_t size) {
    static const clattn_additive_layer_io start = CLATTN_ADDITIVE_LAYER_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}

void clattn_glimpse_options_init(clattn_glimpse_options *options, size_t size) {
    static const clattn_glimpse_options start = CLATTN_GLIMPSE_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}

void clattn_glimpse_io_init(clattn_glimpse_io *io, size_t size) {
    static const clattn_glimpse_io start = CLATTN_GLIMPSE_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}
