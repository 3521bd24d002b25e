/*
 * Patterns of attention as pictures: a panel each, cells from white to dark blue, words at both sides. Draws on a canvas
 * and does not know whether it becomes SVG or PNG.
 */
#include <math.h>
#include <string.h>

#include "picture/canvas.h"
#include "picture/chart.h"
#include "words/words.h"

enum { ATTN_EDGE = 20, ATTN_LINE = 22, ATTN_GAP = 8 };

/* Sizes in pixels, and what is drawn of a panel. */
typedef struct plot_layout {
    int cell, letter; /* of a cell; across a letter */
    int label;        /* the longest word, across */
    int panel_width, panel_height;
    int columns, rows; /* panels */
    int caption_letters, caption_lines;
    int width, height;
    bool labels, numbers;
    attn_word_range range;
} plot_layout;

static const uint32_t ink = 0x222222;

static uint32_t shade(double part) {
    static const double stops[4][3] = { { 255, 255, 255 }, { 158, 202, 225 }, { 33, 113, 181 }, { 8, 48, 107 } };
    part = part > 0 ? fmin(part, 1) * 3 : 0;
    int stop = part < 2 ? (int)part : 2;
    uint32_t colour = 0;
    for (int c = 0; c < 3; c++) {
        double value = stops[stop][c] + (part - stop) * (stops[stop + 1][c] - stops[stop][c]);
        colour = colour << 8 | (uint32_t)(value + 0.5);
    }
    return colour;
}

/* Length of the caption's next line: whole words, as many letters as fit. */
static int caption_line(const char *caption, int letters) {
    int length = (int)strlen(caption);
    if (length <= letters) {
        return length;
    }
    int end = letters;
    while (end > 0 && caption[end] != ' ') {
        end--;
    }
    return end > 0 ? end : letters;
}

static int count_lines(const char *caption, int letters) {
    int lines = 0;
    while (*caption != '\0') {
        caption += caption_line(caption, letters);
        caption += strspn(caption, " ");
        lines++;
    }
    return lines;
}

static void measure(const attn_words *w, const attn_word_pattern *patterns, int64_t count, const char *caption,
                    int columns, bool svg, plot_layout *l) {
    int words = 0;
    *l = (plot_layout){ .letter = svg ? 9 : 12, .columns = columns };
    for (int64_t p = 0; p < count; p++) {
        int label = attn_words_width(w, patterns[p].span) * l->letter;
        words = patterns[p].span.count > words ? (int)patterns[p].span.count : words;
        l->label = label > l->label ? label : l->label;
    }
    l->range = attn_words_find_range(patterns, count);
    l->cell = words <= 16 ? 40 : words <= 24 ? 30 : words <= 60 ? 16 : 6;
    l->labels = words <= 60;
    l->numbers = words <= (svg ? 24 : 16);
    l->label = l->labels ? l->label + ATTN_GAP : 0;
    l->panel_width = l->label + words * l->cell + ATTN_EDGE;
    l->panel_height = ATTN_LINE + l->label + words * l->cell + ATTN_EDGE;
    l->rows = (int)((count + l->columns - 1) / l->columns);
    l->width = 2 * ATTN_EDGE + l->columns * l->panel_width;
    l->width = l->width < 400 ? 400 : l->width;
    l->caption_letters = (l->width - 2 * ATTN_EDGE) / l->letter;
    l->caption_lines = count_lines(caption, l->caption_letters);
    l->height = 2 * ATTN_EDGE + l->caption_lines * ATTN_LINE + l->rows * l->panel_height + 2 * ATTN_LINE;
}

static void draw_labels(attn_canvas *canvas, const attn_words *w, attn_word_span span, const plot_layout *l,
                        double left, double top) {
    for (int64_t t = 0; t < span.count; t++) {
        const char *word = w->text.words[span.ids[t]];
        double middle = ((double)t + 0.5) * l->cell;
        canvas->text(canvas, left - ATTN_GAP, top + middle, ATTN_ANCHOR_END, ink, word);
        canvas->text_up(canvas, left + middle, top - ATTN_GAP, ink, word);
    }
}

