#include "support/gradient_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Uniform in [-1, 1). */
static double draw(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)(*state >> 11) * 0x1p-52 - 1.0;
}

void gradient_fill(clattn_type type, void *data, int64_t count, double size, uint64_t seed) {
    uint64_t state = seed * 77 + 13;
    for (int64_t n = 0; n < count; n++) { /* multiples of 2^-10: exact in fp32, so that steps are */
        clattn_set_element(type, data, n, round(size * draw(&state) * 1024) / 1024);
    }
}

static void *room(clattn_type type, int64_t count) {
    void *memory = malloc((size_t)(count * clattn_type_size(type) + 64));
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xff, (size_t)(count * clattn_type_size(type) + 64));
    return memory;
}

static void make_input(gradient_case *c, int n, const char *name, uint32_t bit, clattn_type type, clattn_type grad_type,
                       int64_t count, bool there) {
    gradient_input *input = &c->inputs[n];
    *input = (gradient_input){ name, bit, type, grad_type, there ? count : 0, NULL, NULL };
    if (there) {
        input->data = room(type, count);
        input->grad = room(grad_type, count);
        gradient_fill(type, input->data, count, 1, c->seed + (uint64_t)n);
        c->backward.gradients |= bit;
    }
}

static void make_inputs(gradient_case *c) {
    const clattn_problem *p = &c->forward;
    int64_t query = p->batch * p->query_heads * p->query_length, key = p->batch * p->kv_heads * p->key_length;
    const int64_t *s = p->bias_shape, full[4] = { p->batch, p->query_heads, p->query_length, p->key_length };
    clattn_type bias = p->bias == CLATTN_BIAS_STORAGE ? p->type : CLATTN_FP32, grad = p->type, grad_bias = bias;
    int64_t biases = 1;
    if (p->gradient_type == CLATTN_RESULT_FP32) {
        grad = grad_bias = CLATTN_FP32;
    }
    for (int k = 0; k < 4; k++) {
        biases *= s[k] == CLATTN_SAME ? full[k] : s[k];
    }
    c->backward.gradients = 0;
    make_input(c, 0, "query", CLATTN_GRADIENT_QUERY, p->type, grad, query * p->head_dim, true);
    make_input(c, 1, "key", CLATTN_GRADIENT_KEY, p->type, grad, key * p->head_dim, true);
    make_input(c, 2, "value", CLATTN_GRADIENT_VALUE, p->type, grad, key * p->value_dim, true);
    make_input(c, 3, "bias", CLATTN_GRADIENT_BIAS, bias, grad_bias, biases, p->bias != CLATTN_BIAS_NONE);
    make_input(c, 4, "alibi_slopes", CLATTN_GRADIENT_ALIBI_SLOPES, CLATTN_FP32, c->wide_type, p->query_heads, p->alibi);
    make_input(c, 5, "sinks", CLATTN_GRADIENT_SINKS, CLATTN_FP32, c->wide_type, p->query_heads, p->sinks);
}

static void set_tensors(gradient_case *c) {
    clattn_tensors *t = &c->tensors;
    clattn_integers *const integers[] = { &t->query_lengths, &t->key_lengths, &t->offsets };
    *t = (clattn_tensors)CLATTN_TENSORS_INIT;
    t->query.data = c->inputs[0].data, t->grad_query.data = c->inputs[0].grad;
    t->key.data = c->inputs[1].data, t->grad_key.data = c->inputs[1].grad;
    t->value.data = c->inputs[2].data, t->grad_value.data = c->inputs[2].grad;
    t->bias.data = c->inputs[3].data, t->grad_bias.data = c->inputs[3].grad;
    t->alibi_slopes.data = c->inputs[4].data, t->grad_alibi_slopes.data = c->inputs[4].grad;
    t->sinks.data = c->inputs[5].data, t->grad_sinks.data = c->inputs[5].grad;
    t->mask.data = c->mask;
    t->output.data = c->output, t->grad_output.data = c->grad_output;
    t->logsumexp.data = c->logsumexp, t->grad_logsumexp.data = c->grad_logsumexp, t->delta.data = c->delta;
    for (int n = 0; n < 3; n++) {
        *integers[n] = (clattn_integers){ c->lengths[n], 0, CLATTN_INT64 };
    }
}

void gradient_make(gradient_case *c, const clattn_problem *problem, uint64_t seed) {
    *c = (gradient_case){ .forward = *problem, .seed = seed };
    clattn_problem *p = &c->forward;
    p->kv_heads = p->kv_heads == CLATTN_SAME ? p->query_heads : p->kv_heads;
    p->key_length = p->key_length == CLATTN_SAME ? p->query_length : p->key_length;
    p->value_dim = p->value_dim == CLATTN_SAME ? p->head_dim : p->value_dim;
    p->direction = CLATTN_FORWARD;
    p->logsumexp = true;
    c->backward = *p;
    c->backward.direction = CLATTN_BACKWARD;
    c->wide_type = p->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
    c->output_type = p->output_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
    c->rows = p->batch * p->query_heads * p->query_length;
    c->outputs = c->rows * p->value_dim;
    make_inputs(c);
    c->output = room(c->output_type, c->outputs);
    c->grad_output = room(c->output_type, c->outputs);
    c->logsumexp = room(c->wide_type, c->rows);
    c->grad_logsumexp = room(c->wide_type, c->rows);
    c->delta = room(c->wide_type, c->rows);
    gradient_fill(c->output_type, c->grad_output, c->outputs, 1, seed + 20);
    gradient_fill(c->wide_type, c->grad_logsumexp, c->rows, 1, seed + 21);
    c->mask = room(CLATTN_FP32, c->rows * p->key_length);
    memset(c->mask, 1, (size_t)(c->rows * p->key_length));
    for (int64_t b = 0; b < p->batch; b++) {
        c->lengths[0][b] = p->query_length;
        c->lengths[1][b] = p->key_length;
        c->lengths[2][b] = 0;
    }
    set_tensors(c);
}

