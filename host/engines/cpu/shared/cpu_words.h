/*
 * How the kernels are put together. A body is one .c file of the build, a few lines that say
 *   ATTN_VECTOR_BYTES   16, 32 or 64: the width of its vectors (cpu_vector.h);
 *   ATTN_WORD           elements of a word, see below: 1 in cpu_body.h, 2 in cpu_pairs_body.h;
 *   ATTN_AVX512_BF16    1: the processor has instructions for bf16 (else 0, or not defined);
 *   ATTN_MATRIX_AMX     1: the matrix unit is AMX (else 0, or not defined: in portable C), see cpu_matrix_tiles.h;
 *   ATTN_KERNELS, ATTN_PAIRS or ATTN_MATRIX, and the same with _NAME: what its table is called;
 * and then include cpu_body.h, cpu_pairs_body.h or cpu_matrix_body.h. All other headers may be included in any order.
 *
 * A word is what the tiles of the two products (cpu_tile.h) multiply: a float, or a pair of bf16 in the space of one. A sum
 * goes over words, of head_dim where scores are made, of keys where values are summed. Tiles and prefill
 * (cpu_tile.h, cpu_ahead.h, cpu_prefill.h) know no more of words than the functions below. cpu_floats.h and cpu_pairs.h define
 * them; a body includes one of the two. To add a kind of words: a header with these functions, and a body.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_WORDS_H
#define ATTN_ENGINES_CPU_SHARED_CPU_WORDS_H

#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_vector.h"

enum { WORD = ATTN_WORD };

/** Words that the products of scores sum over. */
static inline int64_t product_words(const clattn_problem *problem) {
    return problem->head_dim / WORD + problem->head_dim % WORD;
}

/** Types of numbers that make such words; whether weights are rounded to them. */
static bool words_serve(clattn_type type);
static bool words_round(clattn_type type);

/** Bytes of packed keys, values and rows in a worker's scratch. */
static void word_sizes(const clattn_problem *problem, attn_cpu_unit_sizes *sizes);

/** sum + a * b, word by word; of a pair both products. */
INLINE vf add_product(vf sum, vf a, vf b);

/** What an item must know of its words: the size up to which they are exact, where sums before rounding go. */
static inline void start_words(prefill_work *w);

/** Makes the queries of `height` rows from row `row` of the item on ready, the first `real` of which exist. */
static void copy_queries(const prefill_work *w, int64_t row, int height, int64_t real);

/** Where these queries lie; pitch receives the words from row to row. */
static inline const float *tile_queries(const prefill_work *w, int64_t row, int height, int64_t *pitch);

/** Packs block `number` of the head's keys, and its values, unless they lie there from an earlier item. */
static key_block get_block(prefill_work *w, int64_t number);

/**
 * Scores of keys begin .. end of one row, whose maximum is top, become weights, and the row's sum takes them. first: the row
 * has no sum of values yet.
 */
INLINE void softmax_row(const prefill_work *w, int64_t row, float *scores, int begin, int end, float top, bool first);

/** Dropout of these weights; the block's keys begin with number `key`. */
static inline void drop_row(const prefill_work *w, int64_t row, int64_t key, float *scores, int begin, int end);

#endif
