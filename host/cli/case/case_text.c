/*
 * Lines of words: single cases, lists and doubling ranges. The words themselves are in case_words.c, files of lines in
 * case_suite.c. Checks here what concerns several words at once; whether the problem as a whole is possible the library
 * says.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "case/case_words.h"
#include "clattn/clattn_inspect.h"

enum { ATTN_CASES_MAX = 4096, ATTN_VALUES_MAX = 256 };

int attn_case_read(attn_case *c, int count, char **words, attn_error *error) {
    for (int w = 0; w < count; w++) {
        size_t length = strcspn(words[w], "=");
        for (int before = 0; before < w; before++) {
            if (words[w][length] == '=' && strncmp(words[before], words[w], length + 1) == 0) {
                return attn_fail(error, ATTN_USAGE, "%.*s is given twice", (int)length, words[w]);
            }
        }
        if (attn_case_word(c, words[w], error) != ATTN_DONE) {
            return error->status;
        }
    }
    if (c->has_align && c->offsets.kind != ATTN_LIST_NONE) {
        return attn_fail(error, ATTN_USAGE,
                         "align and offsets are both given; one of them says where the queries stand");
    }
    return ATTN_DONE;
}

int attn_case_refuse_later(const attn_case *c, attn_error *error) {
    if (c->later[0] != '\0') {
        return attn_fail(error, ATTN_UNSERVED, "%s is of a later release", c->later);
    }
    return ATTN_DONE;
}

/* A list has a number for every batch entry, and none beyond the size of the row's second member. */
static int check_list(const attn_case *c, const attn_word *word, const clattn_problem *resolved, attn_error *error) {
    const attn_case_list *list = (const void *)((const char *)c + word->member);
    if (list->kind != ATTN_LIST_GIVEN) {
        return ATTN_DONE;
    }
    if (list->count != c->problem.batch) {
        return attn_fail(error, ATTN_USAGE, "%s: %" PRId64 " numbers for batch=%" PRId64, word->name, list->count,
                         c->problem.batch);
    }
    int64_t most = word->second != 0 ? attn_word_size(resolved, word->second) : INT64_MAX;
    for (int64_t b = 0; b < list->count; b++) {
        if (list->values[b] > most) {
            return attn_fail(error, ATTN_USAGE, "%s: %" PRId64 " is beyond the length %" PRId64, word->name,
                             list->values[b], most);
        }
    }
    return ATTN_DONE;
}

void attn_case_ask_gradients(clattn_problem *p) {
    p->gradients = CLATTN_GRADIENT_QUERY | CLATTN_GRADIENT_KEY | CLATTN_GRADIENT_VALUE;
    p->gradients |= p->bias != CLATTN_BIAS_NONE ? CLATTN_GRADIENT_BIAS : 0;
    p->gradients |= p->alibi ? CLATTN_GRADIENT_ALIBI_SLOPES : 0;
    p->gradients |= p->sinks ? CLATTN_GRADIENT_SINKS : 0;
}