void gradient_free(gradient_case *c) {
    for (int n = 0; n < GRADIENT_INPUTS; n++) {
        free(c->inputs[n].data);
        free(c->inputs[n].grad);
    }
    free(c->output);
    free(c->logsumexp);
    free(c->grad_output);
    free(c->grad_logsumexp);
    free(c->delta);
    free(c->mask);
}

static clattn_status execute(clattn_runtime *runtime, const clattn_problem *problem, const clattn_tensors *tensors,
                             const char *engine, clattn_report *report) {
    const clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    return clattn_attention(runtime, problem, &options, tensors, report);
}

clattn_status gradient_run_backward(clattn_runtime *runtime, gradient_case *c, const char *engine,
                                    clattn_report *report) {
    return execute(runtime, &c->backward, &c->tensors, engine, report);
}

void gradient_run(clattn_runtime *runtime, gradient_case *c, const char *engine) {
    static clattn_report report;
    EXPECT_STATUS(execute(runtime, &c->forward, &c->tensors, engine, &report), CLATTN_OK, &report);
    EXPECT_STATUS(gradient_run_backward(runtime, c, engine, &report), CLATTN_OK, &report);
}

/* The loss of the present inputs. */
static double loss(clattn_plan *plan, gradient_case *c) {
    const clattn_problem *p = &c->forward;
    const clattn_tensor *g = &c->tensors.grad_output;
    clattn_report report = { 0 };
    clattn_tensors t = c->tensors;
    bool dense = g->layout == CLATTN_BHSD;
    long double sum = 0;
    t.report = &report;
    EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
    for (int64_t row = 0; row < c->rows; row++) {
        int64_t i = row % p->query_length, h = row / p->query_length % p->query_heads,
                b = row / p->query_length / p->query_heads;
        int64_t at =
            dense ? row * p->value_dim : g->offset + b * g->batch_stride + h * g->head_stride + i * g->length_stride;
        double logsumexp = clattn_get_element(c->wide_type, c->logsumexp, row);
        if (p->query_lengths && i >= c->lengths[0][b]) {
            continue;
        }
        for (int64_t d = 0; d < p->value_dim; d++) {
            sum += (long double)clattn_get_element(c->output_type, c->output, row * p->value_dim + d) *
                   clattn_get_element(c->output_type, g->data, at + d);
        }
        if (p->grad_logsumexp && !isinf(logsumexp)) {
            sum += (long double)logsumexp * clattn_get_element(c->wide_type, c->grad_logsumexp, row);
        }
    }
    return (double)sum;
}

/* Of element n, by four points. */
static double difference(clattn_plan *plan, gradient_case *c, const gradient_input *input, int64_t n) {
    static const double factors[4] = { -2, -1, 1, 2 }, weights[4] = { 1, -8, 8, -1 };
    double here = clattn_get_element(input->type, input->data, n), step = 0x1p-10, sum = 0;
    for (int k = 0; k < 4; k++) {
        clattn_set_element(input->type, input->data, n, here + factors[k] * step);
        sum += weights[k] * loss(plan, c);
    }
    clattn_set_element(input->type, input->data, n, here);
    return sum / (12 * step);
}

void gradient_check_differences(clattn_runtime *runtime, gradient_case *c, const char *what) {
    clattn_plan *plan = NULL;
    clattn_report report = { 0 };
    clattn_problem p = c->forward;
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        const gradient_input *input = &c->inputs[k];
        int64_t step = input->count / 50 / 2 * 2 + 1; /* not all of many; odd, so that all heads and rows are met */
        for (int64_t n = 0; n < input->count; n += step) {
            double got = clattn_get_element(input->grad_type, input->grad, n), expected = difference(plan, c, input, n);
            double tolerance = (input->grad_type == CLATTN_FP64 ? 1e-8 : 1e-6) * (1 + fabs(expected));
            ck_assert_msg(fabs(got - expected) <= tolerance, "%s: grad_%s[%" PRId64 "] is %.12g, differences say %.12g",
                          what, input->name, n, got, expected);
        }
    }
    (void)loss(plan, c); /* output and logsumexp are those of the inputs again */
    clattn_plan_destroy(plan);
}

clattn_problem gradient_problem(void) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.type = CLATTN_FP64;
    p.batch = 2, p.query_heads = 4, p.kv_heads = 2;
    p.query_length = 5, p.key_length = 7, p.head_dim = 3, p.value_dim = 2;
    p.grad_logsumexp = true;
    return p;
}

clattn_runtime *gradient_runtime(void) {
    return suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 2, true, { 0 } });
}
