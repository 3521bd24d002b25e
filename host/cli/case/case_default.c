/*
 * Words that are given go before those of a default line. Works on text alone, so that a case says all its words and
 * can be given again as it stands.
 */
#include "case/case_default.h"

#include <string.h>

#include "case/case_words.h"

static const char BLANKS[] = " \t";

int attn_words_join(const attn_options *options, char line[ATTN_CASE_TEXT], attn_error *error) {
    line[0] = '\0';
    for (int w = 0; w < options->word_count; w++) {
        attn_text_add(line, ATTN_CASE_TEXT, "%s%s", w > 0 ? " " : "", options->words[w]);
    }
    if (strlen(line) + 1 >= ATTN_CASE_TEXT) {
        return attn_fail(error, ATTN_USAGE, "%.60s...: the line is too long", line);
    }
    if (strchr(line, '#')) {
        return attn_fail(error, ATTN_USAGE, "#: comments are for files");
    }
    return ATTN_DONE;
}

const char *attn_line_value(const char *line, const char *name, size_t length) {
    for (line += strspn(line, BLANKS); *line != '\0'; line += strspn(line, BLANKS)) {
        if (strncmp(line, name, length) == 0 && line[length] == '=') {
            return line + length + 1;
        }
        line += strcspn(line, BLANKS);
    }
    return NULL;
}

bool attn_line_gives(const char *line, const char *name, size_t length) {
    return attn_line_value(line, name, length) != NULL;
}

bool attn_line_gives_enough(const char *line) {
    bool enough = true;
    for (int n = 0; attn_word_row(n); n++) {
        const attn_word *word = attn_word_row(n);
        enough = enough && (!word->needed || attn_line_gives(line, word->name, strlen(word->name)));
    }
    return enough;
}

int attn_cases_default(attn_cases *cases, const char *line, const char *default_line, attn_error *error) {
    char whole[ATTN_CASE_TEXT] = "";
    if (attn_line_gives_enough(line)) {
        return attn_cases_line(cases, line, error);
    }
    for (const char *at = default_line; *at != '\0'; at += strspn(at, BLANKS)) {
        size_t length = strcspn(at, BLANKS);
        if (!attn_line_gives(line, at, strcspn(at, "="))) {
            attn_text_add(whole, sizeof whole, "%s%.*s", whole[0] != '\0' ? " " : "", (int)length, at);
        }
        at += length;
    }
    attn_text_add(whole, sizeof whole, "%s%s", whole[0] != '\0' ? " " : "", line);
    if (strlen(whole) + 1 >= sizeof whole) {
        return attn_fail(error, ATTN_USAGE, "%.60s...: the line is too long", line);
    }
    return attn_cases_line(cases, whole, error);
}
