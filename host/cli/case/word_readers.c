/*
 * Readers of words. Each says what a value may look like, not what an engine can do. It knows no word by name: the row
 * says where the value goes. Readers of words of a later release are in case_later.c.
 */
#include "case/word_readers.h"

#include <inttypes.h>
#include <string.h>

int attn_word_bad(attn_error *error, const attn_word *word, const char *value, const char *wants) {
    return attn_fail(error, ATTN_USAGE, "%s=%s: %s", word->name, value, wants);
}

static int read_integer(const attn_word *word, const char *value, int64_t *read, attn_error *error) {
    switch (attn_text_integer(value, read)) {
        case 0: return ATTN_DONE;
        case 1: return attn_word_bad(error, word, value, "a whole number is expected");
        default: return attn_word_bad(error, word, value, "the number does not fit 63 bits");
    }
}

int attn_read_size(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    int64_t read = 0;
    if (read_integer(word, value, &read, error) != ATTN_DONE) {
        return error->status;
    }
    if (read < word->minimum) {
        return attn_fail(error, ATTN_USAGE, "%s=%s: at least %" PRId64 " is expected", word->name, value,
                         word->minimum);
    }
    *(int64_t *)attn_word_at(c, word->member) = read;
    return ATTN_DONE;
}

int attn_read_seed(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    switch (attn_text_unsigned(value, attn_word_at(c, word->member))) {
        case 0: return ATTN_DONE;
        case 1: return attn_word_bad(error, word, value, "a whole number of 0 or more is expected");
        default: return attn_word_bad(error, word, value, "the number does not fit 64 bits");
    }
}

int attn_read_number(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    int status = attn_text_number(value, attn_word_at(c, word->member));
    if (status != 0) {
        return attn_word_bad(error, word, value, status == 1 ? "a number is expected" : "the number does not fit");
    }
    return ATTN_DONE;
}

int attn_read_positive(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    if (attn_read_number(c, word, value, error) != ATTN_DONE) {
        return error->status;
    }
    return *(double *)attn_word_at(c, word->member) >= 0
               ? ATTN_DONE
               : attn_word_bad(error, word, value, "a number of 0 or more is expected");
}

int attn_read_probability(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    double p = 0;
    if (attn_text_number(value, &p) != 0 || !(p >= 0 && p < 1)) {
        return attn_word_bad(error, word, value, "a probability of at least 0 and below 1 is expected");
    }
    *(double *)attn_word_at(c, word->member) = p;
    return ATTN_DONE;
}

static int count_names(const attn_word *word) {
    int count = 0;
    while (count < ATTN_WORD_NAMES && word->names[count].name) {
        count++;
    }
    return count;
}

static const attn_word_name *find_name(const attn_word *word, const char *value) {
    for (int n = 0; n < count_names(word); n++) {
        if (strcmp(word->names[n].name, value) == 0) {
            return &word->names[n];
        }
    }
    return NULL;
}

/* NAME, NAME or NAME is expected; `besides` is one more way, or NULL. */
static int refuse_name(const attn_word *word, const char *value, const char *besides, attn_error *error) {
    char wants[128] = "";
    int count = count_names(word) + (besides ? 1 : 0);
    for (int n = 0; n < count; n++) {
        attn_text_add(wants, sizeof wants, "%s%s",
                      n == 0           ? ""
                      : n + 1 == count ? " or "
                                       : ", ",
                      besides && n + 1 == count ? besides : word->names[n].name);
    }
    attn_text_add(wants, sizeof wants, " is expected");
    return attn_word_bad(error, word, value, wants);
}

int attn_word_choose(const attn_word *word, const char *value, int *chosen, attn_error *error) {
    const attn_word_name *name = find_name(word, value);
    if (!name) {
        return refuse_name(word, value, NULL, error);
    }
    *chosen = name->value;
    return ATTN_DONE;
}

int attn_read_named(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    return attn_word_choose(word, value, attn_word_at(c, word->member), error);
}

int attn_read_switch(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    int chosen = 0;
    if (attn_word_choose(word, value, &chosen, error) != ATTN_DONE) {
        return error->status;
    }
    *(bool *)attn_word_at(c, word->member) = chosen != 0;
    return ATTN_DONE;
}

