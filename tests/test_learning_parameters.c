/*
 * Parameters by name, optimisers and the schedule against PyTorch's over 20 steps, and .safetensors files that are
 * written whole or not at all.
 */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clattn/clattn_learning.h"
#include "support/layers_golden.h"
#include "support/suite.h"

static clattn_report report;

static void said(clattn_status got, clattn_status expected, const char *word, int line) {
    ck_assert_msg(got == expected && strstr(report.text, word), "line %d: %s: %s", line, clattn_status_name(got),
                  report.text);
}

#define REFUSED(call, word) said(call, CLATTN_INVALID_ARGUMENT, word, __LINE__)

static clattn_runtime *cpu_only(void) {
    return suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
}

static void fill(float *x, uint64_t seed, int64_t count, float size) {
    float *drawn = layers_draw(seed, count, size);
    memcpy(x, drawn, (size_t)count * sizeof *x);
    free(drawn);
}

/* The two parameters of the goldens. */
static clattn_parameters *two(clattn_runtime *runtime, clattn_parameter *w, clattn_parameter *b) {
    static const int64_t shape[] = { 4, 5 };
    clattn_parameters *p = NULL;
    EXPECT_STATUS(clattn_parameters_create(runtime, &p), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_parameters_add(p, "w", 2, shape, w, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_parameters_add(p, "b", 1, shape + 1, b, &report), CLATTN_OK, &report);
    fill(w->value, 301, 20, 1);
    fill(b->value, 302, 5, 1);
    return p;
}

static const clattn_schedule schedule = { sizeof schedule, 0.05, 0.001, 4, 20 };

static void steps(clattn_parameters *p, clattn_optimiser *optimiser, int from, int to) {
    clattn_parameter w, b;
    EXPECT_STATUS(clattn_parameters_get(p, 0, &w), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_parameters_get(p, 1, &b), CLATTN_OK, NULL);
    for (int step = from; step < to; step++) {
        fill(w.gradient, 310 + (uint64_t)step, 20, 3);
        fill(b.gradient, 340 + (uint64_t)step, 5, 1);
        EXPECT_STATUS(clattn_parameters_clip(p, 6, NULL), CLATTN_OK, NULL);
        EXPECT_STATUS(clattn_optimiser_step(optimiser, clattn_schedule_rate(&schedule, step), &report), CLATTN_OK,
                      &report);
    }
}

static void near(const char *name, const float *got, int64_t count) {
    float *expected = layers_golden(name, count);
    for (int64_t k = 0; k < count; k++) {
        ck_assert_msg(fabsf(got[k] - expected[k]) <= 1e-6f, "%s[%d]: %.9g, not %.9g", name, (int)k, (double)got[k],
                      (double)expected[k]);
    }
    free(expected);
}

static clattn_optimiser_options options_of(clattn_optimiser_kind kind) {
    clattn_optimiser_options options = CLATTN_OPTIMISER_OPTIONS_INIT;
    options.kind = kind, options.momentum = 0.8, options.beta1 = 0.8, options.beta2 = 0.95, options.epsilon = 1e-6;
    options.decay = 0.1, options.decay_all = kind == CLATTN_ADAMW;
    return options;
}

START_TEST(as_pytorch) {
    clattn_runtime *runtime = cpu_only();
    float rates[20];
    for (int step = 0; step < 20; step++) {
        rates[step] = (float)clattn_schedule_rate(&schedule, step);
    }
    near("learn_rates", rates, 20);
    for (int kind = 0; kind < 2; kind++) {
        clattn_parameter w, b;
        clattn_parameters *p = two(runtime, &w, &b);
        clattn_optimiser *optimiser = NULL;
        const clattn_optimiser_options options = options_of(kind ? CLATTN_ADAMW : CLATTN_SGD);
        EXPECT_STATUS(clattn_optimiser_create(p, &options, &optimiser, &report), CLATTN_OK, &report);
        steps(p, optimiser, 0, 20);
        near(kind ? "learn_adamw_w" : "learn_sgd_w", w.value, 20);
        near(kind ? "learn_adamw_b" : "learn_sgd_b", b.value, 5);
        ck_assert_int_eq(clattn_optimiser_get_steps(optimiser), 20);
        clattn_optimiser_destroy(optimiser);
        clattn_parameters_destroy(p);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(schedules) {
    clattn_schedule s = CLATTN_SCHEDULE_INIT;
    s.peak = 2;
    ck_assert_double_eq(clattn_schedule_rate(&s, 1000), 2);
    s.warm_up = 4;
    ck_assert_double_eq(clattn_schedule_rate(&s, 0), 0.5);
    ck_assert_double_eq(clattn_schedule_rate(&s, 3), 2);
    s.steps = 14, s.floor = 1;
    ck_assert_double_eq(clattn_schedule_rate(&s, 4), 2);
    ck_assert_double_eq_tol(clattn_schedule_rate(&s, 9), 1.5, 1e-15);
    ck_assert_double_eq(clattn_schedule_rate(&s, 14), 1);
    ck_assert_double_eq(clattn_schedule_rate(&s, INT64_MAX), 1);
    s.steps = 4;
    ck_assert_double_eq(clattn_schedule_rate(&s, 4), 1);
    s.struct_size--;
    ck_assert_double_eq(clattn_schedule_rate(&s, 4), 0);
}
END_TEST

START_TEST(clipping) {
    clattn_runtime *runtime = cpu_only();
    clattn_parameter w, b;
    clattn_parameters *p = two(runtime, &w, &b);
    double norm = -1;
    w.gradient[3] = 3, b.gradient[1] = -4;
    EXPECT_STATUS(clattn_parameters_clip(p, 6, &norm), CLATTN_OK, NULL);
    ck_assert(norm == 5 && w.gradient[3] == 3);
    EXPECT_STATUS(clattn_parameters_clip(p, 1, &norm), CLATTN_OK, NULL);
    ck_assert_float_eq_tol(w.gradient[3], 0.6f, 1e-6f);
    ck_assert_float_eq_tol(b.gradient[1], -0.8f, 1e-6f);
    w.gradient[0] = INFINITY;
    EXPECT_STATUS(clattn_parameters_clip(p, 1e-3, &norm), CLATTN_OK, NULL);
    ck_assert(isinf(norm) && b.gradient[1] < -0.7f);
    EXPECT_STATUS(clattn_parameters_clip(p, 0, &norm), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_parameters_clip(p, NAN, &norm), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_parameters_clear(p);
    ck_assert(w.gradient[0] == 0 && w.gradient[3] == 0 && b.gradient[1] == 0);
    clattn_parameters_destroy(p);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(lists) {
    static const int64_t shape[] = { 3, 0 }, huge[] = { INT64_MAX / 2, 3 }, negative[] = { 2, -1 }, more[9] = { 1 };
    clattn_runtime *runtime = cpu_only();
    clattn_parameters *p = NULL;
    clattn_parameter one;
    EXPECT_STATUS(clattn_parameters_create(runtime, &p), CLATTN_OK, NULL);
    for (int k = 0; k < 100; k++) { /* the list moves, the memory does not */
        char name[16];
        clattn_parameter added, found;
        snprintf(name, sizeof name, "p%d", k);
        EXPECT_STATUS(clattn_parameters_add(p, name, 0, NULL, &added, &report), CLATTN_OK, &report);
        ck_assert(added.count == 1 && added.value[0] == 0 && added.gradient[0] == 0);
        added.value[0] = (float)k;
        EXPECT_STATUS(clattn_parameters_get(p, k, &found), CLATTN_OK, NULL);
        ck_assert(found.value == added.value && strcmp(found.name, name) == 0);
        ck_assert_int_eq(clattn_parameters_find(p, name), k);
    }
    REFUSED(clattn_parameters_add(p, "p7", 0, NULL, NULL, &report), "p7");
    REFUSED(clattn_parameters_add(p, "n", 2, negative, NULL, &report), "shape[1]");
    REFUSED(clattn_parameters_add(p, "n", 9, more, NULL, &report), "dimensions");
    REFUSED(clattn_parameters_add(p, "\xff", 1, shape, NULL, &report), "UTF-8");
    REFUSED(clattn_parameters_add(p, "__metadata__", 1, shape, NULL, &report), "__metadata__");
    said(clattn_parameters_add(p, "n", 2, huge, NULL, &report), CLATTN_OVERFLOW, "shape", __LINE__);
    EXPECT_STATUS(clattn_parameters_add(p, "empty", 2, shape, &one, &report), CLATTN_OK, &report);
    ck_assert(one.count == 0 && clattn_parameters_count(p) == 101 && clattn_parameters_find(p, "n") == -1);
    EXPECT_STATUS(clattn_parameters_get(p, 101, &one), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_parameters_destroy(p);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(optimiser_refuses) {
    clattn_runtime *runtime = cpu_only();
    clattn_parameter w, b;
    clattn_parameters *p = two(runtime, &w, &b);
    clattn_optimiser *optimiser = NULL;
    clattn_optimiser_options options = CLATTN_OPTIMISER_OPTIONS_INIT;
#define WRONG(field, x, word)                                                                                          \
    do {                                                                                                               \
        clattn_optimiser_options bad = options;                                                                        \
        bad.field = x;                                                                                                 \
        optimiser = (clattn_optimiser *)&report;                                                                       \
        REFUSED(clattn_optimiser_create(p, &bad, &optimiser, &report), word);                                          \
        ck_assert_ptr_null(optimiser);                                                                                 \
    } while (0)
    WRONG(kind, (clattn_optimiser_kind)7, "kind");
    WRONG(momentum, 1, "momentum");
    WRONG(beta1, -0.1, "beta1");
    WRONG(beta2, NAN, "beta2");
    WRONG(epsilon, -1, "epsilon");
    WRONG(decay, INFINITY, "decay");
    WRONG(struct_size, 7, "struct_size");
    EXPECT_STATUS(clattn_optimiser_create(p, &options, &optimiser, &report), CLATTN_OK, &report);
    REFUSED(clattn_optimiser_step(optimiser, -1, &report), "rate");
    REFUSED(clattn_optimiser_step(optimiser, NAN, &report), "rate");
    ck_assert_int_eq(clattn_optimiser_get_steps(optimiser), 0);
    EXPECT_STATUS(clattn_optimiser_set_steps(optimiser, -1), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_optimiser *second = NULL;
    REFUSED(clattn_optimiser_create(clattn_optimiser_get_state(optimiser), NULL, &second, &report),
            "without gradients");
    EXPECT_STATUS(clattn_parameters_add(p, "late", 0, NULL, NULL, &report), CLATTN_OK, &report);
    REFUSED(clattn_optimiser_step(optimiser, 0.1, &report), "parameters: 3");
    clattn_optimiser_destroy(optimiser);
    clattn_parameters_destroy(p);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ files */

static const char *const path = CLATTN_TEST_BINARY_DIR "/learning_parameters.safetensors";
static const char *const state_path = CLATTN_TEST_BINARY_DIR "/learning_state.safetensors";

static void read_into(clattn_runtime *runtime, clattn_parameters *p, const char *from) {
    clattn_safetensors *file = NULL;
    EXPECT_STATUS(clattn_safetensors_open(runtime, from, &file, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_parameters_read(p, file, &report), CLATTN_OK, &report);
    clattn_safetensors_close(file);
}

/* A training that is stopped, written, read and gone on with gives the bits of one that was not. */
START_TEST(resumes_to_the_bit) {
    clattn_runtime *runtime = cpu_only();
    clattn_parameter w, b, v, c;
    clattn_parameters *p = two(runtime, &w, &b), *q = two(runtime, &v, &c);
    clattn_optimiser *optimiser = NULL, *again = NULL;
    const clattn_optimiser_options options = options_of(CLATTN_ADAMW);
    EXPECT_STATUS(clattn_optimiser_create(p, &options, &optimiser, &report), CLATTN_OK, &report);
    steps(p, optimiser, 0, 8);
    EXPECT_STATUS(clattn_parameters_write(p, path, NULL, 0, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_parameters_write(clattn_optimiser_get_state(optimiser), state_path, NULL, 0, &report),
                  CLATTN_OK, &report);
    steps(p, optimiser, 8, 20);
    EXPECT_STATUS(clattn_optimiser_create(q, &options, &again, &report), CLATTN_OK, &report);
    read_into(runtime, q, path);
    read_into(runtime, clattn_optimiser_get_state(again), state_path);
    EXPECT_STATUS(clattn_optimiser_set_steps(again, 8), CLATTN_OK, NULL);
    steps(q, again, 8, 20);
    ck_assert_mem_eq(v.value, w.value, 20 * sizeof(float));
    ck_assert_mem_eq(c.value, b.value, 5 * sizeof(float));
    clattn_optimiser_destroy(optimiser);
    clattn_optimiser_destroy(again);
    clattn_parameters_destroy(p);
    clattn_parameters_destroy(q);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(writes_and_reads) {
    static const float numbers[] = { 1, -0.0f, INFINITY, 4, 5, 6 };
    const clattn_safetensors_note notes[] = { { "made \"by\"", "a\\b\n\x01 \xc3\xa4" }, { "steps", "12" } };
    const clattn_safetensors_array arrays[] = { { "m", 2, { 2, 3 }, numbers },
                                                { "none \"\\", 2, { 3, 0 }, NULL },
                                                { "one", 0, { 0 }, numbers + 5 } };
    clattn_runtime *runtime = cpu_only();
    clattn_safetensors *file = NULL;
    clattn_safetensors_entry entry;
    float got[6];
    EXPECT_STATUS(clattn_safetensors_write(runtime, path, arrays, 3, notes, 2, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
    ck_assert_int_eq(clattn_safetensors_count(file), 3);
    EXPECT_STATUS(clattn_safetensors_get_entry(file, clattn_safetensors_find(file, "m"), &entry), CLATTN_OK, NULL);
    ck_assert(strcmp(entry.dtype, "F32") == 0 && entry.dimensions == 2 && entry.shape[0] == 2 && entry.shape[1] == 3);
    EXPECT_STATUS(clattn_safetensors_read(file, "m", 6, got, &report), CLATTN_OK, &report);
    ck_assert_mem_eq(got, numbers, sizeof numbers);
    EXPECT_STATUS(clattn_safetensors_read(file, "one", 1, got, &report), CLATTN_OK, &report);
    ck_assert(got[0] == 6 && clattn_safetensors_find(file, "none \"\\") >= 0);
    ck_assert_str_eq(clattn_safetensors_get_note(file, notes[0].name), notes[0].text);
    ck_assert_str_eq(clattn_safetensors_get_note(file, "steps"), "12");
    ck_assert_ptr_null(clattn_safetensors_get_note(file, "m"));
    clattn_safetensors_close(file);
    EXPECT_STATUS(clattn_safetensors_write(runtime, path, NULL, 0, NULL, 0, &report), CLATTN_OK,
                  &report); /* replaces */
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
    ck_assert_int_eq(clattn_safetensors_count(file), 0);
    clattn_safetensors_close(file);
    clattn_runtime_destroy(runtime);
}
END_TEST

static int64_t size_of(const char *name) {
    struct stat there;
    return stat(name, &there) == 0 ? (int64_t)there.st_size : -1;
}

/* After every failure the old file is there, and nothing beside it. */
START_TEST(whole_or_not_at_all) {
    static const char *const folder = CLATTN_TEST_BINARY_DIR "/learning_whole";
    static const char *const inside = CLATTN_TEST_BINARY_DIR "/learning_whole/model.safetensors";
    static const char *const link = CLATTN_TEST_BINARY_DIR "/learning_whole/link";
    static float big[40000];
    clattn_runtime *runtime = cpu_only();
    clattn_safetensors_array array = { "a", 1, { 3 }, big };
    (void)mkdir(folder, 0777);
    (void)unlink(inside), (void)unlink(link);
    EXPECT_STATUS(clattn_safetensors_write(runtime, inside, &array, 1, NULL, 0, &report), CLATTN_OK, &report);
    int64_t before = size_of(inside);
    ck_assert_int_eq(chmod(inside, 0640), 0);
    const struct rlimit little = { 50000, RLIM_INFINITY };
    struct rlimit limit;
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &limit) == 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    array.shape[0] = 40000;
    REFUSED(clattn_safetensors_write(runtime, inside, &array, 1, NULL, 0, &report), "too large");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(size_of(inside), before);
    ck_assert_int_eq(symlink("model.safetensors", link), 0);
    EXPECT_STATUS(clattn_safetensors_write(runtime, link, &array, 1, NULL, 0, &report), CLATTN_OK, &report);
    struct stat there;
    ck_assert(lstat(link, &there) == 0 && S_ISLNK(there.st_mode) && size_of(inside) > 160000);
    ck_assert(stat(inside, &there) == 0 && (there.st_mode & 0777) == 0640);
    ck_assert(unlink(inside) == 0 && unlink(link) == 0);
    ck_assert_int_eq(rmdir(folder), 0); /* fails when anything is left */
    REFUSED(clattn_safetensors_write(runtime, inside, &array, 1, NULL, 0, &report), "no such folder");
    REFUSED(clattn_safetensors_write(runtime, CLATTN_TEST_BINARY_DIR, &array, 1, NULL, 0, &report), "is a folder");
    REFUSED(clattn_safetensors_write(runtime, "/dev/null", &array, 1, NULL, 0, &report), "no regular file");
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(writer_refuses) {
    static const float x[4] = { 0 };
    clattn_runtime *runtime = cpu_only();
    const clattn_safetensors_array good = { "a", 1, { 4 }, x };
    (void)unlink(path);
#define BAD(word, ...)                                                                                                 \
    do {                                                                                                               \
        clattn_safetensors_array arrays[] = { good, { "b", 1, { 4 }, x } };                                            \
        clattn_safetensors_note notes[] = { { "n", "t" }, { "m", "t" } };                                              \
        __VA_ARGS__;                                                                                                   \
        REFUSED(clattn_safetensors_write(runtime, path, arrays, 2, notes, 2, &report), word);                          \
        ck_assert_int_eq(size_of(path), -1);                                                                           \
    } while (0)
    BAD("arrays[1]: NULL", arrays[1].name = NULL);
    BAD("arrays[1]: is not UTF-8", arrays[1].name = "\xc3(");
    BAD("__metadata__", arrays[1].name = "__metadata__");
    BAD("a: named twice", arrays[1].name = "a");
    BAD("b: 9 dimensions", arrays[1].dimensions = 9);
    BAD("b: shape[0]", arrays[1].shape[0] = -1);
    BAD("b: shape[0]", arrays[1].shape[0] = INT64_MAX / 2);
    BAD("b: data: missing", arrays[1].data = NULL);
    BAD("notes: n: named twice", notes[1].name = "n");
    BAD("notes.text[0]: NULL", notes[0].text = NULL);
    REFUSED(clattn_safetensors_write(runtime, path, NULL, 1, NULL, 0, &report), "arrays");
    REFUSED(clattn_safetensors_write(runtime, path, &good, -1, NULL, 0, &report), "count");
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(reading_refuses) {
    static const float x[20] = { 7 };
    clattn_runtime *runtime = cpu_only();
    clattn_parameter w, b;
    clattn_parameters *p = two(runtime, &w, &b);
    clattn_safetensors *file = NULL;
    float before = w.value[0];
    const clattn_safetensors_array arrays[] = { { "w", 2, { 4, 5 }, x }, { "b", 2, { 1, 5 }, x } };
    for (int count = 1; count <= 2; count++) {
        EXPECT_STATUS(clattn_safetensors_write(runtime, path, arrays, count, NULL, 0, &report), CLATTN_OK, &report);
        EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
        REFUSED(clattn_parameters_read(p, file, &report), count == 1 ? "b: not in the file" : "b: has another shape");
        ck_assert_float_eq(w.value[0], before);
        clattn_safetensors_close(file);
    }
    clattn_parameters_destroy(p);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(starts) {
    EXPECT_START(clattn_optimiser_options, CLATTN_OPTIMISER_OPTIONS_INIT, clattn_optimiser_options_init);
    EXPECT_START(clattn_schedule, CLATTN_SCHEDULE_INIT, clattn_schedule_init);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { as_pytorch,
                                   schedules,
                                   clipping,
                                   lists,
                                   optimiser_refuses,
                                   resumes_to_the_bit,
                                   writes_and_reads,
                                   whole_or_not_at_all,
                                   writer_refuses,
                                   reading_refuses,
                                   starts };
    return suite_run(SUITE_OF("learning_parameters", tests, 60), SUITE_FORK);
}
