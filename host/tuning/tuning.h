/*
 * Block sizes as data: the tables of kernels/tuning, one a program. A row says for which devices, types and head_dims
 * it is, and the sizes. Several rows may apply; an engine tries them from the most specific on until one fits the
 * device.
 */
#ifndef ATTN_TUNING_TUNING_H
#define ATTN_TUNING_TUNING_H

#include <stddef.h>
#include <stdint.h>

#include "base/report.h"

/** A table inside the library: its text as in kernels/tuning/<name>.csv. Generated at build time. */
typedef struct attn_tuning_table {
    const char *name, *text;
} attn_tuning_table;

extern const attn_tuning_table attn_tuning_tables[];
extern const size_t attn_tuning_table_count;

/** What rows are chosen by. Vendor, architecture and device of a row match when they are part of these, in any case. */
typedef struct attn_tuning_key {
    const char *vendor, *architecture, *device, *type;
    int64_t head_dim; /* the larger of head_dim and value_dim */
} attn_tuning_key;

typedef struct attn_tuning_row {
    const char *header, *line; /* inside the table's text */
    int specificity;
    int64_t head_dim_max;
} attn_tuning_row;

/** The text of the table of that name, or NULL. */
const char *attn_tuning_get_table(const char *name);

/**
 * The rows of a table's text that apply, best first: the smallest head_dim_max, among equals the most specific (device,
 * then architecture, vendor, type), then the earlier line. Returns how many were stored, at most room.
 */
int64_t attn_tuning_find(const char *text, const attn_tuning_key *key, attn_tuning_row *rows, int64_t room);

/** The same for one more table: adds to the `count` rows that are there, which come before what is equal. */
int64_t attn_tuning_add(const char *text, const attn_tuning_key *key, attn_tuning_row *rows, int64_t count,
                        int64_t room);

/** The number in a column of a row; 0 when there is no such column or number. */
int64_t attn_tuning_get(const attn_tuning_row *row, const char *column);

#endif
