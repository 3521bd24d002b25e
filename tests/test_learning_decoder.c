/*
 * Block and decoder: loss, logits and every gradient against PyTorch (tests/golden/make_learning_golden.py) and by
 * central differences; a decoder that learns two sequences, with the same bits again and on more threads; and what is
 * refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "clattn/clattn_learning.h"
#include "support/differences.h"
#include "support/layers_golden.h"
#include "support/suite.h"

static clattn_report report;

static const int64_t ids[] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8 };
static const int64_t labels[] = { 1, 4, 1, 5, 9, -100, 6, 5, 3, 5, 8, 10 };

static clattn_decoder_options options_of(const char *engine) {
    clattn_decoder_options o = CLATTN_DECODER_OPTIONS_INIT;
    o.words = 11, o.batch = 2, o.length = 6, o.dim = 8, o.heads = 4, o.kv_heads = 2, o.blocks = 2, o.mlp_dim = 10;
    o.learn = true;
    o.plan.engine = o.backward.engine = engine;
    return o;
}

/* With the reference's backward where the engine has none; NULL where it does not serve the forward. */
static clattn_decoder *create(clattn_runtime *runtime, clattn_decoder_options o) {
    clattn_decoder *decoder = NULL;
    clattn_status status = clattn_decoder_create(runtime, &o, &decoder, &report);
    if (status == CLATTN_UNSUPPORTED) {
        ck_assert_uint_gt(report.length, 0);
        o.backward.engine = "reference";
        status = clattn_decoder_create(runtime, &o, &decoder, &report);
    }
    ck_assert_msg(status == CLATTN_OK || (status == CLATTN_UNSUPPORTED && strncmp(o.plan.engine, "opencl-", 7) == 0),
                  "%s", report.text);
    return decoder;
}

/* Parameter n from seed 500 + n, as in the script. */
static void draw(clattn_parameters *p) {
    for (int64_t n = 0; n < clattn_parameters_count(p); n++) {
        clattn_parameter one;
        EXPECT_STATUS(clattn_parameters_get(p, n, &one), CLATTN_OK, NULL);
        float *x = layers_draw(500 + (uint64_t)n, one.count, 0.9f);
        memcpy(one.value, x, (size_t)one.count * sizeof *x);
        free(x);
    }
}

/* A bias that all keys share changes no weight: its gradient is 0 but for rounding. */
static void compare(const clattn_parameter *one, const char *engine) {
    char golden[128];
    snprintf(golden, sizeof golden, "learn_decoder_%s", one->name);
    if (!strstr(one->name, "key.bias")) {
        layers_compare(golden, engine, one->gradient, one->count);
        return;
    }
    for (int64_t k = 0; k < one->count; k++) {
        ck_assert_float_eq_tol(one->gradient[k], 0, 2e-6f);
    }
}

START_TEST(goldens) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
        clattn_decoder *decoder = create(runtime, options_of(*engine));
        if (!decoder) {
            continue;
        }
        clattn_parameters *p = clattn_decoder_get_parameters(decoder);
        float logits[12 * 11];
        double loss = 0;
        clattn_plan_info info;
        EXPECT_STATUS(clattn_decoder_get_info(decoder, &info), CLATTN_OK, NULL);
        ck_assert_str_eq(info.engine, *engine);
        EXPECT_STATUS(clattn_decoder_get_info(NULL, &info), CLATTN_INVALID_ARGUMENT, NULL);
        draw(p);
        EXPECT_STATUS(clattn_decoder_forward(decoder, ids, CLATTN_SAME, logits, &report), CLATTN_OK, &report);
        layers_compare("learn_decoder_logits", *engine, logits, 12 * 11);
        EXPECT_STATUS(clattn_decoder_learn(decoder, ids, labels, CLATTN_SAME, 1, &loss, &report), CLATTN_OK, &report);
        layers_compare("learn_decoder_loss", *engine, (const float[]){ (float)loss }, 1);
        ck_assert_int_eq(clattn_parameters_count(p), 1 + 2 * 16 + 3);
        for (int64_t n = 0; n < clattn_parameters_count(p); n++) {
            clattn_parameter one;
            EXPECT_STATUS(clattn_parameters_get(p, n, &one), CLATTN_OK, NULL);
            compare(&one, *engine);
        }
        clattn_decoder_destroy(decoder);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static double loss_of(void *user) {
    float logits[12 * 11];
    double loss = 0;
    EXPECT_STATUS(clattn_decoder_forward(user, ids, CLATTN_SAME, logits, &report), CLATTN_OK, &report);
    clattn_cross_entropy_io io = CLATTN_CROSS_ENTROPY_IO_INIT;
    io.rows = 12, io.classes = 11, io.logits = logits, io.labels = labels, io.loss = &loss;
    EXPECT_STATUS(clattn_cross_entropy(&io), CLATTN_OK, NULL);
    return loss;
}

