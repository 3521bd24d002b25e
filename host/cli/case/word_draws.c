/*
 * Values of words drawn at random. Numbers are drawn in a fixed order, one after the other, so that a seed means the
 * same problems on every platform. So no call has two draws among its arguments: C leaves open which comes first.
 */
#include "case/word_draws.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "case/case_data.h"
#include "case/case_default.h"

#define PICK(drawing, array) (array)[attn_draw_below(drawing, sizeof(array) / sizeof(array)[0])]

enum { MOST_TOGETHER = 8 };

uint64_t attn_draw_below(attn_drawing *drawing, uint64_t n) {
    return attn_draw(drawing->seed, 1000 + drawing->n, drawing->next++) % n;
}

bool attn_draw_chance(attn_drawing *drawing, uint64_t per_cent) {
    return attn_draw_below(drawing, 100) < per_cent;
}

/* The words of the turn: chances first, then values. */
static void draw_turn(attn_drawing *drawing, int turn) {
    const attn_word *drawn[MOST_TOGETHER];
    int count = 0;
    for (int n = 0; attn_word_row(n) && count < MOST_TOGETHER; n++) {
        const attn_word *word = attn_word_row(n);
        if (word->draw.turn == turn &&
            (word->draw.per_cent == 0 || attn_draw_chance(drawing, (uint64_t)word->draw.per_cent))) {
            drawn[count++] = word;
        }
    }
    for (int n = 0; n < count; n++) {
        drawn[n]->draw.say(drawing, drawn[n]);
    }
}

