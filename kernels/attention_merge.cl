// Merges the splits of attention_decode_*.cl by their logsumexps: output, logsumexp, and the sink, which enters here
// once. One work-item makes `columns` columns of one row. Always in the order of the splits, so the same call gives the
// same bits.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/hints.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/dropout.cl.h"
#include "include/softmax_online.cl.h"
#include "include/partial.cl.h"

__kernel KERNEL_OF_VECTORS
void attention_merge(attn_arguments a, long first_item, int splits, int columns, ATTN_EXTRAS_PARAMETERS,
                     __global const float *workspace, long stats_at, __global attn_output *restrict output,
                     __global float *restrict logsumexp) {
    const attn_extras x = ATTN_EXTRAS;
    const int features = ATTN_FEATURES(&a), has_sink = (features & ATTN_HAS_SINKS) != 0;
    const long blocks = (a.value_dim + columns - 1) / columns, item = first_item + get_global_id(0);
    const long row = item / blocks, i = row % a.query_length;
    const long h = row / a.query_length % a.query_heads, b = row / a.query_length / a.query_heads;
    __global const float *stats = workspace + stats_at + row * splits * 2;
    float maximum = -INFINITY, sum = 0.0f;
    for (int s = 0; s < splits; s++) {
        maximum = stats[2 * s] > maximum ? stats[2 * s] : maximum;
    }
    for (int s = 0; s < splits; s++) {
        sum = fma(stats[2 * s + 1], softmax_rescale(stats[2 * s], maximum), sum);
    }
    const softmax_end end = softmax_finish(maximum, sum, has_sink, has_sink ? x.sinks[a.sinks_at + h] : 0.0f);
    const long at = attn_row_at(&a.output, b, h, i);
    const int first = (int)(item % blocks) * columns;
    for (int c = first; c < min(first + columns, (int)a.value_dim); c++) {
        float y = 0.0f;
        for (int s = 0; s < splits && end.factor != 0.0f; s++) {
            float factor = softmax_rescale(stats[2 * s], maximum) * end.factor;
            factor = ATTN_DROPOUT ? factor * ATTN_KEEP(&x) : factor;
            if (factor != 0.0f) {
                y = fma(workspace[(row * splits + s) * a.value_dim + c], factor, y);
            }
        }
        ATTN_STORE_OUTPUT(output, at + c, y);
    }
    if (first == 0 && (features & ATTN_HAS_LOGSUMEXP)) {
        logsumexp[ATTN_LOGSUMEXP_AT(&a, b, h, i)] = end.logsumexp;
    }
}
