/*
 * The table of bench for people, a case at a time. On a terminal: the rows of a problem under a line that says it, with
 * as many columns as fit, notes on lines of their own. Elsewhere: every column, always at the same place.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/terminal.h"
#include "bench/bench.h"

typedef struct column {
    int index; /* of attn_bench_columns */
    int width;
    int rank; /* on a terminal, columns of a high rank give way; -1: not shown there */
} column;

static const column columns[] = {
    { ATTN_BENCH_QUERY_LENGTH, 7, -1 }, { ATTN_BENCH_KEY_LENGTH, 6, -1 }, { ATTN_BENCH_HEADS, 6, -1 },
    { ATTN_BENCH_DIM, 5, -1 },          { ATTN_BENCH_TYPE, 4, -1 },       { ATTN_BENCH_ENGINE, 14, 0 },
    { ATTN_BENCH_MEDIAN, 10, 1 },       { ATTN_BENCH_MINIMUM, 10, 7 },    { ATTN_BENCH_MAXIMUM, 10, 8 },
    { ATTN_BENCH_SPREAD, 6, 3 },        { ATTN_BENCH_RATE, 8, 2 },        { ATTN_BENCH_PER_CENT, 7, 4 },
    { ATTN_BENCH_MEMORY, 10, 6 },       { ATTN_BENCH_SPEED_UP, 7, 5 },    { ATTN_BENCH_TAKEN, 6, 9 },
    { ATTN_BENCH_VERIFIED, 8, 10 },     { ATTN_BENCH_FASTEST, 7, -1 },    { ATTN_BENCH_DISTURBED, 13, -1 },
};
enum { COLUMNS = sizeof columns / sizeof columns[0], GAP = 2, MARKS = 4, NOTE_INDENT = MARKS + 4, LAST_RANK = 10 };

/* The columns shown last on the terminal, and the case: both are printed again when they change. */
static int shown_rank = -1;

void attn_bench_show_cell(const attn_table *table, int64_t row, int column, char text[64]) {
    double value = 0;
    const char *cell = attn_table_get(table, row, column);
    snprintf(text, 64, "%.63s", cell);
    if (cell[0] == '\0' || attn_text_number(cell, &value) != 0) {
        return;
    }
    if (column == ATTN_BENCH_MEMORY) {
        snprintf(text, 64, "%.2f", value / 1048576);
    } else if (column == ATTN_BENCH_MEDIAN || column == ATTN_BENCH_MINIMUM || column == ATTN_BENCH_MAXIMUM) {
        snprintf(text, 64, value < 10 ? "%.3f" : value < 1000 ? "%.1f" : "%.0f", value);
    } else if (column == ATTN_BENCH_SPEED_UP) {
        snprintf(text, 64, value < 10 ? "%.2f" : "%.0f", value);
    } else if (column == ATTN_BENCH_RATE) {
        snprintf(text, 64, value < 10 ? "%.2f" : "%.1f", value);
    } else if (column == ATTN_BENCH_SPREAD || column == ATTN_BENCH_TAKEN) {
        snprintf(text, 64, "%.0f %%", value);
    }
}

static void print_line(char *line, FILE *file) {
    size_t length = strlen(line);
    while (length > 0 && line[length - 1] == ' ') {
        line[--length] = '\0';
    }
    fprintf(file, "%s\n", line);
}

/* The header (row < 0) or a row; columns of a rank above `rank` are left out (rank < 0: none is). */
static void put_cells(char line[2048], const attn_table *table, int64_t row, int rank) {
    char text[64];
    for (int c = 0; c < COLUMNS; c++) {
        const attn_column *column = &attn_bench_columns[columns[c].index];
        if (rank >= 0 && (columns[c].rank < 0 || columns[c].rank > rank)) {
            continue;
        }
        snprintf(text, sizeof text, "%s", column->title);
        if (row >= 0) {
            attn_bench_show_cell(table, row, columns[c].index, text);
        }
        attn_text_add(line, 2048, column->number == ATTN_CELL_NUMBER ? "%*s%*s" : "%*s%-*s",
                      rank < 0 || line[0] == '\0' ? 0 : GAP, "", columns[c].width, text);
        attn_text_add(line, 2048, "%*s", rank < 0 ? GAP : 0, "");
    }
}

/* ------------------------------------------------------------------------------------ a terminal */

static int rank_that_fits(int width) {
    int rank = LAST_RANK;
    for (int used = width; used >= width && rank >= 0; rank--) {
        used = MARKS - GAP;
        for (int c = 0; c < COLUMNS; c++) {
            used += columns[c].rank >= 0 && columns[c].rank <= rank ? columns[c].width + GAP : 0;
        }
        if (used < width) {
            return rank;
        }
    }
    return 0;
}

static bool is(const attn_table *table, int64_t row, int column, const char *text) {
    return strcmp(attn_table_get(table, row, column), text) == 0;
}

static bool is_disturbed(const attn_table *table, int64_t row) {
    return !is(table, row, ATTN_BENCH_DISTURBED, "") && !is(table, row, ATTN_BENCH_DISTURBED, "no");
}