START_TEST(differences) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_decoder *decoder = create(runtime, options_of("reference"));
    clattn_parameters *p = clattn_decoder_get_parameters(decoder);
    double loss;
    draw(p);
    EXPECT_STATUS(clattn_decoder_learn(decoder, ids, labels, CLATTN_SAME, 1, &loss, &report), CLATTN_OK, &report);
    for (int64_t n = 0; n < clattn_parameters_count(p); n++) {
        clattn_parameter one;
        EXPECT_STATUS(clattn_parameters_get(p, n, &one), CLATTN_OK, NULL);
        differences_check(one.name, loss_of, decoder, one.value, one.count, one.gradient);
    }
    clattn_decoder_destroy(decoder);
    clattn_runtime_destroy(runtime);
}
END_TEST

enum { STEPS = 120 };

/* Trains on the two sequences; the losses. */
static void train(clattn_runtime *runtime, const char *engine, double losses[STEPS]) {
    clattn_decoder_options o = options_of(engine);
    o.dim = 16, o.mlp_dim = CLATTN_SAME, o.seed = 7;
    clattn_decoder *decoder = create(runtime, o);
    clattn_parameters *p = clattn_decoder_get_parameters(decoder);
    clattn_optimiser *optimiser = NULL;
    clattn_optimiser_options options = CLATTN_OPTIMISER_OPTIONS_INIT;
    const clattn_schedule schedule = { sizeof schedule, 0.01, 0.001, 10, STEPS };
    options.decay = 0.01;
    EXPECT_STATUS(clattn_optimiser_create(p, &options, &optimiser, &report), CLATTN_OK, &report);
    for (int step = 0; step < STEPS; step++) {
        clattn_parameters_clear(p);
        EXPECT_STATUS(clattn_decoder_learn(decoder, ids, labels, CLATTN_SAME, 1, &losses[step], &report), CLATTN_OK,
                      &report);
        EXPECT_STATUS(clattn_parameters_clip(p, 1, NULL), CLATTN_OK, NULL);
        EXPECT_STATUS(clattn_optimiser_step(optimiser, clattn_schedule_rate(&schedule, step), &report), CLATTN_OK,
                      &report);
    }
    clattn_optimiser_destroy(optimiser);
    clattn_decoder_destroy(decoder);
}

START_TEST(learns) {
    static double losses[3][STEPS];
    static const int threads[] = { 1, 1, 3 };
    for (int k = 0; k < 3; k++) {
        clattn_runtime *runtime =
            suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), threads[k], true, { 0 } });
        train(runtime, "cpu", losses[k]);
        ck_assert_mem_eq(losses[k], losses[0], sizeof losses[0]);
        clattn_runtime_destroy(runtime);
    }
    ck_assert_double_gt(losses[0][0], 1.5);
    ck_assert_double_lt(losses[0][STEPS - 1], 0.05);
}
END_TEST

