/*
 * The grammar of problems: every word, what each refuses (by the word's name), lists and ranges, suites, and that the text
 * of a case read again is the same case. Also the table of words, and that random problems stay what they are.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "case/case_words.h"
#include "support/suite.h"
#include "verify/random_cases.h"
#include "verify/verify_report.h"

static attn_case c;
static attn_error error;
static attn_cases cases;

static void read_line(const char *line) {
    attn_cases_free(&cases);
    ck_assert_msg(attn_cases_line(&cases, line, &error) == ATTN_DONE, "%s: %s", line, error.text);
}

/* One case from one line, in `c`. */
static void read_one(const char *line) {
    read_line(line);
    ck_assert_msg(cases.count == 1, "%s: %" PRId64 " cases", line, cases.count);
    c = cases.items[0];
}

static void refused(const char *line, int status, const char *text) {
    attn_cases_free(&cases);
    memset(&error, 0, sizeof error);
    int got = attn_cases_line(&cases, line, &error);
    ck_assert_msg(got == status && error.status == status, "%s: answers %d: %s", line, got, error.text);
    ck_assert_msg(strstr(error.text, text), "%s: \"%s\" does not name %s", line, error.text, text);
    ck_assert_msg(!strchr(error.text, '\n'), "%s: more than one line", line);
}

START_TEST(test_every_word) {
    read_one("batch=2 query_heads=6 kv_heads=3 query_length=5 key_length=9 head_dim=64 value_dim=48 past=4 type=bf16 causal=yes "
             "align=bottom_right window=3,open scale=-0.5 softcap=1.5 seed=18446744073709551615 layout=bshd mask=b,1,q,k,bits "
             "bias=6,1,9,storage alibi=yes sinks=yes query_lengths=5,0 key_lengths=random strides=random poison=yes spread=2.5 "
             "weights=softcap weights_heads=1,2 weights_rows=0,3 allow_tf32=yes");
    const clattn_problem *p = &c.problem;
    ck_assert(p->batch == 2 && p->query_heads == 6 && p->kv_heads == 3 && p->query_length == 5 && p->key_length == 9);
    ck_assert(p->head_dim == 64 && p->value_dim == 48 && p->past_length == 4);
    ck_assert(p->type == CLATTN_BF16 && p->causal && p->alignment == CLATTN_ALIGN_BOTTOM_RIGHT);
    ck_assert(p->window_left == 3 && p->window_right == CLATTN_OPEN);
    ck_assert(p->has_scale && p->scale == -0.5 && p->softcap == 1.5);
    ck_assert(c.seed == UINT64_MAX && c.bshd && c.poison && c.strides_random && c.spread == 2.5);
    ck_assert(p->mask == CLATTN_MASK_BITS && p->mask_shape[1] == 1 && p->bias == CLATTN_BIAS_STORAGE);
    ck_assert(p->bias_shape[0] == 1 && p->bias_shape[1] == 6 && p->bias_shape[2] == 1 && p->bias_shape[3] == 9);
    ck_assert(p->alibi && p->sinks && p->query_lengths && p->key_lengths);
    ck_assert(c.query_lengths.kind == ATTN_LIST_GIVEN && c.query_lengths.count == 2 && c.query_lengths.values[0] == 5);
    ck_assert_int_eq(c.key_lengths.kind, ATTN_LIST_RANDOM);
    ck_assert(c.options.allow_tf32);
    ck_assert(p->weights == CLATTN_WEIGHTS_SOFTCAP && p->weights_first_head == 1 && p->weights_heads == 2 && p->weights_rows == 3);
    read_one("query_length=3 head_dim=2 type=bf16 direction=backward output_type=fp32 gradient_type=fp32 add=yes");
    ck_assert(c.problem.direction == CLATTN_BACKWARD && c.problem.output_type == CLATTN_RESULT_FP32);
    ck_assert(c.problem.gradient_type == CLATTN_RESULT_FP32 && c.problem.gradients_add);
    read_one("query_length=3 key_length=8 head_dim=2 causal=yes align=-4");
    ck_assert(c.problem.alignment == CLATTN_ALIGN_OFFSET && c.problem.offset == -4);
    read_one("batch=3 query_length=3 key_length=8 head_dim=2 causal=yes offsets=1,-2,9223372036854775807");
    ck_assert(c.problem.alignment == CLATTN_ALIGN_OFFSETS && c.offsets.values[2] == INT64_MAX && c.offsets.values[1] == -2);
    read_one("query_length=3 head_dim=2 align=past causal=yes window=open,open");
    ck_assert(c.problem.alignment == CLATTN_ALIGN_PAST && c.problem.window_left == CLATTN_OPEN);
}
END_TEST

