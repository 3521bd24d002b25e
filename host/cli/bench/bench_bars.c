/*
 * The plot of a suite: problems that have no length in common, one below the other, with a bar for each engine in three
 * panels. Numbers stand behind the bars, so that the two logarithmic panels cannot deceive.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/bench_plot.h"
#include "picture/chart.h"

enum {
    ENGINES = 24,
    MOST_BARS = 1000,
    LABEL_LETTERS = 34,
    LABEL_LEFT = 20,
    LABEL_WIDTH = LABEL_LEFT + LABEL_LETTERS * ATTN_CHART_LETTER + 20,
    BAR = 16,
    LABEL_LINE = 18,
    GROUP_GAP = 16,
    PANEL = 300,
    NUMBER = 110, /* room behind the longest bar */
    TOP = 20
};

typedef struct bars {
    const attn_table *table;
    int64_t rows; /* of the table that are drawn */
    int engine_count, columns, width, top;
    const char *engines[ENGINES];
    double low[3], high[3];
} bars;

static bool is_timed(const attn_table *table, int64_t row) {
    return attn_plot_number(table, row, ATTN_BENCH_MEDIAN) > 0;
}

/* The row after the last one of the problem that begins at first. */
static int64_t group_end(const attn_table *table, int64_t first, int64_t rows) {
    int64_t r = first + 1;
    while (r < rows &&
           strcmp(attn_table_get(table, r, ATTN_BENCH_PROBLEM), attn_table_get(table, first, ATTN_BENCH_PROBLEM)) ==
               0 &&
           strcmp(attn_table_get(table, r, ATTN_BENCH_NAME), attn_table_get(table, first, ATTN_BENCH_NAME)) == 0) {
        r++;
    }
    return r;
}

static int engine_of(bars *b, const char *name) {
    for (int e = 0; e < b->engine_count; e++) {
        if (strcmp(b->engines[e], name) == 0) {
            return e;
        }
    }
    if (b->engine_count == ENGINES) {
        return ENGINES - 1;
    }
    b->engines[b->engine_count] = name;
    return b->engine_count++;
}

static int engine_index(const bars *b, const char *name) {
    int e = 0;
    while (e + 1 < b->engine_count && strcmp(b->engines[e], name) != 0) {
        e++;
    }
    return e;
}

static double value_of(const bars *b, int64_t row, int panel) {
    double value = attn_plot_number(b->table, row, attn_plot_columns[panel]);
    return panel == 2 ? value / 1048576 : value;
}

/* The label: the name in as many lines as it takes, then the sizes. Draws nothing without a canvas; answers its lines. */
static int label(attn_canvas *canvas, const bars *b, int64_t row, double y) {
    const attn_table *table = b->table;
    char line[2 * LABEL_LETTERS + 64];
    int lines = 0;
    for (const char *at = attn_table_get(table, row, ATTN_BENCH_NAME); *at != '\0'; at += strspn(at, " "), lines++) {
        int length = (int)strlen(at);
        if (length > LABEL_LETTERS) { /* at the last blank that leaves room */
            for (length = LABEL_LETTERS; length > 0 && at[length] != ' '; length--) {
            }
            length = length > 0 ? length : LABEL_LETTERS;
        }
        snprintf(line, sizeof line, "%.*s", length, at);
        if (canvas) {
            canvas->text(canvas, LABEL_LEFT, y + lines * LABEL_LINE + LABEL_LINE / 2.0, ATTN_ANCHOR_START,
                         ATTN_CHART_INK, line);
        }
        at += length;
    }
    snprintf(line, sizeof line, "%.9s on %.9s, %.15sx%.11s %.4s", attn_table_get(table, row, ATTN_BENCH_QUERY_LENGTH),
             attn_table_get(table, row, ATTN_BENCH_KEY_LENGTH), attn_table_get(table, row, ATTN_BENCH_HEADS),
             attn_table_get(table, row, ATTN_BENCH_DIM), attn_table_get(table, row, ATTN_BENCH_TYPE));
    if (canvas) {
        canvas->text(canvas, LABEL_LEFT, y + lines * LABEL_LINE + LABEL_LINE / 2.0, ATTN_ANCHOR_START, 0x666666, line);
    }
    return lines + 1;
}

static int group_height(const bars *b, int64_t first, int64_t end) {
    int count = 0, text = label(NULL, b, first, 0) * LABEL_LINE;
    for (int64_t r = first; r < end; r++) {
        count += is_timed(b->table, r) ? 1 : 0;
    }
    return (count * BAR > text ? count * BAR : text) + GROUP_GAP;
}

