/*
 * Gradients by the program: `clattn run direction=backward` writes what the library computes, in every type and layout, with
 * every option; what it refuses; plan, verify and the commands that do not serve gradients.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/npy.h"
#include "support/array.h"
#include "support/gradient_case.h"
#include "support/program.h"

static char *const said = program_said, *const complained = program_complained;

static int clattn(const char *arguments) {
    return program_run("OCL_ICD_VENDORS=/nowhere timeout 60", arguments);
}

static void works(const char *arguments) {
    int status = clattn(arguments);
    ck_assert_msg(status == 0, "clattn %s: exit %d: %s", arguments, status, complained);
}

static void refused(int status, const char *arguments, const char *text) {
    int got = clattn(arguments);
    ck_assert_msg(got == status && strstr(complained, text), "clattn %s: exit %d: %s", arguments, got, complained);
}

static attn_npy_type npy_type(clattn_type type) {
    switch (type) {
        case CLATTN_FP16: return ATTN_NPY_FLOAT16;
        case CLATTN_BF16: return ATTN_NPY_UINT16;
        case CLATTN_FP64: return ATTN_NPY_FLOAT64;
        default: return ATTN_NPY_FLOAT32;
    }
}

/* Data of a dense array into a file of the folder. */
static void put(const char *name, clattn_type type, const void *data, int dims, const int64_t *shape) {
    char path[512];
    attn_npy array;
    attn_output_file file = { 0 };
    attn_error error = { 0 };
    snprintf(path, sizeof path, "%s/%s", program_folder, name);
    ck_assert_int_eq(attn_npy_create(&array, npy_type(type), dims, shape, &error), 0);
    memcpy(array.data, data, (size_t)(array.count * attn_npy_type_size(array.type)));
    ck_assert_msg(attn_output_open(&file, path, &error) == 0 && attn_npy_write(&array, &file, &error) == 0 &&
                      attn_output_commit(&file, &error) == 0,
                  "%s", error.text);
    attn_npy_free(&array);
}

/* The file holds these bytes. */
static void holds(const char *name, int dims, const int64_t *shape, const void *data, int64_t bytes) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", program_folder, name);
    test_array array = test_array_read(path);
    ck_assert_int_eq(array.dimensions, dims);
    for (int d = 0; d < dims; d++) {
        ck_assert_int_eq(array.shape[d], shape[d]);
    }
    ck_assert_int_eq(array.count * array.item, bytes);
    ck_assert_msg(memcmp(array.data, data, (size_t)bytes) == 0, "%s is not what the library computes", name);
    test_array_free(&array);
}

static clattn_problem usual(clattn_type type) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.type = type, p.batch = 2, p.query_heads = 4, p.kv_heads = 2, p.query_length = 5, p.key_length = 7, p.head_dim = 3;
    p.value_dim = 2, p.bias = CLATTN_BIAS_STORAGE, p.bias_shape[0] = 1, p.bias_shape[2] = 1;
    p.alibi = p.sinks = p.causal = p.grad_logsumexp = true, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    p.softcap = 2, p.dropout = 0.25, p.window_left = 2, p.prefix = 1;
    return p;
}

#define FILES                                                                                                          \
    "run --query q.npy --key k.npy --value v.npy --bias b.npy --alibi-slopes a.npy --sinks s.npy --grad-output "       \
    "go.npy "                                                                                                          \
    "--engine reference direction=backward "
#define OUTPUTS                                                                                                        \
    "--grad-query gq.npy --grad-key gk.npy --grad-value gv.npy --grad-bias gb.npy --grad-alibi-slopes ga.npy "         \
    "--grad-sinks gs.npy "
#define WORDS "causal=yes align=bottom_right softcap=2 dropout=0.25 window=2,open prefix=1 seed=12345678901234567890 "

