/*
 * `clattn words train` and what is asked of its models, from outside: the six sentences are learnt and written again,
 * on every engine alike; the same training gives the same bytes, resumed or not, interrupted or not; and what is refused
 * names the word or file and leaves an older model as it was.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/suite.h"
#include "support/terminal.h"
#include "support/words_program.h"

#define GOLDEN CLATTN_TEST_SOURCE_DIR "/golden/"
#define FAST "--engine cpu --threads 1 "                   /* devices take their time to be found */
#define SMALL FAST "--dim 8 --heads 2 --blocks 1 --steps " /* and what need not learn well */

static char *const said = program_said, *const complained = program_complained;

/* The number behind a text of what was said. */
static double number_after(const char *text) {
    const char *at = strstr(said, text);
    ck_assert_msg(at, "no \"%s\" in: %s", text, said);
    return strtod(at + strlen(text), NULL);
}

static const struct {
    const char *prompt, *sentence;
} six[] = { { "The quick", "The quick brown fox jumps over the lazy dog.\n" },
            { "She sells", "She sells seashells by the seashore.\n" },
            { "I love", "I love to eat pizza.\n" },
            { "The cat", "The cat chased the mouse.\n" },
            { "The sun", "The sun is shining brightly.\n" },
            { "I am", "I am feeling happy today.\n" } };
enum { SIX = sizeof six / sizeof *six };

/* ------------------------------------------------------------------------------------------------ learns */

static void writes_six_sentences(const char *engine) {
    for (int s = 0; s < SIX; s++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "generate --model m.safetensors --engine %s --prompt '%s'", engine,
                 six[s].prompt);
        int status = words(arguments);
        ck_assert_msg(status == 0 && strcmp(said, six[s].sentence) == 0, "words %s: exit %d: %s%s", arguments, status,
                      said, complained);
    }
}

START_TEST(test_learns_six_sentences) {
    program_begin("words_learning");
    works("train --model m.safetensors --plot loss.svg");
    ck_assert_ptr_nonnull(strstr(said, "6 sentences, 35 words, a vocabulary of 30\n"));
    double loss = number_after("\n300 steps, loss ");
    ck_assert_msg(loss >= 0.1337 && loss <= 0.184, "loss %g", loss); /* the least that the text allows is 0.13377 */
    shell("grep -q '</svg>' loss.svg && grep -q 'nats a token' loss.svg");
    writes_six_sentences("reference");
    writes_six_sentences("cpu");
    clattn_runtime *runtime = suite_runtime(NULL);
    int64_t device = suite_opencl_device(runtime);
    clattn_runtime_destroy(runtime);
    if (device >= 0 && clattn_engine_built("opencl-fused")) {
        words_settings = "";
        writes_six_sentences("opencl-fused");
        words_settings = words_without_opencl;
    }
    works("generate --model m.safetensors --max 2 --prompt 'She sells'");
    ck_assert_str_eq(said, "She sells seashells by\n");
    works("generate --model m.safetensors --stop by --prompt 'She sells'");
    ck_assert_str_eq(said, "She sells seashells\n");
    works("generate --model m.safetensors"); /* three sentences begin with it */
    ck_assert_msg(strncmp(said, "The ", 4) == 0, "%s", said);
    works("predict --model m.safetensors The quick brown");
    ck_assert_ptr_nonnull(strstr(said, "The quick brown\npredicted next word: fox\n   0.9"));
    works("predict --model m.safetensors 'I love to eat pizza.' --top 1");
    ck_assert_ptr_nonnull(strstr(said, "predicted next word: (the end of the sentence)\n"));
    works("predict --model m.safetensors The --top 3 --json");
    for (int s = 0; s < SIX; s++) { /* "The" has three right continuations */
        char word[64];
        snprintf(word, sizeof word, "{ \"word\": \"%s\", \"probability\": ", strchr(six[s].prompt, ' ') + 1);
        if (strncmp(six[s].prompt, "The", 3) == 0) {
            ck_assert_double_eq_tol(number_after(word), 1.0 / 3, 0.03);
        }
    }
    works("neighbours --model m.safetensors fox --top 2");
    ck_assert_ptr_nonnull(strstr(said, "nearest to \"fox\" (cosine)\n  before training "));
    program_end();
}
END_TEST

