/*
 * What `clattn words train` says and keeps while it runs, and which files it and its sisters take for its models, from
 * outside.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "support/suite.h"
#include "support/words_program.h"

#define FAST "--engine cpu --threads 1 "                   /* devices take their time to be found */
#define SMALL FAST "--dim 8 --heads 2 --blocks 1 --steps " /* and what need not learn well */

static char *const said = program_said, *const complained = program_complained;

/* ------------------------------------------------------------------------------------------------ other files */

enum { MOST_ARRAYS = 200, MOST_NOTES = 20 };

/* The model in m.safetensors, to be changed and written under another name. */
typedef struct copied_model {
    clattn_runtime *runtime;
    clattn_safetensors *file;
    clattn_safetensors_array arrays[MOST_ARRAYS];
    clattn_safetensors_note notes[MOST_NOTES];
    int64_t count, note_count;
} copied_model;

static const char *place(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", program_folder, name);
    return path;
}

static void read_model(copied_model *m) {
    static const char *const names[] = { "format", "tokens",   "sentences", "context",    "dim",
                                         "heads",  "blocks",   "batch",     "optimizer",  "rate",
                                         "seed",   "validate", "steps",     "steps_made", "vocabulary" };
    *m = (copied_model){ .runtime = suite_runtime(NULL) };
    ck_assert_int_eq(clattn_safetensors_open(m->runtime, place("m.safetensors"), &m->file, NULL), CLATTN_OK);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        m->notes[m->note_count++] =
            (clattn_safetensors_note){ names[n], clattn_safetensors_get_note(m->file, names[n]) };
    }
    ck_assert_int_le(clattn_safetensors_count(m->file), MOST_ARRAYS);
    for (; m->count < clattn_safetensors_count(m->file); m->count++) {
        clattn_safetensors_entry entry;
        ck_assert_int_eq(clattn_safetensors_get_entry(m->file, m->count, &entry), CLATTN_OK);
        float *data = malloc((size_t)entry.count * sizeof *data + 1);
        ck_assert_int_eq(clattn_safetensors_read(m->file, entry.name, entry.count, data, NULL), CLATTN_OK);
        m->arrays[m->count] = (clattn_safetensors_array){ entry.name, entry.dimensions, { 0 }, data };
        memcpy(m->arrays[m->count].shape, entry.shape, sizeof entry.shape);
    }
}

static void write_model(const copied_model *m, const char *name) {
    clattn_report report = { 0 };
    clattn_status status =
        clattn_safetensors_write(m->runtime, place(name), m->arrays, m->count, m->notes, m->note_count, &report);
    ck_assert_msg(status == CLATTN_OK, "%s", report.text);
}

static void free_model(copied_model *m) {
    for (int64_t k = 0; k < m->count; k++) {
        free((void *)m->arrays[k].data);
    }
    clattn_safetensors_close(m->file);
    clattn_runtime_destroy(m->runtime);
}

/* The model with an embedding that is no number. */
static void break_numbers(const char *name) {
    copied_model m;
    read_model(&m);
    ((float *)m.arrays[0].data)[0] = NAN;
    write_model(&m, name);
    free_model(&m);
}

/* A vocabulary is text, as that which it was made from. */
START_TEST(test_vocabulary_is_text) {
    static const struct {
        const char *vocabulary, *text;
    } wrong[] = { { "a\nb\x1b[31m\nc\n", "other.safetensors: vocabulary: line 2: a control character (0x1b)" },
                  { "a\nb\nc\xc2\x9b\n", "other.safetensors: vocabulary: line 3: a control character (0x9b)" } };
    copied_model m;
    program_begin("words_training");
    program_write("t.txt", "a b c\nb c\n");
    works("train --model m.safetensors --text t.txt " SMALL "5");
    read_model(&m);
    for (size_t n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        m.notes[m.note_count - 1].text = wrong[n].vocabulary;
        write_model(&m, "other.safetensors");
        refused(2, "predict --model other.safetensors a " FAST, wrong[n].text);
        refused(2, "train --model other.safetensors --resume " FAST, wrong[n].text);
    }
    free_model(&m);
    shell("LC_ALL=C sed '1s/\"vocabulary\":\"a/\"vocabulary\":\"\xff/' m.safetensors >other.safetensors");
    refused(2, "predict --model other.safetensors b " FAST, "other.safetensors: ");
    program_end();
}
END_TEST

