/*
 * Reads tests/golden/problems.txt. Its words are those of the command line, but read here on its own, so that golden
 * numbers do not depend on the program's parser. A new word needs one line in set_word() or set_file().
 */
#define _POSIX_C_SOURCE 200809L
#include "support/golden.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER CLATTN_TEST_SOURCE_DIR "/golden/"

typedef struct parts {
    test_array query, key, value, past_key, past_value;
} parts;

static test_array *keep(golden *g, test_array array) {
    ck_assert_int_lt(g->file_count, GOLDEN_FILES);
    g->files[g->file_count] = array;
    return &g->files[g->file_count++];
}

static test_array read_named(const char *stem) {
    char path[512];
    snprintf(path, sizeof path, FOLDER "%s.npy", stem);
    return test_array_read(path);
}

static void set_shape(int64_t shape[4], const test_array *array) {
    for (int d = 0; d < 4; d++) {
        int from = d - (4 - array->dimensions);
        shape[d] = from < 0 ? 1 : array->shape[from];
    }
}

static void set_integers(clattn_integers *integers, const test_array *array) {
    integers->data = array->data;
    integers->type = array->item == 4 ? CLATTN_INT32 : CLATTN_INT64;
}

static bool set_optional_file(golden *g, const char *word, const char *stem) {
    clattn_problem *p = &g->problem;
    clattn_tensors *t = &g->tensors;
    static const char *const known[] = { "mask", "bias", "sinks", "alibi_slopes", "key_lengths", "offsets" };
    int which = 0;
    while (which < 6 && strcmp(word, known[which]) != 0) {
        which++;
    }
    if (which == 6) {
        return false;
    }
    const test_array *array = keep(g, read_named(stem));
    switch (which) {
        case 0: p->mask = CLATTN_MASK_BYTES, t->mask.data = array->data, set_shape(p->mask_shape, array); break;
        case 1: p->bias = CLATTN_BIAS_FP32, t->bias.data = array->data, set_shape(p->bias_shape, array); break;
        case 2: p->sinks = true, t->sinks.data = array->data; break;
        case 3: p->alibi = true, t->alibi_slopes.data = array->data; break;
        case 4: p->key_lengths = true, set_integers(&t->key_lengths, array); break;
        default: p->alignment = CLATTN_ALIGN_OFFSETS, set_integers(&t->offsets, array); break;
    }
    return true;
}

static bool set_file(golden *g, parts *in, const char *word, const char *stem) {
    const struct {
        const char *word;
        test_array *array;
    } slots[] = { { "query", &in->query },       { "key", &in->key },         { "value", &in->value },
                  { "past_key", &in->past_key }, { "past_value", &in->past_value }, { "output", &g->output },
                  { "logsumexp", &g->logsumexp }, { "weights", &g->weights } };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        if (strcmp(word, slots[i].word) == 0) {
            *slots[i].array = read_named(stem);
            return true;
        }
    }
    return set_optional_file(g, word, stem);
}

