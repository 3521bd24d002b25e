/* What the plots of bench share. */
#ifndef ATTN_CLI_BENCH_BENCH_PLOT_H
#define ATTN_CLI_BENCH_BENCH_PLOT_H

#include "base/table.h"

/** The three panels: time, throughput, memory. */
extern const char *const attn_plot_titles[3];
extern const int attn_plot_columns[3]; /* of attn_bench_columns */

/** A cell as a number; 0 where it is none. */
double attn_plot_number(const attn_table *table, int64_t row, int column);

/** The rows as bars, problem by problem. */
int attn_plot_bars(const attn_table *table, const char *path, attn_error *error);

#endif
