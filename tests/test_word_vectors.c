/*
 * Text files of word vectors: both forms, every way to be wrong, other languages' decimal points, and files that claim
 * more than they hold.
 */
#define _POSIX_C_SOURCE 200809L
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clattn/clattn_layers.h"
#include "support/suite.h"

static const char *const path = CLATTN_TEST_BINARY_DIR "/word_vectors.tmp";

static void write_file(const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static clattn_runtime *host_runtime(void) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    return suite_runtime(&options);
}

static clattn_status read_text(clattn_runtime *runtime, const char *text, clattn_word_vectors **vectors,
                               clattn_report *report) {
    write_file(text, strlen(text));
    return clattn_word_vectors_read(runtime, path, vectors, report);
}

START_TEST(word_vectors) {
    static const char *const texts[] = {
        "the 1 2.5 -3e-1\n. . . 4 5 6\nd\xc3\xa9j\xc3\xa0 7 8 9\n", /* GloVe */
        "3 3\nthe 1 2.5 -3e-1 \n. . . 4 5 6 \r\nd\xc3\xa9j\xc3\xa0 7 8 9"
    }; /* word2vec */
    clattn_runtime *runtime = host_runtime();
    for (int k = 0; k < 2; k++) {
        clattn_report report;
        clattn_word_vectors *vectors = NULL;
        EXPECT_STATUS(read_text(runtime, texts[k], &vectors, &report), CLATTN_OK, &report);
        ck_assert_int_eq(clattn_word_vectors_count(vectors), 3);
        ck_assert_int_eq(clattn_word_vectors_dim(vectors), 3);
        ck_assert_int_eq(clattn_word_vectors_find(vectors, "the"), 0);
        ck_assert_int_eq(clattn_word_vectors_find(vectors, ". . ."), 1);
        ck_assert_int_eq(clattn_word_vectors_find(vectors, "d\xc3\xa9j\xc3\xa0"), 2);
        ck_assert_int_eq(clattn_word_vectors_find(vectors, "The"), -1);
        ck_assert_str_eq(clattn_word_vectors_word(vectors, 1), ". . .");
        ck_assert_ptr_null(clattn_word_vectors_word(vectors, 3));
        static const float expected[] = { 1, 2.5f, -0.3f, 4, 5, 6, 7, 8, 9 };
        ck_assert_mem_eq(clattn_word_vectors_table(vectors), expected, sizeof expected);
        clattn_word_vectors_destroy(vectors);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(broken_word_vectors) {
    static const struct {
        const char *text, *word;
    } cases[] = { { "", "empty" },
                  { "\n", "line 1" },
                  { "word\n", "line 1" },
                  { "a 1 2\nb 1\n", "line 2: fewer" },
                  { "a 1 2\nb 1 x\n", "line 2: \"x\"" },
                  { "a 1 2\nb 1 nan\n", "line 2: \"nan\"" },
                  { "a 1 2\nb 1 1e99\n", "line 2: \"1e99\"" },
                  { "a 1 2\n\nb 1 2\n", "line 2: empty" },
                  { "a 1 2\nb 1 2\na 3 4\n", "line 3: \"a\"" },
                  { "a 1 2\n\xff 1 2\n", "line 2: the word is not UTF-8" },
                  { "a 1 2\n\xc0\xaf 1 2\n", "line 2: the word is not UTF-8" },
                  { "a 1 2\n\xed\xa0\x80 1 2\n", "line 2: the word is not UTF-8" },
                  { "3 2\na 1 2\n", "promises 3" },
                  { "0 2\n", "empty" } };
    clattn_runtime *runtime = host_runtime();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        clattn_report report;
        clattn_word_vectors *vectors = NULL;
        EXPECT_STATUS(read_text(runtime, cases[k].text, &vectors, &report), CLATTN_INVALID_ARGUMENT, &report);
        ck_assert_ptr_null(vectors);
        ck_assert_msg(strstr(report.text, cases[k].word), "%s: \"%s\" does not say %s", cases[k].text,
                      report.text, cases[k].word);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(a_byte_order_mark) {
    clattn_runtime *runtime = host_runtime();
    static const char *const texts[] = { "\xef\xbb\xbfthe 1 2\n", "\xef\xbb\xbf"
                                                                  "1 2\nthe 1 2\n" };
    for (int k = 0; k < 2; k++) {
        clattn_word_vectors *vectors = NULL;
        clattn_report report;
        EXPECT_STATUS(read_text(runtime, texts[k], &vectors, &report), CLATTN_OK, &report);
        ck_assert_int_eq(clattn_word_vectors_find(vectors, "the"), 0);
        clattn_word_vectors_destroy(vectors);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A locale whose decimal point is a comma, made here: those of real languages may not be installed. */
/* Whether a locale with commas could be made and set: continuous integration has what it takes. */
static bool use_commas(void) {
    static const char source[] = "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3\nEND LC_NUMERIC\n";
    write_file(source, sizeof source - 1);
    ck_assert_int_eq(setenv("LOCPATH", CLATTN_TEST_BINARY_DIR "/locales", 1), 0);
    (void)mkdir(CLATTN_TEST_BINARY_DIR "/locales", 0777);
    (void)!system("localedef -c -f ANSI_X3.4-1968 -i " CLATTN_TEST_BINARY_DIR
                  "/word_vectors.tmp " CLATTN_TEST_BINARY_DIR
                  "/locales/commas >/dev/null 2>&1"); /* it warns of what the source leaves out */
    if (!setlocale(LC_ALL, "commas")) {
        ck_assert_msg(!getenv("CI"), "localedef makes no locale here (Debian: locales)");
        return false;
    }
    ck_assert(strtof("0,5", NULL) == 0.5f);
    return true;
}

START_TEST(a_locale_with_commas) {
    clattn_runtime *runtime = host_runtime();
    clattn_word_vectors *vectors = NULL;
    clattn_report report;
    if (!use_commas()) {
        clattn_runtime_destroy(runtime);
        return;
    }
    EXPECT_STATUS(read_text(runtime, "the 0.418 -1.5e-3\n", &vectors, &report), CLATTN_OK, &report);
    ck_assert(clattn_word_vectors_table(vectors)[0] == 0x1.ac0832p-2f);
    ck_assert(clattn_word_vectors_table(vectors)[1] == -0x1.89374cp-10f);
    clattn_word_vectors_destroy(vectors);
    EXPECT_STATUS(read_text(runtime, "the 0,418 1\n", &vectors, &report), CLATTN_INVALID_ARGUMENT, &report);
    clattn_runtime_destroy(runtime);
}
END_TEST

static size_t most_asked;

static void *counted(void *user, size_t size, size_t alignment) {
    (void)user;
    most_asked = size > most_asked ? size : most_asked;
    return size > (size_t)1 << 30 ? NULL : aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void give_back(void *user, void *memory) {
    (void)user;
    free(memory);
}

/* What a header claims is checked against the file before memory is asked for. */
START_TEST(claims_beyond_the_file) {
    static const char *const texts[] = { "1 99999999999\na 1\n", "400000000000 1\na 1\n",
                                         "999999999999999999 999999999999999999\na 1\n", "a 99999999999\nb" };
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    options.allocator = (clattn_allocator){ .allocate = counted, .release = give_back };
    clattn_runtime *runtime = suite_runtime(&options);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        clattn_word_vectors *vectors = NULL;
        clattn_report report;
        most_asked = 0;
        EXPECT_STATUS(read_text(runtime, texts[k], &vectors, &report), CLATTN_INVALID_ARGUMENT, &report);
        ck_assert_ptr_nonnull(strstr(report.text, "line "));
        ck_assert_uint_lt(most_asked, 4096);
    }
    /* a first line of many numbers, then many lines: not the product of both */
    enum { NUMBERS = 100000, LINES = 100000 };
    char *text = calloc(1, 2 * NUMBERS + LINES + 8), *at = text;
    clattn_word_vectors *vectors = NULL;
    clattn_report report;
    *at++ = 'a';
    for (int k = 0; k < NUMBERS; k++, at += 2) {
        memcpy(at, " 1", 2);
    }
    memset(at, '\n', LINES);
    most_asked = 0;
    EXPECT_STATUS(read_text(runtime, text, &vectors, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_uint_lt(most_asked, 4 << 20);
    free(text);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* One line of a million numbers: a step for each of its bytes, not for each pair of them. */
START_TEST(a_long_line) {
    enum { NUMBERS = 1000000 };
    clattn_runtime *runtime = host_runtime();
    clattn_word_vectors *vectors = NULL;
    clattn_report report;
    char *text = calloc(1, 4 * NUMBERS + 2), *at = text;
    *at++ = 'a';
    for (int k = 0; k < NUMBERS; k++, at += 4) {
        memcpy(at, " 0.5", 4);
    }
    EXPECT_STATUS(read_text(runtime, text, &vectors, &report), CLATTN_OK, &report);
    ck_assert_int_eq(clattn_word_vectors_dim(vectors), NUMBERS);
    ck_assert(clattn_word_vectors_table(vectors)[0] == 0.5f && clattn_word_vectors_table(vectors)[NUMBERS - 1] == 0.5f);
    clattn_word_vectors_destroy(vectors);
    free(text);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { word_vectors,         broken_word_vectors,    a_byte_order_mark,
                                   a_locale_with_commas, claims_beyond_the_file, a_long_line };
    return suite_run(SUITE_OF("word_vectors", tests, 10), SUITE_FORK);
}