/* "name: 512 queries, 512 keys, 12 heads of 64, fp32" */
static void print_problem(const attn_table *table, int64_t row, int width, FILE *file) {
    char text[1024] = "";
    const char *name = attn_table_get(table, row, ATTN_BENCH_NAME);
    attn_text_add(text, sizeof text, "%s%s%s queries, %s keys, ", name, name[0] != '\0' ? ": " : "",
                  attn_table_get(table, row, ATTN_BENCH_QUERY_LENGTH),
                  attn_table_get(table, row, ATTN_BENCH_KEY_LENGTH));
    attn_text_add(text, sizeof text, "%s heads of %s, %s%s", attn_table_get(table, row, ATTN_BENCH_HEADS),
                  attn_table_get(table, row, ATTN_BENCH_DIM), attn_table_get(table, row, ATTN_BENCH_TYPE),
                  is(table, row, ATTN_BENCH_DIRECTION, "backward") ? ", backward" : "");
    attn_terminal_wrap(file, text, 0, 2, width - 1);
}

static void print_group(const attn_table *table, int64_t first, int width, FILE *file) {
    int rank = rank_that_fits(width);
    char line[2048];
    if (rank != shown_rank) {
        snprintf(line, sizeof line, "%*s", MARKS, "");
        char cells[2048] = "";
        put_cells(cells, table, -1, rank);
        attn_text_add(line, sizeof line, "%s", cells);
        print_line(line, file);
        shown_rank = rank;
    }
    print_problem(table, first, width, file);
    for (int64_t r = first; r < table->row_count; r++) {
        const char *note = attn_table_get(table, r, ATTN_BENCH_NOTE);
        bool plain = is(table, r, ATTN_BENCH_ENGINE, "plain");
        char cells[2048] = "";
        put_cells(cells, table, r, rank);
        snprintf(line, sizeof line, "%s%s%s ", is(table, r, ATTN_BENCH_FASTEST, "yes") ? "*" : " ",
                 is_disturbed(table, r) ? "!" : " ", is(table, r, ATTN_BENCH_SCALED, "yes") ? "~" : " ");
        attn_text_add(line, sizeof line, "%s", cells);
        print_line(line, file);
        if (note[0] != '\0' && !plain) {
            fprintf(file, "%*s", NOTE_INDENT, "");
            attn_terminal_wrap(file, note, NOTE_INDENT, NOTE_INDENT, width - 1);
        }
    }
}

/* ------------------------------------------------------------------------------------ both */

/* Every column; a name stands above its rows. */
static void print_flat(const attn_table *table, int64_t first, FILE *file) {
    char line[2048] = "";
    const char *name = attn_table_get(table, first, ATTN_BENCH_NAME);
    if (first == 0) {
        put_cells(line, table, -1, -1);
        attn_text_add(line, sizeof line, "note");
        print_line(line, file);
    }
    if (name[0] != '\0' && (first == 0 || !is(table, first - 1, ATTN_BENCH_NAME, name))) {
        fprintf(file, "%s\n", name);
    }
    for (int64_t r = first; r < table->row_count; r++) {
        line[0] = '\0';
        put_cells(line, table, r, -1);
        attn_text_add(line, sizeof line, "%s", attn_table_get(table, r, ATTN_BENCH_NOTE));
        print_line(line, file);
    }
}

void attn_bench_show_case(const attn_table *table, int64_t first, FILE *file) {
    int width = attn_terminal_width(fileno(file));
    if (first >= table->row_count) {
        return;
    }
    if (width > 0) {
        print_group(table, first, width, file);
    } else {
        print_flat(table, first, file);
    }
    fflush(file);
}

static void print_doubts(const attn_table *table, int width, FILE *file) {
    int64_t timed = 0, disturbed = 0, uneven = 0;
    double most = 0, spread = 0, value;
    char text[512];
    for (int64_t r = 0; r < table->row_count; r++) {
        const char *why = attn_table_get(table, r, ATTN_BENCH_DISTURBED);
        timed += why[0] != '\0' ? 1 : 0;
        if (strncmp(why, "others", 6) == 0 &&
            attn_text_number(attn_table_get(table, r, ATTN_BENCH_TAKEN), &value) == 0) {
            disturbed++;
            most = value > most ? value : most;
        }
        if (strstr(why, "uneven") && attn_text_number(attn_table_get(table, r, ATTN_BENCH_SPREAD), &value) == 0) {
            uneven++;
            spread = value > spread ? value : spread;
        }
    }
    if (disturbed > 0) {
        snprintf(text, sizeof text,
                 "! %" PRId64 " of %" PRId64
                 " rows were disturbed: others took up to %.0f %% of the processors' time from them. "
                 "Such rows "
                 "say little of this machine; measure again when it is quiet.",
                 disturbed, timed, most);
        attn_terminal_wrap(file, text, 0, 2, width);
    }
    if (uneven > 0) {
        snprintf(text, sizeof text,
                 "! %" PRId64 " of %" PRId64
                 " rows are uneven: the middle half of their times spreads over up to %.0f %% "
                 "of the median.",
                 uneven, timed, spread);
        attn_terminal_wrap(file, text, 0, 2, width);
    }
}

void attn_bench_show_end(const attn_table *table, FILE *file) {
    int width = attn_terminal_width(fileno(file));
    if (table->row_count == 0) {
        return;
    }
    fputc('\n', file);
    if (width > 0) {
        attn_terminal_wrap(
            file,
            "* the fastest engine of a problem; ~ scaled from a sample of rows; spread: the middle half of "
            "the times, as a part of the median; plain: one thread of plain loops",
            0, 2, width - 1);
    }
    print_doubts(table, width > 0 ? width - 1 : 1 << 20, file);
    fflush(file);
}
