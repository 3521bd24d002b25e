// Writes which weights dropout keeps, of every key, allowed or not: bytes, 1 = kept. A work-item has CHUNK keys of one row.
#define ATTN_DROPOUT 1
#include "include/arguments.cl.h"
#include "include/hints.cl.h"
#include "include/dropout.cl.h"

#define CHUNK 64 // as opencl_grid.c has it

__kernel KERNEL_OF_VECTORS
void dropout_mask(attn_arguments a, long first_item, long keys, ATTN_EXTRAS_PARAMETERS, __global uchar *restrict mask) {
    const attn_extras x = ATTN_EXTRAS;
    const long chunks = (keys + CHUNK - 1) / CHUNK, item = first_item + get_global_id(0), row = item / chunks;
    const long i = row % a.query_length, h = row / a.query_length % a.query_heads;
    const long b = row / a.query_length / a.query_heads, first = item % chunks * CHUNK;
    const attn_dropout_row r = attn_get_dropout_row(&x, b, h, i);
    const int count = (int)min((long)CHUNK, keys - first);
    mask += attn_row_at(&x.training->dropout_mask, b, h, i) + first;
    for (int n = 0; n < count; n += 4) {
        const int4 kept = attn_dropout_keeps_four(&r, first + n) & 1;
        mask[n] = (uchar)kept.x;
        if (n + 1 < count) mask[n + 1] = (uchar)kept.y;
        if (n + 2 < count) mask[n + 2] = (uchar)kept.z;
        if (n + 3 < count) mask[n + 3] = (uchar)kept.w;
    }
}
