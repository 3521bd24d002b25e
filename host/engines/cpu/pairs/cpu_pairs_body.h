/*
 * Prefill of bf16 on instructions that multiply pairs of it, compiled once per instruction set: the includer says how wide a
 * vector is, whether the processor has such an instruction, and what to call the table. As in cpu_body.h everything
 * is static, so that nothing compiled for one machine runs on another.
 */
#define ATTN_WORD 2

#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/pairs/cpu_pairs.h"
#include "engines/cpu/prefill/cpu_prefill.h"
#include "engines/cpu/shared/cpu_vector.h"

const attn_cpu_unit *ATTN_PAIRS(void) {
    static const attn_cpu_unit pairs = {
        .name = ATTN_PAIRS_NAME,
        .tile_rows = TILE_ROWS,
        .tile_keys = TILE_KEYS,
        .decode_rows = 4,
        .speed = 2,
        .serves = words_serve,
        .rounds = words_round,
        .sizes = word_sizes,
        .prefill = prefill_item,
    };
    return &pairs;
}