void attn_draw_words(attn_drawing *drawing) {
    int last = 0;
    for (int n = 0; attn_word_row(n); n++) {
        last = attn_word_row(n)->draw.turn > last ? attn_word_row(n)->draw.turn : last;
    }
    for (int turn = 1; turn <= last; turn++) {
        draw_turn(drawing, turn);
    }
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static void
say(attn_drawing *drawing, const attn_word *word, const char *format, ...) {
    char value[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    attn_text_add(drawing->text, sizeof drawing->text, "%s%s=%s", drawing->text[0] != '\0' ? " " : "", word->name,
                  value);
}

static bool is_said(const attn_drawing *drawing, const char *name) {
    return attn_line_gives(drawing->text, name, strlen(name)) ||
           (drawing->words && attn_line_gives(drawing->words, name, strlen(name)));
}

/* Whether the word has the value: in the words of every problem, else in what is drawn. */
static bool has_value(const attn_drawing *drawing, const char *name, const char *value) {
    const char *said = drawing->words ? attn_line_value(drawing->words, name, strlen(name)) : NULL;
    said = said ? said : attn_line_value(drawing->text, name, strlen(name));
    size_t length = strlen(value);
    return said && strncmp(said, value, length) == 0 && strcspn(said, " \t") == length;
}

void attn_say_one(attn_drawing *drawing, const attn_word *word) {
    uint64_t count = 1;
    while (count < ATTN_WORD_DRAWN && word->draw.values[count]) {
        count++;
    }
    say(drawing, word, "%s", word->draw.values[count > 1 ? attn_draw_below(drawing, count) : 0]);
}

void attn_say_any_size(attn_drawing *drawing, const attn_word *word) {
    say(drawing, word, "%" PRId64, attn_word_size(&drawing->sizes, word->member));
}

void attn_say_size(attn_drawing *drawing, const attn_word *word) {
    int64_t unsaid = word->second != 0 ? attn_word_size(&drawing->sizes, word->second) : 0;
    if (attn_word_size(&drawing->sizes, word->member) != unsaid) {
        attn_say_any_size(drawing, word);
    }
}

void attn_say_window(attn_drawing *drawing, const attn_word *word) {
    static const int64_t sides[] = { 0, 0, 1, 2, 7, 16, 31, 64, 100, 129, 500 };
    char left[32] = "open", right[32] = "open";
    if (!attn_draw_chance(drawing, 20)) {
        snprintf(left, sizeof left, "%" PRId64, PICK(drawing, sides));
    }
    if (!attn_draw_chance(drawing, 40)) {
        snprintf(right, sizeof right, "%" PRId64, PICK(drawing, sides));
    }
    say(drawing, word, "%s,%s", left, right);
}

/* Needed where queries may stand in several ways and something asks where they stand; else it is drawn now and then. */
void attn_say_align(attn_drawing *drawing, const attn_word *word) {
    const clattn_problem *sizes = &drawing->sizes;
    bool differ = sizes->past_length > 0 || sizes->query_length != sizes->key_length ||
                  is_said(drawing, "query_lengths") || is_said(drawing, "key_lengths");
    bool asked = is_said(drawing, "causal") || is_said(drawing, "window") || is_said(drawing, "alibi");
    if (!(asked && differ) && !attn_draw_chance(drawing, 30)) {
        return;
    }
    drawing->has_offsets = attn_draw_chance(drawing, 20) && sizes->batch > 0 && !is_said(drawing, "align");
    if (drawing->has_offsets || is_said(drawing, "offsets")) {
        return;
    }
    if (attn_draw_chance(drawing, 20)) {
        say(drawing, word, "%" PRId64, (int64_t)attn_draw_below(drawing, (uint64_t)sizes->key_length + 2) - 3);
    } else {
        attn_say_one(drawing, word);
    }
}

/* a,b,..: one an entry, negative ones too. */
void attn_say_offsets(attn_drawing *drawing, const attn_word *word) {
    char list[128] = "";
    int64_t span = drawing->sizes.key_length + drawing->sizes.query_length + 1;
    for (int64_t b = 0; b < drawing->sizes.batch && drawing->has_offsets; b++) {
        int64_t offset = (int64_t)attn_draw_below(drawing, (uint64_t)span) - drawing->sizes.query_length;
        attn_text_add(list, sizeof list, "%s%" PRId64, b > 0 ? "," : "", offset);
    }
    if (drawing->has_offsets) {
        say(drawing, word, "%s", list);
    }
}

void attn_say_dims(attn_drawing *drawing, const attn_word *word) {
    static const char *const shapes[] = { "1,1,q,k", "b,1,1,k", "b,h,q,k", "q,k",    "k",
                                          "h,q,k",   "b,1,q,k", "1,h,q,1", "b,h,q,1" };
    const char *shape = PICK(drawing, shapes);
    bool has_last = attn_draw_chance(drawing, (uint64_t)word->draw.second_per_cent);
    say(drawing, word, "%s%s%s", shape, has_last ? "," : "", has_last ? word->names[1].name : "");
}

void attn_say_weights(attn_drawing *drawing, const attn_word *word) {
    attn_say_one(drawing, word);
    drawing->has_part =
        attn_draw_chance(drawing, (uint64_t)word->draw.second_per_cent) && drawing->sizes.query_length > 0;
}

void attn_say_heads(attn_drawing *drawing, const attn_word *word) {
    if (drawing->has_part) {
        int64_t heads = drawing->sizes.query_heads, first = (int64_t)attn_draw_below(drawing, (uint64_t)heads);
        say(drawing, word, "%" PRId64 ",%" PRId64, first, heads - first);
    }
}

void attn_say_rows(attn_drawing *drawing, const attn_word *word) {
    if (drawing->has_part) {
        int64_t rows = drawing->sizes.query_length, first = (int64_t)attn_draw_below(drawing, (uint64_t)rows);
        say(drawing, word, "%" PRId64 ",%" PRId64, first, (rows - first + 1) / 2);
    }
}

void attn_say_layout(attn_drawing *drawing, const attn_word *word) {
    if (!is_said(drawing, "strides") && attn_draw_chance(drawing, (uint64_t)word->draw.second_per_cent)) {
        attn_say_one(drawing, word);
    }
}

/* Not drawn, so that the rest stays what it was. */
void attn_say_tf32(attn_drawing *drawing, const attn_word *word) {
    if (drawing->n % 4 == 3) {
        attn_say_one(drawing, word);
    }
}

void attn_say_seed(attn_drawing *drawing, const attn_word *word) {
    say(drawing, word, "%llu", (unsigned long long)(drawing->seed * 100000 + drawing->n));
}

static bool has_16_bits(const attn_drawing *drawing) {
    return has_value(drawing, "type", "fp16") || has_value(drawing, "type", "bf16");
}

void attn_say_wide(attn_drawing *drawing, const attn_word *word) {
    if (has_16_bits(drawing) && attn_draw_chance(drawing, (uint64_t)word->draw.second_per_cent)) {
        attn_say_one(drawing, word);
    }
}

void attn_say_wide_gradients(attn_drawing *drawing, const attn_word *word) {
    if (has_value(drawing, "direction", "backward")) {
        attn_say_wide(drawing, word);
    }
}

void attn_say_add(attn_drawing *drawing, const attn_word *word) {
    bool narrow = has_16_bits(drawing) && !has_value(drawing, "gradient_type", "fp32");
    if (has_value(drawing, "direction", "backward") && !narrow &&
        attn_draw_chance(drawing, (uint64_t)word->draw.second_per_cent)) {
        attn_say_one(drawing, word);
    }
}

void attn_say_prefix(attn_drawing *drawing, const attn_word *word) {
    if (is_said(drawing, "window") && attn_draw_chance(drawing, (uint64_t)word->draw.second_per_cent)) {
        attn_say_one(drawing, word);
    }
}