/* Not of the optimiser's state, which has their names and ".first", ".second" behind them. */
static bool is_parameter(const char *name) {
    static const char *const starts[] = { "embedding.", "blocks.", "norm.", "words." };
    bool is = false;
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        is = is || strncmp(name, starts[s], strlen(starts[s])) == 0;
    }
    return is && !strstr(name, ".first") && !strstr(name, ".second");
}

/* Before memory is taken for a decoder by what notes say, every array must be of its shape. */
START_TEST(test_arrays_as_notes_say) {
    int tried = 0;
    copied_model m;
    program_begin("words_training");
    works("train --model m.safetensors " FAST "--dim 8 --heads 2 --blocks 2 --steps 5");
    read_model(&m);
    for (int64_t k = 0; k < m.count; k++) {
        const clattn_safetensors_array kept = m.arrays[k];
        char text[256];
        if (!is_parameter(kept.name)) {
            continue;
        }
        m.arrays[k].dimensions = 3 - kept.dimensions; /* as many numbers, otherwise arranged */
        m.arrays[k].shape[0] = kept.dimensions == 1 ? 1 : kept.shape[0] * kept.shape[1];
        m.arrays[k].shape[1] = kept.dimensions == 1 ? kept.shape[0] : 0;
        write_model(&m, "other.safetensors");
        snprintf(text, sizeof text, "other.safetensors: no model of clattn words train: %s: not as", kept.name);
        refused(2, "predict --model other.safetensors fox " FAST, text);
        m.arrays[k] = kept;
        tried++;
    }
    free_model(&m);
    ck_assert_int_eq(tried, 1 + 2 * 16 + 3);
    shell(
        "sed '1s/\"norm.gain\":{\"dtype\":\"F32\"/\"norm.gain\":{\"dtype\":\"X32\"/' m.safetensors >other.safetensors");
    refused(2, "predict --model other.safetensors fox " FAST, "words train: norm.gain: not as");
    program_end();
}
END_TEST

