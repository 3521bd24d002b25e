/* The parts of pictures of measurements: panels with axes, lines, a legend; and the file they are drawn into. */
#ifndef ATTN_CLI_PICTURE_CHART_H
#define ATTN_CLI_PICTURE_CHART_H

#include "base/text.h"
#include "picture/canvas.h"

enum {
    ATTN_CHART_WIDTH = 420, /* of a panel, without the numbers at its axes */
    ATTN_CHART_HEIGHT = 340,
    ATTN_CHART_LEFT = 90,
    ATTN_CHART_TOP = 60,
    ATTN_CHART_BOTTOM = ATTN_CHART_TOP + ATTN_CHART_HEIGHT + 75, /* below the panels */
    ATTN_CHART_LETTER = 12,                                      /* the widest that a letter may be */
    ATTN_CHART_LINE = 26                                         /* from one line of a legend to the next */
};
#define ATTN_CHART_INK 0x222222

/** A panel, the first at the left. x is a logarithm of 2; y is one of 10, or itself where the axis is linear. */
typedef struct attn_chart {
    int place;
    bool linear;
    double low_x, high_x, low_y, high_y;
} attn_chart;

/** A panel that holds nothing yet; add points, then close it: the axes then end at round numbers. */
attn_chart attn_chart_begin(int place, bool linear);
void attn_chart_add(attn_chart *chart, double x, double y);
void attn_chart_close(attn_chart *chart);

/** Frame, grid, numbers and titles. */
void attn_chart_grid(attn_canvas *canvas, const attn_chart *chart, const char *title, const char *x_title);

/** A line through points; a y of 0 is a gap. dots: marks every point. */
void attn_chart_line(attn_canvas *canvas, const attn_chart *chart, const double *x, const double *y, int count,
                     bool dots, uint32_t colour);

/** The colour of the n-th series. */
uint32_t attn_chart_colour(int n);

/** Columns of a legend whose longest name has so many letters, in a picture of that width; 0 = not even one fits. */
int attn_chart_legend_columns(size_t longest, int width);

/** The n-th entry of a legend that begins at top. */
void attn_chart_legend(attn_canvas *canvas, int n, int columns, int width, int top, const char *name);

/** Whether a file of that name can be drawn here; ATTN_UNSERVED names what is missing. */
int attn_plot_check(const char *path, attn_error *error);

/** Draws a picture into a file of that name, .svg or .png, whole or not at all. */
int attn_chart_write(const char *path, int width, int height, void (*draw)(attn_canvas *canvas, const void *what),
                     const void *what, attn_error *error);

#endif