/* Draws depend on the seed and on nothing else; the vectors of before are those that the seed draws. */
START_TEST(test_draws) {
    static char first[4096];
    program_begin("words_learning");
    works("train --model m.safetensors " SMALL "10");
    works("neighbours --model m.safetensors fox --json " FAST);
    snprintf(first, sizeof first, "%.*s", (int)(strstr(said, "\"after\"") - strstr(said, "\"before\"")),
             strstr(said, "\"before\""));
    works("train --model m.safetensors --resume --steps 20 " FAST);
    works("neighbours --model m.safetensors fox --json " FAST);
    ck_assert_ptr_nonnull(strstr(said, first));
    works("generate --model m.safetensors --temperature 1 --seed 5 " FAST);
    snprintf(first, sizeof first, "%.4000s", said);
    works("generate --model m.safetensors --temperature 1 --seed 5 --engine reference");
    ck_assert_str_eq(first, said);
    works("generate --model m.safetensors --temperature 1 --seed 5 --top-k 7 --max 2147483647 --json " FAST); /* takes no more than it writes */
    ck_assert_ptr_nonnull(strstr(said, "\"draws\": { \"temperature\": 1, \"top_k\": 7, \"seed\": 5, \"max\": 2147483647 }"));
    works("generate --model m.safetensors --temperature 1 --seed 6 " FAST);
    ck_assert_str_ne(first, said);
    works("generate --model m.safetensors --prompt I " FAST);
    snprintf(first, sizeof first, "%.4000s", said);
    works("generate --model m.safetensors --prompt I --temperature 5 --top-k 1 " FAST); /* the likeliest alone */
    ck_assert_str_eq(first, said);
    program_end();
}
END_TEST

/* Characters: windows of the whole text, whose line ends are learnt; a text longer than the context. */
START_TEST(test_characters) {
    program_begin("words_learning");
    program_write("t.txt", "ab ab\n\nba\\ba\nab ab\n\nba\\ba\nab ab\n\nba\\ba\n");
    works("train --model c.safetensors --text t.txt --tokens characters --context 12 --steps 200 --validate 0.3 " FAST);
    ck_assert_ptr_nonnull(strstr(said, ", validation 0.0"));
    works("generate --model c.safetensors --prompt 'ab ' " FAST);
    ck_assert_str_eq(said, "ab ab\n");
    works("generate --model c.safetensors --prompt 'ab ' --stop none --max 27 " FAST);
    ck_assert_str_eq(said, "ab ab\n\nba\\ba\nab ab\n\nba\\ba\nab a\n");
    works("generate --model c.safetensors --prompt 'ab ' --stop '\\' " FAST " --json");
    ck_assert_ptr_nonnull(
        strstr(said, "\"text\": \"ab ab\\n\\nba\", \"prompt_tokens\": 3, \"new_tokens\": 6, \"stopped\": true, "));
    program_end();
}
END_TEST

/* Words of other kinds; what a line may hold. */
/* A picture has room for fewer words than such a model may see. */
START_TEST(test_long_context) {
    program_begin("words_long");
    shell("head -c 450 /dev/zero | tr '\\0' a >long.txt; echo b >>long.txt");
    works("train --model l.safetensors --text long.txt --tokens characters --context 300 --dim 8 --heads 1 --blocks 1 "
          "--batch 1 --steps 1 " FAST);
    works("show --model l.safetensors --map blocks " FAST);
    ck_assert_msg(strchr(said, '\n') - said >= 200, "%s", said);
    refused(2, "show $(head -c 250 /dev/zero | tr '\\0' a) --model l.safetensors", "SENTENCE: 250 words; at most 200");
    refused(2, "show $(head -c 350 /dev/zero | tr '\\0' a) --model l.safetensors",
            "SENTENCE: 350 words; l.safetensors sees 300 together");
    program_end();
}
END_TEST

