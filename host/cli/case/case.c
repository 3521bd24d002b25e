/*
 * Words to cases: one table row a word. Says what a value may look like, not what an engine can do. To add a word,
 * write a reader below and add its row to the table. Words of later releases are in case_later.c.
 */
#include "case/case.h"

#include <stddef.h>
#include <string.h>

#include "base/hint.h"
#include "case/case_later.h"

typedef struct attn_word attn_word;
typedef int (*attn_word_reader)(attn_case *c, const attn_word *word, const char *value, attn_error *error);

struct attn_word {
    const char *name;
    attn_word_reader read;
    size_t field;    /* offset in attn_case, for the plain readers */
    int64_t minimum; /* for sizes */
    bool drawing;    /* only problems that draw their own data take it */
};

void attn_case_init(attn_case *c) {
    memset(c, 0, sizeof *c);
    c->problem = (clattn_problem)CLATTN_PROBLEM_INIT;
    c->spread = 1;
}

static int attn_bad_value(attn_error *error, const attn_word *word, const char *value, const char *wants) {
    return attn_fail(error, ATTN_BAD, "%s=%s: %s", word->name, value, wants);
}

static int attn_read_integer(const attn_word *word, const char *value, int64_t *read, attn_error *error) {
    switch (attn_text_integer(value, read)) {
        case 0: return ATTN_DONE;
        case 1: return attn_bad_value(error, word, value, "a whole number is wanted");
        default: return attn_bad_value(error, word, value, "the number does not fit 63 bits");
    }
}

static int attn_read_size(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    int64_t read = 0;
    if (attn_read_integer(word, value, &read, error) != ATTN_DONE) {
        return error->status;
    }
    if (read < word->minimum) {
        return attn_fail(error, ATTN_BAD, "%s=%s: at least %lld is wanted", word->name, value,
                         (long long)word->minimum);
    }
    memcpy((char *)c + word->field, &read, sizeof read);
    c->has_query_length = c->has_query_length || strcmp(word->name, "query_length") == 0;
    c->has_head_dim = c->has_head_dim || strcmp(word->name, "head_dim") == 0;
    c->has_past = c->has_past || strcmp(word->name, "past") == 0;
    return ATTN_DONE;
}

static int attn_read_bool(const attn_word *word, const char *value, bool *read, attn_error *error) {
    *read = strcmp(value, "yes") == 0;
    return *read || strcmp(value, "no") == 0 ? ATTN_DONE : attn_bad_value(error, word, value, "yes or no is wanted");
}

static int attn_read_yes(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    bool read = false;
    if (attn_read_bool(word, value, &read, error) != ATTN_DONE) {
        return error->status;
    }
    memcpy((char *)c + word->field, &read, sizeof read);
    return ATTN_DONE;
}

static int attn_read_number(const attn_word *word, const char *value, bool negative, double *read, attn_error *error) {
    int status = attn_text_number(value, read);
    if (status != 0) {
        return attn_bad_value(error, word, value, status == 1 ? "a number is wanted" : "the number does not fit");
    }
    return negative || *read >= 0 ? ATTN_DONE : attn_bad_value(error, word, value, "a number of 0 or more is wanted");
}

static int attn_read_positive(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    return attn_read_number(word, value, false, (double *)(void *)((char *)c + word->field), error);
}

static int attn_read_scale(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    c->problem.has_scale = true;
    return attn_read_number(word, value, true, &c->problem.scale, error);
}

static int attn_read_type(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    static const clattn_type types[] = { CLATTN_FP32, CLATTN_FP16, CLATTN_BF16, CLATTN_FP64 };
    for (int t = 0; t < 4; t++) {
        if (strcmp(value, clattn_type_name(types[t])) == 0) {
            c->problem.type = types[t];
            c->has_type = true;
            return ATTN_DONE;
        }
    }
    return attn_bad_value(error, word, value, "fp32, fp16, bf16 or fp64 is wanted");
}