static void put_inputs(const gradient_case *c) {
    const clattn_problem *p = &c->forward;
    const int64_t query[4] = { p->batch, p->query_heads, p->query_length, p->head_dim };
    const int64_t key[4] = { p->batch, p->kv_heads, p->key_length, p->head_dim };
    const int64_t value[4] = { p->batch, p->kv_heads, p->key_length, p->value_dim };
    const int64_t output[4] = { p->batch, p->query_heads, p->query_length, p->value_dim };
    const int64_t bias[3] = { p->query_heads, 1, p->key_length };
    put("q.npy", p->type, c->inputs[0].data, 4, query);
    put("k.npy", p->type, c->inputs[1].data, 4, key);
    put("v.npy", p->type, c->inputs[2].data, 4, value);
    put("b.npy", p->type, c->inputs[3].data, 3, bias);
    put("a.npy", CLATTN_FP32, c->inputs[4].data, 1, query + 1);
    put("s.npy", CLATTN_FP32, c->inputs[5].data, 1, query + 1);
    put("go.npy", c->output_type, c->grad_output, 4, output);
    put("gl.npy", c->wide_type, c->grad_logsumexp, 3, query);
}

static void check_outputs(const gradient_case *c) {
    const clattn_problem *p = &c->forward;
    const int64_t query[4] = { p->batch, p->query_heads, p->query_length, p->head_dim };
    const int64_t key[4] = { p->batch, p->kv_heads, p->key_length, p->head_dim };
    const int64_t value[4] = { p->batch, p->kv_heads, p->key_length, p->value_dim };
    const int64_t bias[3] = { p->query_heads, 1, p->key_length };
    const struct {
        const char *name;
        int dims;
        const int64_t *shape;
    } files[] = { { "gq.npy", 4, query }, { "gk.npy", 4, key },       { "gv.npy", 4, value },
                  { "gb.npy", 3, bias },  { "ga.npy", 1, query + 1 }, { "gs.npy", 1, query + 1 } };
    for (int n = 0; n < GRADIENT_INPUTS; n++) {
        const gradient_input *input = &c->inputs[n];
        holds(files[n].name, files[n].dims, files[n].shape, input->grad,
              input->count * clattn_type_size(input->grad_type));
    }
}

