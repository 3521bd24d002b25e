/*
 * Goldens of the layers. They are read with the library's own .safetensors reader, which tests/test_layer_files.c
 * judges by files made by hand. To add a golden: a line in make_layers_golden.py
 * (make_learning_golden.py for names that begin with learn_, make_memory_golden.py for memory_), and a comparison in a test.
 */
#include "support/layers_golden.h"

#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/suite.h"

#if CLATTN_HAVE_LAYERS

float *layers_draw(uint64_t seed, int64_t count, float size) {
    float *x = malloc((size_t)count * sizeof *x + 1);
    ck_assert_ptr_nonnull(x);
    EXPECT_STATUS(clattn_fill(CLATTN_FILL_UNIFORM, seed, count, 1, x), CLATTN_OK, NULL);
    for (int64_t k = 0; k < count; k++) {
        x[k] = (2 * x[k] - 1) * size;
    }
    return x;
}

float *layers_golden(const char *name, int64_t count) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_report report;
    clattn_safetensors *file = NULL;
    options.without_opencl = true;
    clattn_runtime *runtime = suite_runtime(&options);
    const char *path = strncmp(name, "learn_", 6) == 0    ? CLATTN_TEST_SOURCE_DIR "/golden/learning.safetensors"
                       : strncmp(name, "memory_", 7) == 0 ? CLATTN_TEST_SOURCE_DIR "/golden/memory.safetensors"
                                                          : CLATTN_TEST_SOURCE_DIR "/golden/layers.safetensors";
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
    float *x = malloc((size_t)count * sizeof *x + 1);
    EXPECT_STATUS(clattn_safetensors_read(file, name, count, x, &report), CLATTN_OK, &report);
    clattn_safetensors_close(file);
    clattn_runtime_destroy(runtime);
    return x;
}

void layers_compare(const char *name, const char *where, const float *got, int64_t count) {
    float *expected = layers_golden(name, count);
    double most = 0, square = 0, error = 0;
    for (int64_t k = 0; k < count; k++) {
        if (isfinite(expected[k])) {
            most = fmax(most, fabs((double)expected[k]));
            square += (double)expected[k] * (double)expected[k];
        }
    }
    for (int64_t k = 0; k < count; k++) {
        double difference = (double)got[k] - (double)expected[k];
        bool exact = !isfinite(expected[k]) || expected[k] == 0;
        bool right = exact ? got[k] == expected[k] || (expected[k] == 0 && fabs(difference) < 1e-7)
                           : fabs(difference) <= 1e-5 * most;
        ck_assert_msg(right, "%s on %s, element %" PRId64 ": %.9g, not %.9g", name, where, k, (double)got[k],
                      (double)expected[k]);
        error += exact ? 0 : difference * difference;
    }
    ck_assert_msg(error <= 1e-10 * square, "%s on %s: normalised mean squared error %g", name, where, error / square);
    free(expected);
}

const char *const *layers_engines(clattn_runtime *runtime) {
    static const char *found[8];
    int count = 0;
    for (int64_t k = 0; clattn_engine_name(k); k++) {
        const char *name = clattn_engine_name(k);
        bool here = strncmp(name, "opencl", 6) != 0 || suite_opencl_device(runtime) >= 0;
        if (clattn_engine_built(name) && here && count < 7) {
            found[count++] = name;
        }
    }
    found[count] = NULL;
    return found;
}

#endif
