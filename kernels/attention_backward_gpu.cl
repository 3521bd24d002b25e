// Gradients for GPUs, portable OpenCL 1.2, in two passes of one shape. With -DPASS_KEYS=0 a work-group makes grad_query of
// BLOCK_QUERY rows (row_blocks.cl.h says of which heads) and walks over the keys; with -DPASS_KEYS=1 it makes grad_key and
// grad_value of BLOCK_KEY keys and walks over the rows of all heads of their group. Either walks WALK lines at a time: scores
// and grad_output . value are products of its own lines and the others', P and dS of both take their place in local memory,
// and sums of other lines weighted by them stay in registers, as fp32. Nothing is added to by two work-groups.
// Local memory is an argument (backward_local.cl.h). Lines that came out not finite may be left to gradient_repair. Defines
// beside these: THREADS_X, THREADS_Y, SLICE (of the dims, staged at a time), VALUE_VECTORS, DIM (head_dim and value_dim at most).
#if PASS_KEYS
#define OWN BLOCK_KEY
#define BLOCK_ROWS WALK
#define BLOCK_KEYS BLOCK_KEY
#else
#define OWN BLOCK_QUERY
#define BLOCK_ROWS BLOCK_QUERY
#define BLOCK_KEYS WALK
#endif
#define ROWS (OWN / THREADS_Y)       // own lines of a work-item
#define COLUMNS (WALK / THREADS_X)   // and others
#define THREADS (THREADS_X * THREADS_Y)
#define SLICES ((DIM + WIDTH - 1) / WIDTH)
#define FIRST(wants) (!PASS_KEYS || ((wants) & WANTS_FIRST)) // grad_query or grad_key
#define SECOND(wants) (PASS_KEYS && ((wants) & WANTS_SECOND)) // grad_value
#include "include/backward_products.cl.h"
#include "include/gradient_share.cl.h"

#if OWN % THREADS_Y || WALK % THREADS_X || WALK % 4 || SLICE % 8 || THREADS_X % 4 || THREADS_Y % 2
#error "this block does not divide among the work-items"
#endif

// Weights and ds where every row sees every key and scores are no more than scaled.
static inline void open_shares(const attn_arguments *a, __local float4 *memory, int wants, float s[ROWS][COLUMNS],
                               float dot[ROWS][COLUMNS]) {
    const backward_item here = item_of(memory), *t = &here;
    __local float *weights = (__local float *)(t->weights + t->ty * SHARE_STRIDE) + t->tx;
    __local float *shares = (__local float *)(t->shares + t->ty * SHARE_STRIDE) + t->tx;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            const int n = PASS_KEYS ? t->tx + j * THREADS_X : t->ty + i * THREADS_Y;
            const int place = i * THREADS_Y * 4 * SHARE_STRIDE + j * THREADS_X;
            const float w = exp2(fma(s[i][j], a->scale, -t->logsumexp[n]) * LOG2_E);
            if (SECOND(wants)) weights[place] = w;
            if (FIRST(wants)) shares[place] = w * (dot[i][j] - t->delta[n]);
        }
    }
}

