// Gradients for CPU devices: explicit vectors, one work-item a block of lines of one head, no barriers. In two passes of one
// shape: with -DPASS_KEYS=0 the lines are rows, of which grad_query is made, and it walks over the keys of their head; with
// -DPASS_KEYS=1 they are keys, of which grad_key and grad_value are made, and it walks over the rows of all heads of their
// group. What it walks over comes packed (backward_pack.cl). Scores, and what pairs give to each other, of TILE_ROWS x WALK
// exist at a time. Lines that came out not finite may be left to gradient_repair. Defines: VECTOR, TILE_ROWS, TILE_VECTORS, VALUE_ROWS,
// VALUE_VECTORS, WALK (a multiple of the tile's lines), ITEM_TILES (tiles of own lines of a work-item, at most), DIM_MAX.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/hints.cl.h"
#include "include/gradient_types.cl.h"
#include "include/mask.cl.h"
#include "include/backward_range.cl.h"
#include "include/tile.cl.h"
#include "include/backward_pack.cl.h"
#if PASS_KEYS
#define LINE_SPACE __global
#else
#define LINE_SPACE
#endif
#include "include/backward_step.cl.h"
#include "include/backward_local.cl.h"

#define STRIDE (WALK + VECTOR) // of scores; not a power of two
#define ITEM_ROWS (ITEM_TILES * TILE_ROWS)
#define CHUNK 128 // lines summed in one chain
#define FIRST(wants) (!PASS_KEYS || ((wants) & WANTS_FIRST))
#define SECOND(wants) (PASS_KEYS && ((wants) & WANTS_SECOND))

TILE_VALUES(columns_wide, VALUE_ROWS, VALUE_VECTORS, float, TILE_LOAD_FLOAT)
TILE_VALUES(columns_narrow, TILE_ROWS, 1, float, TILE_LOAD_FLOAT)
LOAD_LINE(load_first, attn_storage, , ATTN_LOAD, ATTN_LOADN)
#if !PASS_KEYS
LOAD_LINE(load_output, attn_output, , ATTN_LOAD_OUTPUT, ATTN_LOAD_OUTPUTN)
#endif

// One tile of own lines, against the lines of one head.
typedef struct own_tile {
    long b, h, first;        // entry, query head, first line
    int rows;                // lines that exist; the others are zeros
    attn_range visit, open;  // of the others: one of the lines sees them, all do
    const float *logsumexp, *delta; // of the lines, when they are rows
} own_tile;

static inline void set_ranges(const attn_arguments *a, const attn_entry *e, own_tile *t) {
    const long last = t->first + t->rows - 1;
#if PASS_KEYS
    t->visit = rows_that_see(a, e, t->first, last);
    t->open = rows_that_see_all(a, e, t->first, last);
#else
    t->visit = attn_rows_range(a, e, t->first, last);
    t->open = attn_rows_common_range(a, e, t->first, last);
#endif
}

// A panel of others, from `first` on, `at` lines behind the start of the packed ones: weights and ds of TILE_ROWS own lines.
static inline void panel_shares(const attn_arguments *a, const attn_extras *x, const attn_entry *e, const own_tile *t,
                                int wants, const backward_packed *p, __global const float *workspace, const float *own,
                                const float *own_second, long first, long at, float *scores, float *dots) {
    const int softcap = ATTN_FEATURES(a) & ATTN_HAS_SOFTCAP;
    const int closed = (ATTN_FEATURES(a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP)) ||
                       !attn_range_covers(&t->open, first, TILE_KEYS);
    float slopes[TILE_KEYS], keep[TILE_ROWS * TILE_KEYS];
    if (ATTN_DROPOUT) {
        step_keep(x, t->b, t->h, t->first, first, keep);
    }
    tile_scores(own, DIM_MAX, workspace + p->panels + (at + first) * p->dims, p->dims, a->scale, scores, STRIDE);
    tile_scores(own_second, DIM_MAX, workspace + p->value_panels + (at + first) * p->value_dims,
                FIRST(wants) ? p->value_dims : 0, 1.0f, dots, STRIDE);
    for (int i = 0; i < TILE_ROWS; i++) {
        float *line = scores + i * STRIDE;
        if (closed) {
            const long own_line = t->first + i;
            if (softcap) {
                step_slopes(a, line, slopes);
            }
#if PASS_KEYS
            const attn_range r = rows_that_see(a, e, own_line, own_line);
#else
            const attn_range r = attn_row_range(a, e, own_line);
#endif
            step_line(a, x, e, t->b, t->h, own_line, first, keywise_part_of(&r, first, i < t->rows), line);
        }
#if PASS_KEYS
        __global const float *logsumexp = workspace + p->logsumexp + at + first, *delta = workspace + p->delta + at + first;
#else
        const float *logsumexp = t->logsumexp + i, *delta = t->delta + i;
#endif
        step_shares(line, dots + i * STRIDE, logsumexp, delta, softcap ? slopes : 0,
                    ATTN_DROPOUT ? keep + i * TILE_KEYS : 0, closed);
    }
}

