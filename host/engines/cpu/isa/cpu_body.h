/*
 * The fused kernels, compiled once per instruction set: the includer says how wide a vector is and what to call the table.
 * Everything here is static, so that no function compiled for one instruction set is ever entered for another.
 */
#define ATTN_WORD 1

#include "engines/cpu/backward/cpu_backward.h"
#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/decode/cpu_decode.h"
#include "engines/cpu/dropout/cpu_dropout_out.h"
#include "engines/cpu/fp64/cpu_double.h"
#include "engines/cpu/prefill/cpu_floats.h"
#include "engines/cpu/prefill/cpu_prefill.h"
#include "engines/cpu/shared/cpu_vector.h"
#include "engines/cpu/weights/cpu_weights.h"

const attn_cpu_kernels *ATTN_KERNELS(void) {
    static const attn_cpu_kernels kernels = {
        .lanes = LANES,
        .tile_rows = TILE_ROWS,
        .tile_keys = TILE_KEYS,
        .floats = { .name = ATTN_KERNELS_NAME,
                    .tile_rows = TILE_ROWS,
                    .tile_keys = TILE_KEYS,
                    .serves = words_serve,
                    .rounds = words_round,
                    .sizes = word_sizes,
                    .prefill = prefill_item },
        .decode = decode_item,
        .merge = merge_item,
        .weights = weights_item,
        .doubles = double_item,
        .dropout_mask = mask_item,
        .backward = &backward_kernels_in_single,
        .backward_double = &backward_kernels_in_double,
    };
    return &kernels;
}