int attn_case_complete(attn_case *c, attn_error *error) {
    clattn_problem resolved;
    clattn_report report = { 0 };
    for (int n = 0; attn_word_row(n); n++) {
        if (attn_word_row(n)->needed && !attn_word_given(attn_word_row(n), c)) {
            return attn_fail(error, ATTN_USAGE, "%s is missing", attn_word_row(n)->name);
        }
    }
    attn_case_ask_gradients(&c->problem);
    clattn_status status = clattn_problem_resolve(&c->problem, &resolved, &report);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    for (int n = 0; attn_word_row(n); n++) {
        if (attn_word_row(n)->by_entry && check_list(c, attn_word_row(n), &resolved, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return attn_case_refuse_later(c, error);
}

/* ------------------------------------------------------------------------------------ lists and ranges */

/* The values one word may take. */
typedef struct word_choice {
    char name[64];
    int count, now;
    char (*values)[64]; /* NULL: one value, the word as it stands */
    const char *whole;
} word_choice;

/* FIRST..LAST: FIRST, doubled while it is not above LAST. */
static int add_range(word_choice *choice, const char *part, attn_error *error) {
    const char *dots = strstr(part, "..");
    char first_text[64];
    int64_t first = 0, last = 0;
    snprintf(first_text, sizeof first_text, "%.*s", (int)(dots - part), part);
    int bad = attn_text_integer(first_text, &first);
    bad = bad != 0 ? bad : attn_text_integer(dots + 2, &last);
    if (bad != 0 || first < 1 || last < first) {
        return attn_fail(error, ATTN_USAGE, "%s=%s: %s", choice->name, part,
                         bad == 2 ? "the number does not fit 63 bits" : "a range is FIRST..LAST, 1 <= FIRST <= LAST");
    }
    for (int64_t value = first; value <= last; value *= 2) {
        if (choice->count == ATTN_VALUES_MAX) {
            return attn_fail(error, ATTN_USAGE, "%s: more than %d values", choice->name, ATTN_VALUES_MAX);
        }
        snprintf(choice->values[choice->count++], 64, "%" PRId64, value);
        if (value > INT64_MAX / 2) {
            break;
        }
    }
    return ATTN_DONE;
}

static int read_choice(word_choice *choice, const char *word, attn_error *error) {
    size_t length = strcspn(word, "=");
    *choice = (word_choice){ .count = 1, .whole = word };
    if (word[length] == '\0' || length > 63) {
        return attn_fail(error, ATTN_USAGE, "%s: not a word name=value", word);
    }
    snprintf(choice->name, sizeof choice->name, "%.*s", (int)length, word);
    const char *value = word + length + 1;
    const attn_word *known = attn_word_find(word, length);
    if ((known && known->whole) || (!strchr(value, ',') && !strstr(value, ".."))) {
        return ATTN_DONE;
    }
    choice->values = malloc(ATTN_VALUES_MAX * sizeof *choice->values);
    if (!choice->values) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    choice->count = 0;
    for (const char *at = value;; at++) {
        char part[64];
        size_t part_length = strcspn(at, ",");
        if (part_length == 0 || part_length > 63 || choice->count == ATTN_VALUES_MAX) {
            return attn_fail(error, ATTN_USAGE, "%s=%s: a list of values is expected", choice->name, value);
        }
        snprintf(part, sizeof part, "%.*s", (int)part_length, at);
        if (!strstr(part, "..")) {
            memcpy(choice->values[choice->count++], part, sizeof part);
        } else if (add_range(choice, part, error) != ATTN_DONE) {
            return error->status;
        }
        at += part_length;
        if (*at == '\0') {
            return ATTN_DONE;
        }
    }
}

static int cases_append(attn_cases *cases, const attn_case *c, attn_error *error) {
    if (cases->count == ATTN_CASES_MAX) {
        return attn_fail(error, ATTN_USAGE, "more than %d problems at once", ATTN_CASES_MAX);
    }
    if (cases->count == cases->capacity) {
        int64_t capacity = cases->capacity == 0 ? 16 : 2 * cases->capacity;
        attn_case *items = realloc(cases->items, (size_t)capacity * sizeof *items);
        if (!items) {
            return attn_fail(error, ATTN_UNSERVED, "out of memory");
        }
        cases->items = items;
        cases->capacity = capacity;
    }
    cases->items[cases->count++] = *c;
    return ATTN_DONE;
}

/* The case of the present choices. */
static int add_combination(attn_cases *cases, word_choice *choices, int count, attn_error *error) {
    char single[ATTN_WORDS_MAX][130];
    char *words[ATTN_WORDS_MAX];
    attn_case *c = malloc(sizeof *c);
    if (!c) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    for (int w = 0; w < count; w++) {
        words[w] = single[w];
        if (!choices[w].values) {
            words[w] = (char *)(uintptr_t)choices[w].whole;
        } else {
            snprintf(single[w], sizeof single[w], "%.63s=%.63s", choices[w].name, choices[w].values[choices[w].now]);
        }
    }
    attn_case_init(c);
    int status = attn_case_read(c, count, words, error);
    if (status == ATTN_DONE) {
        status = attn_case_complete(c, error);
    }
    if (status == ATTN_DONE) {
        status = cases_append(cases, c, error);
    }
    free(c);
    return status;
}

/* The next combination, the last word fastest; false after the last one. */
static bool next_combination(word_choice *choices, int count) {
    for (int w = count - 1; w >= 0; w--) {
        if (++choices[w].now < choices[w].count) {
            return true;
        }
        choices[w].now = 0;
    }
    return false;
}

int attn_cases_expand(attn_cases *cases, int count, char **words, attn_error *error) {
    word_choice choices[ATTN_WORDS_MAX];
    int read = 0;
    int status =
        count > ATTN_WORDS_MAX ? attn_fail(error, ATTN_USAGE, "more than %d words", ATTN_WORDS_MAX) : ATTN_DONE;
    while (status == ATTN_DONE && read < count) {
        status = read_choice(&choices[read], words[read], error);
        read++;
    }
    while (status == ATTN_DONE) {
        status = add_combination(cases, choices, count, error);
        if (!next_combination(choices, count)) {
            break;
        }
    }
    for (int w = 0; w < read; w++) {
        free(choices[w].values);
    }
    return status;
}

/* ------------------------------------------------------------------------------------ lines */

int attn_cases_line(attn_cases *cases, const char *line, attn_error *error) {
    static const char blanks[] = " \t\r\n";
    char text[ATTN_CASE_TEXT];
    char *words[ATTN_WORDS_MAX];
    int count = 0;
    size_t length = strcspn(line, "#");
    if (length >= sizeof text) {
        return attn_fail(error, ATTN_USAGE, "%.60s...: the line is too long", line);
    }
    memcpy(text, line, length);
    text[length] = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(text, blanks, &rest); word; word = strtok_r(NULL, blanks, &rest)) {
        if (count == ATTN_WORDS_MAX) {
            return attn_fail(error, ATTN_USAGE, "more than %d words", ATTN_WORDS_MAX);
        }
        words[count++] = word;
    }
    return count == 0 ? ATTN_DONE : attn_cases_expand(cases, count, words, error);
}

void attn_cases_free(attn_cases *cases) {
    free(cases->items);
    *cases = (attn_cases){ 0 };
}
