// Packs the lines that a pass of attention_backward_cpu.cl walks over (backward_pack.cl.h), one work-item a panel of one head: keys
// and values, or, with PASS_KEYS=1, queries, grad_output, logsumexp and delta. What lies beyond an entry's used length is
// never read. Defines: VECTOR, TILE_ROWS, TILE_VECTORS, PASS_KEYS.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/hints.cl.h"
#include "include/gradient_types.cl.h"
#include "include/mask.cl.h"
#include "include/tile.cl.h"
#include "include/backward_pack.cl.h"

LOAD_LINE(load_line, attn_storage, __global, ATTN_LOAD, ATTN_LOADN)
#if PASS_KEYS
typedef attn_output second_type;
LOAD_LINE(load_second, attn_output, __global, ATTN_LOAD_OUTPUT, ATTN_LOAD_OUTPUTN)
#define LOAD_SECOND(p, at) ATTN_LOAD_OUTPUT(p, at)
#else
typedef attn_storage second_type;
#define load_second load_line
#define LOAD_SECOND(p, at) ATTN_LOAD(p, at)
#endif

// Columns of a panel from rows that are packed already: [dims][TILE_KEYS].
static inline void turn(__global const float *rows, int columns, int dims, int padded, __global float *panel) {
    for (int d = 0; d < padded; d++) {
        for (int n = 0; n < TILE_KEYS; n++) {
            panel[d * TILE_KEYS + n] = d < dims ? rows[n * columns + d] : 0.0f;
        }
    }
}

#if !PASS_KEYS
// Values have no rows of their own: nothing is summed over them.
static inline void turn_values(__global const attn_storage *value, long at, long stride, int there, int dims, int padded,
                               __global float *panel) {
    for (int d = 0; d < padded; d++) {
        for (int n = 0; n < TILE_KEYS; n++) {
            panel[d * TILE_KEYS + n] = n < there && d < dims ? ATTN_LOAD(value, at + n * stride + d) : 0.0f;
        }
    }
}
#endif

__kernel KERNEL_OF_VECTORS __attribute__((reqd_work_group_size(1, 1, 1))) void
backward_pack(attn_arguments a, long first_item, ATTN_EXTRAS_PARAMETERS, __global const attn_storage *first_memory,
              attn_layout first_at, __global const second_type *second_memory, attn_layout second_at,
              __global const float *logsumexp, __global const float *delta, attn_layout delta_at,
              __global float *workspace, long pack_at) {
    const attn_extras x = ATTN_EXTRAS;
    const backward_packed p = backward_get_pack(&a, PASS_KEYS, pack_at);
    const long heads = PASS_KEYS ? a.query_heads : a.kv_heads, panels = p.lines / TILE_KEYS;
    const long item = first_item + get_global_id(0), line = item / panels, first = item % panels * TILE_KEYS;
    const long b = line / heads, h = line % heads, at = line * p.lines + first; // `at` counts packed lines
    const attn_entry e = attn_get_entry(&a, &x, b);
    const int there = (int)clamp((PASS_KEYS ? e.query_length : e.key_length) - first, 0L, (long)TILE_KEYS);
    const long from = attn_key_at(&first_at, b, h, first), second_from = attn_key_at(&second_at, b, h, first);
    for (int n = 0; n < TILE_KEYS; n++) {
        load_line(first_memory, from + n * first_at.stride[2], n < there, (int)a.head_dim, p.columns,
                  workspace + p.rows + (at + n) * p.columns);
    }
    turn(workspace + p.rows + at * p.columns, p.columns, (int)a.head_dim, p.dims, workspace + p.panels + at * p.dims);
#if PASS_KEYS
    for (int n = 0; n < TILE_KEYS; n++) {
        load_second(second_memory, second_from + n * second_at.stride[2], n < there, (int)a.value_dim, p.value_columns,
                    workspace + p.value_rows + (at + n) * p.value_columns);
        float l = n < there ? logsumexp[ATTN_LOGSUMEXP_AT(&a, b, h, first + n)] : -INFINITY;
        workspace[p.logsumexp + at + n] = l == -INFINITY ? INFINITY : l; // makes weights of 0
        workspace[p.delta + at + n] = l == -INFINITY ? 0.0f : delta[attn_row_at(&delta_at, b, h, first + n)];
    }
    turn(workspace + p.value_rows + at * p.value_columns, p.value_columns, (int)a.value_dim, p.value_dims,
         workspace + p.value_panels + at * p.value_dims);
#else
    turn_values(second_memory, second_from, second_at.stride[2], there, (int)a.value_dim, p.value_dims,
                workspace + p.value_panels + at * p.value_dims);
#endif
}
