/*
 * Suites: files of lines of words, and names for their cases. A line may be of any length; what a file holds besides
 * text is refused by file and line. Knows no word.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"
#include "case/case_words.h"

enum { MOST_BYTES = 16 << 20 };

/* The name a comment gives: what stands before the first colon. */
static void take_name(const char *line, char name[ATTN_CASE_NAME]) {
    const char *comment = strchr(line, '#');
    if (comment) {
        comment += 1 + strspn(comment + 1, "# \t");
        attn_text_copy(name, ATTN_CASE_NAME, comment, strcspn(comment, ":\r"));
    }
}

static int read_line(attn_cases *cases, const char *line, char name[ATTN_CASE_NAME], attn_error *error) {
    int64_t before = cases->count;
    take_name(line, name);
    if (attn_cases_line(cases, line, error) != ATTN_DONE) {
        return error->status;
    }
    for (int64_t n = before; n < cases->count; n++) {
        memcpy(cases->items[n].name, name, ATTN_CASE_NAME);
    }
    return ATTN_DONE;
}

/* Lines end where text[length] or a newline is; each becomes a text of its own. */
static int read_lines(attn_cases *cases, char *text, int64_t length, const char *path, attn_error *error) {
    char name[ATTN_CASE_NAME] = "";
    int64_t number = 1;
    char *line = text + (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0); /* a byte order mark */
    for (char *end; line < text + length; line = end + 1, number++) {
        size_t left = (size_t)(text + length - line);
        end = memchr(line, '\n', left);
        end = end ? end : text + length;
        *end = '\0';
        if (strlen(line) < (size_t)(end - line)) {
            return attn_fail(error, ATTN_USAGE, "%s:%" PRId64 ": a NUL character; a text is expected", path, number);
        }
        if (read_line(cases, line, name, error) != ATTN_DONE) {
            attn_error inner = *error;
            return attn_fail(error, inner.status, "%s:%" PRId64 ": %s", path, number, inner.text);
        }
    }
    return ATTN_DONE;
}

int attn_cases_file(attn_cases *cases, const char *path, attn_error *error) {
    int64_t before = cases->count, length;
    char *text;
    if (attn_input_text(path, MOST_BYTES, &text, &length, error) != ATTN_DONE) {
        return error->status;
    }
    int status = read_lines(cases, text, length, path, error);
    free(text);
    if (status == ATTN_DONE && cases->count == before) {
        status = attn_fail(error, ATTN_USAGE, "%s: no problems in it", path);
    }
    return status;
}

/* -------------------------------------------------------------------------------- differences of cases, as names */

static bool has_word(const attn_case *c, const char *word, size_t length) {
    for (const char *at = c->text; *at != '\0'; at += strspn(at, " ")) {
        size_t there = strcspn(at, " ");
        if (there == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += there;
    }
    return false;
}

/* Whether a table shows the word in a column of its own. */
static bool has_column(const char *name, size_t length) {
    const attn_word *word = attn_word_find(name, length);
    return word && word->column;
}

/* Which words of c, counted from 0, another case has not and no column shows: one bit a word. */
static uint64_t words_beyond(const attn_case *c, const attn_case *other) {
    uint64_t words = 0;
    int word = 0;
    for (const char *at = c->text; *at != '\0' && word < ATTN_WORDS_MAX; at += strspn(at, " "), word++) {
        size_t length = strcspn(at, " ");
        if (!has_column(at, strcspn(at, "= ")) && !has_word(other, at, length)) {
            words |= UINT64_C(1) << word;
        }
        at += length;
    }
    return words;
}

/* Adds the words of case n that another case of its name has not. */
static void add_difference(const attn_cases *cases, int64_t n, char name[ATTN_CASE_NAME]) {
    const attn_case *c = &cases->items[n];
    uint64_t words = 0, others = 0;
    int word = 0;
    for (int64_t m = 0; m < cases->count; m++) {
        if (strcmp(cases->items[m].name, c->name) == 0) {
            words |= words_beyond(c, &cases->items[m]);
            others |= words_beyond(&cases->items[m], c);
        }
    }
    for (const char *at = c->text; *at != '\0'; at += strspn(at, " "), word++) {
        size_t length = strcspn(at, " ");
        if (word < ATTN_WORDS_MAX && (words >> word & 1) != 0) {
            attn_text_add(name, ATTN_CASE_NAME, "%s%.*s", name[0] != '\0' ? " " : "", (int)length, at);
        }
        at += length;
    }
    if (words == 0 && others != 0) {
        attn_text_add(name, ATTN_CASE_NAME, "%sno further words", name[0] != '\0' ? ", " : "");
    }
}

int attn_cases_tell_apart(attn_cases *cases, attn_error *error) {
    char(*names)[ATTN_CASE_NAME] = calloc((size_t)cases->count + 1, sizeof *names);
    if (!names) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    for (int64_t n = 0; n < cases->count; n++) {
        memcpy(names[n], cases->items[n].name, sizeof names[n]);
        add_difference(cases, n, names[n]);
    }
    for (int64_t n = 0; n < cases->count; n++) {
        memcpy(cases->items[n].name, names[n], sizeof names[n]);
    }
    free(names);
    return ATTN_DONE;
}
