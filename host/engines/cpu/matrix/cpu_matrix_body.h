/*
 * Prefill on a matrix unit, compiled once per unit: the includer says how wide a vector is, which unit, and what to
 * call the table. As in cpu_body.h everything is static, so that nothing compiled for one machine runs on another.
 */
#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/matrix/cpu_matrix.h"
#include "engines/cpu/matrix/cpu_matrix_tiles.h"

const attn_cpu_unit *ATTN_MATRIX(void) {
    static const attn_cpu_unit matrix = {
        .name = ATTN_MATRIX_NAME,
        .tile_rows = MATRIX_ROWS,
        .tile_keys = UNIT_DEPTH,
        .decode_rows = MATRIX_ROWS / 4,
        .speed = 4,
        .serves = matrix_serves,
        .rounds = matrix_rounds,
        .sizes = matrix_sizes,
        .prefill = matrix_item,
    };
    return &matrix;
}
