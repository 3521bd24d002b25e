/*
 * Between the cpu engine and its kernels, which are compiled once per instruction set: what a call asks of them, and where
 * a worker's scratch lies.
 */
#ifndef ATTN_ENGINES_CPU_CPU_KERNELS_H
#define ATTN_ENGINES_CPU_CPU_KERNELS_H

#include <stdatomic.h>

#include "problem/call.h"

enum {
    ATTN_CPU_BLOCK_KEY = 256,  /* keys in a block: K and V of a block stay in L2, scores of a tile in L1 */
    ATTN_CPU_MOST_ROWS = 512,  /* query rows of a work item */
    ATTN_CPU_DECODE_ROWS = 256, /* rows per key-value head up to which its heads are taken together, keys split */
    ATTN_CPU_IN_PLACE_ROWS = 8, /* of these, up to which keys are read in place */
    ATTN_CPU_SCORE_PITCH = ATTN_CPU_BLOCK_KEY + 16, /* floats; no power of two: rows of a tile in different cache sets */
    ATTN_CPU_PATCH_ROWS = 32,  /* on a matrix unit: rows and keys whose scores exist at a time, twice; all of it in L1 */
    ATTN_CPU_PATCH_KEYS = 64,
    ATTN_CPU_WEIGHTS_ROWS = 48,       /* weights out: rows of an item, at most, */
    ATTN_CPU_WEIGHTS_FLOATS = 524288, /* fewer when their scores would be more than these, but one tile */
    ATTN_CPU_DOUBLE_ROWS = 48,        /* fp64: rows of an item, at most, */
    ATTN_CPU_DOUBLE_KEYS = 64,        /* keys of a block, */
    ATTN_CPU_DOUBLE_FEWEST = 3,       /* query rows that pay for packing keys: fewer take the careful path */
    ATTN_CPU_PART = 64         /* keys that one accumulator takes before it is added to the sum: long sums stay exact */
};

/** Where things lie in a worker's scratch, in bytes. */
typedef struct attn_cpu_layout {
    int64_t tags;    /* int64_t [slots]: which block of which head lies in a slot */
    int64_t keys;    /* float [slots][block_key * head_dim]: packed keys; on a matrix unit pieces, whole tiles */
    int64_t values;  /* float [slots][block_key * value_pitch]: copied values; on a matrix unit pieces, whole tiles */
    int64_t queries; /* float [rows][head_dim in whole vectors]: copied queries; on a matrix unit pieces */
    int64_t output;  /* float [rows][value_pitch]: sums not yet divided */
    int64_t sums;    /* float [rows][lanes] */
    int64_t exact;   /* the same before weights were rounded; on a matrix unit only */
    int64_t maxima;  /* float [rows] */
    int64_t ranges;  /* attn_key_range [rows] */
    int64_t scores;  /* float [rows of a tile][block_key and some] */
    int64_t patches; /* on a matrix unit: two patches' scores and weights, a patch's sums of values */
    int64_t weights; /* weights out: float [weights_rows][key_length in whole vectors]: scores that wait for their sum */
    int64_t row;     /* the careful path's */
    int64_t total;
} attn_cpu_layout;

/** What does not change from item to item of a call. */
typedef struct attn_cpu_job {
    const clattn_problem *problem;
    const attn_call *call;
    attn_cpu_layout layout;
    bool stepped;           /* softcap, mask, bias or ALiBi: scores need a step between the two products */
    bool copy_values;       /* values are converted, padded or aligned in scratch */
    bool near;              /* decode calls memory into L1 alone, else into L2 first */
    float key_factor;     /* of every product: scale, and log2(e) when there is no softcap */
    int64_t value_pitch;    /* value_dim rounded up to whole vectors */
    int64_t block_key, slots;
    int64_t rows, chunks;   /* prefill: rows of an item, items of a head */
    int64_t splits;         /* decode: parts of the keys */
    int64_t weights_rows;   /* weights out: rows of an item */
    float *partials;        /* decode: [batch * kv_heads][splits][group rows][value_pitch + 2] */
} attn_cpu_job;

/** The kernels of one instruction set. */
typedef struct attn_cpu_kernels {
    const char *name;
    int64_t lanes;                /* floats of a vector */
    int64_t tile_rows, tile_keys; /* of a register tile of scores */
    /** Rows of one head: item = (batch entry, query head, chunk of rows). */
    void (*prefill)(const attn_cpu_job *job, int64_t item, void *scratch);
    /** Few rows of a group, a part of the keys: item = (batch entry, key-value head, part). */
    void (*decode)(const attn_cpu_job *job, int64_t item, void *scratch);
    /** The parts of one group into its outputs: item = (batch entry, key-value head). */
    void (*merge)(const attn_cpu_job *job, int64_t item, void *scratch);
    /** Weights out of one of the chosen heads: item = (batch entry, chosen head, chunk of weights_rows rows). */
    void (*weights)(const attn_cpu_job *job, int64_t item, void *scratch);
    /** fp64, items as in prefill. */
    void (*doubles)(const attn_cpu_job *job, int64_t item, void *scratch);
} attn_cpu_kernels;

/**
 * Prefill on a unit that multiplies bf16: small matrices of it, for which other types are taken apart into several of bf16;
 * or pairs in a vector, which serve bf16 alone.
 */
typedef struct attn_cpu_matrix {
    const char *name;
    int64_t tile_rows, tile_keys; /* rows of a step, and keys, by which blocks go */
    int64_t columns;              /* sums of values are padded to a multiple of these */
    bool pairs;                   /* of bf16, in a vector: other types and patches of scores it does not know */
    int64_t decode_rows;          /* of a head, up to which decode is as fast in bf16; twice and four times in fp16, fp32 */
    int64_t speed;                /* times as fast as decode with many more rows, about */
    void (*prefill)(const attn_cpu_job *job, int64_t item, void *scratch);
} attn_cpu_matrix;

/** bf16 that a number of a type is the exact sum of, on a matrix unit. */
static inline int attn_cpu_pieces(clattn_type type) {
    return type == CLATTN_BF16 ? 1 : type == CLATTN_FP16 ? 2 : 3;
}

/** A matrix unit, or NULL when this build has none. portable: in portable C, for tests. */
const attn_cpu_matrix *attn_cpu_matrix_portable(void);
const attn_cpu_matrix *attn_cpu_matrix_amx(void);
const attn_cpu_matrix *attn_cpu_pairs_portable(void);
const attn_cpu_matrix *attn_cpu_pairs_avx512(void);

/** The kernels of an instruction set, or NULL when this build has none. */
const attn_cpu_kernels *attn_cpu_kernels_generic(void);
const attn_cpu_kernels *attn_cpu_kernels_avx2(void);
const attn_cpu_kernels *attn_cpu_kernels_avx512(void);

#endif
