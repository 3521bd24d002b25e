// Gradients of sinks: minus the sum of exp(sink - logsumexp) * delta over the rows of a head. A work-item makes a part of
// them, gradient_sum the rest. A row with nothing allowed has its sink as logsumexp, and gives it minus its delta.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/mask.cl.h"

#define CHAIN 64 // terms that are summed in one chain

__kernel void gradient_sinks(attn_arguments a, long first_item, ATTN_EXTRAS_PARAMETERS,
                             __global const float *logsumexp, __global const float *delta, attn_layout delta_at,
                             long parts, __global float *workspace, long parts_at) {
    const attn_extras x = ATTN_EXTRAS;
    const long item = first_item + get_global_id(0), h = item / parts, part = item % parts;
    const long all = a.batch * a.query_length;
    const float sink = x.sinks[a.sinks_at + h];
    float total = 0.0f, chain = 0.0f;
    for (long r = all * part / parts; r < all * (part + 1) / parts; r++) {
        const long b = r / a.query_length, i = r % a.query_length;
        const attn_entry e = attn_get_entry(&a, &x, b);
        if (i < e.query_length) {
            const float l = logsumexp[ATTN_LOGSUMEXP_AT(&a, b, h, i)], d = delta[attn_row_at(&delta_at, b, h, i)];
            chain -= sink == -INFINITY || l == -INFINITY ? 0.0f : exp(sink - l) * d;
        }
        if (r % CHAIN == CHAIN - 1) {
            total += chain;
            chain = 0.0f;
        }
    }
    workspace[parts_at + item] = total + chain;
}
