/*
 * The judge of gradients: it passes the reference on cases of every feature, and finds gradients that are wrong in one of
 * the ways in which backward passes go wrong.
 */
#include <math.h>
#include <stdlib.h>

#include "gate/gate_gradients.h"
#include "gate/plain.h"
#include "gate_gradient_case.h"
#include "support/suite.h"

static clattn_runtime *runtime;
static attn_case_data data;
static attn_gradient_gold *gold;

/* A case with its gold, run once by the reference so that its gradients stand in memory. */
static void begin(const char *line) {
    clattn_report report;
    gate_gradient_begin(line, &runtime, &data, &gold);
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    EXPECT_STATUS(clattn_attention(runtime, &data.problem, &options, &data.tensors, &report), CLATTN_OK, &report);
}

static void end(void) {
    gate_gradient_end(runtime, &data, gold);
}

static attn_gate_result judge(void) {
    attn_gate_result result = { .passed = true };
    attn_gate_gradients_check(&data, gold, &result);
    return result;
}

static void passes(void) {
    attn_gate_result result = judge();
    ck_assert_msg(result.passed && result.outputs > 0, "%s: %s", data.c.text, result.failure);
}

static void finds(const char *what) {
    attn_gate_result result = judge();
    ck_assert_msg(!result.passed && strstr(result.failure, "rule 6") && strstr(result.failure, what), "%s: %s: %s",
                  data.c.text, what, result.failure);
}

/* Element n of a dense gradient, changed by factor and added number; answers what it was. */
static double change(int which, int64_t n, double factor, double added) {
    attn_case_gradient *g = &data.gradients[which];
    double before = clattn_get_element(g->type, g->memory.data, n);
    clattn_set_element(g->type, g->memory.data, n, before * factor + added);
    return before;
}

/* The first element of a row of a gradient. */
static double element(int which, int64_t b, int64_t h, int64_t i) {
    const attn_case_gradient *g = &data.gradients[which];
    return clattn_get_element(g->type, g->memory.data, attn_rows_at(&g->rows, b, h, i));
}

static void put_element(int which, int64_t b, int64_t h, int64_t i, double x) {
    const attn_case_gradient *g = &data.gradients[which];
    clattn_set_element(g->type, g->memory.data, attn_rows_at(&g->rows, b, h, i), x);
}

START_TEST(test_every_gradient) {
    static const char *const types[] = { "fp32", "fp16", "bf16", "fp64" };
    static const double steps[] = { 1e-3, 2e-2, 1e-1, 1e-9 }; /* of a type's largest element: far above its rounding */
    for (int t = 0; t < 4; t++) {
        char line[320];
        snprintf(line, sizeof line,
                 "direction=backward type=%s batch=2 query_heads=4 kv_heads=2 query_length=9 key_length=20 head_dim=8 "
                 "value_dim=5 "
                 "bias=h,1,k alibi=yes sinks=yes align=bottom_right causal=yes seed=2",
                 types[t]);
        begin(line);
        passes();
        for (int g = 0; g < ATTN_GRADIENTS; g++) {
            const attn_rows *r = &data.gradients[g].rows;
            int64_t count = r->sizes[0] * r->sizes[1] * r->sizes[2] * r->dim, largest = 0;
            ck_assert_int_gt(count, 0);
            for (int64_t n = 0; n < count; n++) {
                double x = fabs(clattn_get_element(data.gradients[g].type, data.gradients[g].memory.data, n));
                largest = x > fabs(clattn_get_element(data.gradients[g].type, data.gradients[g].memory.data, largest))
                              ? n
                              : largest;
            }
            double before = change(g, largest, 1 + steps[data.gradients[g].type], 0);
            finds(data.gradients[g].name);
            clattn_set_element(data.gradients[g].type, data.gradients[g].memory.data, largest, before);
            change(g, largest, 1, (double)NAN);
            finds(data.gradients[g].name);
            clattn_set_element(data.gradients[g].type, data.gradients[g].memory.data, largest, before);
        }
        passes();
        end();
    }
}
END_TEST

