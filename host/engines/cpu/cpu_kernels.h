/*
 * Between the cpu engine and its kernels, which are compiled once per instruction set: what they are asked for. A path
 * (cpu_path.h) has a job of its own, which begins with what all jobs have.
 */
#ifndef ATTN_ENGINES_CPU_CPU_KERNELS_H
#define ATTN_ENGINES_CPU_CPU_KERNELS_H

#include "problem/call.h"

enum {
    ATTN_CPU_BLOCK_KEY = 256, /* keys in a block: K and V of a block stay in L2, scores of a tile in L1 */
    /* Floats from row to row of scores; no power of two: rows of a tile in different cache sets. */
    ATTN_CPU_SCORE_PITCH = ATTN_CPU_BLOCK_KEY + 16,
    ATTN_CPU_PART = 64 /* keys that one accumulator takes before it is added to the sum: long sums stay exact */
};

/** What does not change from item to item of a call, whatever the path. */
typedef struct attn_cpu_job {
    const clattn_problem *problem;
    const attn_call *call;
    bool stepped;      /* softcap, mask, bias or ALiBi: scores need a step between the two products */
    bool dropped;      /* dropout: weights need one before they meet the values */
    float key_factor;  /* of every product: scale, and log2(e) when there is no softcap */
    float kept_share;  /* 1 - dropout: of a row's sum, what its output is divided by */
    float headroom;    /* a row's maximum counts as lower by this (in log2), its weights are 2^headroom times as large */
    clattn_type output_type;
    int64_t block_key; /* keys of a packed block */
} attn_cpu_job;

struct attn_cpu_prefill_job; /* shared/cpu_prefill_job.h */
struct attn_cpu_decode_job;  /* decode/cpu_decode_job.h */
struct attn_cpu_weights_job; /* weights/cpu_weights_job.h */
struct attn_cpu_double_job;  /* fp64/cpu_double_job.h */
struct attn_cpu_dropout_job; /* dropout/cpu_dropout_job.h */
struct attn_cpu_backward_kernels; /* backward/cpu_backward_job.h */

/** Bytes that prefill on a unit wants in a worker's scratch. */
typedef struct attn_cpu_unit_sizes {
    int64_t key, value;          /* of a packed key, of a value beside it */
    int64_t query, output, sums; /* of a row */
    int64_t exact;               /* of a row: its sums before weights were rounded */
    int64_t patches;             /* scores and weights that exist at a time, other than those of a tile */
} attn_cpu_unit_sizes;

/** What prefill's products are made with: vectors of floats, pairs of bf16 in a vector, or small matrices of bf16. */
typedef struct attn_cpu_unit {
    const char *name;
    int64_t tile_rows, tile_keys; /* rows of a step, and keys, by which blocks go */

    /** Of a unit for bf16; else 0: rows of a head up to which decode is as fast in bf16, twice in fp16, four times in fp32. */
    int64_t decode_rows;
    int64_t speed; /* of the same: times as fast as decode with many more rows, about */

    /** Whether it multiplies numbers of that type. */
    bool (*serves)(clattn_type type);

    /** Whether it rounds weights before they meet the values. */
    bool (*rounds)(clattn_type type);

    /** head_dim and value_dim are small enough for products of some numbers with them. */
    void (*sizes)(const clattn_problem *problem, attn_cpu_unit_sizes *sizes);

    /** Rows of one head: item = (batch entry, query head, chunk of rows). */
    void (*prefill)(const struct attn_cpu_prefill_job *job, int64_t item, void *scratch);
} attn_cpu_unit;

/** The kernels of one instruction set. */
typedef struct attn_cpu_kernels {
    int64_t lanes;                /* floats of a vector */
    int64_t tile_rows, tile_keys; /* of a register tile of scores */
    attn_cpu_unit floats;         /* prefill without a unit for bf16; its name is that of the instruction set */

    /** Few rows of a group, a part of the keys: item = (batch entry, key-value head, part). */
    void (*decode)(const struct attn_cpu_decode_job *job, int64_t item, void *scratch);
    /** The parts of one group into its outputs: item = (batch entry, key-value head). */
    void (*merge)(const struct attn_cpu_decode_job *job, int64_t item, void *scratch);
    /** Weights out of one of the chosen heads: item = (batch entry, chosen head, chunk of rows). */
    void (*weights)(const struct attn_cpu_weights_job *job, int64_t item, void *scratch);
    /** fp64, items as in prefill. */
    void (*doubles)(const struct attn_cpu_double_job *job, int64_t item, void *scratch);
    /** Which weights dropout keeps: item = (batch entry, query head, chunk of rows). */
    void (*dropout_mask)(const struct attn_cpu_dropout_job *job, int64_t item, void *scratch);
    /** Gradients, in single precision and in double. */
    const struct attn_cpu_backward_kernels *backward, *backward_double;
} attn_cpu_kernels;

/** The kernels of an instruction set, or NULL when this build has none. */
const attn_cpu_kernels *attn_cpu_kernels_generic(void);
const attn_cpu_kernels *attn_cpu_kernels_avx2(void);
const attn_cpu_kernels *attn_cpu_kernels_avx512(void);

/** A unit for bf16, or NULL when this build has none. Other types are taken apart into several of bf16, or not served. */
const attn_cpu_unit *attn_cpu_matrix_portable(void); /* in portable C, for tests */
const attn_cpu_unit *attn_cpu_matrix_amx(void);
const attn_cpu_unit *attn_cpu_pairs_portable(void);
const attn_cpu_unit *attn_cpu_pairs_avx512(void);

#endif