// total += shares * lines over `count` others.
static inline void add_columns(const float *shares, __global const float *lines, int columns, int count, float *total) {
    float keep[TILE_ROWS];
    for (int i = 0; i < TILE_ROWS; i++) {
        keep[i] = 1.0f;
    }
    int c = 0;
    for (; c + VALUE_VECTORS * VECTOR <= columns; c += VALUE_VECTORS * VECTOR) {
        for (int i = 0; i < TILE_ROWS; i += VALUE_ROWS) {
            columns_wide(shares + i * STRIDE, STRIDE, lines + c, columns, count, keep + i, total + i * DIM_MAX + c, DIM_MAX);
        }
    }
    for (; c < columns; c += VECTOR) {
        columns_narrow(shares, STRIDE, lines + c, columns, count, keep, total + c, DIM_MAX);
    }
}

// One tile of own lines against others first .. end - 1 (first a multiple of TILE_KEYS, at most WALK of them).
static inline void tile_block(const attn_arguments *a, const attn_extras *x, const attn_entry *e, const own_tile *t, int wants,
                              const backward_packed *p, __global const float *workspace, const float *own,
                              const float *own_second, long first, long end, long at, float *scores, float *dots,
                              float *total, float *second) {
    const int count = (int)(end - first);
    for (int n = 0; n < count; n += TILE_KEYS) {
        panel_shares(a, x, e, t, wants, p, workspace, own, own_second, first + n, at, scores + n, dots + n);
    }
    for (int n = 0; n < count; n += CHUNK) {
        const int chunk = min(CHUNK, count - n);
        if (FIRST(wants)) {
            add_columns(dots + n, workspace + p->rows + (at + first + n) * p->columns, p->columns, chunk, total);
        }
        if (SECOND(wants)) {
            add_columns(scores + n, workspace + p->value_rows + (at + first + n) * p->value_columns, p->value_columns, chunk,
                        second);
        }
    }
}

static inline int is_finite_line(const float *total, int columns) {
    vfloat zeros = (vfloat)0.0f; // 0 * x is 0 for what is finite, NaN for the rest
    for (int c = 0; c < columns; c += VECTOR) {
        zeros = fma(vector_load(0, total + c), (vfloat)0.0f, zeros);
    }
    return sum_lanes(zeros) == 0.0f;
}

static inline void store_line(const float *total, int dims, float scale, int live, __global attn_gradient *result, long at,
                              int add) {
    for (int c = 0; c < dims; c += 4) {
        float4 y = (float4)0.0f;
        if (live) {
            y = vload4(0, total + c) * scale;
        }
        gradient_put4(result, at + c, y, dims - c, add);
    }
}

// All own lines of the work-item against the others of one head, whose packed lines begin at line `at`.
static inline void visit_head(const attn_arguments *a, const attn_extras *x, const attn_entry *e, own_tile tile, int wants,
                              const backward_packed *p, __global const float *workspace, const float *own,
                              const float *own_second, long at, float *scores, float *dots, float *total, float *second) {
    own_tile all = tile;
    set_ranges(a, e, &all);
    for (long k = attn_first_block(&all.visit, TILE_KEYS); k < all.visit.end;
         k = attn_next_block(&all.visit, k, WALK, TILE_KEYS)) {
        for (int n = 0; n < all.rows; n += TILE_ROWS) {
            tile.first = all.first + n;
            tile.rows = min(TILE_ROWS, all.rows - n);
            tile.logsumexp = all.logsumexp + n;
            tile.delta = all.delta + n;
            set_ranges(a, e, &tile);
            const attn_range part = attn_range_part(&tile.visit, k, k + WALK, TILE_KEYS);
            if (part.begin < part.end) {
                tile_block(a, x, e, &tile, wants, p, workspace, own + n * DIM_MAX, own_second + n * DIM_MAX,
                           part.begin, part.end, at, scores, dots, total + n * DIM_MAX, second + n * DIM_MAX);
            }
        }
    }
}

// `count` numbers become 0.
static inline void clear(float *numbers, int count) {
    for (int n = 0; n < count; n++) {
        numbers[n] = 0.0f;
    }
}

// Logsumexp and delta of a row; of one that is not there or has no weights those that make weights of 0.
static inline void take_numbers(const attn_arguments *a, __global const float *logsumexp_memory,
                                __global const float *delta_memory, const attn_layout *delta_at, long b, long h, long i,
                                int there, float *logsumexp, float *delta) {
    const float l = there ? logsumexp_memory[ATTN_LOGSUMEXP_AT(a, b, h, i)] : -INFINITY;
    *logsumexp = l == -INFINITY ? INFINITY : l;
    *delta = l == -INFINITY ? 0.0f : delta_memory[attn_row_at(delta_at, b, h, i)];
}