START_TEST(test_tokens) {
    program_begin("words_learning");
    works("train --model w.safetensors --tokens words " FAST);
    works("generate --model w.safetensors --prompt 'THE Quick' " FAST);
    ck_assert_str_eq(said, "the quick brown fox jumps over the lazy dog\n");
    const char *subwords =
        "train --model s.safetensors --tokens subwords --subword-model " GOLDEN "words_subwords.model "
        "--steps 200 " FAST;
    if (CLATTN_TEST_SUBWORDS) { /* whose model is in the file too */
        works(subwords);
        works("train --model s.safetensors --resume --steps 210 --subword-model " GOLDEN "words_subwords.model " FAST);
        refused(2, "train --model s.safetensors --resume --subword-model " GOLDEN "words.txt " FAST,
                "words.txt: not the one that s.safetensors");
        works("generate --model s.safetensors --prompt 'I love' " FAST);
        ck_assert_str_eq(said, "I love to eat pizza.\n");
    } else {
        refused(3, subwords, "SentencePiece");
    }
    works("train --model l.safetensors --context 3 --steps 100 " FAST); /* sentences are cut, the window slides */
    works("generate --model l.safetensors --prompt 'She sells seashells by the' --max 1 " FAST);
    ck_assert_str_eq(said, "She sells seashells by the seashore.\n");
    works("train --model b.safetensors --text " GOLDEN "words_text.txt --sentences marks --batch 3 --optimizer sgd "
          "--rate 0.05 --json " SMALL "5");
    ck_assert_ptr_nonnull(strstr(said, "\"losses\": ["));
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------------------ bits */

START_TEST(test_same_bytes) {
    program_begin("words_learning");
    works("train --model a.safetensors --validate 0.3 --batch 2 " SMALL "230");
    works("train --model b.safetensors --validate 0.3 --batch 2 " SMALL "230");
    shell("cmp a.safetensors b.safetensors");
    works("train --model b.safetensors --validate 0.3 --batch 2 --seed 2 " SMALL "230");
    shell("! cmp -s a.safetensors b.safetensors");
    works("train --model b.safetensors --validate 0.3 --batch 2 " SMALL "30");
    works("train --model b.safetensors --resume --steps 150 " FAST);
    works("train --model b.safetensors --resume --validate 0.3 --batch 2 " SMALL "230");
    shell("cmp a.safetensors b.safetensors");
    works("train --model b.safetensors --resume " FAST); /* has all its steps */
    shell("cmp a.safetensors b.safetensors");
    program_end();
}
END_TEST

/* Ended by a signal: a whole model, from which training goes on as if nothing had been. */
START_TEST(test_interrupted) {
    long steps = 0;
    program_begin("words_learning");
    for (int seconds = 1; seconds <= 16 && steps == 0; seconds *= 2) { /* a busy machine may not have begun */
        char settings[128];
        snprintf(settings, sizeof settings, "%s timeout -s INT %d", words_without_opencl, seconds);
        words_settings = settings;
        int status = words("train --model a.safetensors " SMALL "100000000");
        words_settings = words_without_opencl;
        const char *holds = strstr(complained, "interrupted by SIGINT: a.safetensors holds ");
        ck_assert_msg(status == 124, "exit %d: %s", status, complained);
        steps = holds ? strtol(holds + strlen("interrupted by SIGINT: a.safetensors holds "), NULL, 10) : 0;
    }
    ck_assert_int_gt(steps, 0);
    char arguments[256];
    snprintf(arguments, sizeof arguments, "train --model a.safetensors --resume --steps %ld " FAST, steps + 7);
    works(arguments);
    snprintf(arguments, sizeof arguments, "train --model b.safetensors " SMALL "%ld", steps + 7);
    works(arguments);
    shell("cmp a.safetensors b.safetensors");
    program_end();
}
END_TEST

/* On a terminal: a bar with the loss, no line too long; a signal leaves a whole model there too. */
START_TEST(test_terminal) {
    static terminal screen;
    program_begin("words_learning");
    terminal_start(&screen, words_without_opencl, "words train --model a.safetensors " SMALL "100000000", 80);
    ck_assert_msg(terminal_wait(&screen, " tokens/s, step", 0, 60), "no progress is shown: %.300s", screen.text);
    ck_assert_msg(terminal_wait(&screen, "%  loss ", 0, 60), "%.300s", screen.text);
    terminal_read(&screen, 0.5);
    ck_assert_msg(screen.wraps == 0 && screen.redraws > 1, "%d lines are too long: %.300s", screen.wraps, screen.text);
    ck_assert_int_eq(terminal_finish(&screen, SIGTERM, 60), 128 + SIGTERM);
    ck_assert_msg(strstr(screen.text, "interrupted by SIGTERM: a.safetensors holds "), "%.300s", screen.text);
    works("predict --model a.safetensors fox " FAST);
    shell("test $(ls -A | grep -v -e said -e complained | wc -l) -eq 1"); /* no temporary file is left */
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------------------ refused */

static const struct {
    int status;
    const char *arguments, *text;
} bad[] = {
    { 2, "train", "--model FILE is missing" },
    { 2, "train --model m.safetensors fox", "fox" },
    { 2, "train --model m.safetensors --text empty.txt", "empty.txt: empty" },
    { 2, "train --model m.safetensors --text blank.txt", "blank.txt: no words" },
    { 2, "train --model m.safetensors --text lines.txt --tokens characters", "lines.txt: no words" },
    { 2, "train --model m.safetensors --text one.txt", "one.txt: one word" },
    { 2, "train --model m.safetensors --text bad.txt", "bad.txt: line 2: invalid UTF-8" },
    { 2, "train --model m.safetensors --text nowhere.txt", "nowhere.txt" },
    { 2, "train --model m.safetensors --text m.safetensors", "--text names the same file" },
    { 2, "train --model m.safetensors --plot x.gif", "x.gif" },
    { 2, "train --model m.svg --plot ./m.svg", "--plot names the same file" },
    { 2, "train --model m.safetensors --tokens subwords --subword-model ./m.safetensors",
      "--model m.safetensors: --subword-model names the same file" },
    { 2, "train --model new.safetensors --text p.svg --plot ./p.svg", "--plot ./p.svg: --text names the same file" },
    { 2, "train --model new.safetensors --tokens subwords --subword-model p.svg --plot ./p.svg",
      "--plot ./p.svg: --subword-model names the same file" },
    { 2, "train --model nowhere/m.safetensors", "nowhere/m.safetensors" },
    { 2, "train --model .", "--model .: is a folder" },
    { 2, "train --model /dev/null", "--model /dev/null: is a device" },
    { 2, "train --model -", "--model -: " },
    { 2, "train --model m.safetensors --dim 9 --heads 2", "--dim 9, --heads 2" },
    { 2, "train --model m.safetensors --dim 0", "--dim 0" },
    { 2, "train --model m.safetensors --heads x", "--heads x" },
    { 2, "train --model m.safetensors --blocks 1025", "--blocks 1025" },
    { 2, "train --model m.safetensors --context 0", "--context 0" },
    { 2, "train --model m.safetensors --steps 0", "--steps 0" },
    { 2, "train --model m.safetensors --batch 0", "--batch 0" },
    { 2, "train --model m.safetensors --optimizer lion", "--optimizer lion" },
    { 2, "train --model m.safetensors --rate 0", "--rate 0" },
    { 2, "train --model m.safetensors --rate 1e300 --optimizer sgd --json", "--rate 1e+300" },
    { 2, "train --model m.safetensors --rate 1e38 --steps 1 --json", "--rate 1e+38: the loss is not finite any more" },
    { 2, "train --model m.safetensors --rate 1e300 --steps 1 --json",
      "--rate 1e+300: the loss is not finite any more" },
    { 2, "train --model m.safetensors --seed -1", "--seed -1" },
    { 2, "train --model m.safetensors --validate 1", "--validate 1" },
    { 2, "train --model m.safetensors --text two.txt --validate 0.5", "--validate 0.5" },
    { 2, "train --model m.safetensors --tokens letters", "--tokens letters" },
    { 2, "train --model m.safetensors --engine all", "one engine" },
    { 2, "train --model new.safetensors --resume", "new.safetensors" },
    { 2, "train --model m.safetensors --resume --dim 16", "--dim 16: --resume goes on" },
    { 2, "train --model m.safetensors --resume --rate 0.5", "--rate 0.5: --resume goes on" },
    { 2, "train --model m.safetensors --resume --text two.txt", "two.txt: not the text that m.safetensors learns" },
    { 2, "train --model m.safetensors --subword-model one.txt", "--subword-model: needs --tokens subwords" },
    { 2, "train --model m.safetensors --resume --subword-model one.txt", "--subword-model: needs --tokens subwords" },
    { 2, "train --model m.safetensors --resume --steps 4", "--steps 4: m.safetensors has made 5 already" },
    { 2, "train --model m.safetensors --resume --steps 0", "--steps 0: a whole number of at least 1 is expected" },
    { 2, "train --model m.safetensors --resume --steps 1099511627777", "--steps 1099511627777: at most 1099511627776" },
    { 2, "train --model cut.safetensors --resume", "cut.safetensors: " },
    { 2, "predict fox", "--model FILE is missing" },
    { 2, "predict --model m.safetensors", "TEXT is missing" },
    { 2, "predict --model m.safetensors zebra", "\"zebra\": not in the vocabulary of m.safetensors" },
    { 2, "predict --model m.safetensors dog", "\"dog.\" is" },
    { 2, "predict --model m.safetensors \"$(printf 'fox \\377')\"", "TEXT: line 1: invalid UTF-8" },
    { 2, "predict --model m.safetensors fox --top 0", "--top 0" },
    { 2, "predict --model nowhere.safetensors fox", "nowhere.safetensors" },
    { 2, "predict --model cut.safetensors fox", "cut.safetensors: " },
    { 2, "predict --model head.safetensors fox", "head.safetensors: " },
    { 2, "predict --model bad.txt fox", "bad.txt: " },
    { 2, "predict --model . fox", ".: " },
    { 2, "predict --model " GOLDEN "layers.safetensors fox", "layers.safetensors: no model of clattn words train" },
    { 2, "predict --model other.safetensors fox",
      "other.safetensors: no model of clattn words train: of another version" },
    { 2, "predict --model wide.safetensors fox", "wide.safetensors: " },
    { 2, "generate --model m.safetensors fox", "--prompt" },
    { 2, "generate --model m.safetensors --prompt wolf", "\"wolf\"" },
    { 2, "generate --model m.safetensors --stop wolf", "--stop wolf" },
    { 2, "generate --model m.safetensors --max -1", "--max -1" },
    { 2, "generate --model m.safetensors --temperature -1", "--temperature -1" },
    { 2, "generate --model m.safetensors --temperature nan", "--temperature nan" },
    { 2, "generate --model m.safetensors --top-k 0", "--top-k 0" },
    { 2, "generate --model nan.safetensors", "nan.safetensors: its numbers are not finite" },
    { 2, "neighbours --model m.safetensors", "WORD is missing" },
    { 2, "neighbours --model m.safetensors 'brown fox'", "one word is expected" },
    { 2, "neighbours --model m.safetensors wolf", "\"wolf\"" },
    { 3, "train --model m.safetensors --engine opencl-decode", "opencl-decode" },
};

START_TEST(test_refused) {
    program_begin("words_learning");
    works("train --model m.safetensors " SMALL "5");
    shell(
        "cp m.safetensors kept; : >empty.txt; printf ' \\n\\t\\n' >blank.txt; printf '\\n\\n' >lines.txt; echo fox >one.txt; "
        "echo a b >two.txt; echo a b >p.svg;"
        "printf 'fine\\nnot \\377\\n' >bad.txt; head -c 5000 m.safetensors >cut.safetensors;"
        "head -c 100 m.safetensors >head.safetensors; sed 's/clattn words 1/clattn words 0/' m.safetensors >other.safetensors;"
        "sed 's/\"dim\":\"8\"/\"dim\":\"6\"/' m.safetensors >wide.safetensors;"
        "size=$(wc -c <m.safetensors); { head -c 6500 m.safetensors; yes \"$(printf '\\377\\377\\377')\" | "
        "tr '\\n' '\\377' | head -c 2000; tail -c $((size - 8500)) m.safetensors; } >nan.safetensors");
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        if (bad[n].status == 3) { /* says more than a line */
            ck_assert_int_eq(words(bad[n].arguments), 3);
            ck_assert_ptr_nonnull(strstr(complained, bad[n].text));
        } else {
            refused(2, bad[n].arguments, bad[n].text);
        }
        ck_assert_msg(program_shell("cmp -s m.safetensors kept && test ! -e new.safetensors") == 0,
                      "words %s: changed the model", bad[n].arguments);
    }
    program_end();
}
END_TEST

int main(void) {
    words_settings = words_without_opencl;
    const TTest *const tests[] = { test_refused, test_learns_six_sentences, test_draws,       test_characters, test_long_context,
                                   test_tokens,  test_same_bytes,           test_interrupted, test_terminal };
    return suite_run(SUITE_OF("words_learning", tests, 240), SUITE_NO_FORK);
}