static int attn_read_align(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    static const struct {
        const char *name;
        clattn_alignment alignment;
    } names[] = { { "top_left", CLATTN_ALIGN_TOP_LEFT },
                  { "bottom_right", CLATTN_ALIGN_BOTTOM_RIGHT },
                  { "past", CLATTN_ALIGN_PAST } };
    c->has_align = true;
    for (int n = 0; n < 3; n++) {
        if (strcmp(value, names[n].name) == 0) {
            c->problem.alignment = names[n].alignment;
            return ATTN_DONE;
        }
    }
    int status = attn_text_integer(value, &c->problem.offset);
    if (status != 0) {
        return attn_bad_value(error, word, value,
                              status == 1 ? "top_left, bottom_right, past or a whole number is wanted"
                                          : "the number does not fit 63 bits");
    }
    c->problem.alignment = CLATTN_ALIGN_OFFSET;
    return ATTN_DONE;
}

static int attn_read_window(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    char parts[2][64];
    int64_t *const sides[2] = { &c->problem.window_left, &c->problem.window_right };
    if (attn_text_split(value, parts, 2) != 2) {
        return attn_bad_value(error, word, value, "two sides are wanted, left,right (`open` for an open side)");
    }
    for (int side = 0; side < 2; side++) {
        *sides[side] = CLATTN_OPEN;
        if (strcmp(parts[side], "open") == 0) {
            continue;
        }
        if (attn_read_integer(word, parts[side], sides[side], error) != ATTN_DONE) {
            return error->status;
        }
        if (*sides[side] < 0) {
            return attn_bad_value(error, word, value, "a side is 0 or more, or open");
        }
    }
    return ATTN_DONE;
}

/* A broadcast shape, from the right; letters b h q k (or any full size) and 1. Answers the number of parts used. */
static int attn_read_shape(const attn_word *word, const char *value, char parts[][64], int count, int64_t shape[4],
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
            return attn_bad_value(error, word, value, "1 to 4 sizes are wanted, each 1 or a full one, such as 1,1,q,k");
        }
    }
    return ATTN_DONE;
}

static int attn_read_dims(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    bool is_mask = word->name[0] == 'm';
    const char *extra = is_mask ? "bits" : "storage";
    char parts[5][64];
    int count = attn_text_split(value, parts, 5);
    bool has_extra = count > 1 && strcmp(parts[count - 1], extra) == 0;
    count -= has_extra ? 1 : 0;
    if (count < 1 || count > 4) {
        return attn_bad_value(error, word, value, "1 to 4 sizes are wanted, each 1 or a full one, such as 1,1,q,k");
    }
    if (is_mask) {
        c->problem.mask = has_extra ? CLATTN_MASK_BITS : CLATTN_MASK_BYTES;
    } else {
        c->problem.bias = has_extra ? CLATTN_BIAS_STORAGE : CLATTN_BIAS_FP32;
    }
    return attn_read_shape(word, value, parts, count, is_mask ? c->problem.mask_shape : c->problem.bias_shape, error);
}

static int attn_read_list(const attn_word *word, const char *value, attn_case_list *list, attn_error *error) {
    list->kind = ATTN_LIST_GIVEN;
    list->count = 0;
    for (const char *at = value;; at++) {
        char part[64];
        size_t length = strcspn(at, ",");
        if (length == 0 || length > 63 || list->count == ATTN_CASE_LIST_MAX) {
            return attn_bad_value(error, word, value, "1 to 256 whole numbers are wanted, one a batch entry");
        }
        memcpy(part, at, length);
        part[length] = '\0';
        if (attn_read_integer(word, part, &list->values[list->count++], error) != ATTN_DONE) {
            return error->status;
        }
        at += length;
        if (*at == '\0') {
            return ATTN_DONE;
        }
    }
}