static void collect(bars *b, const attn_table *table) {
    int drawn = 0;
    *b = (bars){ .table = table, .low = { 1e30, 0, 1e30 }, .high = { 1e-30, 1e-30, 1e-30 } };
    for (int64_t r = 0; r < table->row_count && drawn < MOST_BARS; r++) {
        b->rows = r + 1;
        if (!is_timed(table, r)) {
            continue;
        }
        drawn++;
        (void)engine_of(b, attn_table_get(table, r, ATTN_BENCH_ENGINE));
        for (int panel = 0; panel < 3; panel++) {
            double value = value_of(b, r, panel);
            if (value > 0) {
                b->low[panel] = panel == 1 ? 0 : fmin(b->low[panel], value);
                b->high[panel] = fmax(b->high[panel], value);
            }
        }
    }
}

/* Throughput from nothing; time and memory by their logarithm, from the power of ten below the least. */
static double bar_length(const bars *b, int panel, double value) {
    if (panel == 1) {
        return PANEL * value / b->high[panel];
    }
    double low = floor(log10(b->low[panel]) - 1e-9), high = log10(b->high[panel]);
    return high > low ? PANEL * (log10(value) - low) / (high - low) : PANEL;
}

static void draw_bar(attn_canvas *canvas, const bars *b, int64_t row, double y) {
    char text[32];
    int engine = engine_index(b, attn_table_get(b->table, row, ATTN_BENCH_ENGINE));
    for (int panel = 0; panel < 3; panel++) {
        double left = LABEL_WIDTH + panel * (PANEL + NUMBER), value = value_of(b, row, panel);
        if (attn_table_get(b->table, row, attn_plot_columns[panel])[0] == '\0') {
            continue;
        }
        double length = value > 0 ? bar_length(b, panel, value) : 0;
        length = length < 2 ? 2 : length;
        canvas->box(canvas, left, y + 1, length, BAR - 2, attn_chart_colour(engine));
        snprintf(text, sizeof text, value < 999.5 ? "%.3g" : "%.0f", value);
        canvas->text(canvas, left + length + 6, y + BAR / 2.0, ATTN_ANCHOR_START, ATTN_CHART_INK, text);
    }
}

static void draw_bars(attn_canvas *canvas, const void *what) {
    static const char *const kinds[3] = { " log.", "", " log." };
    const bars *b = what;
    double y = b->top;
    for (int e = 0; e < b->engine_count; e++) {
        attn_chart_legend(canvas, e, b->columns, b->width, TOP, b->engines[e]);
    }
    for (int panel = 0; panel < 3; panel++) {
        char title[64];
        snprintf(title, sizeof title, "%s%s", attn_plot_titles[panel], kinds[panel]);
        canvas->text(canvas, LABEL_WIDTH + panel * (PANEL + NUMBER), y - 20, ATTN_ANCHOR_START, ATTN_CHART_INK, title);
    }
    for (int64_t first = 0, end; first < b->rows; first = end) {
        end = group_end(b->table, first, b->rows);
        double at = y + GROUP_GAP / 2.0;
        canvas->line(canvas, LABEL_LEFT, y, b->width - LABEL_LEFT, y, 1, 0xdddddd);
        (void)label(canvas, b, first, at);
        double empty = at;
        for (int64_t r = first; r < end; r++) {
            if (is_timed(b->table, r)) {
                draw_bar(canvas, b, r, at);
                at += BAR;
            }
        }
        if (at == empty) {
            canvas->text(canvas, LABEL_WIDTH, at + BAR / 2.0, ATTN_ANCHOR_START, 0x666666, "not run");
        }
        y += group_height(b, first, end);
    }
    if (b->rows < b->table->row_count) {
        char text[96];
        snprintf(text, sizeof text, "%" PRId64 " rows have no room in this picture", b->table->row_count - b->rows);
        canvas->text(canvas, LABEL_LEFT, y + LABEL_LINE / 2.0, ATTN_ANCHOR_START, ATTN_CHART_INK, text);
    }
}

int attn_plot_bars(const attn_table *table, const char *path, attn_error *error) {
    bars b;
    size_t longest = 1;
    collect(&b, table);
    for (int e = 0; e < b.engine_count; e++) {
        longest = strlen(b.engines[e]) > longest ? strlen(b.engines[e]) : longest;
    }
    b.width = LABEL_WIDTH + 3 * (PANEL + NUMBER);
    b.columns = attn_chart_legend_columns(longest, b.width);
    b.columns = b.columns > 0 ? b.columns : 1;
    b.top = TOP + (b.engine_count + b.columns - 1) / b.columns * ATTN_CHART_LINE + 40;
    int height = b.top + LABEL_LINE + 10;
    for (int64_t first = 0, end; first < b.rows; first = end) {
        end = group_end(table, first, b.rows);
        height += group_height(&b, first, end);
    }
    return attn_chart_write(path, b.width, height, draw_bars, &b, error);
}
