/*
 * The plot of a bench: time, throughput and memory over length, a line an engine, logarithmic axes. Draws on a canvas
 * and does not know whether it becomes SVG or PNG.
 */
#include <math.h>
#include <string.h>

#include "bench.h"
#include "canvas.h"

enum { ATTN_SERIES = 48, ATTN_POINTS = 64, PANEL_WIDTH = 420, PANEL_HEIGHT = 340, MARGIN_LEFT = 90, MARGIN_TOP = 60 };

typedef struct attn_series {
    char label[192];
    int count;
    double x[ATTN_POINTS], y[3][ATTN_POINTS]; /* ms, GFLOP/s, MiB; 0 = none */
} attn_series;

typedef struct attn_plot {
    int count;
    bool by_keys; /* over key_length: query_length does not vary */
    bool vary_name, vary_type, vary_heads, vary_dim;
    int64_t left_out; /* points that have no room */
    attn_series series[ATTN_SERIES];
} attn_plot;

typedef struct attn_axis {
    double low, high; /* log2 for x, log10 for y */
} attn_axis;

static const uint32_t attn_colours[] = {
    0x1f6fb4, 0xd9541e, 0x2f9e44, 0x8b4bb8, 0x7a7a7a, 0xb8860b, 0x0aa3a3, 0xc2255c, /* plain */
    0x7fb6e6, 0xf4a582, 0x8fd19e, 0xcbb0e3, 0xbdbdbd, 0xe6cf70, 0x86d9d9, 0xf0a3bf, /* light */
    0x0b3c66, 0x7a2c0d, 0x14532d, 0x46217a, 0x333333, 0x6b4e00, 0x045c5c, 0x6b0f30, /* dark */
};
enum { ATTN_COLOURS = sizeof attn_colours / sizeof attn_colours[0] };

static const char *const attn_panel_titles[3] = { "time (ms)", "throughput (GFLOP/s)", "peak memory (MiB)" };
static const int attn_panel_columns[3] = { ATTN_BENCH_MEDIAN, ATTN_BENCH_RATE, ATTN_BENCH_MEMORY };

static bool attn_ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

int attn_plot_check(const char *path, attn_error *error) {
    if (attn_ends_with(path, ".svg")) {
        return ATTN_DONE;
    }
    if (!attn_ends_with(path, ".png")) {
        return attn_fail(error, ATTN_BAD, "--plot %s: a name that ends in .svg or .png is wanted", path);
    }
#if CLATTN_HAVE_PNG
    return ATTN_DONE;
#else
    return attn_fail(error, ATTN_CANNOT, "--plot %s: PNG needs libpng, which this build has not; .svg works", path);
#endif
}

static double attn_cell_number(const attn_table *table, int64_t row, int column) {
    double value = 0;
    return attn_text_number(attn_table_get(table, row, column), &value) == 0 ? value : 0;
}

static bool attn_varies(const attn_table *table, int column) {
    for (int64_t r = 1; r < table->row_count; r++) {
        if (strcmp(attn_table_get(table, r, column), attn_table_get(table, 0, column)) != 0) {
            return true;
        }
    }
    return false;
}

static attn_series *attn_find_series(attn_plot *plot, const attn_table *table, int64_t row) {
    char label[192];
    snprintf(label, sizeof label, "%.40s", attn_table_get(table, row, ATTN_BENCH_ENGINE));
    if (plot->vary_type) {
        attn_text_add(label, sizeof label, " %.8s", attn_table_get(table, row, ATTN_BENCH_TYPE));
    }
    if (plot->vary_heads) {
        attn_text_add(label, sizeof label, " %.12s heads", attn_table_get(table, row, ATTN_BENCH_HEADS));
    }
    if (plot->vary_dim) {
        attn_text_add(label, sizeof label, " dim %.12s", attn_table_get(table, row, ATTN_BENCH_DIM));
    }
    const char *name = attn_table_get(table, row, ATTN_BENCH_NAME);
    if (plot->vary_name && name[0] != '\0') {
        attn_text_add(label, sizeof label, ", %s", name);
    }
    for (int s = 0; s < plot->count; s++) {
        if (strcmp(plot->series[s].label, label) == 0) {
            return &plot->series[s];
        }
    }
    if (plot->count == ATTN_SERIES) {
        return NULL;
    }
    attn_series *series = &plot->series[plot->count++];
    memset(series, 0, sizeof *series);
    memcpy(series->label, label, sizeof label);
    return series;
}