START_TEST(test_defaults) {
    read_one("query_length=7 head_dim=4 # a comment: with=words");
    ck_assert(c.problem.type == CLATTN_FP32 && c.problem.batch == 1 && c.problem.query_heads == 1 && !c.problem.causal);
    ck_assert(c.problem.key_length == CLATTN_SAME || c.problem.key_length == 7);
    ck_assert(c.spread == 1 && c.seed == 0 && !c.poison);
    ck_assert_str_eq(c.text, "query_length=7 head_dim=4");
    read_line("");
    ck_assert_int_eq(cases.count, 0);
    read_line("   # only a comment");
    ck_assert_int_eq(cases.count, 0);
}
END_TEST

#define BASE "query_length=4 key_length=6 head_dim=8 "

START_TEST(test_wrong_values) {
    static const char *const bad[] = {
        "batch=",           "batch=x",          "batch=-1",           "batch=1.5",        "batch=0x10",       "batch=1 batch=1",
        "batch=9223372036854775808",            "query_heads=0",      "query_heads=-3",   "query_heads=3 kv_heads=2",
        "kv_heads=0",       "value_dim=0",      "past=7",             "past=-1",          "type=float",       "type=FP32",
        "type=",            "causal=1",         "causal=true",        "align=left",       "align=1e3",        "window=1",
        "window=1,2,3",     "window=-1,0",      "window=a,b",         "window=,1",        "scale=x",          "scale=inf",
        "scale=nan",        "scale=1e999",      "scale=0x1p3",        "softcap=-1",       "softcap=nan",      "seed=-1",
        "seed=18446744073709551616",            "layout=bsdh",        "mask=1,1,1,1,1",   "mask=1,1,q,7",     "mask=q,k,1,1",
        "mask=",            "mask=1,,k",        "mask=-1",            "bias=5",           "bias=1,1,q,k,half", "alibi=maybe",
        "sinks=2",          "query_lengths=5",  "query_lengths=-1",   "query_lengths=1,2", "key_lengths=7",   "key_lengths=some",
        "offsets=x",        "offsets=1,2",      "strides=wide",       "poison=0",         "spread=-1",        "spread=x",
        "weights=all",      "weights_heads=1",  "weights=raw weights_rows=0,5",             "dropout=1",        "dropout=-0.1",
        "dropout=x",        "packed=perhaps",   "page=0",             "ring=x",           "rotary=halves",    "rotary=halves,3",
        "rotary=quarters,4", "direction=up",    "output_type=fp16", "gradient_type=double", "add=1", "output_type=fp32 type=fp64",
    };
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        char line[256], word[32];
        snprintf(line, sizeof line, BASE "%s", bad[n]);
        const char *last = strrchr(bad[n], ' ');
        last = last ? last + 1 : bad[n];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(last, "="), last);
        if (strncmp(bad[n], "query_heads=3", 13) == 0) {
            snprintf(word, sizeof word, "query_heads"); /* the pair does not divide */
        }
        refused(line, ATTN_USAGE, strcmp(word, "past") == 0 ? "past" : word);
    }
}
END_TEST

START_TEST(test_wrong_lines) {
    refused("head_dim=4", ATTN_USAGE, "query_length");
    refused("query_length=4", ATTN_USAGE, "head_dim");
    refused("query_length=4 head_dim=0", ATTN_USAGE, "head_dim");
    refused(BASE "colour=red", ATTN_USAGE, "colour");
    refused(BASE "causal", ATTN_USAGE, "causal");
    refused(BASE "=3", ATTN_USAGE, "=3");
    refused(BASE "Causal=yes", ATTN_USAGE, "Causal");
    refused(BASE "causal=yes", ATTN_USAGE, "align");
    refused(BASE "causal=yes align=2 offsets=3", ATTN_USAGE, "align");
    refused("query_length=4611686018427387904 head_dim=4611686018427387904", ATTN_USAGE, "query");
}
END_TEST

