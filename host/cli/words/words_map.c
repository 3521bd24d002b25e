/*
 * Patterns of attention on standard output: plain numbers, shaded blocks, or per cents on colours for a terminal. Rows
 * are numbered, and columns carry the same numbers.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "words/words.h"

typedef enum attn_map_kind { ATTN_MAP_NUMBERS, ATTN_MAP_BLOCKS, ATTN_MAP_COLOURS, ATTN_MAP_KINDS } attn_map_kind;

static const char *const map_names[ATTN_MAP_KINDS] = { "numbers", "blocks", "colours" };
static const int map_widths[ATTN_MAP_KINDS] = { 7, 2, 4 };

static attn_map_kind map_find(const char *map) {
    int kind = 0;
    while (kind < ATTN_MAP_KINDS && strcmp(map_names[kind], map) != 0) {
        kind++;
    }
    return (attn_map_kind)kind;
}

int attn_words_map_check(const char *map, attn_error *error) {
    return !map || map_find(map) < ATTN_MAP_KINDS
               ? ATTN_DONE
               : attn_fail(error, ATTN_USAGE, "--map %s: numbers, blocks or colours is expected", map);
}

static attn_map_kind map_choose(const char *map) {
    const char *terminal = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    if (map) {
        return map_find(map);
    }
    if (isatty(STDOUT_FILENO) == 0) {
        return ATTN_MAP_NUMBERS;
    }
    bool plain = !terminal || strcmp(terminal, "dumb") == 0 || (no_colour && no_colour[0] != '\0');
    return plain ? ATTN_MAP_BLOCKS : ATTN_MAP_COLOURS;
}

static void map_cell(attn_map_kind kind, double weight, const attn_word_range *range) {
    static const char *const blocks[] = { "  ", "░░", "▒▒", "▓▓", "██" };
    static const int colours[] = { 231, 195, 153, 117, 75, 33, 27, 21, 19, 17 }; /* of the 256: white to dark blue */
    double part = attn_words_shade(range, weight);
    if (kind == ATTN_MAP_NUMBERS) {
        printf("%7.4f", weight);
    } else if (kind == ATTN_MAP_BLOCKS) {
        fputs(blocks[(int)(part * 4 + 0.5)], stdout);
    } else {
        int shade = (int)(part * 9 + 0.5);
        printf("\x1b[48;5;%dm\x1b[38;5;%dm%3.0f \x1b[0m", colours[shade], shade < 5 ? 16 : 231, 100 * weight);
    }
}

/* A title, and the numbers of columns. */
static void map_head(const attn_words *w, const char *title, attn_word_span span, int cell) {
    int room = attn_words_width(w, span) + 5 - (int)strlen(title);
    printf("\n%s%*s", title, room > 0 ? room : 0, "");
    for (int64_t j = 0; j < span.count; j++) { /* blocks have room for the last two digits */
        printf("%*" PRId64, cell, cell == 2 ? (j + 1) % 100 : j + 1);
    }
    fputc('\n', stdout);
}

bool attn_words_map_has_numbers(const char *map) {
    return map_choose(map) == ATTN_MAP_NUMBERS;
}

void attn_words_map_numbers(const attn_words *w, const char *title, attn_word_span span, const float *numbers) {
    int width = attn_words_width(w, span);
    map_head(w, title, span, 8);
    for (int64_t i = 0; i < span.count; i++) {
        printf("%3" PRId64 " ", i + 1);
        attn_words_print_padded(w->text.words[span.ids[i]], width + 1);
        for (int64_t j = 0; j < span.count; j++) {
            double number = (double)numbers[i * span.count + j];
            if (number == -INFINITY) {
                printf("%8s", "-");
            } else {
                printf("%8.4f", number);
            }
        }
        fputc('\n', stdout);
    }
}

static void map_one(const attn_words *w, const attn_word_pattern *pattern, attn_map_kind kind,
                    const attn_word_range *range) {
    int64_t count = pattern->span.count;
    int width = attn_words_width(w, pattern->span), cell = map_widths[kind];
    map_head(w, pattern->title, pattern->span, cell);
    for (int64_t i = 0; i < count; i++) {
        printf("%3" PRId64 " ", i + 1);
        attn_words_print_padded(w->text.words[pattern->span.ids[i]], width + 1);
        for (int64_t j = 0; j < count; j++) {
            map_cell(kind, (double)pattern->weights[i * count + j], range);
        }
        fputc('\n', stdout);
    }
}

attn_word_range attn_words_find_range(const attn_word_pattern *patterns, int64_t count) {
    attn_word_range range = { 1, 0 };
    for (int64_t p = 0; p < count; p++) {
        for (int64_t k = 0; k < patterns[p].span.count * patterns[p].span.count; k++) {
            double weight = (double)patterns[p].weights[k];
            range.lightest = weight < range.lightest ? weight : range.lightest;
            range.darkest = weight > range.darkest ? weight : range.darkest;
        }
    }
    return range;
}

double attn_words_shade(const attn_word_range *range, double weight) {
    if (!(weight > range->lightest)) { /* what is not a number too */
        return 0;
    }
    return weight < range->darkest ? (weight - range->lightest) / (range->darkest - range->lightest) : 1;
}

void attn_words_map(const attn_words *w, const attn_word_pattern *patterns, int64_t count) {
    attn_map_kind kind = map_choose(w->map);
    attn_word_range range = attn_words_find_range(patterns, count);
    printf("a row shows where its word looks%s", kind == ATTN_MAP_COLOURS ? ", in per cent" : "");
    if (kind != ATTN_MAP_NUMBERS) {
        printf("; lightest %.4f, darkest %.4f", range.lightest, range.darkest);
    }
    fputc('\n', stdout);
    for (int64_t p = 0; p < count; p++) {
        map_one(w, &patterns[p], kind, &range);
    }
}
