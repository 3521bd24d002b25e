/* A problem of additive attention with all its memory: inputs drawn by seeds, guards of NaN behind the outputs. */
#ifndef TESTS_ADDITIVE_CASE_H
#define TESTS_ADDITIVE_CASE_H

#include "clattn/clattn_additive.h"

enum { ADDITIVE_ENGINES = 3 };
extern const char *const additive_engines[ADDITIVE_ENGINES];

/** Whether engine number `engine` has a device here. */
bool additive_is_here(clattn_runtime *runtime, int engine);

typedef struct additive_case {
    clattn_additive_problem problem;
    clattn_additive_tensors tensors;
    float *memory[7]; /* query, key, v, value, output, weights, logsumexp */
    int64_t outputs, weights, rows;
} additive_case;

additive_case additive_make(int64_t batch, int64_t queries, int64_t keys, int64_t hidden, int64_t dim);
void additive_free(additive_case *c);

/** Plans and executes on the engine, checks the guards; fails the test otherwise. */
void additive_run(clattn_runtime *runtime, additive_case *c, const char *engine);

/** clattn_fill()'s numbers in [-size, size), restated: these suites also run without the layers. malloc'ed. */
float *additive_draw(uint64_t seed, int64_t count, float size);

/** NaN everywhere, 8 more than asked for. malloc'ed. */
float *additive_guarded(int64_t count);

#endif