/* Where nothing contributes the least number is wrong: a key beyond its length, a row that sees nothing. */
START_TEST(test_exactly_zero) {
    begin("batch=2 query_length=5 key_length=9 head_dim=4 key_lengths=6,0 query_lengths=5,3 causal=yes align=-2 "
          "direction=backward");
    passes();
    change(ATTN_GRAD_KEY, 7 * 4, 1, 1e-45);
    finds("grad_key[0,0,7,0]");
    change(ATTN_GRAD_KEY, 7 * 4, 0, 0);
    change(ATTN_GRAD_VALUE, 10 * 4, 1, -1e-45);
    finds("grad_value[1,0,1,0]");
    change(ATTN_GRAD_VALUE, 10 * 4, 0, -0.0);
    change(ATTN_GRAD_QUERY, 4, 1, 1e-45);
    finds("grad_query[0,0,1,0]");
    change(ATTN_GRAD_QUERY, 4, 0, 0);
    passes();
    end();
}
END_TEST

/* Gradients of another problem stand for those of an engine that forgot something. */
static void check_forgotten(const char *line, const char *name, void (*forget)(clattn_problem *p, clattn_tensors *t)) {
    begin(line);
    passes();
    clattn_problem p = data.problem;
    clattn_tensors t = data.tensors;
    clattn_report report;
    forget(&p, &t);
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
    finds(name);
    end();
}

static void no_softcap(clattn_problem *p, clattn_tensors *t) {
    (void)t;
    p->softcap = 1e30; /* tanh(x) = x: the factor is 1, and the scores are nearly the same where they are small */
}

static void no_grad_logsumexp(clattn_problem *p, clattn_tensors *t) {
    (void)t;
    p->grad_logsumexp = false;
}

static void another_seed(clattn_problem *p, clattn_tensors *t) {
    (void)p;
    t->dropout_seed++;
}

static void another_alignment(clattn_problem *p, clattn_tensors *t) {
    (void)t;
    p->alignment = CLATTN_ALIGN_TOP_LEFT;
}

static void no_prefix(clattn_problem *p, clattn_tensors *t) {
    (void)t;
    p->prefix = 0;
}

START_TEST(test_forgotten) {
#define SIZES "query_heads=4 kv_heads=2 query_length=9 key_length=20 head_dim=8 direction=backward "
    check_forgotten(SIZES "softcap=3 spread=0.5", "grad_query", no_softcap);
    check_forgotten(SIZES "seed=1", "grad_query", no_grad_logsumexp);
    check_forgotten(SIZES "dropout=0.1", "grad_", another_seed);
    check_forgotten(SIZES "causal=yes align=bottom_right", "grad_", another_alignment);
    check_forgotten(SIZES "window=1,1 prefix=4 align=8", "grad_", no_prefix);
}
END_TEST

/* Some rows, keys and heads are looked at where the work is bounded, and what they give is judged as when all are. */
static int64_t count_seen(int which) {
    const attn_gold_array *array = &gold->arrays[which];
    int64_t count = 0;
    for (int64_t n = 0; n < array->rows * array->dim; n++) {
        count += attn_gold_at(array, n / array->dim, n % array->dim) >= 0 ? 1 : 0;
    }
    return count;
}

