// Delta of every row, for backward: sum of grad_output * output over the dims, minus grad_logsumexp. A work-item makes
// `rows` rows, into `deltas` as [batch, query_heads, query_length] of this call. Nothing of rows beyond the used query
// length is read; theirs is 0.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/gradient_types.cl.h"
#include "include/mask.cl.h"

__kernel void gradient_deltas(attn_arguments a, long first_item, int rows, ATTN_EXTRAS_PARAMETERS,
                             __global const attn_output *output, __global const attn_output *grad_output,
                             __global const float *grad_logsumexp, attn_layout grad_output_at,
                             attn_layout grad_logsumexp_at, int has_grad_logsumexp, __global float *deltas) {
    const attn_extras x = ATTN_EXTRAS;
    const long first = (first_item + get_global_id(0)) * rows, all = a.batch * a.query_heads * a.query_length;
    for (long number = first; number < min(first + rows, all); number++) {
        const long i = number % a.query_length, h = number / a.query_length % a.query_heads;
        const long b = number / a.query_length / a.query_heads;
        const attn_entry e = attn_get_entry(&a, &x, b);
        if (i >= e.query_length) {
            deltas[number] = 0.0f;
            continue;
        }
        const long o = attn_row_at(&a.output, b, h, i), g = attn_row_at(&grad_output_at, b, h, i);
        const int columns = (int)a.value_dim;
        float4 sum0 = (float4)0.0f, sum1 = (float4)0.0f;
        float rest = 0.0f;
        int d = 0;
        for (; d + 8 <= columns; d += 8) {
            sum0 = fma(ATTN_LOAD_OUTPUTN(4, output, o + d), ATTN_LOAD_OUTPUTN(4, grad_output, g + d), sum0);
            sum1 = fma(ATTN_LOAD_OUTPUTN(4, output, o + d + 4), ATTN_LOAD_OUTPUTN(4, grad_output, g + d + 4), sum1);
        }
        for (; d < columns; d++) {
            rest = fma(ATTN_LOAD_OUTPUT(output, o + d), ATTN_LOAD_OUTPUT(grad_output, g + d), rest);
        }
        sum0 += sum1;
        const float sum = sum0.x + sum0.y + (sum0.z + sum0.w) + rest;
        deltas[number] = has_grad_logsumexp ? sum - grad_logsumexp[attn_row_at(&grad_logsumexp_at, b, h, i)] : sum;
    }
}
