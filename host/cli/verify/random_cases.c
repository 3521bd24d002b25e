/*
 * Draws problems as lines of words and reads them as any other line, so that what fails can be said in one line. The
 * sizes are drawn here, together: weighted towards small, odd ones next to powers of two, and bounded in cost. How each
 * word is drawn its row in case_words.c says.
 */
#include "verify/random_cases.h"

#include <stdlib.h>
#include <string.h>

#include "case/case_default.h"
#include "case/word_draws.h"

static int64_t pick(attn_drawing *drawing, const int64_t *from, size_t count) {
    return from[attn_draw_below(drawing, count)];
}

#define PICK(drawing, array) pick(drawing, array, sizeof(array) / sizeof(array)[0])

static int64_t draw_small_length(attn_drawing *drawing) {
    static const int64_t edges[] = { 1,   2,   15,  17,  31,  32,  33,  63,  64,  65,
                                     100, 127, 128, 129, 200, 255, 257, 300, 511, 512 };
    return attn_draw_chance(drawing, 40) ? 1 + (int64_t)attn_draw_below(drawing, 24) : PICK(drawing, edges);
}

/* Every eighth case has more than 512 keys, every sixty-fourth more than 4096. */
static int64_t draw_key_length(attn_drawing *drawing) {
    static const int64_t longer[] = { 513, 514, 640, 777, 1000, 1023, 1025, 1500, 2049, 3000 };
    static const int64_t longest[] = { 4097, 4099, 4608, 5001, 6000, 8193 };
    if (drawing->n % 64 == 35) {
        return PICK(drawing, longest);
    }
    if (drawing->n % 8 == 3) {
        return PICK(drawing, longer);
    }
    return attn_draw_chance(drawing, 2) ? 0 : draw_small_length(drawing);
}

static int draw_dims(attn_drawing *drawing, const char *dims_text, attn_error *error) {
    static const int64_t usual[] = { 64, 64, 64, 128, 128, 1, 3, 8, 32, 40, 80, 96 };
    static const int64_t rare[] = { 63, 72, 112, 160, 192, 224, 256, 257, 512, 576 };
    int64_t given[64];
    char parts[64][64];
    int count = 0;
    if (dims_text) {
        count = attn_text_split(dims_text, parts, 64);
        for (int d = 0; d < count; d++) {
            if (attn_text_integer(parts[d], &given[d]) != 0 || given[d] < 1) {
                count = -1;
            }
        }
        if (count < 1) {
            return attn_fail(error, ATTN_USAGE, "--dims %.100s: a list of numbers of at least 1 is expected",
                             dims_text);
        }
    }
    int64_t *const dims[] = { &drawing->sizes.head_dim, &drawing->sizes.value_dim };
    for (int which = 0; which < 2; which++) {
        *dims[which] = count > 0                      ? pick(drawing, given, (size_t)count)
                       : attn_draw_chance(drawing, 6) ? PICK(drawing, rare)
                                                      : PICK(drawing, usual);
    }
    drawing->sizes.value_dim = attn_draw_chance(drawing, 70) ? drawing->sizes.head_dim : drawing->sizes.value_dim;
    return ATTN_DONE;
}

/* Makes the sizes smaller until their product is affordable. */
static void bound_work(clattn_problem *sizes, int64_t *group) {
    double row = (double)sizes->key_length * (double)(sizes->head_dim + sizes->value_dim);
    while ((double)(sizes->batch * sizes->kv_heads * *group) * row * (double)sizes->query_length > ATTN_RANDOM_WORK) {
        if (sizes->batch > 1 || sizes->kv_heads * *group > 4) {
            sizes->batch = sizes->batch > 1 ? sizes->batch - 1 : 1;
            sizes->kv_heads = sizes->kv_heads * *group > 4 ? 1 : sizes->kv_heads;
        } else if (sizes->query_length > 4) {
            sizes->query_length = sizes->query_length / 2 + 1;
        } else {
            *group = sizes->kv_heads = 1;
            sizes->query_length = sizes->query_length > 1 ? sizes->query_length - 1 : 1;
        }
        if (sizes->query_length == 1 && *group * sizes->kv_heads * sizes->batch == 1) {
            break;
        }
    }
}

static void draw_sizes(attn_drawing *drawing) {
    static const int64_t groups[] = { 1, 1, 1, 2, 3, 4 };
    clattn_problem *sizes = &drawing->sizes;
    sizes->batch = attn_draw_chance(drawing, 1) ? 0 : 1 + (int64_t)attn_draw_below(drawing, 3);
    sizes->kv_heads = 1 + (int64_t)attn_draw_below(drawing, 3);
    int64_t group = PICK(drawing, groups);
    sizes->key_length = draw_key_length(drawing);
    sizes->query_length = attn_draw_chance(drawing, 15)   ? 1 + (int64_t)attn_draw_below(drawing, 4)
                          : attn_draw_chance(drawing, 40) ? sizes->key_length
                          : attn_draw_chance(drawing, 2)  ? 0
                                                          : draw_small_length(drawing);
    bound_work(sizes, &group);
    sizes->query_heads = sizes->kv_heads * group;
    sizes->past_length =
        attn_draw_chance(drawing, 20) ? (int64_t)attn_draw_below(drawing, (uint64_t)sizes->key_length + 1) : 0;
}