static int attn_read_lengths(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    bool is_query = word->name[0] == 'q';
    attn_case_list *list = is_query ? &c->query_lengths : &c->key_lengths;
    *(is_query ? &c->problem.query_lengths : &c->problem.key_lengths) = true;
    if (strcmp(value, "random") == 0) {
        list->kind = ATTN_LIST_RANDOM;
        return ATTN_DONE;
    }
    if (attn_read_list(word, value, list, error) != ATTN_DONE) {
        return error->status;
    }
    for (int64_t b = 0; b < list->count; b++) {
        if (list->values[b] < 0) {
            return attn_bad_value(error, word, value, "a length is 0 or more");
        }
    }
    return ATTN_DONE;
}

static int attn_read_offsets(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    c->problem.alignment = CLATTN_ALIGN_OFFSETS;
    return attn_read_list(word, value, &c->offsets, error);
}

static int attn_read_layout(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    c->bshd = strcmp(value, "bshd") == 0;
    return c->bshd || strcmp(value, "bhsd") == 0 ? ATTN_DONE
                                                 : attn_bad_value(error, word, value, "bhsd or bshd is wanted");
}

static int attn_read_strides(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    c->strides_random = strcmp(value, "random") == 0;
    return c->strides_random || strcmp(value, "packed") == 0
               ? ATTN_DONE
               : attn_bad_value(error, word, value, "packed or random is wanted");
}

static int attn_read_weights(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    static const char *const stages[] = { "raw", "softcap", "bias", "softmax" };
    for (int s = 0; s < 4; s++) {
        if (strcmp(value, stages[s]) == 0) {
            c->problem.weights = (clattn_weights_stage)(CLATTN_WEIGHTS_RAW + s);
            return ATTN_DONE;
        }
    }
    return attn_bad_value(error, word, value, "raw, softcap, bias or softmax is wanted");
}

/* weights_heads=FIRST,COUNT and weights_rows=FIRST,COUNT */
static int attn_read_part(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    char parts[2][64];
    bool heads = strcmp(word->name, "weights_heads") == 0;
    int64_t *first = heads ? &c->problem.weights_first_head : &c->problem.weights_first_row;
    int64_t *count = heads ? &c->problem.weights_heads : &c->problem.weights_rows;
    if (attn_text_split(value, parts, 2) != 2 || attn_text_integer(parts[0], first) != 0 ||
        attn_text_integer(parts[1], count) != 0 || *first < 0 || *count < 0) {
        return attn_bad_value(error, word, value, "FIRST,COUNT is wanted");
    }
    return ATTN_DONE;
}

static int attn_read_seed(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    switch (attn_text_unsigned(value, &c->seed)) {
        case 0: return ATTN_DONE;
        case 1: return attn_bad_value(error, word, value, "a whole number of 0 or more is wanted");
        default: return attn_bad_value(error, word, value, "the number does not fit 64 bits");
    }
}

#define PROBLEM(member) offsetof(attn_case, problem) + offsetof(clattn_problem, member)