// The same for any features, pair by pair in local memory, so that what is done to one is there once in the program.
static inline void closed_shares(const attn_arguments *a, const attn_extras *x, __local float4 *memory) {
    const backward_item here = item_of(memory), *t = &here;
    __local const backward_block *g = t->block;
    __local float *weights = (__local float *)(t->weights + t->ty * SHARE_STRIDE) + t->tx;
    __local float *shares = (__local float *)(t->shares + t->ty * SHARE_STRIDE) + t->tx;
    const attn_entry e = g->entry;
#pragma unroll 1
    for (int r = 0; r < (PASS_KEYS ? COLUMNS : ROWS); r++) {
        const int n = PASS_KEYS ? t->tx + r * THREADS_X : t->ty + r * THREADS_Y, there = min(n, g->at.rows - 1);
        const long position = ATTN_ROW_POSITION(&g->at, there);
        const attn_range range = attn_row_range(a, &e, position);
        const attn_row row = attn_get_row(a, x, &e, g->at.b, ATTN_ROW_HEAD(&g->at, there), position);
        const attn_dropout_row dropout = attn_get_dropout_row(x, g->at.b, ATTN_ROW_HEAD(&g->at, there), position);
#pragma unroll 1
        for (int k = 0; k < (PASS_KEYS ? ROWS : COLUMNS); k++) {
            const long j = g->first_key + (PASS_KEYS ? t->ty + k * THREADS_Y : t->tx + k * THREADS_X);
            const int place = PASS_KEYS ? k * THREADS_Y * 4 * SHARE_STRIDE + r * THREADS_X
                                        : r * THREADS_Y * 4 * SHARE_STRIDE + k * THREADS_X;
            gradient_share share = { 0, 0.0f, 0.0f, 0.0f };
            if (n < g->at.rows && attn_range_has(&range, j)) {
                share = gradient_get_share(a, x, &row, &dropout, j, weights[place] * a->scale, shares[place],
                                           t->logsumexp[n], t->delta[n]);
            }
            weights[place] = share.weight;
            shares[place] = share.dr;
        }
    }
}

// Scores and products of grad_output and value to what pairs give to each other, in local memory as [own][other].
static inline void block_shares(const attn_arguments *a, const attn_extras *x, __local float4 *memory, int wants,
                                float s[ROWS][COLUMNS], float dot[ROWS][COLUMNS]) {
    barrier(CLK_LOCAL_MEM_FENCE); // the lines are read
    __local const backward_block *g = (__local const backward_block *)memory;
    const attn_range open = g->open;
    if (g->plain && attn_range_covers(&open, g->first_key, BLOCK_KEYS)) {
        open_shares(a, memory, wants, s, dot);
        return;
    }
    const backward_item here = item_of(memory), *t = &here;
    __local float *weights = (__local float *)(t->weights + t->ty * SHARE_STRIDE) + t->tx;
    __local float *shares = (__local float *)(t->shares + t->ty * SHARE_STRIDE) + t->tx;
#pragma unroll
    for (int n = 0; n < ROWS * COLUMNS; n++) {
        const int place = n / COLUMNS * THREADS_Y * 4 * SHARE_STRIDE + n % COLUMNS * THREADS_X;
        weights[place] = s[n / COLUMNS][n % COLUMNS];
        shares[place] = dot[n / COLUMNS][n % COLUMNS];
    }
    closed_shares(a, x, memory);
}

// Own lines that are not finite: 0 * x is 0 for what is, NaN for the rest.
static inline void add_zeros(float4 total[SLICES][VALUE_VECTORS][ROWS], float bad[ROWS]) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        float4 zeros = (float4)0.0f;
#pragma unroll
        for (int m = 0; m < SLICES * VALUE_VECTORS; m++) {
            zeros = fma(total[m / VALUE_VECTORS][m % VALUE_VECTORS][i], (float4)0.0f, zeros);
        }
        bad[i] += zeros.x + zeros.y + zeros.z + zeros.w == 0.0f ? 0.0f : 1.0f;
    }
}

// Logsumexp and delta of the block's rows. Rows that are not there or have no weights get those that make weights of 0.
static inline void take_numbers(const attn_arguments *a, __local float4 *memory) {
    const backward_item here = item_of(memory), *t = &here;
    __local const backward_block *g = t->block;
    const attn_layout delta_at = g->delta_at;
    for (int n = t->lane; n < BLOCK_ROWS; n += THREADS) {
        float l = INFINITY, d = 0.0f;
        const long h = ATTN_ROW_HEAD(&g->at, n), position = ATTN_ROW_POSITION(&g->at, n);
        if (n < g->at.rows && position < g->entry.query_length) {
            l = g->logsumexp_memory[ATTN_LOGSUMEXP_AT(a, g->at.b, h, position)];
            d = l == -INFINITY ? 0.0f : g->delta_memory[attn_row_at(&delta_at, g->at.b, h, position)];
            l = l == -INFINITY ? INFINITY : l;
        }
        t->logsumexp[n] = l;
        t->delta[n] = d;
    }
}

