/*
 * Reads words into a case. What is known of each word stands in case_words.c.
 */
#include "case/case.h"

#include <string.h>

#include "base/hint.h"
#include "case/case_words.h"

void attn_case_init(attn_case *c) {
    memset(c, 0, sizeof *c);
    c->problem = (clattn_problem)CLATTN_PROBLEM_INIT;
    c->options = (clattn_plan_options)CLATTN_PLAN_OPTIONS_INIT;
    c->spread = 1;
}

const char *attn_case_word_name(int n) {
    const attn_word *word = attn_word_row(n);
    return word ? word->name : NULL;
}

static int refuse_word(const char *word, size_t length, attn_error *error) {
    static const char *const flags[] = { "--engine", "--device", "--threads", "--suite", "--json", "--csv" };
    attn_hint hint;
    attn_hint_begin(&hint, word, length);
    for (int n = 0; attn_case_word_name(n); n++) {
        attn_hint_try(&hint, attn_case_word_name(n));
    }
    for (size_t f = 0; f < sizeof flags / sizeof flags[0]; f++) {
        attn_hint_try(&hint, flags[f]);
    }
    return attn_fail(error, ATTN_USAGE, "%s: no such word%s", word, attn_hint_text(&hint));
}

int attn_case_word(attn_case *c, const char *word, attn_error *error) {
    size_t length = strcspn(word, "=");
    if (word[length] == '\0') {
        return attn_fail(error, ATTN_USAGE, "%s: not a word name=value", word[0] != '\0' ? word : "\"\"");
    }
    attn_text_add(c->text, sizeof c->text, "%s%s", c->text[0] != '\0' ? " " : "", word);
    if (strlen(c->text) + 1 >= sizeof c->text) {
        return attn_fail(error, ATTN_USAGE, "%.*s: the line is too long", (int)length, word);
    }
    const attn_word *known = attn_word_find(word, length);
    if (!known) {
        return refuse_word(word, length, error);
    }
    if (known->drawing && c->drawing[0] == '\0') {
        snprintf(c->drawing, sizeof c->drawing, "%s", known->name);
    }
    if (known->given != 0) {
        *(bool *)attn_word_at(c, known->given) = true;
    }
    return known->read(c, known, word + length + 1, error);
}

bool attn_case_is_decode(const clattn_problem *problem) {
    return problem->kv_heads > 0 && problem->query_length * (problem->query_heads / problem->kv_heads) <= 16;
}
