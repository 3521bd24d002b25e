/*
 * The parts of layers that need no engine, against the numbers of make_layers_golden.py: drawn matrices, positions,
 * rows looked up, layer normalisation, GELU.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "support/layers_golden.h"
#include "support/suite.h"

static float *room(int64_t count) {
    float *x = malloc((size_t)count * sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

START_TEST(fills_and_positions) {
    static const char *const goldens[] = { "fill_uniform", "fill_xavier", "fill_he" };
    float x[24], positions[9 * 16];
    for (int kind = 0; kind < 3; kind++) {
        EXPECT_STATUS(clattn_fill((clattn_fill_kind)kind, 7, 4, 6, x), CLATTN_OK, NULL);
        layers_compare(goldens[kind], "the host", x, 24);
    }
    double mean = 0, square = 0;
    float *many = room(40000);
    EXPECT_STATUS(clattn_fill(CLATTN_FILL_HE, 1, 400, 100, many), CLATTN_OK, NULL);
    for (int64_t k = 0; k < 40000; k++) {
        mean += (double)many[k] / 40000;
        square += (double)many[k] * (double)many[k] / 40000;
    }
    ck_assert_double_lt(fabs(mean), 4 * sqrt(0.02 / 40000));
    ck_assert_double_eq_tol(square, 0.02, 4 * 0.02 * sqrt(2.0 / 40000));
    free(many);
    EXPECT_STATUS(clattn_fill(CLATTN_FILL_HE, 1, -1, 100, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_fill((clattn_fill_kind)9, 1, 1, 1, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_positional_encoding(3, 9, 16, 10000, false, positions), CLATTN_OK, NULL);
    layers_compare("positions_16", "the host", positions, 9 * 16);
    EXPECT_STATUS(clattn_positional_encoding(3, 9, 7, 10000, false, positions), CLATTN_OK, NULL);
    layers_compare("positions_7", "the host", positions, 9 * 7);
    float before = positions[5];
    EXPECT_STATUS(clattn_positional_encoding(3, 9, 7, 10000, true, positions), CLATTN_OK, NULL);
    ck_assert_float_eq_tol(positions[5], 2 * before, 1e-6f);
    EXPECT_STATUS(clattn_positional_encoding(INT64_MAX - 9, 9, 7, 10000, true, positions), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_positional_encoding(INT64_MAX - 8, 9, 7, 10000, true, positions), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_positional_encoding(0, INT64_MAX / 4, 7, 10000, true, positions), CLATTN_INVALID_ARGUMENT, NULL);
}
END_TEST

START_TEST(row_by_row) {
    float *x = layers_draw(81, 132, 3), *gain = layers_draw(82, 33, 1), *bias = layers_draw(83, 33, 1),
          *y = layers_draw(84, 64, 6);
    EXPECT_STATUS(clattn_layer_norm(NULL, 4, 33, 1e-12, gain, bias, x, x), CLATTN_OK, NULL);
    layers_compare("layer_norm", "the host", x, 132);
    EXPECT_STATUS(clattn_gelu(NULL, 64, y, y), CLATTN_OK, NULL);
    layers_compare("gelu", "the host", y, 64);
    EXPECT_STATUS(clattn_layer_norm(NULL, 4, 0, 1e-12, gain, bias, x, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_layer_norm(NULL, INT64_MAX / 2, 4, 1e-12, gain, bias, x, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_softmax(NULL, INT64_MAX / 2, 4, x, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_gelu(NULL, -1, y, y), CLATTN_INVALID_ARGUMENT, NULL);
    free(x);
    free(gain);
    free(bias);
    free(y);
}
END_TEST

START_TEST(embedding) {
    static const int64_t ids[] = { 2, 0, 2 }, wrong[] = { 0, 3 };
    const float table[] = { 1, 2, 3, 4, 5, 6 };
    float output[6] = { 0 };
    clattn_report report;
    EXPECT_STATUS(clattn_embedding_forward(table, 3, 2, ids, 3, output, &report), CLATTN_OK, &report);
    static const float expected[] = { 5, 6, 1, 2, 5, 6 };
    ck_assert_mem_eq(output, expected, sizeof expected);
    EXPECT_STATUS(clattn_embedding_forward(table, INT64_MAX / 2, 2, ids, 3, output, &report), CLATTN_INVALID_ARGUMENT,
                  &report);
    ck_assert_ptr_nonnull(strstr(report.text, "words"));
    EXPECT_STATUS(clattn_embedding_forward(table, 3, 2, wrong, 2, output, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "ids[1]"));
    ck_assert_mem_eq(output, expected, sizeof expected);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { fills_and_positions, row_by_row, embedding };
    return suite_run(SUITE_OF("layer_parts", tests, 60), SUITE_FORK);
}