/* Written and read, the same text; shorter calls; a decoder that does not learn. */
START_TEST(reads_and_continues) {
    static const char *const path = CLATTN_TEST_BINARY_DIR "/learning_decoder.safetensors";
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_decoder_options o = options_of("cpu");
    o.batch = 1;
    clattn_decoder *first = create(runtime, o), *second;
    o.learn = false, o.seed = 99;
    second = create(runtime, o);
    clattn_safetensors *file = NULL;
    float whole[6 * 11], again[6 * 11], part[4 * 11];
    EXPECT_STATUS(clattn_parameters_write(clattn_decoder_get_parameters(first), path, NULL, 0, &report), CLATTN_OK,
                  &report);
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_decoder_forward(first, ids, CLATTN_SAME, whole, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_decoder_forward(second, ids, CLATTN_SAME, again, &report), CLATTN_OK, &report);
    ck_assert_int_ne(memcmp(whole, again, sizeof whole), 0);
    EXPECT_STATUS(clattn_parameters_read(clattn_decoder_get_parameters(second), file, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_decoder_forward(second, ids, CLATTN_SAME, again, &report), CLATTN_OK, &report);
    ck_assert_mem_eq(whole, again, sizeof whole);
    EXPECT_STATUS(clattn_decoder_forward(second, ids, 4, part, &report), CLATTN_OK, &report);
    for (int k = 0; k < 4 * 11; k++) { /* causal: what follows changes nothing */
        ck_assert_float_eq_tol(part[k], whole[k], 1e-5f);
    }
    clattn_safetensors_close(file);
    clattn_decoder_destroy(first);
    clattn_decoder_destroy(second);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Logits behind every word of a text, as a forward of the whole computes them. */
static void expect_like_whole(clattn_decoder *decoder, const char *engine) {
    static const int64_t cuts[][4] = { { 6 }, { 1, 1, 1, 3 }, { 2, 4 }, { 5, 1 } }; /* into steps */
    clattn_plan_options plan = CLATTN_PLAN_OPTIONS_INIT;
    clattn_decoder_past *past = NULL;
    float whole[6 * 11], logits[11];
    plan.engine = engine;
    EXPECT_STATUS(clattn_decoder_forward(decoder, ids, CLATTN_SAME, whole, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_decoder_past_create(decoder, &plan, &past, &report), CLATTN_OK, &report);
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        int64_t at = 0;
        for (int k = 0; k < 4 && cuts[c][k] > 0; k++) {
            EXPECT_STATUS(clattn_decoder_step(past, ids + at, cuts[c][k], logits, &report), CLATTN_OK, &report);
            at += cuts[c][k];
            ck_assert_int_eq(clattn_decoder_past_get_length(past), at);
            for (int w = 0; w < 11; w++) {
                ck_assert_msg(fabsf(logits[w] - whole[(at - 1) * 11 + w]) <= 2e-5f,
                              "%s: cut %d: word %d behind %d: %g, not %g", engine, (int)c, w, (int)at,
                              (double)logits[w], (double)whole[(at - 1) * 11 + w]);
            }
        }
        EXPECT_STATUS(clattn_decoder_past_rewind(past, 3), CLATTN_OK, NULL); /* other words are forgotten */
        EXPECT_STATUS(clattn_decoder_step(past, ids, 1, logits, &report), CLATTN_OK, &report);
        EXPECT_STATUS(clattn_decoder_past_rewind(past, 3), CLATTN_OK, NULL);
        EXPECT_STATUS(clattn_decoder_step(past, ids + 3, 1, logits, &report), CLATTN_OK, &report);
        ck_assert_float_eq_tol(logits[5], whole[3 * 11 + 5], 2e-5f);
        EXPECT_STATUS(clattn_decoder_past_rewind(past, 0), CLATTN_OK, NULL);
    }
    clattn_decoder_past_destroy(past);
}

/* Word by word on every engine; keys shared by groups of heads. */
START_TEST(steps) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
        clattn_decoder_options o = options_of(*engine);
        o.batch = 1, o.learn = false;
        clattn_decoder *decoder = create(runtime, o);
        if (decoder) {
            draw(clattn_decoder_get_parameters(decoder));
            expect_like_whole(decoder, *engine);
            clattn_decoder_destroy(decoder);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void said(clattn_status got, clattn_status expected, const char *word, int line) {
    ck_assert_msg(got == expected && strstr(report.text, word), "line %d: %s: %s", line, clattn_status_name(got),
                  report.text);
}

START_TEST(refuses) {
    static const int64_t wrong[] = { 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0 };
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_decoder *decoder = NULL;
    float logits[12 * 11];
    double loss = 0;
#define WRONG(field, x, word)                                                                                          \
    do {                                                                                                               \
        clattn_decoder_options bad = options_of("reference");                                                          \
        bad.field = x;                                                                                                 \
        said(clattn_decoder_create(runtime, &bad, &decoder, &report), CLATTN_INVALID_PROBLEM, word, __LINE__);         \
        ck_assert_ptr_null(decoder);                                                                                   \
    } while (0)
    WRONG(words, 0, "words");
    WRONG(blocks, -1, "blocks");
    WRONG(blocks, 1025, "blocks");
    WRONG(heads, 3, "heads");
    WRONG(kv_heads, 3, "kv_heads");
    WRONG(dim, 0, "dim");
    WRONG(epsilon, -1, "epsilon");
    WRONG(mlp_dim, 0, "out_dim");
    WRONG(length, -1, "length");
    decoder = create(runtime, options_of("reference"));
    said(clattn_decoder_learn(decoder, wrong, labels, CLATTN_SAME, 1, &loss, &report), CLATTN_INVALID_ARGUMENT,
         "ids[5]", __LINE__);
    said(clattn_decoder_learn(decoder, ids, wrong, CLATTN_SAME, 1, &loss, &report), CLATTN_INVALID_ARGUMENT,
         "labels[5]", __LINE__);
    said(clattn_decoder_learn(decoder, ids, labels, 5, 1, &loss, &report), CLATTN_INVALID_TENSORS, "length", __LINE__);
    said(clattn_decoder_learn(decoder, ids, labels, 6, NAN, &loss, &report), CLATTN_INVALID_ARGUMENT, "factor",
         __LINE__);
    clattn_parameter one;
    for (int64_t n = 0; n < 36; n++) {
        EXPECT_STATUS(clattn_parameters_get(clattn_decoder_get_parameters(decoder), n, &one), CLATTN_OK, NULL);
        ck_assert(one.gradient[0] == 0 && loss == 0);
    }
    clattn_decoder_destroy(decoder);
    clattn_decoder_options o = options_of("reference");
    o.learn = false;
    decoder = create(runtime, o);
    said(clattn_decoder_learn(decoder, ids, labels, 6, 1, &loss, &report), CLATTN_INVALID_ARGUMENT, "learn", __LINE__);
    EXPECT_STATUS(clattn_decoder_forward(decoder, ids, 6, logits, &report), CLATTN_OK, &report);
    clattn_decoder_destroy(decoder);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(steps_refuse) {
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_decoder_options o = options_of("reference");
    clattn_decoder *decoder = create(runtime, o);
    clattn_plan_options plan = CLATTN_PLAN_OPTIONS_INIT;
    clattn_decoder_past *past = NULL;
    float logits[11];
    said(clattn_decoder_past_create(decoder, NULL, &past, &report), CLATTN_INVALID_PROBLEM, "batch", __LINE__);
    said(clattn_decoder_past_create(NULL, NULL, &past, &report), CLATTN_INVALID_ARGUMENT, "decoder", __LINE__);
    clattn_decoder_destroy(decoder);
    o.batch = 1;
    decoder = create(runtime, o);
    plan.engine = "abacus";
    said(clattn_decoder_past_create(decoder, &plan, &past, &report), CLATTN_INVALID_ARGUMENT, "engine", __LINE__);
    ck_assert_ptr_null(past);
    plan.engine = "reference";
    EXPECT_STATUS(clattn_decoder_past_create(decoder, &plan, &past, &report), CLATTN_OK, &report);
    said(clattn_decoder_step(past, ids, 7, logits, &report), CLATTN_INVALID_TENSORS, "count", __LINE__);
    said(clattn_decoder_step(past, ids, 0, logits, &report), CLATTN_INVALID_TENSORS, "count", __LINE__);
    said(clattn_decoder_step(past, labels, 6, logits, &report), CLATTN_INVALID_ARGUMENT, "ids[5]", __LINE__);
    said(clattn_decoder_step(past, NULL, 1, logits, &report), CLATTN_INVALID_ARGUMENT, "ids", __LINE__);
    ck_assert_int_eq(clattn_decoder_past_get_length(past), 0);
    EXPECT_STATUS(clattn_decoder_step(past, ids, 6, logits, &report), CLATTN_OK, &report);
    said(clattn_decoder_step(past, ids, 1, logits, &report), CLATTN_INVALID_TENSORS, "count", __LINE__);
    EXPECT_STATUS(clattn_decoder_past_rewind(past, 7), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_decoder_past_rewind(past, -1), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_decoder_past_rewind(NULL, 0), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_int_eq(clattn_decoder_past_get_length(past), 6);
    ck_assert_int_eq(clattn_decoder_past_get_length(NULL), 0);
    clattn_decoder_past_destroy(past);
    clattn_decoder_past_destroy(NULL);
    clattn_decoder_destroy(decoder);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(blocks_refuse) {
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_block_options o = CLATTN_BLOCK_OPTIONS_INIT;
    clattn_block *block = NULL;
    clattn_parameters *p = NULL;
    int64_t first = -1;
    float x[8] = { 1, 2, 3 }, y[8], g[8];
    o.length = 2, o.dim = 4, o.heads = 2, o.learn = true, o.plan.engine = o.backward.engine = "reference";
    EXPECT_STATUS(clattn_block_create(runtime, &o, &block, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_parameters_create(runtime, &p), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_block_add_parameters(block, p, "b.", 3, &first, &report), CLATTN_OK, &report);
    ck_assert(first == 0 && clattn_parameters_find(p, "b.mlp.down.bias") == 15);
    float *kept = malloc((size_t)clattn_block_get_kept(block) * sizeof *kept);
    const clattn_block_io io = { sizeof io, CLATTN_SAME, x, y, kept, g, g, &report };
#define BAD(call, field, value, index, status, word)                                                                   \
    do {                                                                                                               \
        clattn_block_io bad = io;                                                                                      \
        bad.field = value;                                                                                             \
        said(call(block, p, index, &bad), status, word, __LINE__);                                                     \
    } while (0)
    BAD(clattn_block_forward, kept, NULL, 0, CLATTN_INVALID_TENSORS, "kept: missing");
    BAD(clattn_block_forward, output, x + 1, 0, CLATTN_INVALID_TENSORS, "output: overlaps input");
    BAD(clattn_block_forward, length, 3, 0, CLATTN_INVALID_TENSORS, "length: 3");
    BAD(clattn_block_forward, length, 2, 1, CLATTN_INVALID_ARGUMENT, "first");
    BAD(clattn_block_backward, grad_input, NULL, 0, CLATTN_INVALID_TENSORS, "grad_input: missing");
    BAD(clattn_block_backward, grad_output, NULL, 0, CLATTN_INVALID_TENSORS, "grad_output: missing");
    EXPECT_STATUS(clattn_block_forward(block, p, 0, &io), CLATTN_OK, &report);
    free(kept);
    clattn_parameters_destroy(p);
    clattn_block_destroy(block);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(starts) {
    EXPECT_START(clattn_block_options, CLATTN_BLOCK_OPTIONS_INIT, clattn_block_options_init);
    EXPECT_START(clattn_block_io, CLATTN_BLOCK_IO_INIT, clattn_block_io_init);
    EXPECT_START(clattn_decoder_options, CLATTN_DECODER_OPTIONS_INIT, clattn_decoder_options_init);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { starts,      refuses, blocks_refuse, learns,      reads_and_continues,
                                   differences, goldens, steps,         steps_refuse };
    return suite_run(SUITE_OF("learning_decoder", tests, 120), SUITE_NO_FORK);
}