int attn_read_align(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    if (find_name(word, value)) {
        return attn_read_named(c, word, value, error);
    }
    switch (attn_text_integer(value, attn_word_at(c, word->second))) {
        case 0: c->problem.alignment = CLATTN_ALIGN_OFFSET; return ATTN_DONE;
        case 1: return refuse_name(word, value, "a whole number", error);
        default: return attn_word_bad(error, word, value, "the number does not fit 63 bits");
    }
}

int attn_read_window(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    char parts[2][64];
    int64_t *const sides[2] = { attn_word_at(c, word->member), attn_word_at(c, word->second) };
    if (attn_text_split(value, parts, 2) != 2) {
        return attn_word_bad(error, word, value, "two sides are expected, left,right (`open` for an open side)");
    }
    for (int side = 0; side < 2; side++) {
        *sides[side] = CLATTN_OPEN;
        if (strcmp(parts[side], "open") == 0) {
            continue;
        }
        if (read_integer(word, parts[side], sides[side], error) != ATTN_DONE) {
            return error->status;
        }
        if (*sides[side] < 0) {
            return attn_word_bad(error, word, value, "a side is 0 or more, or open");
        }
    }
    return ATTN_DONE;
}

int attn_read_part(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    char parts[2][64];
    int64_t *first = attn_word_at(c, word->member), *count = attn_word_at(c, word->second);
    if (attn_text_split(value, parts, 2) != 2 || attn_text_integer(parts[0], first) != 0 ||
        attn_text_integer(parts[1], count) != 0 || *first < 0 || *count < 0) {
        return attn_word_bad(error, word, value, "FIRST,COUNT is expected");
    }
    return ATTN_DONE;
}

/* A broadcast shape, from the right; letters b h q k (or any full size) and 1. */
static int read_shape(const attn_word *word, const char *value, char parts[][64], int count, int64_t shape[4],
                      attn_error *error) {
    for (int d = 0; d < 4; d++) {
        int at = d - (4 - count);
        shape[d] = 1;
        if (at < 0) {
            continue;
        }
        if (parts[at][0] == "bhqk"[d] && parts[at][1] == '\0') {
            shape[d] = CLATTN_SAME;
        } else if (attn_text_integer(parts[at], &shape[d]) != 0 || shape[d] < 0) {
            return attn_word_bad(error, word, value,
                                 "1 to 4 sizes are expected, each 1 or a full one, such as 1,1,q,k");
        }
    }
    return ATTN_DONE;
}

int attn_read_dims(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    char parts[5][64];
    int count = attn_text_split(value, parts, 5);
    bool has_last = count > 1 && strcmp(parts[count - 1], word->names[1].name) == 0;
    count -= has_last ? 1 : 0;
    if (count < 1 || count > 4) {
        return attn_word_bad(error, word, value, "1 to 4 sizes are expected, each 1 or a full one, such as 1,1,q,k");
    }
    *(int *)attn_word_at(c, word->member) = word->names[has_last].value;
    return read_shape(word, value, parts, count, attn_word_at(c, word->second), error);
}

static int read_list(const attn_word *word, const char *value, attn_case_list *list, attn_error *error) {
    list->kind = ATTN_LIST_GIVEN;
    list->count = 0;
    for (const char *at = value;; at++) {
        char part[64];
        size_t length = strcspn(at, ",");
        if (length == 0 || length > 63 || list->count == ATTN_CASE_LIST_MAX) {
            return attn_word_bad(error, word, value, "1 to 256 whole numbers are expected, one a batch entry");
        }
        memcpy(part, at, length);
        part[length] = '\0';
        if (read_integer(word, part, &list->values[list->count++], error) != ATTN_DONE) {
            return error->status;
        }
        at += length;
        if (*at == '\0') {
            return ATTN_DONE;
        }
    }
}

int attn_read_lengths(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    attn_case_list *list = attn_word_at(c, word->member);
    if (strcmp(value, "random") == 0) {
        list->kind = ATTN_LIST_RANDOM;
        return ATTN_DONE;
    }
    if (read_list(word, value, list, error) != ATTN_DONE) {
        return error->status;
    }
    for (int64_t b = 0; b < list->count; b++) {
        if (list->values[b] < 0) {
            return attn_word_bad(error, word, value, "a length is 0 or more");
        }
    }
    return ATTN_DONE;
}

int attn_read_offsets(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    c->problem.alignment = CLATTN_ALIGN_OFFSETS;
    return read_list(word, value, attn_word_at(c, word->member), error);
}
