/*
 * Each wrapped function counts its own time and none of those that it calls: attn_layer_backward() without its
 * products.
 */
#define _POSIX_C_SOURCE 200809L
#include "parts.h"

#include <time.h>

#include "clattn/clattn_learning.h"
#include "layers/layer.h"

const char *const part_names[PARTS] = { [PART_OTHER] = "other",
                                        [PART_LINEAR] = "linear products",
                                        [PART_TRANSPOSE] = "transposes, bias sums",
                                        [PART_ATTENTION] = "attention forward",
                                        [PART_ATTENTION_BACKWARD] = "attention backward",
                                        [PART_NORM] = "layer normalisation",
                                        [PART_GELU] = "GELU",
                                        [PART_SUM] = "residual sums",
                                        [PART_EMBEDDING] = "embedding, positions",
                                        [PART_LOSS] = "loss",
                                        [PART_OPTIMISER] = "clipping, optimiser" };

static part current;
static int64_t since, spent[PARTS];
static bool alone;

void part_begin(bool one_thread) {
    alone = one_thread;
}

/* One thread: its own time, so that others on the machine count little. */
int64_t part_now(void) {
    struct timespec t;
    clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

part part_enter(part now) {
    part before = current;
    int64_t time = part_now();
    spent[current] += time - since;
    since = time;
    current = now;
    return before;
}

void part_leave(part before) {
    (void)part_enter(before);
}

void part_clear(void) {
    for (int k = 0; k < PARTS; k++) {
        spent[k] = 0;
    }
    current = PART_OTHER;
    since = part_now();
}

int64_t part_nanoseconds(part which) {
    return spent[which];
}

/* A function of the library that answers a status, timed. */
#define TIMED(which, name, parameters, arguments)                                                                      \
    clattn_status __real_##name parameters;                                                                            \
    clattn_status __wrap_##name parameters;                                                                            \
    clattn_status __wrap_##name parameters {                                                                           \
        part before = part_enter(which);                                                                               \
        clattn_status status = __real_##name arguments;                                                                \
        part_leave(before);                                                                                            \
        return status;                                                                                                 \
    }

TIMED(PART_LINEAR, clattn_linear_execute, (clattn_linear_plan * plan, const clattn_linear_tensors *tensors),
      (plan, tensors))
TIMED(PART_TRANSPOSE, attn_layer_backward,
      (clattn_linear_backward * backward, const attn_layer_rows *rows, const clattn_linear_gradients *gradients),
      (backward, rows, gradients))
TIMED(tensors->grad_query.data ? PART_ATTENTION_BACKWARD : PART_ATTENTION, clattn_execute,
      (clattn_plan * plan, const clattn_tensors *tensors), (plan, tensors))
TIMED(PART_NORM, clattn_layer_norm,
      (clattn_runtime * runtime, int64_t rows, int64_t dim, double epsilon, const float *gain, const float *bias,
       const float *input, float *output),
      (runtime, rows, dim, epsilon, gain, bias, input, output))
TIMED(PART_NORM, clattn_layer_norm_backward,
      (clattn_runtime * runtime, int64_t rows, int64_t dim, double epsilon, const float *gain, const float *input,
       const float *grad_output, float *grad_input, float *grad_gain, float *grad_bias),
      (runtime, rows, dim, epsilon, gain, input, grad_output, grad_input, grad_gain, grad_bias))
TIMED(PART_GELU, clattn_gelu, (clattn_runtime * runtime, int64_t count, const float *input, float *output),
      (runtime, count, input, output))
TIMED(PART_GELU, clattn_gelu_backward,
      (clattn_runtime * runtime, int64_t count, const float *input, const float *grad_output, float *grad_input),
      (runtime, count, input, grad_output, grad_input))
TIMED(PART_EMBEDDING, clattn_embedding_forward,
      (const float *table, int64_t words, int64_t dim, const int64_t *ids, int64_t count, float *output,
       clattn_report *report),
      (table, words, dim, ids, count, output, report))
TIMED(PART_EMBEDDING, clattn_embedding_backward,
      (int64_t words, int64_t dim, const int64_t *ids, int64_t count, const float *grad_output, float *grad_table,
       clattn_report *report),
      (words, dim, ids, count, grad_output, grad_table, report))
TIMED(PART_EMBEDDING, clattn_positional_encoding,
      (int64_t first, int64_t length, int64_t dim, double base, bool add, float *output),
      (first, length, dim, base, add, output))
TIMED(PART_LOSS, clattn_cross_entropy, (const clattn_cross_entropy_io *io), (io))

void __real_attn_layer_sum(clattn_runtime *runtime, int64_t count, const float *x, float *sum);
void __wrap_attn_layer_sum(clattn_runtime *runtime, int64_t count, const float *x, float *sum);

void __wrap_attn_layer_sum(clattn_runtime *runtime, int64_t count, const float *x, float *sum) {
    part before = part_enter(PART_SUM);
    __real_attn_layer_sum(runtime, count, x, sum);
    part_leave(before);
}
