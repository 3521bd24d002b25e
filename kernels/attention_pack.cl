// Packs keys and values for attention_fused_cpu.cl: fp32, padded with zeros, one work-item a panel of one key-value
// head. Keys lie at the start of the workspace, values from element values_at on. What lies beyond an entry's used key
// length is never read. Defines: VECTOR, TILE_ROWS, TILE_VECTORS.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/hints.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/tile.cl.h"
#include "include/pack.cl.h"

// VECTOR keys from `at` on, `there` of which exist, into column `lane` of the panel.
static inline void pack_keys(__global const attn_storage *key, long at, long stride, int there, int dims,
                      __global float *panel) {
    for (int d = 0; d < PACK_DIMS(dims); d++) {
        float column[VECTOR];
        for (int n = 0; n < VECTOR; n++) {
            column[n] = n < there && d < dims ? ATTN_LOAD(key, at + n * stride + d) : 0.0f;
        }
        vector_store(vector_load(0, column), 0, panel + d * TILE_KEYS);
    }
}

static inline void pack_value(__global const attn_storage *value, long at, int there, int columns,
                              __global float *row) {
    int c = 0;
    for (; there && c + VECTOR <= columns; c += VECTOR) {
        vector_store(ATTN_LOADN(VECTOR, value, at + c), 0, row + c);
    }
    for (; c < PACK_COLUMNS(columns); c++) {
        row[c] = there && c < columns ? ATTN_LOAD(value, at + c) : 0.0f;
    }
}

__kernel KERNEL_OF_VECTORS __attribute__((reqd_work_group_size(1, 1, 1))) void
attention_pack(attn_arguments a, long first_item, ATTN_EXTRAS_PARAMETERS, __global const attn_storage *restrict key,
               __global const attn_storage *restrict value, __global float *workspace, long values_at) {
    const attn_extras x = ATTN_EXTRAS;
    const long panels = PACK_KEYS(a.key_length) / TILE_KEYS;
    const long item = first_item + get_global_id(0), head = item / panels, first = item % panels * TILE_KEYS;
    const long b = head / a.kv_heads, g = head % a.kv_heads;
    const attn_entry e = attn_get_entry(&a, &x, b);
    const int there = (int)clamp(e.key_length - first, 0L, (long)TILE_KEYS);
    const int dims = (int)a.head_dim, columns = (int)a.value_dim;
    __global float *packed_key = workspace + item * TILE_KEYS * PACK_DIMS(dims);
    __global float *packed_value = workspace + values_at + item * TILE_KEYS * PACK_COLUMNS(columns);
    for (int n = 0; n < TILE_KEYS; n += VECTOR) {
        pack_keys(key, attn_key_at(&a.key, b, g, first + n), a.key.stride[2], there - n, dims, packed_key + n);
    }
    for (int n = 0; n < TILE_KEYS; n++) {
        pack_value(value, attn_key_at(&a.value, b, g, first + n), n < there, columns,
                   packed_value + n * PACK_COLUMNS(columns));
    }
}