START_TEST(test_every_type) {
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    program_begin("run_gradients");
    for (int way = 0; way < 6; way++) { /* the last two: fp32 results of 16-bit types */
        static const clattn_type types[] = { CLATTN_FP32, CLATTN_FP16, CLATTN_BF16,
                                             CLATTN_FP64, CLATTN_FP16, CLATTN_BF16 };
        clattn_problem p = usual(types[way]);
        gradient_case c;
        p.output_type = p.gradient_type = way < 4 ? CLATTN_RESULT_STORAGE : CLATTN_RESULT_FP32;
        gradient_make(&c, &p, 7);
        c.tensors.dropout_seed = UINT64_C(12345678901234567890);
        gradient_run(runtime, &c, "reference");
        put_inputs(&c);
        char line[1024];
        snprintf(
            line, sizeof line, "%s%s%s", FILES OUTPUTS WORDS "--grad-logsumexp gl.npy --output o.npy --logsumexp l.npy",
            p.type == CLATTN_BF16 ? " type=bf16" : "", way < 4 ? " --json" : " output_type=fp32 gradient_type=fp32");
        works(line);
        const int64_t output[4] = { p.batch, p.query_heads, p.query_length, p.value_dim };
        check_outputs(&c);
        holds("o.npy", 4, output, c.output, c.outputs * clattn_type_size(c.output_type));
        holds("l.npy", 3, output, c.logsumexp, c.rows * clattn_type_size(c.wide_type));
        gradient_free(&c);
    }
    program_end();
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Without grad_logsumexp, one gradient alone; and the past's keys have gradients too. */
START_TEST(test_parts) {
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_problem p = CLATTN_PROBLEM_INIT;
    gradient_case c;
    p.query_length = 3, p.key_length = 5, p.head_dim = 2, p.past_length = 2, p.causal = true,
    p.alignment = CLATTN_ALIGN_PAST;
    gradient_make(&c, &p, 8);
    gradient_run(runtime, &c, "reference");
    const int64_t query[4] = { 1, 1, 3, 2 }, past[4] = { 1, 1, 2, 2 }, key[4] = { 1, 1, 5, 2 };
    program_begin("run_gradients");
    put("q.npy", CLATTN_FP32, c.inputs[0].data, 4, query);
    put("pk.npy", CLATTN_FP32, c.inputs[1].data, 4, past);
    put("k.npy", CLATTN_FP32, (float *)c.inputs[1].data + 4, 4, query);
    put("pv.npy", CLATTN_FP32, c.inputs[2].data, 4, past);
    put("v.npy", CLATTN_FP32, (float *)c.inputs[2].data + 4, 4, query);
    put("go.npy", CLATTN_FP32, c.grad_output, 4, query);
    works("run --query q.npy --key k.npy --value v.npy --past-key pk.npy --past-value pv.npy --grad-output go.npy "
          "causal=yes "
          "align=past direction=backward --engine reference --grad-key gk.npy");
    holds("gk.npy", 4, key, c.inputs[1].grad, 40);
    ck_assert(!program_has("gq.npy"));
    works("run --query q.npy --key k.npy --value v.npy dropout=0.5 seed=3 --dropout-mask m.npy --engine reference");
    works("run --query q.npy --key k.npy --value v.npy dropout=0 --dropout-mask all.npy --engine reference");
    char path[512];
    snprintf(path, sizeof path, "%s/all.npy", program_folder);
    test_array all = test_array_read(path);
    ck_assert(all.kind == 'b' && all.dimensions == 4 && all.count == 9);
    for (int n = 0; n < 9; n++) {
        ck_assert_int_eq(((unsigned char *)all.data)[n], 1);
    }
    test_array_free(&all);
    program_end();
    gradient_free(&c);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_refusals) {
    clattn_problem p = usual(CLATTN_FP32);
    gradient_case c;
    gradient_make(&c, &p, 7);
    program_begin("run_gradients");
    put_inputs(&c);
#define PLAIN "run --query q.npy --key k.npy --value v.npy --engine reference "
    refused(2, PLAIN "--grad-output go.npy --output o.npy", "--grad-output: gradients need direction=backward");
    refused(2, PLAIN "--grad-key gk.npy", "--grad-key: gradients need direction=backward");
    refused(2, PLAIN "direction=backward --grad-query gq.npy", "--grad-output is missing");
    refused(2, PLAIN "direction=backward --grad-output go.npy", "--output is missing");
    refused(2, PLAIN "direction=backward --grad-output go.npy --grad-bias gb.npy", "--grad-bias: there is no --bias");
    refused(2, PLAIN "direction=backward --grad-output go.npy --grad-sinks gb.npy",
            "--grad-sinks: there is no --sinks");
    refused(2, PLAIN "direction=backward --grad-output q.npy --grad-query gq.npy",
            "--grad-output q.npy: float32 (2, 4, 5, 3), but");
    refused(2, PLAIN "direction=backward --grad-output go.npy --grad-logsumexp go.npy --grad-query gq.npy",
            "--grad-logsumexp go.npy");
    refused(2, PLAIN "direction=backward --grad-output go.npy --grad-query g.npy --grad-key g.npy",
            "writes the same file");
    refused(2, PLAIN "dropout=1 --output o.npy", "dropout=1");
    refused(2, PLAIN "direction=backward --grad-output go.npy --grad-query gq.npy add=yes",
            "add: a word of problems that draw");
    ck_assert(!program_has("gq.npy") && !program_has("o.npy"));
    program_end();
    gradient_free(&c);
}
END_TEST

START_TEST(test_other_commands) {
#define SMALL " query_length=6 key_length=9 head_dim=4 "
    program_begin("run_gradients");
    works("plan direction=backward dropout=0.5 sinks=yes --engine reference" SMALL);
    ck_assert(strstr(said, "backward") && strstr(said, "gradients         query, key, value, sinks\n"));
    works("plan direction=backward --json --engine reference" SMALL);
    ck_assert(strstr(said, "\"direction\": \"backward\""));
    works("plan --engine cpu" SMALL);
    ck_assert(!strstr(said, "gradients"));
    refused(2, "plan direction=backward weights=raw --engine reference" SMALL, "weights");
    works("plan direction=backward" SMALL); /* the best engine that serves it */
    ck_assert(strstr(said, "engine            cpu\n") && strstr(said, "gradients         query, key, value\n"));
    works("verify direction=backward bias=h,q,k sinks=yes dropout=0.2 seed=1,2,3,4 --engine reference" SMALL);
    works("verify direction=backward --cases 5 --seed 3 --engine reference");
    ck_assert(strstr(said, "backward 5"));
    works("verify causal=yes --cases 60 --seed 1 --engine cpu"); /* which asks where queries stand */
    works("verify align=8 --cases 60 --seed 1 --engine cpu");    /* in place of drawn offsets */
    works("verify kv_heads=2 batch=2 key_length=3 query_length=2 --cases 60 --seed 1 --engine cpu");
    refused(2, "verify batch=1,2 --cases 5 --engine cpu", "batch=1,2: one number is expected");
    works("verify dropout=0.3 window=2,2 prefix=3 align=2 seed=1,2 --engine reference" SMALL);
    works("verify direction=backward dropout=0.2 sinks=yes --engine cpu,reference" SMALL);
    refused(3, "tune direction=backward --engine cpu --tuning none --seconds 1" SMALL, "nothing here can be tuned");
    program_end();
}
END_TEST

/* Words of a column of the CSV's only line of an engine. */
static const char *cell(const char *engine, const char *column) {
    static char text[256], lines[8192];
    char path[512];
    snprintf(path, sizeof path, "%s/t.csv", program_folder);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    lines[fread(lines, 1, sizeof lines - 1, file)] = '\0';
    fclose(file);
    char *line = strstr(lines, engine);
    ck_assert_msg(line, "no line of %s", engine);
    while (line > lines && line[-1] != '\n') {
        line--;
    }
    const char *name = lines;
    for (; strncmp(name, column, strlen(column)) != 0; name += strcspn(name, ",") + 1) {
        ck_assert_msg(name < strchr(lines, '\n'), "no column %s", column);
        line += strcspn(line, ",\n") + 1;
    }
    snprintf(text, sizeof text, "%.*s", (int)strcspn(line, ",\n"), line);
    return text;
}

/* Both times, judged, 2.5 times the forward's operations, the plain loops beside; scaling; engines that refuse. */
START_TEST(test_bench) {
#define BENCH "bench direction=backward query_length=40 key_length=56 query_heads=4 kv_heads=2 head_dim=8 value_dim=4 "
    program_begin("run_gradients");
    works(BENCH "--engine cpu,reference --rounds 2 --seconds 20 --csv t.csv");
    ck_assert(strstr(said, "with its forward"));
    ck_assert_str_eq(cell(",reference,", "direction"), "backward");
    ck_assert_str_eq(cell(",reference,", "verified"), "yes");
    ck_assert_str_eq(cell(",cpu,", "verified"), "yes");
    ck_assert_double_eq(atof(cell(",reference,", "flops")), 2.5 * 2 * (8 + 4) * 4.0 * 40 * 56);
    ck_assert(atof(cell(",reference,", "forward_and_backward_ms")) > atof(cell(",reference,", "minimum_ms")));
    ck_assert(atof(cell(",plain,", "median_ms")) > 0);
    works("bench query_length=8 head_dim=8 --engine reference --rounds 1 --csv t.csv");
    ck_assert_str_eq(cell(",reference,", "direction"), "forward");
    ck_assert_str_eq(cell(",reference,", "forward_and_backward_ms"), "");
    works(BENCH
          "type=fp16 gradient_type=fp32 add=yes bias=h,q,k sinks=yes alibi=yes align=0 dropout=0.1 strides=random "
          "query_lengths=20 key_lengths=50 poison=yes --engine reference --rounds 1 --csv t.csv");
    ck_assert_str_eq(cell(",reference,", "verified"), "yes");
    works("bench --scaling direction=backward query_length=64 query_heads=2 head_dim=8 --engine reference --rounds 1");
    program_end();
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_every_type, test_parts, test_refusals, test_other_commands, test_bench };
    return suite_run(SUITE_OF("run_gradients", tests, 120), SUITE_NO_FORK);
}