/* What a sample says of an element is what all pairs together say of it; every gradient of which there is some is found wrong. */
static void check_sample(const char *line, double part) {
    attn_error error = { 0 };
    begin(line);
    passes();
    attn_gradient_gold *whole = gold, *sampled = NULL;
    const clattn_problem *p = &data.problem;
    double work = (double)(p->batch * p->query_heads * p->query_length * p->key_length) * 3 *
                  (double)(p->head_dim + p->value_dim);
    attn_gate_options options = { .max_work = part * work };
    ck_assert_int_eq(attn_gate_gradients_create(&sampled, &data, &options, &error), 0);
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        const attn_gold_array *all = &whole->arrays[g], *some = &sampled->arrays[g];
        int64_t seen = 0, last = -1;
        for (int64_t n = 0; n < all->rows * all->dim; n++) {
            int64_t at = attn_gold_at(some, n / all->dim, n % all->dim),
                    full = attn_gold_at(all, n / all->dim, n % all->dim);
            ck_assert_int_ge(full, 0);
            if (at < 0) {
                continue;
            }
            ck_assert_msg(fabs(some->gold[at] - all->gold[full]) <= 1e-12 * all->size[full] &&
                              fabs(some->error[at] - all->error[full]) <= 1e-12 * all->error[full] &&
                              fabs(some->most[at] - all->most[full]) <= 1e-12 * all->most[full],
                          "%s: %s: element %lld is %g in a sample, %g in all", line, data.gradients[g].name,
                          (long long)n, some->gold[at], all->gold[full]);
            seen++;
            last = some->most[at] > 0 ? n : last;
        }
        ck_assert_msg(all->rows == 0 || (seen > 0 && last >= 0), "%s: nothing of %s", line, data.gradients[g].name);
        ck_assert_msg(all->rows == 0 || g > ATTN_GRAD_BIAS || seen < all->rows * all->dim, "%s: all of %s", line,
                      data.gradients[g].name);
        gold = sampled;
        if (all->rows > 0) {
            passes();
            const attn_rows *r = &data.gradients[g].rows;
            int64_t row = last / r->dim, h = row / r->sizes[2] % r->sizes[1];
            int64_t at = attn_rows_at(r, row / r->sizes[2] / r->sizes[1], h, row % r->sizes[2]) + last % r->dim;
            double before = change(g, at, 1.1, 0.1);
            finds(data.gradients[g].name);
            clattn_set_element(data.gradients[g].type, data.gradients[g].memory.data, at, before);
        }
        gold = whole;
    }
    attn_gate_gradients_free(sampled);
    end();
}

START_TEST(test_sampled) {
#define LARGE                                                                                                          \
    "direction=backward batch=3 query_heads=4 kv_heads=2 query_length=30 key_length=77 head_dim=8 value_dim=5 "
    check_sample(LARGE, 0.1);
    check_sample(LARGE "bias=b,h,q,k alibi=yes sinks=yes align=bottom_right causal=yes window=20,open prefix=9", 0.3);
    check_sample(LARGE "bias=h,1,k mask=b,1,q,k,bits sinks=yes dropout=0.2 layout=bshd seed=3", 0.2);
    check_sample(LARGE "bias=q,1 mask=1,1,q,k dropout=0.2 softcap=2 strides=random seed=4", 0.2);
    check_sample(LARGE "bias=b,1,1,1 sinks=yes key_lengths=31,77,0 query_lengths=7,30,0 poison=yes seed=5", 0.3);
    check_sample(LARGE "bias=k,storage alibi=yes offsets=50,-3,0 causal=yes type=fp64 seed=6", 0.4);
    begin(LARGE "sinks=yes");
    attn_error error = { 0 };
    attn_gate_options options = { .max_work = 1e5 };
    attn_gate_gradients_free(gold);
    ck_assert_int_eq(attn_gate_gradients_create(&gold, &data, &options, &error), 0);
    ck_assert_int_eq(count_seen(ATTN_GRAD_QUERY), 8 * 8);     /* a quarter of the work, 77 * 39 a row */
    ck_assert_int_eq(count_seen(ATTN_GRAD_KEY), (8 + 5) * 8); /* the last block is short */
    ck_assert_int_eq(count_seen(ATTN_GRAD_SINKS), 4);
    passes();
    end();
}
END_TEST