static void attn_collect(attn_plot *plot, const attn_table *table) {
    plot->count = 0;
    plot->left_out = 0;
    plot->vary_name = attn_varies(table, ATTN_BENCH_NAME);
    plot->by_keys = !attn_varies(table, ATTN_BENCH_QUERY_LENGTH);
    plot->vary_type = attn_varies(table, ATTN_BENCH_TYPE);
    plot->vary_heads = attn_varies(table, ATTN_BENCH_HEADS);
    plot->vary_dim = attn_varies(table, ATTN_BENCH_DIM);
    for (int64_t r = 0; r < table->row_count; r++) {
        double x = attn_cell_number(table, r, plot->by_keys ? ATTN_BENCH_KEY_LENGTH : ATTN_BENCH_QUERY_LENGTH);
        attn_series *series =
            x > 0 && attn_cell_number(table, r, ATTN_BENCH_MEDIAN) > 0 ? attn_find_series(plot, table, r) : NULL;
        if (series == NULL || series->count == ATTN_POINTS) {
            plot->left_out += x > 0 && attn_cell_number(table, r, ATTN_BENCH_MEDIAN) > 0 ? 1 : 0;
            continue;
        }
        series->x[series->count] = x;
        for (int panel = 0; panel < 3; panel++) {
            series->y[panel][series->count] =
                attn_cell_number(table, r, attn_panel_columns[panel]) / (panel == 2 ? 1048576 : 1);
        }
        series->count++;
    }
}

static void attn_find_axes(const attn_plot *plot, int panel, attn_axis *x, attn_axis *y) {
    *x = *y = (attn_axis){ 1e9, -1e9 };
    for (int s = 0; s < plot->count; s++) {
        for (int p = 0; p < plot->series[s].count; p++) {
            double value = plot->series[s].y[panel][p];
            x->low = fmin(x->low, log2(plot->series[s].x[p]));
            x->high = fmax(x->high, log2(plot->series[s].x[p]));
            if (value > 0) {
                y->low = fmin(y->low, log10(value));
                y->high = fmax(y->high, log10(value));
            }
        }
    }
    if (x->low > x->high) {
        *x = (attn_axis){ 0, 1 };
    }
    if (y->low > y->high) {
        *y = (attn_axis){ 0, 1 };
    }
    *x = (attn_axis){ floor(x->low), ceil(x->high) > floor(x->low) ? ceil(x->high) : floor(x->low) + 1 };
    *y = (attn_axis){ floor(y->low), ceil(y->high) > floor(y->low) ? ceil(y->high) : floor(y->low) + 1 };
}

static double attn_place_x(int panel, const attn_axis *axis, double x) {
    double left = MARGIN_LEFT + panel * (PANEL_WIDTH + MARGIN_LEFT);
    return left + (log2(x) - axis->low) / (axis->high - axis->low) * PANEL_WIDTH;
}

static double attn_place_y(const attn_axis *axis, double y) {
    return MARGIN_TOP + PANEL_HEIGHT - (log10(y) - axis->low) / (axis->high - axis->low) * PANEL_HEIGHT;
}

static void attn_draw_grid(attn_canvas *canvas, int panel, const attn_axis *x, const attn_axis *y, bool by_keys) {
    const uint32_t grid = 0xdddddd, ink = 0x222222;
    double left = attn_place_x(panel, x, exp2(x->low)), right = attn_place_x(panel, x, exp2(x->high));
    double top = MARGIN_TOP, bottom = MARGIN_TOP + PANEL_HEIGHT;
    char text[32];
    int step = x->high - x->low > 6 ? 2 : 1; /* labels of five digits need room */
    for (double e = x->low; e <= x->high; e++) {
        double at = attn_place_x(panel, x, exp2(e));
        canvas->line(canvas, at, top, at, bottom, 1, grid);
        if ((int)(e - x->low) % step == 0) {
            snprintf(text, sizeof text, "%.0f", exp2(e));
            canvas->text(canvas, at, bottom + 18, ATTN_ANCHOR_MIDDLE, ink, text);
        }
    }
    for (double e = y->low; e <= y->high; e++) {
        double at = attn_place_y(y, pow(10, e));
        canvas->line(canvas, left, at, right, at, 1, grid);
        snprintf(text, sizeof text, "%g", pow(10, e));
        canvas->text(canvas, left - 8, at, ATTN_ANCHOR_END, ink, text);
    }
    canvas->line(canvas, left, bottom, right, bottom, 1.5, ink);
    canvas->line(canvas, left, top, left, bottom, 1.5, ink);
    canvas->text(canvas, (left + right) / 2, top - 25, ATTN_ANCHOR_MIDDLE, ink, attn_panel_titles[panel]);
    canvas->text(canvas, (left + right) / 2, bottom + 42, ATTN_ANCHOR_MIDDLE, ink,
                 by_keys ? "key length" : "query length");
}