// One block against another.
static inline void visit_block(const attn_arguments *a, const attn_extras *x, __local float4 *memory, int wants,
                               float4 first[SLICES][VALUE_VECTORS][ROWS], float4 second[SLICES][VALUE_VECTORS][ROWS]) {
    float s[ROWS][COLUMNS], dot[ROWS][COLUMNS];
    block_products(memory, 0, (int)a->head_dim, s);
    block_products(memory, 1, FIRST(wants) ? (int)a->value_dim : 0, dot);
    block_shares(a, x, memory, wants, s, dot);
    if (PASS_KEYS) {
        add_columns(memory, 1, SECOND(wants) ? (int)a->value_dim : 0, second);
    }
    add_columns(memory, 0, FIRST(wants) ? (int)a->head_dim : 0, first);
}

// Own line n of the group in a tensor of results: 0 where it is not there, 1 where it has no gradient, else 2. `number`
// counts the lines of all heads.
static inline int find_line(const attn_arguments *a, __local const backward_block *g, int n, const attn_layout *layout,
                            long *at, long *number) {
#if PASS_KEYS
    const long j = g->first_key + n, b = g->at.b, h = g->at.h / a->group;
    *at = attn_row_at(layout, b, h, j);
    *number = (b * a->kv_heads + h) * a->key_length + j;
    return j >= a->key_length ? 0 : j >= g->entry.key_length ? 1 : 2;
#else
    const long i = ATTN_ROW_POSITION(&g->at, n), h = ATTN_ROW_HEAD(&g->at, n);
    *at = attn_row_at(layout, g->at.b, h, i);
    *number = (g->at.b * a->query_heads + h) * a->query_length + i;
    return n >= g->at.rows ? 0 : i >= g->entry.query_length ? 1 : 2;
#endif
}

static inline void store_lines(const attn_arguments *a, __local float4 *memory, const float *bad, int second, int add,
                               float4 total[SLICES][VALUE_VECTORS][ROWS]) {
    const backward_item here = item_of(memory), *t = &here;
    const attn_layout layout = second ? t->block->second_at : t->block->first_at;
    __global attn_gradient *result = second ? t->block->second_result : t->block->first_result;
    const int dims = (int)(second ? a->value_dim : a->head_dim);
    const float scale = second ? 1.0f : a->scale;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        long at, number;
        const int line = find_line(a, t->block, t->ty + i * THREADS_Y, &layout, &at, &number);
        if (line == 1 || (line == 2 && bad[i] == 0.0f)) {
#pragma unroll
            for (int m = 0; m < SLICES * VALUE_VECTORS; m++) {
                const int c = (m * THREADS_X + t->tx) * 4;
                const float4 y = total[m / VALUE_VECTORS][m % VALUE_VECTORS][i] * scale;
                gradient_put4(result, at + c, line == 1 ? (float4)0.0f : y, dims - c, add);
            }
        }
    }
}

// Says which of the own lines are not finite, where that is wanted; all work-items of a line know it then.
static inline void flag_lines(const attn_arguments *a, __local float4 *memory, int wants, float bad[ROWS]) {
    barrier(CLK_LOCAL_MEM_FENCE);
    const backward_item here = item_of(memory), *t = &here;
    reduce_rows(t->scratch, bad, 0);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        long at, number;
        const int line = find_line(a, t->block, t->ty + i * THREADS_Y, &a->query, &at, &number);
        if ((wants & WANTS_REPAIR) && t->tx == 0 && line != 0) {
            t->block->flags[number] = line == 2 && bad[i] != 0.0f;
        }
    }
}