START_TEST(test_later_words) {
    static const char *const later[] = { "packed=yes", "page=16", "ring=64", "rotary=halves,4", "rotary=interleaved,8" };
    for (size_t n = 0; n < sizeof later / sizeof *later; n++) {
        char line[256], word[32];
        snprintf(line, sizeof line, BASE "%s", later[n]);
        snprintf(word, sizeof word, "%.*s", (int)strcspn(later[n], "="), later[n]);
        refused(line, ATTN_UNSERVED, word);
    }
    read_one(BASE "packed=no"); /* what asks for nothing is fine */
}
END_TEST

START_TEST(test_lists_and_ranges) {
    static const int64_t expected[] = { 128, 256, 512, 1024 };
    read_line("query_length=128..1024 head_dim=64");
    ck_assert_int_eq(cases.count, 4);
    for (int n = 0; n < 4; n++) {
        ck_assert_int_eq(cases.items[n].problem.query_length, expected[n]);
    }
    read_line("query_length=3..13 head_dim=8"); /* 3, 6, 12 */
    ck_assert_int_eq(cases.count, 3);
    ck_assert_int_eq(cases.items[2].problem.query_length, 12);
    read_line("query_length=1,7 head_dim=8,16,24 type=fp32,bf16 causal=no,yes");
    ck_assert_int_eq(cases.count, 24);
    ck_assert_str_eq(cases.items[0].text, "query_length=1 head_dim=8 type=fp32 causal=no");
    ck_assert_str_eq(cases.items[23].text, "query_length=7 head_dim=24 type=bf16 causal=yes");
    read_line("query_length=5,1..4 head_dim=1");
    ck_assert_int_eq(cases.count, 4);
    refused("query_length=8..4 head_dim=1", ATTN_USAGE, "query_length");
    refused("query_length=0..4 head_dim=1", ATTN_USAGE, "query_length");
    refused("query_length=1..x head_dim=1", ATTN_USAGE, "query_length");
    refused("query_length=1,,2 head_dim=1", ATTN_USAGE, "query_length");
    refused("query_length=1..9223372036854775807 head_dim=1..9223372036854775807", ATTN_USAGE, "");
}
END_TEST

/* A random line; the case's text read again is the same case. */
START_TEST(test_round_trip) {
    static const char *const words[] = { "batch=3",          "query_heads=4 kv_heads=2", "key_length=17 align=top_left",
                                         "value_dim=5",      "type=fp16",                "causal=yes",
                                         "window=4,0",       "scale=0.125",              "softcap=20",
                                         "seed=99",          "layout=bshd",              "mask=1,q,k",
                                         "bias=k",           "alibi=yes",                "sinks=yes",
                                         "key_lengths=random", "strides=random",         "poison=yes",
                                         "spread=0.1",       "weights=bias" };
    enum { WORDS = sizeof words / sizeof *words };
    uint32_t random = 7;
    for (int n = 0; n < 500; n++) {
        char line[1024] = "query_length=17 head_dim=3";
        static attn_case first;
        for (int w = 0; w < WORDS; w++) {
            random = random * 1664525u + 1013904223u;
            if (random >> 31) {
                attn_text_add(line, sizeof line, " %s", words[w]);
            }
        }
        if (strstr(line, "key_lengths") && !strstr(line, "align")) {
            attn_text_add(line, sizeof line, " align=bottom_right");
        }
        read_one(line);
        ck_assert_str_eq(c.text, line);
        first = c;
        read_one(first.text);
        ck_assert_msg(memcmp(&first, &c, sizeof c) == 0, "%s is not the same case when read again", line);
    }
}
END_TEST

