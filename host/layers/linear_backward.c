/*
 * The derivative of linear maps, as products that are linear maps themselves: grad_output W, and grad_output^T input,
 * on transposed copies. Knows no engine.
 */
#include <inttypes.h>

#include "layers/layer.h"

struct clattn_linear_backward {
    clattn_runtime *runtime;
    clattn_linear_problem problem;
    clattn_linear_plan *by_input, *by_w;
    float *w;              /* [in_dim, out_dim]: transposed */
    float *output, *input; /* [out_dim, rows], [in_dim, rows]: transposed, with 0 for rows that take no part */
};

enum { TILE = 32 };

void clattn_linear_backward_destroy(clattn_linear_backward *backward) {
    if (backward) {
        clattn_linear_plan_destroy(backward->by_input);
        clattn_linear_plan_destroy(backward->by_w);
        clattn_release(backward->runtime, backward->w);
        clattn_release(backward->runtime, backward->output);
        clattn_release(backward->runtime, backward->input);
        clattn_release(backward->runtime, backward);
    }
}

static clattn_status make_ready(clattn_linear_backward *b, const clattn_plan_options *options, clattn_report *report) {
    const clattn_linear_problem *p = &b->problem;
    int64_t size;
    if (p->rows < 0 || p->rows > INT32_MAX) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM, "rows: %" PRId64 "; each is 0 to 2^31 - 1", p->rows);
    }
    ATTN_TRY(attn_layer_linear(b->runtime, p->rows, p->out_dim, p->in_dim, options, &b->by_input, report));
    clattn_operation_info info;
    ATTN_TRY(clattn_linear_plan_get_info(b->by_input, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    int64_t rows = attn_max(p->rows, 1);
    ATTN_TRY(attn_layer_linear(b->runtime, p->out_dim, rows, p->in_dim, &beside, &b->by_w, report));
    if (!attn_multiply(rows, attn_max(p->in_dim, p->out_dim), &size)) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "rows, in_dim, out_dim: a tensor of more than 2^63 - 1 bytes");
    }
    b->w = attn_layer_floats(b->runtime, p->in_dim * p->out_dim); /* the plans checked the product */
    b->output = attn_layer_floats(b->runtime, rows * p->out_dim);
    b->input = attn_layer_floats(b->runtime, rows * p->in_dim);
    return b->w && b->output && b->input ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_linear_backward_create(clattn_runtime *runtime, const clattn_linear_problem *problem,
                                            const clattn_plan_options *options, clattn_linear_backward **backward,
                                            clattn_report *report) {
    clattn_report_clear(report);
    if (backward) {
        *backward = NULL;
    }
    if (!runtime || !problem || !backward || problem->struct_size != sizeof *problem) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, problem, backward: NULL, or problem.struct_size is not clattn_linear_problem's");
    }
    clattn_linear_backward *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_linear_backward){ .runtime = runtime, .problem = *problem };
    clattn_status status = make_ready(made, options, report);
    if (status != CLATTN_OK) {
        clattn_linear_backward_destroy(made);
        return status;
    }
    *backward = made;
    return CLATTN_OK;
}

/* to[c, r] = from[r, c], in tiles that stay in cache. */
static ATTN_NOT_INLINED void transpose(int64_t rows, int64_t columns, const float *from, int64_t pitch, float *to) {
    for (int64_t top = 0; top < rows; top += TILE) {
        int64_t bottom = attn_min(top + TILE, rows);
        for (int64_t left = 0; left < columns; left += TILE) {
            int64_t right = attn_min(left + TILE, columns);
            for (int64_t c = left; c < right; c++) {
                for (int64_t r = top; r < bottom; r++) {
                    to[c * pitch + r] = from[r * columns + c];
                }
            }
        }
    }
}

static void clear_column(int64_t count, int64_t pitch, float *column) {
    for (int64_t k = 0; k < count; k++) {
        column[k * pitch] = 0;
    }
}

/* Whether a row's gradient is 0 throughout. Then the row takes no part, whatever its input holds: 0 * NaN is NaN. */
static bool is_zero(int64_t count, const float *x) {
    for (int64_t k = 0; k < count; k++) {
        if (!(x[k] == 0)) {
            return false;
        }
    }
    return true;
}

static ATTN_NOT_INLINED void transpose_rows(const clattn_linear_backward *b, const attn_layer_rows *rows,
                                            const clattn_linear_gradients *g) {
    int64_t in = b->problem.in_dim, out = b->problem.out_dim, most = attn_max(b->problem.rows, 1);
    int64_t count = rows->groups * rows->pitch;
    transpose(count, out, g->grad_output, most, b->output);
    transpose(count, in, g->input, most, b->input);
    for (int64_t r = 0; r < most; r++) {
        bool used = r < count && r % rows->pitch < rows->used;
        if (!used) {
            clear_column(out, most, b->output + r);
        }
        if (!used || is_zero(out, g->grad_output + r * out)) {
            clear_column(in, most, b->input + r);
        }
    }
}