static void attn_draw_series(attn_canvas *canvas, const attn_series *series, int panel, const attn_axis *x,
                             const attn_axis *y, uint32_t colour) {
    double last_x = 0, last_y = 0;
    bool started = false;
    for (int p = 0; p < series->count; p++) {
        if (series->y[panel][p] <= 0) {
            started = false;
            continue;
        }
        double at_x = attn_place_x(panel, x, series->x[p]), at_y = attn_place_y(y, series->y[panel][p]);
        if (started) {
            canvas->line(canvas, last_x, last_y, at_x, at_y, 2.5, colour);
        }
        canvas->dot(canvas, at_x, at_y, 4, colour);
        last_x = at_x;
        last_y = at_y;
        started = true;
    }
}

/* How many names stand beside each other, so that the longest has room. */
static int attn_legend_columns(const attn_plot *plot) {
    size_t longest = 0;
    for (int s = 0; s < plot->count; s++) {
        size_t length = strlen(plot->series[s].label);
        longest = length > longest ? length : longest;
    }
    return longest <= 36 ? 4 : longest <= 80 ? 2 : 1;
}

static int attn_legend_top(void) {
    return MARGIN_TOP + PANEL_HEIGHT + 75;
}

static void attn_draw_legend(attn_canvas *canvas, const attn_plot *plot) {
    int columns = attn_legend_columns(plot), s = 0;
    char text[96];
    for (; s < plot->count; s++) {
        double x = MARGIN_LEFT + s % columns * (1480 / columns), y = attn_legend_top() + s / columns * 26;
        canvas->line(canvas, x, y, x + 30, y, 3, attn_colours[s % ATTN_COLOURS]);
        canvas->dot(canvas, x + 15, y, 4, attn_colours[s % ATTN_COLOURS]);
        canvas->text(canvas, x + 40, y, ATTN_ANCHOR_START, 0x222222, plot->series[s].label);
    }
    if (plot->left_out > 0) {
        snprintf(text, sizeof text, "%lld points have no room in this picture", (long long)plot->left_out);
        canvas->text(canvas, MARGIN_LEFT, attn_legend_top() + (s + columns - 1) / columns * 26, ATTN_ANCHOR_START,
                     0x222222, text);
    }
}

static void attn_draw_plot(attn_canvas *canvas, const attn_plot *plot) {
    for (int panel = 0; panel < 3; panel++) {
        attn_axis x, y;
        attn_find_axes(plot, panel, &x, &y);
        attn_draw_grid(canvas, panel, &x, &y, plot->by_keys);
        for (int s = 0; s < plot->count; s++) {
            attn_draw_series(canvas, &plot->series[s], panel, &x, &y, attn_colours[s % ATTN_COLOURS]);
        }
    }
    attn_draw_legend(canvas, plot);
}

int attn_bench_plot(const attn_table *table, const char *path, attn_error *error) {
    static attn_plot plot;
    attn_canvas canvas;
    attn_output_file output;
    attn_collect(&plot, table);
    int columns = attn_legend_columns(&plot);
    int lines = (plot.count + columns - 1) / columns + (plot.left_out > 0 ? 1 : 0);
    int width = 3 * (PANEL_WIDTH + MARGIN_LEFT) + 40, height = attn_legend_top() + lines * 26 + 10;
    if (attn_plot_check(path, error) != ATTN_DONE || attn_output_open(&output, path, error) != ATTN_DONE) {
        return error->status;
    }
    bool drawn = true;
    if (attn_ends_with(path, ".svg")) {
        attn_canvas_svg_begin(&canvas, width, height, output.file);
        attn_draw_plot(&canvas, &plot);
        attn_canvas_svg_end(&canvas);
    }
#if CLATTN_HAVE_PNG
    if (attn_ends_with(path, ".png")) {
        drawn = attn_canvas_png_begin(&canvas, width, height) != 0;
        if (drawn) {
            attn_draw_plot(&canvas, &plot);
            drawn = attn_canvas_png_end(&canvas, output.file) != 0;
        }
    }
#endif
    if (!drawn && ferror(output.file) == 0) { /* else closing tells why */
        attn_output_discard(&output);
        return attn_fail(error, ATTN_CANNOT, "--plot %s: the picture could not be made: no memory for it", path);
    }
    return attn_output_close(&output, error) != ATTN_DONE ? error->status : attn_output_commit(&output, error);
}
