// What a team of attention_decode_gpu.cl does with its values, once decode_team.cl.h has made their weights.
#ifndef ATTN_DECODE_VALUES_CL_H
#define ATTN_DECODE_VALUES_CL_H

#include "include/decode_team.cl.h"

// output = output * keep + weights * values, for the lane's columns.
static inline void add_values(const team_member *t, uint4 chunks[KEYS][PARTS], float output[ROWS][SHARE]) {
    __local const float *weights = t->shared + AT_WEIGHTS + t->team * SCORES;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const float keep = t->shared[AT_KEEP + t->team * ROWS + i];
        if (keep != 1.0f) {
#pragma unroll
            for (int n = 0; n < SHARE; n++) {
                output[i][n] *= keep;
            }
        }
    }
#pragma unroll
    for (int u = 0; u < KEYS; u++) {
        float w[ROWS];
#if ROWS >= 4
#pragma unroll
        for (int i = 0; i < ROWS; i += 4) {
            const float4 four = *(__local const float4 *)(weights + u * ROWS + i);
            w[i] = four.x, w[i + 1] = four.y, w[i + 2] = four.z, w[i + 3] = four.w;
        }
#else
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            w[i] = weights[u * ROWS + i];
        }
#endif
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
            float y[CHUNK];
            lanes_unpack(chunks[u][p], y);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
#pragma unroll
                for (int n = 0; n < CHUNK; n++) {
                    output[i][p * CHUNK + n] = fma(w[i], y[n], output[i][p * CHUNK + n]);
                }
            }
        }
    }
}

#endif