static void draw_panel(attn_canvas *canvas, const attn_words *w, const attn_word_pattern *pattern, const plot_layout *l,
                       double x, double y) {
    int64_t count = pattern->span.count;
    double left = x + l->label, top = y + ATTN_LINE + l->label, side = (double)(count * l->cell);
    char number[16];
    canvas->text(canvas, x, y + ATTN_LINE / 2.0, ATTN_ANCHOR_START, ink, pattern->title);
    if (l->labels) {
        draw_labels(canvas, w, pattern->span, l, left, top);
    }
    for (int64_t k = 0; k < count * count; k++) {
        double at_x = left + (double)(k % count * l->cell), at_y = top + (double)(k / count * l->cell);
        double part = attn_words_shade(&l->range, (double)pattern->weights[k]);
        canvas->box(canvas, at_x, at_y, l->cell, l->cell, shade(part));
        if (l->numbers && pattern->weights[k] != 0) {
            snprintf(number, sizeof number, "%.0f", 100 * (double)pattern->weights[k]);
            canvas->text(canvas, at_x + l->cell / 2.0, at_y + l->cell / 2.0, ATTN_ANCHOR_MIDDLE,
                         part > 0.5 ? 0xffffff : ink, number);
        }
    }
    for (int edge = 0; edge < 2; edge++) {
        canvas->line(canvas, left, top + edge * side, left + side, top + edge * side, 1, 0x888888);
        canvas->line(canvas, left + edge * side, top, left + edge * side, top + side, 1, 0x888888);
    }
}

static void draw_legend(attn_canvas *canvas, const plot_layout *l, double y) {
    enum { STEPS = 32, STEP = 5 };
    char number[32];
    double left = ATTN_EDGE + 5.0 * l->letter + ATTN_GAP;
    snprintf(number, sizeof number, "%.3f", l->range.lightest);
    canvas->text(canvas, ATTN_EDGE, y, ATTN_ANCHOR_START, ink, number);
    for (int s = 0; s < STEPS; s++) {
        canvas->box(canvas, left + s * STEP, y - 7, STEP, 14, shade((s + 0.5) / STEPS));
    }
    snprintf(number, sizeof number, "%.3f%s", l->range.darkest, l->numbers ? ", cells in per cent" : "");
    canvas->text(canvas, left + STEPS * STEP + ATTN_GAP, y, ATTN_ANCHOR_START, ink, number);
}

static void draw_all(attn_canvas *canvas, const attn_words *w, const attn_word_pattern *patterns, int64_t count,
                     const char *caption, const plot_layout *l) {
    double y = ATTN_EDGE;
    for (int length; *caption != '\0'; caption += length, caption += strspn(caption, " "), y += ATTN_LINE) {
        char line[1024];
        length = caption_line(caption, l->caption_letters);
        snprintf(line, sizeof line, "%.*s", length, caption);
        canvas->text(canvas, ATTN_EDGE, y + ATTN_LINE / 2.0, ATTN_ANCHOR_START, ink, line);
    }
    for (int64_t p = 0; p < count; p++) {
        draw_panel(canvas, w, &patterns[p], l, ATTN_EDGE + (double)(p % l->columns * l->panel_width),
                   y + (double)(p / l->columns * l->panel_height));
    }
    draw_legend(canvas, l, l->height - ATTN_EDGE - ATTN_LINE / 2.0);
}

int attn_words_plot(const attn_words *w, const attn_word_pattern *patterns, int64_t count, int columns,
                    const char *caption, attn_error *error) {
    attn_canvas canvas;
    attn_output_file output;
    plot_layout layout;
    size_t length = strlen(w->plot);
    bool svg = length > 4 && strcmp(w->plot + length - 4, ".svg") == 0, drawn = svg;
    if (attn_plot_check(w->plot, error) != ATTN_DONE || attn_output_open(&output, w->plot, error) != ATTN_DONE) {
        return error->status;
    }
    measure(w, patterns, count, caption, columns, svg, &layout);
    if (svg) {
        attn_canvas_svg_begin(&canvas, layout.width, layout.height, output.file);
        draw_all(&canvas, w, patterns, count, caption, &layout);
        attn_canvas_svg_end(&canvas);
    }
#if CLATTN_HAVE_PNG
    if (!svg && attn_canvas_png_begin(&canvas, layout.width, layout.height) != 0) {
        draw_all(&canvas, w, patterns, count, caption, &layout);
        drawn = attn_canvas_png_end(&canvas, output.file) != 0;
    }
#endif
    if (!drawn && ferror(output.file) == 0) { /* else closing says why */
        attn_output_discard(&output);
        return attn_fail(error, ATTN_UNSERVED, "--plot %s: the picture could not be made: no memory for it", w->plot);
    }
    return attn_output_close(&output, error) != ATTN_DONE ? error->status : attn_output_commit(&output, error);
}
