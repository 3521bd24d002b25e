// Copies rows of a tensor into a dense float matrix: any strides and storage type in, 0 for rows beyond the used length.
// For libraries that take plain matrices. Pairs are (batch entry, key-value head); the rows of a pair are those of its
// query heads, one head after another (of_rows), or its keys; each line of the part has a work-group. Nothing here knows
// about scores.
#include "include/mask.cl.h"

__kernel void gather(const attn_arguments a, ATTN_EXTRAS_PARAMETERS, __global const attn_storage *restrict from,
                     const attn_layout layout, __global float *restrict to, long to_at, int of_rows, long dim,
                     long first_pair, long first_row, long rows) {
    const attn_extras extras = ATTN_EXTRAS;
    const long line = get_group_id(0), pair = first_pair + line / rows, row = first_row + line % rows;
    const long b = pair / a.kv_heads, g = pair % a.kv_heads;
    const attn_entry entry = attn_get_entry(&a, &extras, b);
    const long length = of_rows ? a.query_length : a.key_length, heads = of_rows ? a.group : 1;
    const long i = row % length, used = of_rows ? entry.query_length : entry.key_length;
    const long from_at = of_rows ? attn_row_at(&layout, b, g * heads + row / length, i) : attn_key_at(&layout, b, g, i);
    to_at += line * dim;
    for (long d = get_local_id(0); d < dim; d += get_local_size(0)) {
        to[to_at + d] = i < used ? ATTN_LOAD(from, from_at + d) : 0.0f;
    }
}
