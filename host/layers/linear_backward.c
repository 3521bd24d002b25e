/*
 * The derivative of linear maps, as products that are linear maps themselves: grad_output W, and grad_output^T input,
 * on transposed copies: on the CPU of a chunk of rows after the other.
 */
#include <inttypes.h>
#include <string.h>

#include "layers/blocks.h"

struct clattn_linear_backward {
    clattn_runtime *runtime;
    clattn_linear_problem problem;
    clattn_linear_plan *by_input, *by_w;
    float *w;              /* [in_dim, out_dim]: transposed */
    int64_t chunk;         /* rows of which the matrix's gradient is made at once */
    float *output, *input; /* [out_dim, chunk], [in_dim, chunk]: transposed, with 0 for rows that take no part */
};

enum { CHUNK = 256 };          /* rows whose transposed copies stay in the second cache */
enum { TILE = 32, TILES = 8 }; /* rows and columns of a tile; tiles that a thread takes at once */

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

/*
 * Equal parts on the processor. Other engines take all rows at once: a device copies the matrix's gradient to and fro
 * for each product, and the reference rounds once.
 */
static int64_t chunk_of(int64_t rows, const char *engine) {
    return strcmp(engine, "cpu") == 0 ? attn_divide_up(rows, attn_divide_up(rows, CHUNK)) : rows;
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
    b->chunk = chunk_of(attn_max(p->rows, 1), info.engine);
    ATTN_TRY(attn_layer_linear(b->runtime, p->out_dim, b->chunk, p->in_dim, &beside, &b->by_w, report));
    if (!attn_multiply(attn_max(p->rows, 1), attn_max(p->in_dim, p->out_dim), &size)) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "rows, in_dim, out_dim: a tensor of more than 2^63 - 1 bytes");
    }
    b->w = attn_layer_floats(b->runtime, p->in_dim * p->out_dim); /* the plans checked the product */
    b->output = attn_layer_floats(b->runtime, b->chunk * p->out_dim);
    b->input = attn_layer_floats(b->runtime, b->chunk * p->in_dim);
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

typedef struct transpose_work {
    int64_t rows, columns, pitch; /* pitch: of the result's rows */
    const float *from;
    float *to;
} transpose_work;

/* Four numbers of four rows, pitch apart, become four of four rows in a tile. */
static void transpose_four(const float *from, int64_t pitch, float *to) {
#if defined(__SSE2__)
    __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + pitch);
    __m128 c = _mm_loadu_ps(from + 2 * pitch), d = _mm_loadu_ps(from + 3 * pitch);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(to, a), _mm_storeu_ps(to + TILE, b), _mm_storeu_ps(to + 2 * TILE, c), _mm_storeu_ps(to + 3 * TILE, d);
#else
    for (int r = 0; r < 4; r++) {
        for (int c = 0; c < 4; c++) {
            to[c * TILE + r] = from[r * pitch + c];
        }
    }
#endif
}

/* A tile is made in memory of its own and written line by line: the result's lines, whose pitch is often a power of
   two, do not stay in cache beside each other. */
static void transpose_tile(const transpose_work *w, int64_t top, int64_t left) {
    float tile[TILE * TILE];
    int64_t rows = attn_min(w->rows - top, TILE), columns = attn_min(w->columns - left, TILE);
    const float *from = w->from + top * w->columns + left;
    float *to = w->to + left * w->pitch + top;
    if (rows < TILE || columns < TILE) {
        for (int64_t c = 0; c < columns; c++) {
            for (int64_t r = 0; r < rows; r++) {
                to[c * w->pitch + r] = from[r * w->columns + c];
            }
        }
        return;
    }
    for (int r = 0; r < TILE; r += 4) {
        for (int c = 0; c < TILE; c += 4) {
            transpose_four(from + r * w->columns + c, w->columns, tile + c * TILE + r);
        }
    }
    for (int c = 0; c < TILE; c++) {
        memcpy(to + c * w->pitch, tile + c * TILE, TILE * sizeof *tile);
    }
}

