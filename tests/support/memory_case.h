/*
 * Neural memory by its definition, in double: token after token, plain loops, nothing shared with the library. And
 * problems whose inputs are drawn.
 */
#ifndef TESTS_MEMORY_CASE_H
#define TESTS_MEMORY_CASE_H

#include "clattn/clattn_memory.h"

/** Inputs and results of a memory, as the library takes them. */
typedef struct memory_case {
    clattn_neural_memory_options options;
    int64_t state_size;
    float *key, *value, *query, *alpha, *theta, *eta, *state_in; /* drawn */
    float *output, *state_out, *kept;                            /* of the library */
    int64_t keys, values, gates, states, all_kept;               /* numbers in them */
} memory_case;

/** Draws the inputs of the options' shapes; state_in too, with momenta. */
memory_case *memory_case_create(const clattn_neural_memory_options *options, uint64_t seed);
void memory_case_destroy(memory_case *c);

/** The call of all tokens. */
clattn_neural_memory_io memory_case_io(const memory_case *c);

/** What the inputs come to, by definition. */
typedef struct memory_truth {
    double *output, *state_out;
} memory_truth;

memory_truth memory_truth_of(const memory_case *c);

/** The inputs in double, for central differences: which number k of which array moves by `step`. */
typedef struct memory_nudge {
    const float *array;
    int64_t k;
    double step;
} memory_nudge;

memory_truth memory_truth_nudged(const memory_case *c, const memory_nudge *nudge);
void memory_truth_release(memory_truth *truth);

#endif
