/*
 * Panels, axes, lines and legends, on a canvas that may become SVG or PNG. Knows nothing of what is shown.
 */
#include "picture/chart.h"

#include <math.h>
#include <string.h>

#include "base/table.h"

static const uint32_t colours[] = {
    0x1f6fb4, 0xd9541e, 0x2f9e44, 0x8b4bb8, 0x7a7a7a, 0xb8860b, 0x0aa3a3, 0xc2255c, /* plain */
    0x7fb6e6, 0xf4a582, 0x8fd19e, 0xcbb0e3, 0xbdbdbd, 0xe6cf70, 0x86d9d9, 0xf0a3bf, /* light */
    0x0b3c66, 0x7a2c0d, 0x14532d, 0x46217a, 0x333333, 0x6b4e00, 0x045c5c, 0x6b0f30, /* dark */
};
enum { COLOURS = sizeof colours / sizeof colours[0], LINEAR_STEPS = 5, LEGEND_MARK = 40, LEGEND_GAP = 24 };

uint32_t attn_chart_colour(int n) {
    return colours[n % COLOURS];
}

attn_chart attn_chart_begin(int place, bool linear) {
    return (attn_chart){ place, linear, 1e9, -1e9, 1e30, -1e30 };
}

void attn_chart_add(attn_chart *chart, double x, double y) {
    chart->low_x = fmin(chart->low_x, log2(x));
    chart->high_x = fmax(chart->high_x, log2(x));
    if (y > 0) {
        chart->low_y = fmin(chart->low_y, chart->linear ? 0 : log10(y));
        chart->high_y = fmax(chart->high_y, chart->linear ? y : log10(y));
    }
}

/* The least of 1, 2, 2.5, 5 and 10 times a power of ten that is not below. */
static double round_up(double value) {
    static const double steps[] = { 1, 2, 2.5, 5, 10 };
    double power = pow(10, floor(log10(value)));
    int s = 0;
    while (s < 4 && steps[s] * power < value * (1 - 1e-9)) {
        s++;
    }
    return steps[s] * power;
}

void attn_chart_close(attn_chart *chart) {
    if (chart->low_x > chart->high_x) {
        chart->low_x = 0;
        chart->high_x = 1;
    }
    if (chart->low_y > chart->high_y) {
        chart->low_y = 0;
        chart->high_y = 1;
    }
    chart->low_x = floor(chart->low_x);
    chart->high_x = fmax(ceil(chart->high_x), chart->low_x + 1);
    if (chart->linear) {
        chart->high_y = LINEAR_STEPS * round_up(chart->high_y / LINEAR_STEPS);
        return;
    }
    chart->low_y = floor(chart->low_y);
    chart->high_y = fmax(ceil(chart->high_y), chart->low_y + 1);
}

static double left_of(const attn_chart *chart) {
    return ATTN_CHART_LEFT + chart->place * (ATTN_CHART_WIDTH + ATTN_CHART_LEFT);
}

static double place_x(const attn_chart *chart, double x) {
    return left_of(chart) + (log2(x) - chart->low_x) / (chart->high_x - chart->low_x) * ATTN_CHART_WIDTH;
}

static double place_y(const attn_chart *chart, double y) {
    double at = chart->linear ? y : log10(y);
    return ATTN_CHART_TOP + ATTN_CHART_HEIGHT -
           (at - chart->low_y) / (chart->high_y - chart->low_y) * ATTN_CHART_HEIGHT;
}