static bool says(const char *words, const char *name) {
    return attn_line_gives(words, name, strlen(name));
}

/*
 * Takes what lists of the words (query_lengths, key_lengths, offsets) ask of drawn sizes: an entry for each number, and
 * lengths of which as much may be used.
 */
static void take_lists(clattn_problem *sizes, const char *words) {
    const struct {
        const char *name, *size;
        int64_t *length;
    } lists[] = { { "query_lengths", "query_length", &sizes->query_length },
                  { "key_lengths", "key_length", &sizes->key_length },
                  { "offsets", "", NULL } };
    for (int n = 0; n < 3; n++) {
        const char *value = attn_line_value(words, lists[n].name, strlen(lists[n].name));
        if (!value || strncmp(value, "random", 6) == 0) {
            continue;
        }
        int64_t count = 0;
        for (bool more = true; more; value++) {
            char *end;
            int64_t number = strtoll(value, &end, 10);
            if (lists[n].length && number > *lists[n].length && !says(words, lists[n].size)) {
                *lists[n].length = number;
            }
            count++;
            value = end;
            more = *end == ',';
        }
        sizes->batch = says(words, "batch") ? sizes->batch : count;
    }
}

/* Sizes that the words say, and what the drawn ones become beside them. */
static int take_sizes(attn_drawing *drawing, const char *words, attn_error *error) {
    clattn_problem *sizes = &drawing->sizes;
    const struct {
        const char *name;
        int64_t *size;
    } said[] = { { "batch", &sizes->batch },           { "query_heads", &sizes->query_heads },
                 { "kv_heads", &sizes->kv_heads },     { "query_length", &sizes->query_length },
                 { "key_length", &sizes->key_length }, { "past", &sizes->past_length } };
    for (int n = 0; n < 6; n++) {
        const char *value = attn_line_value(words, said[n].name, strlen(said[n].name));
        char text[32] = "";
        if (value) {
            snprintf(text, sizeof text, "%.*s", (int)strcspn(value, " \t"), value);
            if (attn_text_integer(text, said[n].size) != 0) {
                return attn_fail(error, ATTN_USAGE, "%s=%s: one number is expected beside --cases", said[n].name, text);
            }
        }
    }
    if (sizes->kv_heads > 0 && sizes->query_heads % sizes->kv_heads != 0) {
        if (!says(words, "query_heads")) {
            sizes->query_heads = sizes->kv_heads;
        } else if (!says(words, "kv_heads")) {
            sizes->kv_heads = 1;
        } /* else the words contradict themselves, and the problem is refused */
    }
    take_lists(sizes, words);
    if (sizes->past_length > sizes->key_length && !says(words, "past")) {
        sizes->past_length = 0;
    } else if (sizes->past_length > sizes->key_length && !says(words, "key_length")) {
        sizes->key_length = sizes->past_length;
    }
    return ATTN_DONE;
}

/*
 * Whether a drawn word cannot stand beside those that are said: backward has no weights to write, fp64 no results of
 * another type, and 16 bits no sums with what is there.
 */
static bool contradicts(const char *word, const char *drawn, const char *words) {
    if (strncmp(word, "weights", 7) == 0) {
        return strstr(words, "direction=backward");
    }
    if (strncmp(word, "type=fp64", 9) == 0) {
        return says(words, "output_type") || says(words, "gradient_type");
    }
    bool narrow = strncmp(word, "type=fp16", 9) == 0 || strncmp(word, "type=bf16", 9) == 0;
    return narrow && strstr(words, "add=yes") && !says(words, "gradient_type") && !says(drawn, "gradient_type");
}

/* The drawn words that `words` does not say, then those. */
static void put_words(char line[ATTN_CASE_TEXT], const char *drawn, const char *words) {
    const char *at = drawn;
    line[0] = '\0';
    for (size_t length; *at != '\0'; at += length, at += strspn(at, " ")) {
        length = strcspn(at, " ");
        if (!contradicts(at, drawn, words) && !attn_line_gives(words, at, strcspn(at, "="))) {
            attn_text_add(line, ATTN_CASE_TEXT, "%.*s ", (int)length, at);
        }
    }
    attn_text_add(line, ATTN_CASE_TEXT, "%s", words);
}

int attn_random_case(attn_case *c, uint64_t seed, uint64_t n, const char *dims_text, const char *words,
                     attn_error *error) {
    char line[ATTN_CASE_TEXT];
    attn_drawing drawing = { .seed = seed, .n = n, .words = words };
    attn_cases cases = { 0 };
    if (draw_dims(&drawing, dims_text, error) != ATTN_DONE) {
        return error->status;
    }
    draw_sizes(&drawing);
    if (take_sizes(&drawing, words, error) != ATTN_DONE) {
        return error->status;
    }
    attn_draw_words(&drawing);
    put_words(line, drawing.text, words);
    int status = attn_cases_line(&cases, line, error);
    if (status == ATTN_DONE) {
        *c = cases.items[0];
    }
    attn_cases_free(&cases);
    return status;
}
