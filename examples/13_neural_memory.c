/*
 * Recall over 16,384 tokens in constant memory. 64 pairs of a key and a value stand far apart among tokens of noise; at
 * the end every key is asked for its value. Three answer:
 *
 *     a neural memory, which has learnt while it read and keeps one matrix and its momentum,
 *     attention with a window of 512, which has forgotten what lies before it,
 *     attention over all tokens, which keeps every key and value.
 *
 *     13_neural_memory [--engine NAME]
 *
 * The gates are set by hand as a trained model would set them: a pair is learnt, noise is not. Prints how many answers
 * of each are nearer to the right value than to any other, and what each keeps. Exit status: 0, 1 (the memory recalls
 * less than 95 %, or the window more than 10 %), 2 (an error).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_memory.h"

enum { TOKENS = 16384, PAIRS = 64, EVERY = TOKENS / PAIRS, DIM = 128, PIECE = 1024, WINDOW = 512 };

static float keys[PAIRS * DIM], values[PAIRS * DIM];

static void check(clattn_status status, const clattn_report *report, const char *what) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n%s", what, clattn_status_message(status), report ? report->text : "");
        exit(2);
    }
}

/* Rows of about length 1. */
static void draw(uint64_t seed, int64_t rows, float *x) {
    check(clattn_fill(CLATTN_FILL_UNIFORM, seed, rows, DIM, x), NULL, "fill");
    for (int64_t k = 0; k < rows * DIM; k++) {
        x[k] = (2 * x[k] - 1) * 0.153f; /* sqrt(3 / DIM) */
    }
}

/* Tokens from `first` on: noise, and every now and then a pair. */
static void read_tokens(int64_t first, int64_t count, float *key, float *value, float *theta) {
    draw(1000 + 2 * (uint64_t)first, count, key);
    draw(1001 + 2 * (uint64_t)first, count, value);
    for (int64_t t = 0; t < count; t++) {
        int64_t pair = (first + t) / EVERY;
        bool is_pair = (first + t) % EVERY == EVERY / 2;
        theta[t] = is_pair ? 0.5f : 0;
        if (is_pair) {
            memcpy(key + t * DIM, keys + pair * DIM, DIM * sizeof *key);
            memcpy(value + t * DIM, values + pair * DIM, DIM * sizeof *value);
        }
    }
}

/* The share of rows that are nearest to the value of their own pair. */
static double recall(const float *answers) {
    int right = 0;
    for (int p = 0; p < PAIRS; p++) {
        int best = 0;
        double most = 0;
        for (int n = 0; n < PAIRS; n++) {
            double product = 0;
            for (int k = 0; k < DIM; k++) {
                product += (double)answers[p * DIM + k] * (double)values[n * DIM + k];
            }
            if (n == 0 || product > most) {
                most = product, best = n;
            }
        }
        right += best == p;
    }
    return (double)right / PAIRS;
}

static double by_memory(clattn_runtime *runtime, const char *engine) {
    static float key[PIECE * DIM], value[PIECE * DIM], theta[PIECE], none[PIECE], answers[PAIRS * DIM];
    clattn_neural_memory_options options = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    clattn_neural_memory *memory = NULL;
    clattn_report report;
    options.length = PIECE, options.key_dim = DIM, options.plan.engine = engine;
    check(clattn_neural_memory_create(runtime, &options, &memory, &report), &report, "memory");
    float *state = malloc((size_t)clattn_neural_memory_get_state_size(memory) * sizeof *state);
    check(state ? clattn_neural_memory_start(memory, 0, state) : CLATTN_OUT_OF_MEMORY, NULL, "state");
    for (int64_t first = 0; first < TOKENS; first += PIECE) {
        clattn_neural_memory_io io = CLATTN_NEURAL_MEMORY_IO_INIT;
        read_tokens(first, PIECE, key, value, theta);
        io.key = key, io.value = value, io.alpha = none, io.theta = theta, io.eta = none;
        io.state_in = io.state_out = state, io.report = &report;
        check(clattn_neural_memory_forward(memory, &io), &report, "learning");
    }
    check(clattn_neural_memory_read(memory, PAIRS, state, keys, answers, &report), &report, "reading");
    free(state);
    clattn_neural_memory_destroy(memory);
    return recall(answers);
}

/* The keys ask as the last rows of the sequence, with scores so sharp that a key that is there answers alone. */
static double by_attention(clattn_runtime *runtime, const char *engine, int64_t window) {
    static float key[TOKENS * DIM], value[TOKENS * DIM], theta[PIECE], answers[PAIRS * DIM];
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_tensors tensors = CLATTN_TENSORS_INIT;
    clattn_report report;
    for (int64_t first = 0; first < TOKENS; first += PIECE) {
        read_tokens(first, PIECE, key + first * DIM, value + first * DIM, theta);
    }
    int64_t from = TOKENS - window; /* a cache has no more than this */
    problem.query_length = PAIRS, problem.key_length = window, problem.head_dim = DIM;
    problem.has_scale = true, problem.scale = 40;
    options.engine = engine;
    tensors.query.data = keys, tensors.output.data = answers, tensors.report = &report;
    tensors.key.data = key + from * DIM, tensors.value.data = value + from * DIM;
    check(clattn_attention(runtime, &problem, &options, &tensors, &report), &report, "attention");
    return recall(answers);
}

int main(int argc, char **argv) {
    const char *engine = argc == 3 && strcmp(argv[1], "--engine") == 0 ? argv[2] : NULL;
    clattn_runtime *runtime = NULL;
    check(clattn_runtime_create(NULL, &runtime), NULL, "runtime");
    draw(1, PAIRS, keys);
    draw(2, PAIRS, values);
    double memory = by_memory(runtime, engine), window = by_attention(runtime, engine, WINDOW);
    double all = by_attention(runtime, engine, TOKENS);
    const size_t row = 2 * DIM * sizeof(float);
    printf("%d pairs among %d tokens, asked at the end\n\n", PAIRS, TOKENS);
    printf("                                 recalled     keeps\n");
    printf("  neural memory                  %6.1f %%  %6zu kB\n", 100 * memory, DIM * row / 1024);
    printf("  attention, window of %5d     %6.1f %%  %6zu kB\n", WINDOW, 100 * window, WINDOW * row / 1024);
    printf("  attention over all tokens      %6.1f %%  %6zu kB\n", 100 * all, TOKENS * row / 1024);
    clattn_runtime_destroy(runtime);
    return memory >= 0.95 && window <= 0.1 ? 0 : 1;
}
