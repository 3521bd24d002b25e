/* An item of prefill on a matrix unit: the blocks and patches that it goes through. */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_WORK_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_WORK_H

#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/matrix/cpu_matrix_stream.h"
#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_step.h"

enum { MATRIX_ROWS = 32, PATCH_KEYS = 64 }; /* of a patch: scores that exist at a time, twice; all of it in L1 */

/** An item under way, beside its prefill_work. */
typedef struct matrix_work {
    prefill_work p;
    stream stream;
    int64_t dim_steps, value_steps; /* tiles that the two products sum over, in a whole block */
    int64_t pieces;
    bool stepped;                                /* scores need more than a factor */
    float *scores[2], *part;                     /* [MATRIX_ROWS][PATCH_KEYS]; [MATRIX_ROWS][output_pitch] */
    char *weights[2];                            /* [row tile][step of 32 keys][piece] tiles */
    float tops[MATRIX_ROWS], zeros[MATRIX_ROWS]; /* maxima of a patch; what its scores are taken relative to */
    step_row steps[MATRIX_ROWS];                 /* of the row tile that begins with row steps_row */
    int64_t steps_row, next_bias, next_mask;     /* bytes from row to row */
} matrix_work;

/** A packed block of keys: n keys from number `first` on. */
typedef struct matrix_block {
    int64_t first;
    int n;
    const char *keys, *values;
} matrix_block;

/** Some rows of the item by some keys of the block. */
typedef struct patch {
    int64_t row;
    int rows;               /* 16 or 32; 0: no patch */
    int begin, n;           /* keys of the block: whole steps */
    int end;                /* of the keys that these rows attend in this block */
    int all_begin, all_end; /* keys of the block that all of the rows attend */
    int buffer;             /* which scores and weights */
    bool first;             /* of its row tile in this block */
} patch;

#endif
