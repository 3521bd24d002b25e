/* The numbers of tests/golden: layers, learning and memory.safetensors; the draws they come from, and every place a layer can run. */
#ifndef TESTS_LAYERS_GOLDEN_H
#define TESTS_LAYERS_GOLDEN_H

#include "clattn/clattn_layers.h"

/** clattn_fill(CLATTN_FILL_UNIFORM) stretched to [-1, 1) * size, as draw() of the script. malloc'ed. */
float *layers_draw(uint64_t seed, int64_t count, float size);

/** An array of the file, `count` elements; malloc'ed. Fails the test when it is not there. */
float *layers_golden(const char *name, int64_t count);

/**
 * Fails the test unless |error| <= 1e-5 of the largest number and the normalised mean squared error is 1e-10 at most;
 * -inf and 0 where the golden has them.
 */
void layers_compare(const char *name, const char *where, const float *got, int64_t count);

/** Engine names to loop over, NULL-ended: those of this build; "opencl-..." only where a device is. */
const char *const *layers_engines(clattn_runtime *runtime);

#endif
