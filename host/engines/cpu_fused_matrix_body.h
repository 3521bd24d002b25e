/*
 * Prefill in bf16 on a matrix unit, compiled once per unit: the includer says how wide a vector is, which unit, and what to
 * call the table. As in cpu_fused_body.h everything is static, so that nothing compiled for one machine runs on another.
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "engines/cpu_fused.h"
#include "engines/cpu_rows.h"
#include "problem/mask.h"
#include "problem/problem.h"

#include "engines/cpu_fused_vector.h"
#include "engines/cpu_fused_pack.h"
#include "engines/cpu_fused_step.h"
#include "engines/cpu_fused_rows.h"
#include "engines/cpu_fused_item.h"
#include "engines/cpu_fused_matrix_tiles.h"
#include "engines/cpu_fused_matrix_pack.h"

/** 2 * LANES weights, finite or NaN and never denormal, rounded to bf16; what they became is added to *sum. */
INLINE void store_weights(uint16_t *bits, vf a, vf b, vf *sum) {
#if ATTN_MATRIX_AMX
    __m512bh both = _mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
    *sum = (vf)_mm512_dpbf16_ps((__m512)*sum, both, (__m512bh)_mm512_set1_epi16(0x3f80));
    memcpy(bits, &both, sizeof both);
#else
    vh low = to_bf16(a), high = to_bf16(b);
    *sum += (vf)(__builtin_convertvector(low, vu) << 16) + (vf)(__builtin_convertvector(high, vu) << 16);
    memcpy(bits, &low, sizeof low);
    memcpy(bits + LANES, &high, sizeof high);
#endif
}

#include "engines/cpu_fused_matrix.h"

const attn_cpu_matrix *ATTN_MATRIX(void) {
    static const attn_cpu_matrix matrix = {
        .name = ATTN_MATRIX_NAME,
        .tile_rows = MATRIX_ROWS,
        .tile_keys = UNIT_DEPTH,
        .columns = UNIT_ROWS,
        .prefill = matrix_item,
    };
    return &matrix;
}