static void transpose_item(void *user, int64_t item) {
    const transpose_work *w = user;
    int64_t strips = attn_divide_up(w->columns, TILE), left = item % strips * TILE, top = item / strips * TILES * TILE;
    for (int64_t end = attn_min(top + TILES * TILE, w->rows); top < end; top += TILE) {
        transpose_tile(w, top, left);
    }
}

/* to[c, r] = from[r, c]. */
static void transpose(clattn_runtime *runtime, int64_t rows, int64_t columns, const float *from, int64_t pitch,
                      float *to) {
    transpose_work work = { rows, columns, pitch, from, to };
    clattn_share(runtime, attn_divide_up(rows, TILES * TILE) * attn_divide_up(columns, TILE), transpose_item, &work);
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

/* Rows from `top` on, at most a chunk, transposed; 0 for what takes no part. */
static void transpose_rows(const clattn_linear_backward *b, const attn_layer_rows *rows,
                           const clattn_linear_gradients *g, int64_t top) {
    int64_t in = b->problem.in_dim, out = b->problem.out_dim, chunk = b->chunk;
    int64_t count = attn_min(rows->groups * rows->pitch - top, chunk);
    transpose(b->runtime, count, out, g->grad_output + top * out, chunk, b->output);
    transpose(b->runtime, count, in, g->input + top * in, chunk, b->input);
    for (int64_t r = 0; r < chunk; r++) {
        bool used = r < count && (top + r) % rows->pitch < rows->used;
        if (!used) {
            clear_column(out, chunk, b->output + r);
        }
        if (!used || is_zero(out, g->grad_output + (top + r) * out)) {
            clear_column(in, chunk, b->input + r);
        }
    }
}

typedef struct sum_work {
    const attn_layer_rows *rows;
    int64_t columns;
    const float *x;
    float *sums;
} sum_work;

ATTN_INLINED void sum_item_of(void *user, int64_t item) {
    const sum_work *w = user;
    int64_t from = item * ATTN_BLOCK, count = attn_min(w->columns - from, ATTN_BLOCK);
    double sum[ATTN_BLOCK], x[ATTN_BLOCK];
    attn_block_load(count, w->sums + from, 0, sum);
    for (int64_t group = 0; group < w->rows->groups; group++) {
        int64_t first = group * w->rows->pitch;
        for (int64_t r = first; r < first + w->rows->used; r++) {
            attn_block_load(count, w->x + r * w->columns + from, 0, x);
            for (int k = 0; k < ATTN_BLOCK; k++) {
                sum[k] += x[k];
            }
        }
    }
    attn_block_store(count, sum, w->sums + from);
}

ATTN_ITEM_FUNCTION(sum_item)

/* In double, row after row; threads share the columns. */
static void sum_rows(clattn_runtime *runtime, const attn_layer_rows *rows, int64_t columns, const float *x,
                     float *sums) {
    sum_work work = { rows, columns, x, sums };
    clattn_share(runtime, attn_divide_up(columns, ATTN_BLOCK), ATTN_ITEM_CHOICE(sum_item), &work);
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
    transpose(b->runtime, b->problem.out_dim, b->problem.in_dim, g->w, b->problem.out_dim, b->w);
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
        sum_rows(backward->runtime, rows, backward->problem.out_dim, g->grad_output, g->grad_b);
    }
    if (!g->grad_w) {
        return CLATTN_OK;
    }
    for (int64_t top = 0; top < rows->groups * rows->pitch; top += backward->chunk) {
        transpose_rows(backward, rows, g, top);
        ATTN_TRY(attn_layer_apply(backward->by_w, backward->problem.out_dim, backward->output, backward->input, NULL,
                                  true, g->grad_w, g->report));
    }
    return CLATTN_OK;
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