static int choose(const char *value, const char *const *names, int count) {
    for (int i = 0; i < count; i++) {
        if (strcmp(value, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static void set_alignment(clattn_problem *p, const char *value) {
    static const char *const names[] = { "unset", "top_left", "bottom_right", "past" };
    int which = choose(value, names, 4);
    p->alignment = which < 0 ? CLATTN_ALIGN_OFFSET : (clattn_alignment)which;
    p->offset = which < 0 ? strtoll(value, NULL, 10) : 0;
}

static void set_window(clattn_problem *p, const char *value) {
    const char *comma = strchr(value, ',');
    ck_assert_ptr_nonnull(comma);
    p->window_left = strncmp(value, "open", 4) == 0 ? CLATTN_OPEN : strtoll(value, NULL, 10);
    p->window_right = strcmp(comma + 1, "open") == 0 ? CLATTN_OPEN : strtoll(comma + 1, NULL, 10);
}

static void set_word(golden *g, const char *word, const char *value) {
    static const char *const types[] = { "fp32", "fp16", "bf16", "fp64" };
    static const char *const stages[] = { "none", "raw", "softcap", "bias", "softmax" };
    clattn_problem *p = &g->problem;
    if (strcmp(word, "type") == 0) {
        p->type = (clattn_type)choose(value, types, 4);
    } else if (strcmp(word, "causal") == 0) {
        p->causal = strcmp(value, "yes") == 0;
    } else if (strcmp(word, "align") == 0) {
        set_alignment(p, value);
    } else if (strcmp(word, "window") == 0) {
        set_window(p, value);
    } else if (strcmp(word, "scale") == 0) {
        p->has_scale = true;
        p->scale = strtod(value, NULL);
    } else if (strcmp(word, "softcap") == 0) {
        p->softcap = strtod(value, NULL);
    } else if (strcmp(word, "past") == 0) {
        p->past_length = strtoll(value, NULL, 10);
    } else if (strcmp(word, "stage") == 0) {
        p->weights = (clattn_weights_stage)choose(value, stages, 5);
    } else {
        ck_abort_msg("%s: unknown word %s", g->name, word);
    }
}

/** Past rows, then new ones, for each batch entry and head. */
static void *join(const test_array *past, const test_array *fresh) {
    size_t rows_past = (size_t)past->shape[2], rows = (size_t)fresh->shape[2];
    size_t row = (size_t)(fresh->shape[3] * fresh->item), heads = (size_t)(fresh->shape[0] * fresh->shape[1]);
    char *all = malloc(heads * (rows_past + rows) * row);
    ck_assert_ptr_nonnull(all);
    for (size_t h = 0; h < heads; h++) {
        char *to = all + h * (rows_past + rows) * row;
        memcpy(to, (const char *)past->data + h * rows_past * row, rows_past * row);
        memcpy(to + rows_past * row, (const char *)fresh->data + h * rows * row, rows * row);
    }
    return all;
}

static void set_main(golden *g, parts *in) {
    clattn_problem *p = &g->problem;
    p->batch = in->query.shape[0];
    p->query_heads = in->query.shape[1];
    p->query_length = in->query.shape[2];
    p->head_dim = in->query.shape[3];
    p->kv_heads = in->key.shape[1];
    p->key_length = in->key.shape[2] + p->past_length;
    p->value_dim = in->value.shape[3];
    p->logsumexp = g->logsumexp.data;
    g->tensors.query.data = keep(g, in->query)->data;
    g->tensors.key.data = keep(g, in->key)->data;
    g->tensors.value.data = keep(g, in->value)->data;
    if (p->past_length > 0) {
        g->tensors.key.data = g->joined[0] = join(&in->past_key, &in->key);
        g->tensors.value.data = g->joined[1] = join(&in->past_value, &in->value);
        keep(g, in->past_key);
        keep(g, in->past_value);
    }
}

static void parse_line(golden *g, char *line) {
    parts in = { 0 };
    char *rest;
    char *word = strtok_r(line, " \n", &rest);
    snprintf(g->name, sizeof g->name, "%s", word);
    while ((word = strtok_r(NULL, " \n", &rest))) {
        char *value = strchr(word, '=');
        ck_assert_msg(value, "%s: %s", g->name, word);
        *value++ = '\0';
        if (!set_file(g, &in, word, value)) {
            set_word(g, word, value);
        }
    }
    set_main(g, &in);
}

bool golden_next(long *position, golden *g) {
    char line[2048];
    bool found = false;
    FILE *file = fopen(FOLDER "problems.txt", "r");
    ck_assert_msg(file, "no " FOLDER "problems.txt");
    ck_assert_int_eq(fseek(file, *position, SEEK_SET), 0);
    *g = (golden){ .problem = CLATTN_PROBLEM_INIT, .tensors = CLATTN_TENSORS_INIT };
    while (!found && fgets(line, sizeof line, file)) {
        found = line[0] != '#' && line[0] != '\n';
    }
    *position = ftell(file);
    fclose(file);
    if (found) {
        parse_line(g, line);
    }
    return found;
}

void golden_free(golden *g) {
    for (int i = 0; i < g->file_count; i++) {
        test_array_free(&g->files[i]);
    }
    test_array_free(&g->output);
    test_array_free(&g->logsumexp);
    test_array_free(&g->weights);
    free(g->joined[0]);
    free(g->joined[1]);
}