START_TEST(test_files) {
    const char *path = CLATTN_TEST_BINARY_DIR "/case_text.suite";
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("# first: the beginning\nquery_length=1,2 head_dim=4\n\n# second\nquery_length=3 head_dim=4\r\n", file);
    fclose(file);
    attn_cases_free(&cases);
    ck_assert_msg(attn_cases_file(&cases, path, &error) == ATTN_DONE, "%s", error.text);
    ck_assert_int_eq(cases.count, 3);
    ck_assert_str_eq(cases.items[1].name, "first");
    ck_assert_str_eq(cases.items[2].name, "second");
    file = fopen(path, "a");
    ck_assert_ptr_nonnull(file);
    fputs("query_length=1 head_dim=wide\n", file);
    fclose(file);
    attn_cases_free(&cases);
    ck_assert_int_eq(attn_cases_file(&cases, path, &error), ATTN_USAGE);
    ck_assert_msg(strstr(error.text, "case_text.suite:6:") && strstr(error.text, "head_dim"), "%s", error.text);
    remove(path);
    ck_assert_int_eq(attn_cases_file(&cases, path, &error), ATTN_USAGE);
    ck_assert_ptr_nonnull(strstr(error.text, "case_text.suite"));
}
END_TEST

START_TEST(test_our_suites) {
    static const char *const folders[] = { "/cases/smoke.txt", "/cases/features.txt", "/cases/masks.txt", "/cases/dims.txt",
                                           "/cases/lengths.txt", "/cases/types.txt", "/cases/edge.txt",
                                           "/../bench/suites/models.txt", "/../bench/suites/features.txt",
                                           "/../bench/suites/sweep.txt", "/../bench/suites/sweep-causal.txt",
                                           "/../bench/suites/gradients.txt", "/cases/gradients.txt" };
    for (size_t n = 0; n < sizeof folders / sizeof *folders; n++) {
        char path[512];
        snprintf(path, sizeof path, CLATTN_TEST_SOURCE_DIR "%s", folders[n]);
        attn_cases_free(&cases);
        ck_assert_msg(attn_cases_file(&cases, path, &error) == ATTN_DONE, "%s", error.text);
        ck_assert_msg(cases.count >= 5, "%s is nearly empty", path);
    }
}
END_TEST

/* What no single line shows of the table of words. */
START_TEST(test_rows) {
    int places[64] = { 0 }, most = 0;
    bool later = false;
    for (int n = 0; attn_word_row(n); n++) {
        const attn_word *word = attn_word_row(n);
        ck_assert_msg(attn_word_find(word->name, strlen(word->name)) == word, "%s stands twice", word->name);
        ck_assert_msg(strlen(word->name) < sizeof c.later && strlen(word->name) < sizeof c.drawing, "%s is too long", word->name);
        ck_assert_msg(word->later || (word->member != 0 && word->form && word->help), "%s: no member or no help", word->name);
        ck_assert_msg(word->later || !later, "%s stands below words of a later release", word->name);
        ck_assert_msg((word->draw.turn != 0) == (word->draw.say != NULL), "%s: a turn without a drawer", word->name);
        ck_assert_msg(!word->needed || word->given != 0, "%s is needed, and no member says that it was given", word->name);
        later = word->later;
        for (int t = 0; t < ATTN_WORD_TALLIES && word->tallies[t].name; t++) {
            int place = word->tallies[t].place;
            ck_assert_msg(place >= 1 && place <= ATTN_TALLIES && places[place]++ == 0, "%s: place %d", word->name, place);
            most = place > most ? place : most;
        }
    }
    for (int place = 1; place <= most; place++) {
        ck_assert_msg(places[place] == 1, "nothing is counted at place %d, so nothing behind it is", place);
    }
}
END_TEST