static const attn_word attn_words[] = {
    { "batch", attn_read_size, PROBLEM(batch), 0, false },
    { "query_heads", attn_read_size, PROBLEM(query_heads), 0, false },
    { "kv_heads", attn_read_size, PROBLEM(kv_heads), 0, false },
    { "query_length", attn_read_size, PROBLEM(query_length), 0, false },
    { "key_length", attn_read_size, PROBLEM(key_length), 0, false },
    { "head_dim", attn_read_size, PROBLEM(head_dim), 1, false },
    { "value_dim", attn_read_size, PROBLEM(value_dim), 1, false },
    { "past", attn_read_size, PROBLEM(past_length), 0, false },
    { "type", attn_read_type, 0, 0, false },
    { "causal", attn_read_yes, PROBLEM(causal), 0, false },
    { "align", attn_read_align, 0, 0, false },
    { "window", attn_read_window, 0, 0, false },
    { "scale", attn_read_scale, 0, 0, false },
    { "softcap", attn_read_positive, PROBLEM(softcap), 0, false },
    { "seed", attn_read_seed, 0, 0, false },
    { "allow_tf32", attn_read_yes, PROBLEM(allow_tf32), 0, false },
    { "layout", attn_read_layout, 0, 0, false },
    { "mask", attn_read_dims, 0, 0, true },
    { "bias", attn_read_dims, 0, 0, true },
    { "alibi", attn_read_yes, PROBLEM(alibi), 0, true },
    { "sinks", attn_read_yes, PROBLEM(sinks), 0, true },
    { "query_lengths", attn_read_lengths, 0, 0, true },
    { "key_lengths", attn_read_lengths, 0, 0, true },
    { "offsets", attn_read_offsets, 0, 0, true },
    { "strides", attn_read_strides, 0, 0, true },
    { "weights", attn_read_weights, 0, 0, true },
    { "weights_heads", attn_read_part, 0, 0, true },
    { "weights_rows", attn_read_part, 0, 0, true },
    { "poison", attn_read_yes, offsetof(attn_case, poison), 0, true },
    { "spread", attn_read_positive, offsetof(attn_case, spread), 0, true },
};

enum { WORDS = sizeof attn_words / sizeof attn_words[0] };

const char *attn_case_word_name(int n) {
    return n < WORDS ? attn_words[n].name : attn_case_later_name(n - WORDS);
}

/* A word that may be right of a later release, or is none. */
static int read_other_word(attn_case *c, const char *word, size_t length, attn_error *error) {
    static const char *const flags[] = { "--engine", "--device", "--threads", "--suite", "--json", "--csv" };
    const char *wants = "";
    attn_hint hint;
    switch (attn_case_later(word, length, word + length + 1, &wants)) {
        case ATTN_LATER_OFF: return ATTN_DONE;
        case ATTN_LATER_BAD: return attn_fail(error, ATTN_BAD, "%s: %s", word, wants);
        case ATTN_LATER_ON:
            if (c->later[0] == '\0') {
                attn_text_copy(c->later, sizeof c->later, word, length);
            }
            return ATTN_DONE;
        default: break;
    }
    attn_hint_begin(&hint, word, length);
    for (int n = 0; attn_case_word_name(n); n++) {
        attn_hint_try(&hint, attn_case_word_name(n));
    }
    for (size_t f = 0; f < sizeof flags / sizeof flags[0]; f++) {
        attn_hint_try(&hint, flags[f]);
    }
    return attn_fail(error, ATTN_BAD, "%s: no such word%s", word, attn_hint_text(&hint));
}

int attn_case_word(attn_case *c, const char *word, attn_error *error) {
    size_t length = strcspn(word, "=");
    if (word[length] == '\0') {
        return attn_fail(error, ATTN_BAD, "%s: not a word name=value", word[0] != '\0' ? word : "\"\"");
    }
    attn_text_add(c->text, sizeof c->text, "%s%s", c->text[0] != '\0' ? " " : "", word);
    if (strlen(c->text) + 1 >= sizeof c->text) {
        return attn_fail(error, ATTN_BAD, "%.*s: the line is too long", (int)length, word);
    }
    for (int w = 0; w < WORDS; w++) {
        const attn_word *known = &attn_words[w];
        if (strlen(known->name) != length || strncmp(known->name, word, length) != 0) {
            continue;
        }
        if (known->drawing && c->drawing[0] == '\0') {
            snprintf(c->drawing, sizeof c->drawing, "%s", known->name);
        }
        return known->read(c, known, word + length + 1, error);
    }
    return read_other_word(c, word, length, error);
}

bool attn_case_is_decode(const clattn_problem *problem) {
    return problem->kv_heads > 0 && problem->query_length * (problem->query_heads / problem->kv_heads) <= 16;
}