// The block of work-item `item`: the last rows, and the first keys, come first, which under a causal rule are the longest.
static inline long first_line(long item, long blocks) {
    return PASS_KEYS ? item % blocks : blocks - 1 - item % blocks;
}

__kernel KERNEL_OF_VECTORS __attribute__((reqd_work_group_size(1, 1, 1)))
void attention_backward_cpu(attn_arguments a, long first_item, long blocks, int tiles, ATTN_EXTRAS_PARAMETERS,
                            __global const attn_storage *query, __global const attn_storage *key,
                            __global const attn_storage *value, __global const attn_output *grad_output,
                            __global const float *logsumexp_memory, __global const float *delta_memory,
                            attn_layout grad_output_at, attn_layout delta_at, __global attn_gradient *first_result,
                            attn_layout first_at, __global attn_gradient *second_result, attn_layout second_at, int wants,
                            __global float *workspace, long flags_at, long pack_at) {
    const attn_extras x = ATTN_EXTRAS;
    const backward_packed p = backward_get_pack(&a, PASS_KEYS, pack_at);
    const long length = PASS_KEYS ? a.key_length : a.query_length, heads = PASS_KEYS ? a.kv_heads : a.query_heads;
    const long item = first_item + get_global_id(0), head = item / blocks, b = head / heads, h = head % heads;
    const long first = first_line(item, blocks) * tiles * TILE_ROWS;
    const int rows = (int)min((long)tiles * TILE_ROWS, length - first), dims = (int)a.head_dim;
    const int columns = (int)a.value_dim;
    const attn_entry e = attn_get_entry(&a, &x, b);
    const int used = (int)clamp((PASS_KEYS ? e.key_length : e.query_length) - first, 0L, (long)rows);

    float own[ITEM_ROWS * DIM_MAX], own_second[ITEM_ROWS * DIM_MAX], total[ITEM_ROWS * DIM_MAX],
        second[PASS_KEYS ? ITEM_ROWS * DIM_MAX : 1];
    float scores[TILE_ROWS * STRIDE], dots[TILE_ROWS * STRIDE], logsumexp[ITEM_ROWS], delta[ITEM_ROWS];
    for (int i = 0; i < tiles * TILE_ROWS; i++) {
#if PASS_KEYS
        load_first(key, attn_key_at(&a.key, b, h, first + i), i < used, dims, p.dims, own + i * DIM_MAX);
        load_first(value, attn_key_at(&a.value, b, h, first + i), i < used, columns, p.value_dims, own_second + i * DIM_MAX);
        clear(second + i * DIM_MAX, p.value_columns);
#else
        load_first(query, attn_row_at(&a.query, b, h, first + i), i < used, dims, p.dims, own + i * DIM_MAX);
        load_output(grad_output, attn_row_at(&grad_output_at, b, h, first + i), i < used, columns, p.value_dims,
                    own_second + i * DIM_MAX);
        take_numbers(&a, logsumexp_memory, delta_memory, &delta_at, b, h, first + i, i < used, logsumexp + i, delta + i);
#endif
        clear(total + i * DIM_MAX, p.columns);
    }
    own_tile tile = { b, h, first, rows, { 0 }, { 0 }, logsumexp, delta };
#if PASS_KEYS
    for (tile.h = h * a.group; tile.h < (h + 1) * a.group; tile.h++) {
        visit_head(&a, &x, &e, tile, wants, &p, workspace, own, own_second, (b * a.query_heads + tile.h) * p.lines, scores,
                   dots, total, second);
    }
#else
    visit_head(&a, &x, &e, tile, wants, &p, workspace, own, own_second, (b * a.kv_heads + h / a.group) * p.lines, scores, dots,
               total, second);
#endif
    for (int i = 0; i < rows; i++) {
        int left = 0;
        if (wants & WANTS_REPAIR) {
            left = i < used && !(is_finite_line(total + i * DIM_MAX, p.columns) &&
                                 (!PASS_KEYS || is_finite_line(second + i * DIM_MAX, p.value_columns)));
            ((__global int *)workspace)[flags_at + head * length + first + i] = left;
        }
        const long at = attn_row_at(&first_at, b, h, first + i), second_place = attn_row_at(&second_at, b, h, first + i);
        if (FIRST(wants) && !left) {
            store_line(total + i * DIM_MAX, dims, a.scale, i < used, first_result, at, wants & WANTS_ADD);
        }
        if (SECOND(wants) && !left) {
            store_line(second + i * DIM_MAX, columns, 1.0f, i < used, second_result, second_place, wants & WANTS_ADD);
        }
    }
}