/* In double, row after row. */
static ATTN_NOT_INLINED void sum_rows(const attn_layer_rows *rows, int64_t columns, const float *x, float *sums) {
    enum { COLUMNS = 256 };
    double sum[COLUMNS];
    for (int64_t from = 0; from < columns; from += COLUMNS) {
        int64_t count = attn_min(columns - from, COLUMNS);
        for (int64_t c = 0; c < count; c++) {
            sum[c] = (double)sums[from + c];
        }
        for (int64_t group = 0; group < rows->groups; group++) {
            for (int64_t r = group * rows->pitch; r < group * rows->pitch + rows->used; r++) {
                for (int64_t c = 0; c < count; c++) {
                    sum[c] += (double)x[r * columns + from + c];
                }
            }
        }
        for (int64_t c = 0; c < count; c++) {
            sums[from + c] = (float)sum[c];
        }
    }
}

static void clear_gaps(const attn_layer_rows *rows, int64_t columns, float *x) {
    for (int64_t group = 0; group < rows->groups; group++) {
        for (int64_t k = (group * rows->pitch + rows->used) * columns; k < (group + 1) * rows->pitch * columns; k++) {
            x[k] = 0;
        }
    }
}

/* What an added gradient holds in the gaps stays: the product of what is there and unused is not wanted. */
static clattn_status add_input(clattn_linear_backward *b, const attn_layer_rows *rows,
                               const clattn_linear_gradients *g) {
    int64_t in = b->problem.in_dim, out = b->problem.out_dim;
    for (int64_t group = 0; group < rows->groups; group++) {
        int64_t row = group * rows->pitch;
        ATTN_TRY(attn_layer_apply(b->by_input, rows->used, g->grad_output + row * out, b->w, NULL, true,
                                  g->grad_input + row * in, g->report));
    }
    return CLATTN_OK;
}

static clattn_status input_gradient(clattn_linear_backward *b, const attn_layer_rows *rows,
                                    const clattn_linear_gradients *g) {
    transpose(b->problem.out_dim, b->problem.in_dim, g->w, b->problem.out_dim, b->w);
    if (g->add && rows->used < rows->pitch) {
        return add_input(b, rows, g);
    }
    ATTN_TRY(attn_layer_apply(b->by_input, rows->groups * rows->pitch, g->grad_output, b->w, NULL, g->add,
                              g->grad_input, g->report));
    if (!g->add) {
        clear_gaps(rows, b->problem.in_dim, g->grad_input);
    }
    return CLATTN_OK;
}

clattn_status attn_layer_backward(clattn_linear_backward *backward, const attn_layer_rows *rows,
                                  const clattn_linear_gradients *g) {
    if (rows->groups * rows->pitch == 0) {
        return CLATTN_OK;
    }
    if (g->grad_input) {
        ATTN_TRY(input_gradient(backward, rows, g));
    }
    if (g->grad_b) {
        attn_visit visit = attn_visit_begin();
        sum_rows(rows, backward->problem.out_dim, g->grad_output, g->grad_b);
        attn_visit_end(&visit);
    }
    if (!g->grad_w) {
        return CLATTN_OK;
    }
    transpose_rows(backward, rows, g);
    return attn_layer_apply(backward->by_w, backward->problem.out_dim, backward->output, backward->input, NULL, true,
                            g->grad_w, g->report);
}

clattn_status clattn_linear_backward_execute(clattn_linear_backward *backward,
                                             const clattn_linear_gradients *gradients) {
    if (!backward || !gradients || gradients->struct_size != sizeof *gradients) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_linear_gradients *g = gradients;
    const clattn_linear_problem *p = &backward->problem;
    clattn_report_clear(g->report);
    int64_t rows = g->rows == CLATTN_SAME ? p->rows : g->rows;
    if (rows < 0 || rows > p->rows) {
        return LAYER_REFUSE(g->report, CLATTN_INVALID_TENSORS, "rows: %" PRId64 " is not within 0 and %" PRId64,
                            g->rows, p->rows);
    }
    const attn_layer_array all[] = {
        { "grad_input", g->grad_input, rows * p->in_dim, false, true },
        { "grad_w", g->grad_w, p->out_dim * p->in_dim, false, true },
        { "grad_b", g->grad_b, p->out_dim, false, true },
        { "grad_output", g->grad_output, rows * p->out_dim, true, false },
        { "input", g->input, rows * p->in_dim, g->grad_w, false },
        { "w", g->w, p->out_dim * p->in_dim, g->grad_input, false },
    };
    ATTN_TRY(attn_layer_check(all, sizeof all / sizeof *all, g->report));
    return attn_layer_backward(backward, &(attn_layer_rows){ 1, rows, rows }, g);
}

void clattn_linear_gradients_init(clattn_linear_gradients *gradients, size_t size) {
    static const clattn_linear_gradients start = CLATTN_LINEAR_GRADIENTS_INIT;
    attn_init_structure(gradients, size, &start, sizeof start);
}
