/*
 * `clattn words` from outside: its JSON against goldens by NumPy on every engine, the same output for the same seed, pictures
 * that are pictures, and errors that name the word or the file. Starts the program by the shell, as a user does.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/json_values.h"
#include "support/suite.h"
#include "support/words_program.h"

#define GOLDEN CLATTN_TEST_SOURCE_DIR "/golden/"

static char *const said = program_said, *const complained = program_complained;

/* ------------------------------------------------------------------------------------ goldens */

static void compare(const char *arguments, const char *expected) {
    const char *at = strstr(said, "\"causal\": ");
    char *scores = strstr(said, "\"scores\": "); /* the goldens have none; test_journey looks at them */
    if (scores) {
        *scores = '\0';
    }
    json_expect(at ? strchr(at, ',') : said, expected, arguments);
}

/* A line of words.txt as arguments: @ is the golden folder. */
static void make_arguments(const char *line, const char *engine, char *arguments, size_t size) {
    size_t used = 0;
    for (; *line != '\t' && used + sizeof GOLDEN < size; line++) {
        used += (size_t)snprintf(arguments + used, size - used, *line == '@' ? GOLDEN : "%c", *line);
    }
    snprintf(arguments + used, size - used, " --json%s%s", engine[0] != '\0' ? " --engine " : "", engine);
}

/* Runs every case that the engine concerns; answers how many. */
static int run_golden(const char *engine) {
    static char line[1 << 18];
    char arguments[4096];
    int count = 0;
    FILE *file = fopen(GOLDEN "words.txt", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        bool counting = strncmp(line, "count", 5) == 0;
        if (counting != (engine[0] == '\0')) {
            continue;
        }
        make_arguments(line, engine, arguments, sizeof arguments);
        if (!CLATTN_TEST_SUBWORDS && strstr(arguments, "subwords")) {
            refused(3, arguments, "SentencePiece");
            continue;
        }
        works(arguments);
        compare(arguments, strchr(line, '\t') + 1);
        count++;
    }
    fclose(file);
    return count;
}

START_TEST(test_count) {
    program_begin("words");
    ck_assert_int_ge(run_golden(""), 5);
    works("count");
    ck_assert_msg(strstr(said, "6 sentences, 35 words, a vocabulary of 30\n     3  The\n     3  the\n     2  I\n     1  quick\n") == said,
                  "%s", said);
    program_write("umlaut.txt", "a\303\251a\r\n\nb\303\251");
    works("count --tokens characters --text umlaut.txt");
    ck_assert_str_eq(said, "2 sentences, 5 characters, a vocabulary of 3\n     2  a\n     2  \303\251\n     1  b\n");
    program_end();
}
END_TEST

START_TEST(test_every_engine) {
    program_begin("words");
    clattn_runtime *runtime = suite_runtime(NULL);
    int64_t device = suite_opencl_device(runtime);
    clattn_runtime_destroy(runtime);
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        if (clattn_engine_built(engine) && (device >= 0 || strncmp(engine, "opencl", 6) != 0)) {
            ck_assert_int_ge(run_golden(engine), 17);
        }
    }
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------ the same again, and what is printed */

START_TEST(test_same_seed) {
    static const char *const commands[] = { "weights fox --seed 3", "show --heads 2 --seed 3 --json", "probe --seed 3 --embedding he" };
    static char first[sizeof program_said];
    char other[256];
    program_begin("words");
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
        works(commands[c]);
        memcpy(first, said, sizeof program_said);
        works(commands[c]);
        ck_assert_msg(strcmp(first, said) == 0, "words %s: not the same twice", commands[c]);
        snprintf(other, sizeof other, "%s", commands[c]);
        *(strstr(other, "--seed 3") + 7) = '4';
        works(other);
        ck_assert_msg(strcmp(first, said) != 0, "words %s: the seed does not matter", other);
    }
    program_end();
}
END_TEST