/* A seed means the same problems for ever and with every compiler, and what can be drawn is drawn: some of it backward alone. */
START_TEST(test_drawn) {
    static char all[1000 * 256];
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (uint64_t n = 0; n < 500; n++) {
        ck_assert_int_eq(attn_random_case(&c, 7, n, NULL, "", &error), ATTN_DONE);
        attn_text_add(all, sizeof all, " %s", c.text);
        for (const char *at = c.text; at == c.text || at[-1] != '\0'; at++) {
            hash = (hash ^ (unsigned char)(*at != '\0' ? *at : '\n')) * UINT64_C(0x100000001b3);
        }
        if (n == 11) {
            ck_assert_str_eq(c.text, "batch=3 query_heads=8 kv_heads=2 query_length=1 key_length=513 head_dim=1 value_dim=128 "
                                     "type=bf16 mask=b,1,1,k,bits bias=b,1,q,k scale=-0.25 spread=10 allow_tf32=yes seed=700011");
        }
    }
    ck_assert_msg(hash == UINT64_C(0x52af3715ed472ddc), "other problems are drawn: %llx", (unsigned long long)hash);
    for (uint64_t n = 0; n < 500; n++) {
        ck_assert_msg(attn_random_case(&c, 7, n, NULL, "direction=backward", &error) == ATTN_DONE, "%s", error.text);
        attn_text_add(all, sizeof all, " %s", c.text);
        bool narrow = strstr(c.text, "type=fp16") || strstr(c.text, "type=bf16"), wide = strstr(c.text, "gradient_type=fp32");
        ck_assert_msg(narrow || (!wide && !strstr(c.text, "output_type=")), "%s", c.text);
        ck_assert_msg(wide || !narrow || !strstr(c.text, "add=yes"), "%s", c.text);
    }
    for (int n = 0; attn_word_row(n); n++) {
        char word[64];
        snprintf(word, sizeof word, " %s=", attn_word_row(n)->name);
        ck_assert_msg(attn_word_row(n)->draw.turn == 0 || strstr(all, word), "%s is never drawn", word);
    }
}
END_TEST

/* What is said beside --cases holds for every drawn problem, and what is drawn fits it. */
START_TEST(test_drawn_beside_words) {
    static const char *const words[] = {
        "past=30", "offsets=3,-2", "key_lengths=100", "type=fp16 query_lengths=1,1,90,1", "output_type=fp32",
        "direction=backward gradient_type=fp32", "direction=backward add=yes", "query_heads=4", "kv_heads=3",
        "direction=backward add=yes gradient_type=fp32", "window=open,2", "weights=softmax", "layout=bshd",
    };
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        for (uint64_t n = 0; n < 200; n++) {
            ck_assert_msg(attn_random_case(&c, 3, n, NULL, words[w], &error) == ATTN_DONE, "%s: %s", words[w], error.text);
            for (const char *word = words[w]; word; word = strchr(word + 1, ' ')) {
                char one[64];
                snprintf(one, sizeof one, "%.*s", 1 + (int)strcspn(word + 1, " "), word);
                ck_assert_msg(strstr(c.text, one + (one[0] == ' ')), "%s: %s", words[w], c.text);
            }
        }
    }
}
END_TEST

/* Sizes and types have columns of their own in a table; what else differs must be in the name. */
START_TEST(test_told_apart) {
    read_line("query_length=4,8 head_dim=8 query_heads=4 kv_heads=1,4 causal=no,yes softcap=3");
    ck_assert_int_eq(attn_cases_tell_apart(&cases, &error), ATTN_DONE);
    for (int64_t n = 0; n < cases.count; n++) {
        ck_assert_str_eq(cases.items[n].name, n % 2 == 0 ? "causal=no" : "causal=yes");
    }
    read_line("query_length=4..64 head_dim=8 type=fp32,fp16");
    ck_assert_int_eq(attn_cases_tell_apart(&cases, &error), ATTN_DONE);
    ck_assert_str_eq(cases.items[3].name, "");
    read_line("query_length=4 head_dim=8 window=1,2 causal=yes");
    ck_assert_int_eq(attn_cases_line(&cases, "query_length=4 head_dim=8", &error), ATTN_DONE);
    ck_assert_int_eq(attn_cases_line(&cases, "query_length=4 head_dim=8 causal=yes", &error), ATTN_DONE);
    strcpy(cases.items[2].name, "of another name");
    ck_assert_int_eq(attn_cases_tell_apart(&cases, &error), ATTN_DONE);
    ck_assert_str_eq(cases.items[0].name, "window=1,2 causal=yes");
    ck_assert_str_eq(cases.items[1].name, "no further words");
    ck_assert_str_eq(cases.items[2].name, "of another name");
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_every_word,      test_defaults,   test_wrong_values, test_wrong_lines, test_later_words,
                                   test_lists_and_ranges, test_round_trip, test_files,        test_our_suites,
                                   test_rows,            test_drawn,      test_drawn_beside_words, test_told_apart };
    return suite_run(SUITE_OF("case_text", tests, 20), SUITE_FORK);
}