// Goes over all blocks of the other kind.
static inline void visit_all(const attn_arguments *a, const attn_extras *x, __local float4 *memory, int wants,
                             float4 first[SLICES][VALUE_VECTORS][ROWS], float4 second[SLICES][VALUE_VECTORS][ROWS]) {
    __local backward_block *g = (__local backward_block *)memory;
    const attn_range visit = g->visit;
    const int begins = tile_lane() == 0;
#if PASS_KEYS
    const int heads = (int)attn_block_heads(a->group, a->query_length, WALK);
    const long b = g->at.b, first_head = g->at.h;
    for (long h = 0; h < a->group; h += heads) {
        for (long row = visit.begin * heads; row < visit.end * heads; row += WALK) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (begins) {
                const attn_row_block at = { b, first_head + h, row, heads, (int)min((long)WALK, visit.end * heads - row) };
                take_rows(a, g, &at);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            take_numbers(a, memory);
            visit_block(a, x, memory, wants, first, second);
        }
    }
#else
    take_numbers(a, memory);
    for (long k = attn_first_block(&visit, WALK); k < visit.end; k = attn_next_block(&visit, k, WALK, WALK)) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (begins) {
            take_keys(g, k);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        visit_block(a, x, memory, wants, first, second);
    }
#endif
}

// The group's own lines, by one work-item.
static inline void take_own(const attn_arguments *a, const attn_extras *x, __local backward_block *g, long number,
                            long blocks, __global const attn_storage *key, __global const attn_storage *value) {
#if PASS_KEYS
    const long line = number / blocks, b = line / a->kv_heads, kv_head = line % a->kv_heads;
    begin_block(a, x, g, b, kv_head, key, value);
    take_keys(g, number % blocks * BLOCK_KEY);
    const attn_entry e = g->entry;
    g->at.b = b;
    g->at.h = kv_head * a->group;
    g->visit = rows_that_see(a, &e, g->first_key, g->first_key + g->keys - 1);
#else
    const attn_row_block at = attn_get_row_block(a, number, blocks, BLOCK_QUERY);
    begin_block(a, x, g, at.b, at.h / a->group, key, value);
    take_keys(g, 0);
    const attn_entry e = g->entry;
    take_rows(a, g, &at);
    g->visit = attn_rows_range(a, &e, ATTN_ROW_POSITION(&at, 0), ATTN_ROW_POSITION(&at, at.rows - 1));
#endif
}

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_backward_gpu(attn_arguments a, long first_group, long blocks, ATTN_EXTRAS_PARAMETERS,
                            __global const attn_storage *restrict query, __global const attn_storage *restrict key,
                            __global const attn_storage *restrict value, __global const attn_storage *restrict grad_output,
                            __global const float *restrict logsumexp, __global const float *delta,
                            attn_layout grad_output_at, attn_layout delta_at, __global attn_gradient *first_result,
                            attn_layout first_at, __global attn_gradient *second_result, attn_layout second_at, int wants,
                            __global int *flags, long flags_at, __local float4 *memory) {
    const attn_extras x = ATTN_EXTRAS;
    if (tile_lane() == 0) {
        __local backward_block *g = (__local backward_block *)memory;
        g->query_memory = query;
        g->grad_output_memory = grad_output;
        g->logsumexp_memory = logsumexp;
        g->delta_memory = delta;
        g->grad_output_at = grad_output_at;
        g->delta_at = delta_at;
        g->first_result = first_result;
        g->second_result = second_result;
        g->first_at = first_at;
        g->second_at = second_at;
        g->flags = flags + flags_at;
        take_own(&a, &x, g, first_group + get_group_id(0), blocks, key, value);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    float4 first[SLICES][VALUE_VECTORS][ROWS], second[SLICES][VALUE_VECTORS][ROWS];
    float bad[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        bad[i] = 0.0f;
    }
    clear(first);
    clear(second);
    visit_all(&a, &x, memory, wants, first, second);
    if (wants & WANTS_REPAIR) {
        add_zeros(first, bad);
        add_zeros(second, bad);
    }
    flag_lines(&a, memory, wants, bad);
    if (FIRST(wants)) store_lines(&a, memory, bad, 0, wants & WANTS_ADD, first);
    if (SECOND(wants)) store_lines(&a, memory, bad, 1, wants & WANTS_ADD, second);
}
