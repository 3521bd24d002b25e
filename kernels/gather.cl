// Copies query, key or value into a dense float matrix: any strides and storage type in, 0 for rows beyond the used
// length. For libraries that take plain matrices. Pairs are (batch entry, key-value head); the rows of a pair are those
// of its heads, one head after another; each line of the part has a work-group. The host sets `which` and the region;
// nothing here knows about scores.
#include "include/mask.cl.h"

#define GATHER_QUERY 0
#define GATHER_KEY 1
#define GATHER_VALUE 2

__kernel void gather(const attn_arguments a, ATTN_EXTRAS_PARAMETERS, __global const attn_storage *restrict from,
                     __global float *restrict to, long to_at, int which, long first_pair, long first_row, long rows) {
    const attn_extras extras = ATTN_EXTRAS;
    const long line = get_group_id(0), pair = first_pair + line / rows, row = first_row + line % rows;
    const long b = pair / a.kv_heads, g = pair % a.kv_heads;
    const attn_entry entry = attn_get_entry(&a, &extras, b);
    long dim = a.head_dim, used = entry.key_length, from_at, i = row;
    if (which == GATHER_QUERY) {
        i = row % a.query_length;
        used = entry.query_length;
        from_at = attn_row_at(&a.query, b, g * a.group + row / a.query_length, i);
    } else if (which == GATHER_KEY) {
        from_at = attn_row_at(&a.key, b, g, i);
    } else {
        dim = a.value_dim;
        from_at = attn_row_at(&a.value, b, g, i);
    }
    to_at += line * dim;
    for (long d = get_local_id(0); d < dim; d += get_local_size(0)) {
        to[to_at + d] = i < used ? ATTN_LOAD(from, from_at + d) : 0.0f;
    }
}