/* For people: four digits of the same numbers as in JSON. */
START_TEST(test_printed) {
    program_begin("words");
    works("weights");
    ck_assert_ptr_nonnull(strstr(said, "\n1. The quick brown fox jumps over the lazy dog.\n"));
    ck_assert_ptr_nonnull(strstr(said, "     fox       0.4283\n")); /* 0.428304 in the golden */
    ck_assert_ptr_nonnull(strstr(said, "   nearest  fox (distance 0.8024)\n"));
    works("show");
    ck_assert_msg(!strchr(said, '\x1b'), "colours though not on a terminal");
    works("show --map colours");
    ck_assert_ptr_nonnull(strstr(said, "\x1b[48;5;"));
    works("show --map blocks 'the cat'");
    ck_assert_ptr_nonnull(strstr(said, "██"));
    works("probe --word saw --remove 'with a telescope.'");
    ck_assert_ptr_nonnull(strstr(said, "-> I saw a man in the park\n"));
    ck_assert_ptr_nonnull(strstr(said, "   - telescope."));
    program_end();
}
END_TEST

/* The six vectors and the numbers of S. Raschka, "Build a Large Language Model (From Scratch)", 2024, section 3.3. */
START_TEST(test_journey) {
    static const char journey[] = "--sentence 'Your journey starts with one step' --vectors '" CLATTN_TEST_SOURCE_DIR
                                  "/../examples/data/journey.txt'";
    char command[400];
    program_begin("words");
    snprintf(command, sizeof command, "weights journey %s", journey);
    works(command);
    ck_assert_ptr_nonnull(strstr(said, "     Your      0.1385\n     journey   0.2379\n     starts    0.2333\n"
                                       "     with      0.1240\n     one       0.1082\n     step      0.1581\n"));
    ck_assert_ptr_nonnull(strstr(said, "   context   0.4419  0.6515  0.5683\n"));
    snprintf(command, sizeof command, "show scale=1 %s", journey);
    works(command);
    ck_assert_ptr_nonnull(strstr(said, "  2 journey    0.9544  1.4950  1.4754  0.8434  0.7070  1.0865\n"));
    ck_assert_ptr_nonnull(strstr(said, "  2 journey   0.1385 0.2379 0.2333 0.1240 0.1082 0.1581\n"));
    ck_assert_ptr_nonnull(strstr(said, "  2 journey    0.4419  0.6515  0.5683\n"));
    snprintf(command, sizeof command, "show scale=1 causal=yes %s", journey);
    works(command);
    ck_assert_ptr_nonnull(strstr(said, "  2 journey    0.9544  1.4950       -       -       -       -\n"));
    snprintf(command, sizeof command, "show scale=1 --json causal=yes %s", journey);
    works(command);
    ck_assert_ptr_nonnull(strstr(said, "\"scores\": [\n  [[0.99949"));
    ck_assert_ptr_nonnull(strstr(said, ", null, null, null, null]")); /* not seen */
    snprintf(command, sizeof command, "show --project %s", journey);
    works(command);
    ck_assert_ptr_nonnull(strstr(said, "context vectors: the sum of the values, W_value times a word's vector, by a row's weights\n"));
    snprintf(command, sizeof command, "show scale=1 --map blocks %s", journey);
    works(command);
    ck_assert_ptr_nonnull(strstr(said, "--map numbers prints scores and context vectors too\n"));
    ck_assert_ptr_null(strstr(said, "0.9544"));
    works("count --sentence 'to be or not to be'");
    ck_assert_ptr_nonnull(strstr(said, "1 sentence, 6 words, a vocabulary of 4\n     2  to\n"));
    program_end();
}
END_TEST

START_TEST(test_pictures) {
    program_begin("words");
    works("show 'a <b> & \"c\" a' --heads 2 --plot p.svg");
    program_read("p.svg", said, sizeof program_said);
    int cells = 0;
    for (const char *at = said; (at = strstr(at, "width=\"40.0\" height=\"40.0\"")); at++) {
        cells++;
    }
    ck_assert_int_eq(cells, 2 * 5 * 5);
    ck_assert(strstr(said, ">&lt;b&gt;</text>") && strstr(said, ">&amp;</text>") && strstr(said, "</svg>"));
    int status = words("probe --remove man --plot p.png");
    if (status == 0) { /* a build without libpng says so */
        shell("head -c 4 p.png | od -An -c | grep -q P");
    } else {
        ck_assert_msg(status == 3 && strstr(complained, "libpng"), "%s", complained);
    }
    program_end();
}
END_TEST

