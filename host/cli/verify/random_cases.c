/*
 * Draws problems as lines of words and reads them as any other line, so that what fails can be said in one line. Sizes
 * are weighted towards small, odd ones next to powers of two, and bounded in cost. To draw a new word, add it to
 * attn_draw_words.
 */
#include "verify/random_cases.h"

#include <stdarg.h>
#include <string.h>

#include "case/case_data.h"

typedef struct attn_drawing {
    uint64_t seed, n, next;
    char text[ATTN_CASE_TEXT];
    int64_t batch, kv_heads, group, query_length, key_length, head_dim, value_dim, past;
    bool fixed_lengths_differ; /* lengths differ, vary, or there is a past: an alignment is needed */
} attn_drawing;

static uint64_t attn_below(attn_drawing *drawing, uint64_t n) {
    return attn_draw(drawing->seed, 1000 + drawing->n, drawing->next++) % n;
}

static bool attn_chance(attn_drawing *drawing, uint64_t per_cent) {
    return attn_below(drawing, 100) < per_cent;
}

static int64_t attn_pick(attn_drawing *drawing, const int64_t *from, size_t count) {
    return from[attn_below(drawing, count)];
}

#define PICK(drawing, array) attn_pick(drawing, array, sizeof(array) / sizeof(array)[0])

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void
attn_say(attn_drawing *drawing, const char *format, ...) {
    char word[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(word, sizeof word, format, arguments);
    va_end(arguments);
    attn_text_add(drawing->text, sizeof drawing->text, "%s%s", drawing->text[0] != '\0' ? " " : "", word);
}

/* ------------------------------------------------------------------------------------ sizes */

static int64_t attn_draw_small_length(attn_drawing *drawing) {
    static const int64_t edges[] = { 1,   2,   15,  17,  31,  32,  33,  63,  64,  65,
                                     100, 127, 128, 129, 200, 255, 257, 300, 511, 512 };
    return attn_chance(drawing, 40) ? 1 + (int64_t)attn_below(drawing, 24) : PICK(drawing, edges);
}

/* Every eighth case has more than 512 keys, every sixty-fourth more than 4096. */
static int64_t attn_draw_key_length(attn_drawing *drawing) {
    static const int64_t longer[] = { 513, 514, 640, 777, 1000, 1023, 1025, 1500, 2049, 3000 };
    static const int64_t longest[] = { 4097, 4099, 4608, 5001, 6000, 8193 };
    if (drawing->n % 64 == 35) {
        return PICK(drawing, longest);
    }
    if (drawing->n % 8 == 3) {
        return PICK(drawing, longer);
    }
    return attn_chance(drawing, 2) ? 0 : attn_draw_small_length(drawing);
}

static int attn_draw_dims(attn_drawing *drawing, const char *dims_text, attn_error *error) {
    static const int64_t usual[] = { 64, 64, 64, 128, 128, 1, 3, 8, 32, 40, 80, 96 };
    static const int64_t rare[] = { 63, 72, 112, 160, 192, 224, 256, 257, 512, 576 };
    int64_t given[64];
    char parts[64][64];
    int count = 0;
    if (dims_text != NULL) {
        count = attn_text_split(dims_text, parts, 64);
        for (int d = 0; d < count; d++) {
            if (attn_text_integer(parts[d], &given[d]) != 0 || given[d] < 1) {
                count = -1;
            }
        }
        if (count < 1) {
            return attn_fail(error, ATTN_BAD, "--dims %.100s: a list of numbers of at least 1 is wanted", dims_text);
        }
    }
    for (int which = 0; which < 2; which++) {
        int64_t dim = count > 0                 ? attn_pick(drawing, given, (size_t)count)
                      : attn_chance(drawing, 6) ? PICK(drawing, rare)
                                                : PICK(drawing, usual);
        *(which == 0 ? &drawing->head_dim : &drawing->value_dim) = dim;
    }
    drawing->value_dim = attn_chance(drawing, 70) ? drawing->head_dim : drawing->value_dim;
    return ATTN_DONE;
}

static void attn_draw_sizes(attn_drawing *drawing) {
    static const int64_t groups[] = { 1, 1, 1, 2, 3, 4 };
    drawing->batch = attn_chance(drawing, 1) ? 0 : 1 + (int64_t)attn_below(drawing, 3);
    drawing->kv_heads = 1 + (int64_t)attn_below(drawing, 3);
    drawing->group = PICK(drawing, groups);
    drawing->key_length = attn_draw_key_length(drawing);
    drawing->query_length = attn_chance(drawing, 15)   ? 1 + (int64_t)attn_below(drawing, 4)
                            : attn_chance(drawing, 40) ? drawing->key_length
                            : attn_chance(drawing, 2)  ? 0
                                                       : attn_draw_small_length(drawing);
    double row = (double)drawing->key_length * (double)(drawing->head_dim + drawing->value_dim);
    while ((double)(drawing->batch * drawing->kv_heads * drawing->group) * row * (double)drawing->query_length >
           ATTN_RANDOM_WORK) {
        if (drawing->batch > 1 || drawing->kv_heads * drawing->group > 4) {
            drawing->batch = drawing->batch > 1 ? drawing->batch - 1 : 1;
            drawing->kv_heads = drawing->kv_heads * drawing->group > 4 ? 1 : drawing->kv_heads;
        } else if (drawing->query_length > 4) {
            drawing->query_length = drawing->query_length / 2 + 1;
        } else {
            drawing->group = drawing->kv_heads = 1;
            drawing->query_length = drawing->query_length > 1 ? drawing->query_length - 1 : 1;
        }
        if (drawing->query_length == 1 && drawing->group * drawing->kv_heads * drawing->batch == 1) {
            break;
        }
    }
    drawing->past = attn_chance(drawing, 20) ? (int64_t)attn_below(drawing, (uint64_t)drawing->key_length + 1) : 0;
}

static void attn_say_sizes(attn_drawing *drawing) {
    static const char *const types[] = { "fp32", "fp32", "fp32", "fp32", "fp16", "fp16", "bf16", "bf16", "fp64" };
    attn_say(drawing, "batch=%lld", (long long)drawing->batch);
    attn_say(drawing, "query_heads=%lld", (long long)(drawing->kv_heads * drawing->group));
    if (drawing->group > 1) {
        attn_say(drawing, "kv_heads=%lld", (long long)drawing->kv_heads);
    }
    attn_say(drawing, "query_length=%lld", (long long)drawing->query_length);
    if (drawing->key_length != drawing->query_length) {
        attn_say(drawing, "key_length=%lld", (long long)drawing->key_length);
    }
    attn_say(drawing, "head_dim=%lld", (long long)drawing->head_dim);
    if (drawing->value_dim != drawing->head_dim) {
        attn_say(drawing, "value_dim=%lld", (long long)drawing->value_dim);
    }
    if (drawing->past > 0) {
        attn_say(drawing, "past=%lld", (long long)drawing->past);
    }
    attn_say(drawing, "type=%s", types[attn_below(drawing, 9)]);
}

/* ------------------------------------------------------------------------------------ features */

static void attn_say_lengths(attn_drawing *drawing) {
    bool query = attn_chance(drawing, 15), key = attn_chance(drawing, 20);
    if (query) {
        attn_say(drawing, "query_lengths=random");
    }
    if (key) {
        attn_say(drawing, "key_lengths=random");
    }
    drawing->fixed_lengths_differ = query || key || drawing->past > 0 || drawing->query_length != drawing->key_length;
}

/* offsets=a,b,..: one an entry, negative ones too. */
static void attn_say_offsets(attn_drawing *drawing) {
    char list[128] = "";
    int64_t span = drawing->key_length + drawing->query_length + 1;
    for (int64_t b = 0; b < drawing->batch; b++) {
        int64_t offset = (int64_t)attn_below(drawing, (uint64_t)span) - drawing->query_length;
        attn_text_add(list, sizeof list, "%s%lld", b > 0 ? "," : "", (long long)offset);
    }
    attn_say(drawing, "offsets=%s", list);
}

static void attn_say_alignment(attn_drawing *drawing, bool needed) {
    static const char *const names[] = { "top_left", "bottom_right", "bottom_right", "past" };
    if (!needed && !attn_chance(drawing, 30)) {
        return;
    }
    if (attn_chance(drawing, 20) && drawing->batch > 0) {
        attn_say_offsets(drawing);
    } else if (attn_chance(drawing, 20)) {
        attn_say(drawing, "align=%lld", (long long)attn_below(drawing, (uint64_t)drawing->key_length + 2) - 3);
    } else {
        attn_say(drawing, "align=%s", names[attn_below(drawing, 4)]);
    }
}

static void attn_say_window(attn_drawing *drawing) {
    static const int64_t sides[] = { 0, 0, 1, 2, 7, 16, 31, 64, 100, 129, 500 };
    char left[32] = "open", right[32] = "open";
    if (!attn_chance(drawing, 20)) {
        snprintf(left, sizeof left, "%lld", (long long)PICK(drawing, sides));
    }
    if (!attn_chance(drawing, 40)) {
        snprintf(right, sizeof right, "%lld", (long long)PICK(drawing, sides));
    }
    attn_say(drawing, "window=%s,%s", left, right);
}

static const char *attn_draw_shape(attn_drawing *drawing) {
    static const char *const shapes[] = { "1,1,q,k", "b,1,1,k", "b,h,q,k", "q,k",    "k",
                                          "h,q,k",   "b,1,q,k", "1,h,q,1", "b,h,q,1" };
    return shapes[attn_below(drawing, sizeof shapes / sizeof shapes[0])];
}

static void attn_say_positions(attn_drawing *drawing) {
    bool causal = attn_chance(drawing, 40), window = attn_chance(drawing, 20), alibi = attn_chance(drawing, 15);
    if (causal) {
        attn_say(drawing, "causal=yes");
    }
    if (window) {
        attn_say_window(drawing);
    }
    if (alibi) {
        attn_say(drawing, "alibi=yes");
    }
    attn_say_alignment(drawing, (causal || window || alibi) && drawing->fixed_lengths_differ);
}

static void attn_say_scores(attn_drawing *drawing) {
    static const char *const scales[] = { "0", "-0.25", "0.5", "1", "0.0625" };
    static const char *const softcaps[] = { "1", "15", "30", "50" };
    static const char *const spreads[] = { "1.5", "2", "3", "0.1", "10" };
    if (attn_chance(drawing, 25)) {
        attn_say(drawing, attn_chance(drawing, 25) ? "mask=%s,bits" : "mask=%s", attn_draw_shape(drawing));
    }
    if (attn_chance(drawing, 20)) {
        attn_say(drawing, attn_chance(drawing, 40) ? "bias=%s,storage" : "bias=%s", attn_draw_shape(drawing));
    }
    if (attn_chance(drawing, 15)) {
        attn_say(drawing, "sinks=yes");
    }
    if (attn_chance(drawing, 10)) {
        attn_say(drawing, "scale=%s", scales[attn_below(drawing, 5)]);
    }
    if (attn_chance(drawing, 15)) {
        attn_say(drawing, "softcap=%s", softcaps[attn_below(drawing, 4)]);
    }
    if (attn_chance(drawing, 30)) {
        attn_say(drawing, "spread=%s", spreads[attn_below(drawing, 5)]);
    }
}

static void attn_say_weights(attn_drawing *drawing) {
    static const char *const stages[] = { "raw", "softcap", "bias", "softmax", "softmax" };
    int64_t heads = drawing->kv_heads * drawing->group;
    if (!attn_chance(drawing, 20)) {
        return;
    }
    attn_say(drawing, "weights=%s", stages[attn_below(drawing, 5)]);
    if (attn_chance(drawing, 30) && drawing->query_length > 0) {
        int64_t head = (int64_t)attn_below(drawing, (uint64_t)heads);
        int64_t row = (int64_t)attn_below(drawing, (uint64_t)drawing->query_length);
        attn_say(drawing, "weights_heads=%lld,%lld", (long long)head, (long long)(heads - head));
        attn_say(drawing, "weights_rows=%lld,%lld", (long long)row, (long long)(drawing->query_length - row + 1) / 2);
    }
}

static void attn_say_memory(attn_drawing *drawing) {
    if (attn_chance(drawing, 30)) {
        attn_say(drawing, "strides=random");
    } else if (attn_chance(drawing, 30)) {
        attn_say(drawing, "layout=bshd");
    }
    if (attn_chance(drawing, 40)) {
        attn_say(drawing, "poison=yes");
    }
    if (drawing->n % 4 == 3) { /* not drawn, so that the rest stays what it was */
        attn_say(drawing, "allow_tf32=yes");
    }
    attn_say(drawing, "seed=%llu", (unsigned long long)(drawing->seed * 100000 + drawing->n));
}

int attn_random_case(attn_case *c, uint64_t seed, uint64_t n, const char *dims_text, attn_error *error) {
    attn_drawing drawing = { .seed = seed, .n = n };
    attn_cases cases = { 0 };
    if (attn_draw_dims(&drawing, dims_text, error) != ATTN_DONE) {
        return error->status;
    }
    attn_draw_sizes(&drawing);
    attn_say_sizes(&drawing);
    attn_say_lengths(&drawing);
    attn_say_positions(&drawing);
    attn_say_scores(&drawing);
    attn_say_weights(&drawing);
    attn_say_memory(&drawing);
    int status = attn_cases_line(&cases, drawing.text, error);
    if (status == ATTN_DONE) {
        *c = cases.items[0];
    }
    attn_cases_free(&cases);
    return status;
}
