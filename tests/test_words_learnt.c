/*
 * What `clattn words` shows of a model that has learnt, tests/golden/words_model.safetensors: its patterns and predictions
 * against tests/golden/make_words_model_golden.py on every engine, how they are printed, and what is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/json_values.h"
#include "support/suite.h"
#include "support/words_program.h"

#define GOLDEN CLATTN_TEST_SOURCE_DIR "/golden/"
#define MODEL GOLDEN "words_model.safetensors"

static char *const said = program_said, *const complained = program_complained;

/* From where the golden numbers begin; of weights those of the second sentence alone. */
static const char *find_values(const char *arguments) {
    static const char second[] = "\"words\": [\"She\", \"sells\", \"seashells\"], ";
    char *at = strncmp(arguments, "weights", 7) == 0 ? strstr(said, second) : said;
    ck_assert_msg(at, "words %s: %s", arguments, said);
    char *end = strstr(at, "\"next\"");
    if (end) {
        *end = '\0';
    }
    at = strstr(at, strncmp(arguments, "predict", 7) == 0 ? "\"predictions\"" : "\"weights\"");
    ck_assert_msg(at, "words %s: %s", arguments, said);
    return strchr(at, ':');
}

/* Every case; `few` of them on engines that take their time to begin. */
static void run_golden(const char *engine, bool few) {
    char line[8192], arguments[512];
    int count = 0;
    FILE *file = fopen(GOLDEN "words_model.txt", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        if (few && strncmp(line, "show I am", 9) != 0 && strncmp(line, "weights", 7) != 0) {
            continue;
        }
        snprintf(arguments, sizeof arguments, "%.*s --json --engine %s --model " MODEL, (int)strcspn(line, "\t"), line,
                 engine);
        int status = words(arguments);
        ck_assert_msg(status == 0, "words %s: exit %d: %s", arguments, status, complained);
        json_expect(find_values(arguments), strchr(line, '\t') + 1, arguments);
        count++;
    }
    fclose(file);
    ck_assert_int_eq(count, few ? 2 : 7);
}

/* Patterns and predictions of a model, by formulas that are not the library's. */
START_TEST(test_golden) {
    program_begin("words_learnt");
    run_golden("reference", false);
    run_golden("cpu", false);
    clattn_runtime *runtime = suite_runtime(NULL);
    int64_t device = suite_opencl_device(runtime);
    clattn_runtime_destroy(runtime);
    for (int64_t e = 0; e < clattn_engine_count() && device >= 0; e++) {
        const char *engine = clattn_engine_name(e);
        if (strncmp(engine, "opencl", 6) == 0 && clattn_engine_built(engine)) {
            words_settings = "";
            run_golden(engine, true);
            words_settings = words_without_opencl;
        }
    }
    program_end();
}
END_TEST

/* The same for people. */
START_TEST(test_printed) {
    program_begin("words_learnt");
    works("show I am --map numbers --plot p.svg --engine cpu --model " MODEL);
    ck_assert_ptr_nonnull(
        strstr(said, "I am\n2 blocks of 2 heads, vectors of 4, context 9, 744 parameters, engine cpu\n"));
    ck_assert_ptr_nonnull(
        strstr(said, "\nblock 2, head 2      1      2\n  1 I         1.0000 0.0000\n  2 am        0.2009 0.7991\n"));
    shell("grep -q 'block 2, head 1' p.svg");
    works("show --engine cpu --model " MODEL); /* the first sentence of its text */
    ck_assert_msg(strncmp(said, "The quick brown fox jumps over the lazy dog.\n", 45) == 0, "%s", said);
    works("weights seashells --engine cpu --model " MODEL);
    ck_assert_ptr_nonnull(strstr(said, "\n2. She sells seashells by the seashore.\n"
                                       "                   1.1     1.2     2.1     2.2\n"
                                       "     She        0.1392  0.2922  0.2628  0.3174\n"));
    ck_assert_ptr_nonnull(strstr(said, "   predicted next word  (the end of the sentence) (0.1211)\n"));
    program_end();
}
END_TEST

static const struct {
    const char *arguments, *text;
} bad[] = {
    { "show wolf --model " MODEL, "\"wolf\"" },
    { "show The The The The The The The The The The --model " MODEL, "SENTENCE: 10 words" },
    { "show --model " MODEL " --dim 8", "--dim: not together with --model" },
    { "show --model " MODEL " causal=no", "causal: not together with --model" },
    { "show --model " MODEL " --map pie", "--map pie" },
    { "weights --model " MODEL " --text two.txt", "--text: not together with --model" },
    { "weights wolf --model " MODEL, "\"wolf\"" },
    { "weights 'brown fox' --model " MODEL, "one word is expected" },
    { "probe --model " MODEL, "--model: no such option" },
};

START_TEST(test_refused) {
    program_begin("words_learnt");
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        refused(2, bad[n].arguments, bad[n].text);
    }
    program_end();
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_golden, test_printed, test_refused };
    words_settings = words_without_opencl;
    return suite_run(SUITE_OF("words_learnt", tests, 240), SUITE_NO_FORK);
}