static const struct {
    int status;
    const char *arguments, *text;
} bad[] = {
    { 2, "frob", "frob" },
    { 2, "show --frob", "--frob" },
    { 2, "count --heads 2", "--heads" },
    { 2, "count fox", "fox" },
    { 2, "weights wolf", "\"wolf\"" },
    { 2, "weights dog", "\"dog.\" is" },
    { 2, "weights 'brown fox'", "brown fox" },
    { 2, "weights --text small.txt", "\"fox\": not in the vocabulary of small.txt" },
    { 2, "count --text nowhere.txt", "nowhere.txt" },
    { 2, "count --text .", ".: " },
    { 2, "count --text empty.txt", "empty.txt: empty" },
    { 2, "count --text blank.txt", "blank.txt: no words" },
    { 2, "count --text bad.txt", "bad.txt: line 2: invalid UTF-8" },
    { 2, "count --text long.txt", "long.txt: line 1: invalid UTF-8" },
    { 2, "count --text cut.txt", "cut.txt: line 1: invalid UTF-8" },
    { 2, "count --text surrogate.txt", "surrogate.txt: line 1: invalid UTF-8" },
    { 2, "count --text nul.txt", "nul.txt: line 1: a control character" },
    { 2, "count --text small.txt --tokens letters", "letters" },
    { 2, "count --sentences many", "many" },
    { 2, "count --subword-model x.model", "--subword-model" },
    { 2, "show \"$(printf 'a \\377')\"", "invalid UTF-8" },
    { 2, "show ''", "SENTENCE" },
    { 2, "show --heads 3", "--heads 3" },
    { 2, "show --heads 0", "--heads 0" },
    { 2, "show --dim zero", "zero" },
    { 2, "show --seed -1", "-1" },
    { 2, "show --embedding glorot", "glorot" },
    { 2, "show causal=perhaps", "causal=perhaps" },
    { 2, "show scale=inf", "scale=inf" },
    { 2, "show --map pie", "pie" },
    { 2, "show --plot p.gif", "p.gif" },
    { 2, "show --plot no/such/folder/p.svg", "no/such/folder" },
    { 2, "show --engine all", "one engine" },
    { 2, "show --engine gpu", "gpu" },
    { 2, "show --vectors nowhere.txt", "nowhere.txt" },
    { 2, "show --vectors bad.txt", "bad.txt" },
    { 2, "show --vectors small.txt --dim 4", "--dim" },
    { 2, "show --vectors small.txt --seed 4", "--seed" },
    { 2, "show horse --vectors " GOLDEN "words_vectors.txt", "\"horse\"" },
    { 2, "show horse --vectors " GOLDEN "words_vectors.npy", "\"horse\"" },
    { 2, "weights fox --tokens words --vectors " GOLDEN "words_vectors.npy", "words_vectors.npy" },
    { 2, "show --vectors " GOLDEN "a_query.npy 'The cat chased'", "a_query.npy" },
    { 2, "probe --remove zebra", "zebra" },
    { 2, "probe --remove telescope.", "telescope." },
    { 2, "probe --word zebra", "zebra" },
    { 2, "probe --add x --at 12", "--at 12" },
    { 2, "probe --at 2", "--at" },
    { 2, "probe --plot p.svg", "--plot" },
    { 2, "probe fox", "one word" },
    { 2, "count --sentence ''", "--sentence" },
    { 2, "weights --sentence 'a fox' --text small.txt", "--sentence" },
    { 2, "weights a --sentence 'no such word'", "not in the vocabulary of --sentence" },
};

START_TEST(test_refused) {
    program_begin("words");
    shell(": >empty.txt; printf ' \\n\\t\\n' >blank.txt; printf 'fine\\nnot \\377\\n' >bad.txt; printf 'a\\000b' >nul.txt;"
          "printf '\\300\\200' >long.txt; printf 'e\\303' >cut.txt; printf '\\355\\240\\200' >surrogate.txt; echo a b >small.txt");
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        refused(bad[n].status, bad[n].arguments, bad[n].text);
    }
    shell("test ! -e p.svg -a ! -e p.gif");
    program_end();
}
END_TEST

START_TEST(test_help) {
    static const char *const fine[] = { "--help",       "help",          "count --help",    "weights --help",   "show -h",
                                        "probe --help", "train --help",  "predict --help",  "generate --help",  "neighbours -h" };
    program_begin("words");
    for (size_t n = 0; n < sizeof fine / sizeof *fine; n++) {
        works(fine[n]);
        ck_assert_msg(strstr(said, "clattn words"), "words %s: %s", fine[n], said);
    }
    program_end();
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_help, test_refused, test_count, test_every_engine, test_same_seed, test_printed, test_pictures, test_journey };
    return suite_run(SUITE_OF("words", tests, 240), SUITE_NO_FORK);
}