void attn_chart_grid(attn_canvas *canvas, const attn_chart *chart, const char *title, const char *x_title) {
    const uint32_t grid = 0xdddddd;
    double left = left_of(chart), right = left + ATTN_CHART_WIDTH;
    double top = ATTN_CHART_TOP, bottom = ATTN_CHART_TOP + ATTN_CHART_HEIGHT;
    char text[32];
    int step = chart->high_x - chart->low_x > 6 ? 2 : 1; /* labels of five digits need room */
    for (double e = chart->low_x; e <= chart->high_x; e++) {
        double at = place_x(chart, exp2(e));
        canvas->line(canvas, at, top, at, bottom, 1, grid);
        if ((int)(e - chart->low_x) % step == 0) {
            snprintf(text, sizeof text, "%.0f", exp2(e));
            canvas->text(canvas, at, bottom + 18, ATTN_ANCHOR_MIDDLE, ATTN_CHART_INK, text);
        }
    }
    int steps = chart->linear ? LINEAR_STEPS : (int)(chart->high_y - chart->low_y);
    for (int s = 0; s <= steps; s++) {
        double value = chart->low_y + (chart->high_y - chart->low_y) * s / steps;
        value = chart->linear ? value : pow(10, value);
        double at = place_y(chart, value);
        canvas->line(canvas, left, at, right, at, 1, grid);
        snprintf(text, sizeof text, "%.6g", value);
        canvas->text(canvas, left - 8, at, ATTN_ANCHOR_END, ATTN_CHART_INK, text);
    }
    canvas->line(canvas, left, bottom, right, bottom, 1.5, ATTN_CHART_INK);
    canvas->line(canvas, left, top, left, bottom, 1.5, ATTN_CHART_INK);
    canvas->text(canvas, (left + right) / 2, top - 25, ATTN_ANCHOR_MIDDLE, ATTN_CHART_INK, title);
    canvas->text(canvas, (left + right) / 2, bottom + 42, ATTN_ANCHOR_MIDDLE, ATTN_CHART_INK, x_title);
}

void attn_chart_line(attn_canvas *canvas, const attn_chart *chart, const double *x, const double *y, int count,
                     bool dots, uint32_t colour) {
    double last_x = 0, last_y = 0;
    bool started = false;
    for (int p = 0; p < count; p++) {
        if (y[p] <= 0) {
            started = false;
            continue;
        }
        double at_x = place_x(chart, x[p]), at_y = place_y(chart, y[p]);
        if (started) {
            canvas->line(canvas, last_x, last_y, at_x, at_y, dots ? 2.5 : 1.5, colour);
        }
        if (dots) {
            canvas->dot(canvas, at_x, at_y, 4, colour);
        }
        last_x = at_x;
        last_y = at_y;
        started = true;
    }
}

int attn_chart_legend_columns(size_t longest, int width) {
    int columns = (width - ATTN_CHART_LEFT) / (LEGEND_MARK + LEGEND_GAP + ATTN_CHART_LETTER * (int)longest);
    return columns < 4 ? columns : 4;
}

void attn_chart_legend(attn_canvas *canvas, int n, int columns, int width, int top, const char *name) {
    double x = ATTN_CHART_LEFT + n % columns * ((width - ATTN_CHART_LEFT) / columns);
    double y = top + n / columns * ATTN_CHART_LINE;
    canvas->line(canvas, x, y, x + 30, y, 3, attn_chart_colour(n));
    canvas->dot(canvas, x + 15, y, 4, attn_chart_colour(n));
    canvas->text(canvas, x + LEGEND_MARK, y, ATTN_ANCHOR_START, ATTN_CHART_INK, name);
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

int attn_plot_check(const char *path, attn_error *error) {
    if (ends_with(path, ".svg")) {
        return ATTN_DONE;
    }
    if (!ends_with(path, ".png")) {
        return attn_fail(error, ATTN_USAGE, "--plot %s: a name that ends in .svg or .png is expected", path);
    }
#if CLATTN_HAVE_PNG
    return ATTN_DONE;
#else
    return attn_fail(error, ATTN_UNSERVED, "--plot %s: PNG needs libpng, which this build has not; .svg works", path);
#endif
}

int attn_chart_write(const char *path, int width, int height, void (*draw)(attn_canvas *canvas, const void *what),
                     const void *what, attn_error *error) {
    attn_canvas canvas;
    attn_output_file output;
    bool drawn = true;
    if (attn_plot_check(path, error) != ATTN_DONE || attn_output_open(&output, path, error) != ATTN_DONE) {
        return error->status;
    }
    if (ends_with(path, ".svg")) {
        attn_canvas_svg_begin(&canvas, width, height, output.file);
        draw(&canvas, what);
        attn_canvas_svg_end(&canvas);
    }
#if CLATTN_HAVE_PNG
    if (ends_with(path, ".png")) {
        drawn = attn_canvas_png_begin(&canvas, width, height) != 0;
        if (drawn) {
            draw(&canvas, what);
            drawn = attn_canvas_png_end(&canvas, output.file) != 0;
        }
    }
#endif
    if (!drawn && ferror(output.file) == 0) { /* else closing says why */
        attn_output_discard(&output);
        return attn_fail(error, ATTN_UNSERVED, "--plot %s: the picture could not be made: no memory for it", path);
    }
    return attn_output_close(&output, error) != ATTN_DONE ? error->status : attn_output_commit(&output, error);
}