/* Gradients that are added: the start alone, the gradient alone and the start twice are wrong, and so is rounding to 16 bits. */
START_TEST(test_added) {
    static const char *const types[] = { "fp32", "fp16 gradient_type=fp32", "bf16 gradient_type=fp32 output_type=fp32",
                                         "fp64" };
    for (int t = 0; t < 4; t++) {
        char line[320];
        snprintf(line, sizeof line,
                 "direction=backward add=yes type=%s query_heads=4 kv_heads=2 query_length=9 key_length=20 head_dim=8 "
                 "bias=h,1,k alibi=yes sinks=yes align=bottom_right causal=yes query_lengths=7 strides=random seed=5",
                 types[t]);
        begin(line);
        passes();
        for (int g = 0; g < ATTN_GRADIENTS; g++) {
            double start = attn_case_gradient_start(&data, g, 0), sum = element(g, 0, 0, 0);
            ck_assert(start != 0 && sum != start);
            const double wrong[] = { start, sum - start, sum + start, sum * (1 + 1e-3) };
            for (int n = 0; n < 4; n++) {
                put_element(g, 0, 0, 0, wrong[n]);
                finds(data.gradients[g].name);
            }
            put_element(g, 0, 0, 0, sum);
        }
        double start = attn_case_gradient_start(&data, ATTN_GRAD_QUERY, 8 * 8); /* a row beyond its length */
        ck_assert(element(ATTN_GRAD_QUERY, 0, 0, 8) == start);
        put_element(ATTN_GRAD_QUERY, 0, 0, 8, 0);
        finds("as it was before): grad_query[0,0,8,0]");
        put_element(ATTN_GRAD_QUERY, 0, 0, 8, start);
        passes();
        end();
    }
}
END_TEST

/* The plain loops that bench compares with compute gradients, not something near them. */
START_TEST(test_plain) {
    enum { ROWS = 9, KEYS = 13, DIM = 4, VALUES = 3 };
    float grad_query[ROWS * DIM], grad_keys[KEYS * DIM] = { 0 }, grad_values[KEYS * VALUES] = { 0 };
    begin("query_length=9 key_length=13 head_dim=4 value_dim=3 softcap=2 direction=backward seed=0");
    ck_assert(!data.problem.grad_logsumexp && !data.problem.delta); /* what the seed chooses */
    for (int i = 0; i < ROWS; i++) {
        const attn_plain plain = { .query = (float *)data.query.data + i * DIM,
                                   .keys = data.key.data,
                                   .values = data.value.data,
                                   .key_length = KEYS,
                                   .head_dim = DIM,
                                   .value_dim = VALUES,
                                   .scale = 0.5f,
                                   .softcap = 2 };
        const attn_plain_gradients g = { (float *)data.output.data + i * VALUES,
                                         (float *)data.grad_output.data + i * VALUES,
                                         ((float *)data.logsumexp.data)[i],
                                         grad_query + i * DIM,
                                         grad_keys,
                                         grad_values };
        attn_plain_backward_row(&plain, &g);
    }
    const float *const got[3] = { grad_query, grad_keys, grad_values };
    for (int g = 0; g < 3; g++) {
        const attn_rows *r = &data.gradients[g].rows;
        for (int64_t n = 0; n < r->sizes[2] * r->dim; n++) {
            float expected = ((float *)data.gradients[g].memory.data)[n];
            ck_assert_msg(fabsf(got[g][n] - expected) < 1e-5f, "%s[%lld]: %g, not %g", data.gradients[g].name,
                          (long long)n, (double)got[g][n], (double)expected);
        }
    }
    end();
}
END_TEST

/* The seeds give gradients in every way: without and with grad_logsumexp, delta. */
START_TEST(test_ways) {
    int delta = 0, logsumexp = 0;
    for (int seed = 0; seed < 24; seed++) {
        char line[160];
        snprintf(line, sizeof line,
                 "type=bf16 query_length=3 key_length=4 head_dim=2 direction=backward poison=yes seed=%d", seed);
        begin(line);
        passes();
        delta += data.problem.delta;
        logsumexp += data.problem.grad_logsumexp;
        end();
    }
    ck_assert(delta >= 3 && logsumexp >= 6 && delta + logsumexp < 24);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_every_gradient, test_exactly_zero, test_forgotten, test_added,
                                   test_sampled,        test_ways,         test_plain };
    return suite_run(SUITE_OF("gate_gradients", tests, 60), SUITE_FORK);
}
