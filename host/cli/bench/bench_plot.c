/*
 * The plot of a bench: time, throughput and memory over length, a line an engine, logarithmic axes; or, where problems
 * have no length in common (a suite of models), bars, problem by problem (bench_bars.c).
 */
#include <inttypes.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/bench_plot.h"
#include "picture/chart.h"

enum { SERIES = 48, POINTS = 64 };

typedef struct series {
    char label[192];
    int count;
    double x[POINTS], y[3][POINTS]; /* ms, GFLOP/s, MiB; 0 = none */
} series;

typedef struct lines {
    int count, width, columns; /* columns of the legend */
    bool by_keys;              /* over key_length: query_length does not vary */
    bool vary_name, vary_type, vary_heads, vary_dim;
    int64_t left_out; /* points that have no room */
    series series[SERIES];
} lines;

const char *const attn_plot_titles[3] = { "time (ms)", "throughput (GFLOP/s)", "peak memory (MiB)" };
const int attn_plot_columns[3] = { ATTN_BENCH_MEDIAN, ATTN_BENCH_RATE, ATTN_BENCH_MEMORY };

double attn_plot_number(const attn_table *table, int64_t row, int column) {
    double value = 0;
    return attn_text_number(attn_table_get(table, row, column), &value) == 0 ? value : 0;
}

static bool varies(const attn_table *table, int column) {
    for (int64_t r = 1; r < table->row_count; r++) {
        if (strcmp(attn_table_get(table, r, column), attn_table_get(table, 0, column)) != 0) {
            return true;
        }
    }
    return false;
}

static series *find_series(lines *plot, const attn_table *table, int64_t row) {
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
    if (plot->count == SERIES) {
        return NULL;
    }
    series *found = &plot->series[plot->count++];
    memset(found, 0, sizeof *found);
    memcpy(found->label, label, sizeof label);
    return found;
}

static void collect(lines *plot, const attn_table *table) {
    plot->count = 0;
    plot->left_out = 0;
    plot->vary_name = varies(table, ATTN_BENCH_NAME);
    plot->by_keys = !varies(table, ATTN_BENCH_QUERY_LENGTH);
    plot->vary_type = varies(table, ATTN_BENCH_TYPE);
    plot->vary_heads = varies(table, ATTN_BENCH_HEADS);
    plot->vary_dim = varies(table, ATTN_BENCH_DIM);
    for (int64_t r = 0; r < table->row_count; r++) {
        double x = attn_plot_number(table, r, plot->by_keys ? ATTN_BENCH_KEY_LENGTH : ATTN_BENCH_QUERY_LENGTH);
        series *found = x > 0 && attn_plot_number(table, r, ATTN_BENCH_MEDIAN) > 0 ? find_series(plot, table, r) : NULL;
        if (!found || found->count == POINTS) {
            plot->left_out += x > 0 && attn_plot_number(table, r, ATTN_BENCH_MEDIAN) > 0 ? 1 : 0;
            continue;
        }
        found->x[found->count] = x;
        for (int panel = 0; panel < 3; panel++) {
            found->y[panel][found->count] =
                attn_plot_number(table, r, attn_plot_columns[panel]) / (panel == 2 ? 1048576 : 1);
        }
        found->count++;
    }
}

static size_t longest_label(const lines *plot) {
    size_t longest = 0;
    for (int s = 0; s < plot->count; s++) {
        size_t length = strlen(plot->series[s].label);
        longest = length > longest ? length : longest;
    }
    return longest;
}

static void draw_lines(attn_canvas *canvas, const void *what) {
    const lines *plot = what;
    for (int panel = 0; panel < 3; panel++) {
        attn_chart chart = attn_chart_begin(panel, false);
        for (int s = 0; s < plot->count; s++) {
            for (int p = 0; p < plot->series[s].count; p++) {
                attn_chart_add(&chart, plot->series[s].x[p], plot->series[s].y[panel][p]);
            }
        }
        attn_chart_close(&chart);
        attn_chart_grid(canvas, &chart, attn_plot_titles[panel], plot->by_keys ? "key length" : "query length");
        for (int s = 0; s < plot->count; s++) {
            const series *one = &plot->series[s];
            attn_chart_line(canvas, &chart, one->x, one->y[panel], one->count, true, attn_chart_colour(s));
        }
    }
    for (int s = 0; s < plot->count; s++) {
        attn_chart_legend(canvas, s, plot->columns, plot->width, ATTN_CHART_BOTTOM, plot->series[s].label);
    }
    if (plot->left_out > 0) {
        char text[96];
        int lines_above = (plot->count + plot->columns - 1) / plot->columns;
        snprintf(text, sizeof text, "%" PRId64 " points have no room in this picture", plot->left_out);
        canvas->text(canvas, ATTN_CHART_LEFT, ATTN_CHART_BOTTOM + lines_above * ATTN_CHART_LINE, ATTN_ANCHOR_START,
                     ATTN_CHART_INK, text);
    }
}

/* Whether most of what is to be drawn has lengths to be drawn over. */
static bool has_lengths(const lines *plot) {
    int with = 0;
    for (int s = 0; s < plot->count; s++) {
        bool several = false;
        for (int p = 1; p < plot->series[s].count; p++) {
            several = several || plot->series[s].x[p] != plot->series[s].x[0];
        }
        with += several ? 1 : 0;
    }
    return 2 * with >= plot->count;
}

int attn_bench_plot(const attn_table *table, const char *path, attn_error *error) {
    static lines plot;
    collect(&plot, table);
    if (!has_lengths(&plot)) {
        return attn_plot_bars(table, path, error);
    }
    plot.width = 3 * (ATTN_CHART_WIDTH + ATTN_CHART_LEFT) + 40;
    plot.columns = attn_chart_legend_columns(longest_label(&plot), plot.width);
    while (plot.columns == 0) { /* a name that is longer than the picture is wide: the picture grows */
        plot.width += 100;
        plot.columns = attn_chart_legend_columns(longest_label(&plot), plot.width);
    }
    int rows = (plot.count + plot.columns - 1) / plot.columns + (plot.left_out > 0 ? 1 : 0);
    return attn_chart_write(path, plot.width, ATTN_CHART_BOTTOM + rows * ATTN_CHART_LINE + 10, draw_lines, &plot,
                            error);
}