/* What no file has room for is refused before anything is learnt: no line is printed. */
START_TEST(test_vocabulary_fits) {
    program_begin("words_training");
    shell("{ printf 'fox '; head -c 100000000 /dev/zero | tr '\\0' a; } >long.txt");
    refused(2, "train --model m.safetensors --text long.txt " SMALL "1", "long.txt: a vocabulary of 100000015 bytes");
    shell("{ printf 'fox '; head -c 10000000 /dev/zero | tr '\\0' '\\\\'; } >long.txt"); /* each is written as 12 */
    refused(2, "train --model m.safetensors --text long.txt " SMALL "1", "long.txt: a vocabulary of 120000015 bytes");
    shell("test ! -e m.safetensors");
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------------------ runs */

/*
 * Trains with a text that comes through a pipe, and with a signal that comes while it is read, so before the first
 * step: the pipe holds less than the empty lines before the text. Answers the exit status, of a signal less 100.
 */
static int words_signalled(const char *arguments) {
    char all[512];
    words_settings = "{ head -c 500000 /dev/zero | tr '\\0' '\\n'; kill -TERM $(cat pid); cat t.txt; } | "
                     "OCL_ICD_VENDORS=/nowhere sh -c 'sh begin \"$0\" \"$@\" || exit $(($? % 100))'";
    program_write("begin", "echo $$ >pid\nexec \"$@\"\n");
    snprintf(all, sizeof all, "train --text /dev/fd/3 %s 3<&0", arguments);
    int status = words(all);
    words_settings = words_without_opencl;
    return status;
}

/* A training that has all its steps is whole, whatever comes; numbers that are not finite are not kept. */
START_TEST(test_late_signal) {
    program_begin("words_training");
    program_write("t.txt", "a b c\nb c\n");
    works("train --model m.safetensors --text t.txt " SMALL "5");
    break_numbers("broken.safetensors");
    shell("cp m.safetensors kept; cp broken.safetensors broken");
    int status = words_signalled("--model m.safetensors --resume " FAST);
    ck_assert_msg(status == 0 && strstr(said, "\n5 steps, loss "), "exit %d: %s%s", status, said, complained);
    shell("cmp m.safetensors kept");
    status = words_signalled("--model m.safetensors --resume --steps 9 " FAST);
    ck_assert_msg(status == 43 && strstr(complained, "holds 5 of 9 steps"), "exit %d: %s", status, complained);
    status = words_signalled("--model broken.safetensors --resume --steps 9 " FAST);
    ck_assert_msg(status == 2 && strstr(complained, "not finite any more at step 5"), "exit %d: %s", status,
                  complained);
    shell("cmp broken.safetensors broken");
    program_end();
}
END_TEST

static int count_lines(const char *arguments) {
    int count = 0;
    works(arguments);
    for (const char *at = said; (at = strstr(at, "\nstep ")); at++) {
        count++;
    }
    return count;
}

/* A line every 100 steps, but no more than 20. */
START_TEST(test_lines) {
    program_begin("words_training");
    ck_assert_int_eq(count_lines("train --model m.safetensors " SMALL "99"), 0);
    ck_assert_int_eq(count_lines("train --model m.safetensors " SMALL "300"), 3);
    ck_assert_int_eq(count_lines("train --model m.safetensors " SMALL "2000"), 20);
    ck_assert_int_eq(count_lines("train --model m.safetensors " SMALL "2100"), 10);
    program_end();
}
END_TEST

/* The number behind a text of what was said. */
static double number_after(const char *text) {
    const char *at = strstr(said, text);
    ck_assert_msg(at, "no \"%s\" in: %s", text, said);
    return strtod(at + strlen(text), NULL);
}

/* Of many pieces some are looked at, but not the first ones: here every letter is foreseen in the first half alone. */
START_TEST(test_loss_of_all_pieces) {
    static char text[8001];
    program_begin("words_training");
    memset(text, 'a', 8000);
    for (unsigned k = 4000, drawn = 1; k < 8000; k++) {
        drawn = drawn * 1103515245u + 12345u;
        text[k] = (char)('b' + (drawn >> 16) % 16);
    }
    program_write("t.txt", text);
    works("train --model m.safetensors --text t.txt --tokens characters --context 2 --rate 0.01 " SMALL "300 --json");
    double loss = number_after("\"loss\": ");
    ck_assert_msg(loss > 1 && loss < 2, "loss %g", loss); /* half of log(16), 2.77, and of about nothing */
    program_end();
}
END_TEST

/* -log of how probable the word is after the text. */
static double loss_of(const char *text, const char *word) {
    char arguments[256], before[64];
    snprintf(arguments, sizeof arguments, "predict --model m.safetensors %s --top 9 --json " FAST, text);
    works(arguments);
    snprintf(before, sizeof before, "{ \"word\": %s, \"probability\": ", word);
    return -log(number_after(before));
}

/* Windows of three letters, "abc" and "cab", of which the second shares one with the first: five letters count. */
START_TEST(test_loss_of_shared_letters) {
    program_begin("words_training");
    program_write("t.txt", "abcab\n");
    works("train --model m.safetensors --text t.txt --tokens characters --context 3 --batch 1 " SMALL "30 --json");
    double loss = number_after("\"loss\": ");
    double expected = loss_of("a", "\"b\"") + loss_of("ab", "\"c\"") + loss_of("abc", "\"a\"");
    expected = (expected + loss_of("ca", "\"b\"") + loss_of("cab", "null")) / 5;
    ck_assert_double_eq_tol(loss, expected, 1e-5);
    program_end();
}
END_TEST

int main(void) {
    words_settings = words_without_opencl;
    const TTest *const tests[] = {
        test_vocabulary_is_text, test_arrays_as_notes_say,   test_vocabulary_fits, test_late_signal, test_lines,
        test_loss_of_all_pieces, test_loss_of_shared_letters
    };
    return suite_run(SUITE_OF("words_training", tests, 240), SUITE_NO_FORK);
}
