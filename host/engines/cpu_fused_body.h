/*
 * The fused kernels, compiled once per instruction set: the includer says how wide a vector is and what to call the table.
 * Everything here is static, so that no function compiled for one instruction set is ever entered for another.
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
#include "engines/cpu_fused_floats.h"
#include "engines/cpu_fused_tile.h"
#include "engines/cpu_fused_tile_step.h"
#include "engines/cpu_fused_ahead.h"
#include "engines/cpu_fused_prefill.h"
#include "engines/cpu_fused_decode.h"
#include "engines/cpu_fused_weights.h"
#include "engines/cpu_fused_double.h"

const attn_cpu_kernels *ATTN_KERNELS(void) {
    static const attn_cpu_kernels kernels = {
        .name = ATTN_KERNELS_NAME,
        .lanes = LANES,
        .tile_rows = TILE_ROWS,
        .tile_keys = TILE_KEYS,
        .prefill = prefill_item,
        .decode = decode_item,
        .merge = merge_item,
        .weights = weights_item,
        .doubles = double_item,
    };
    return &kernels;
}
