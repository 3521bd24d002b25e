/*
 * The memory plan of opencl-unfused: scores need batch * heads * query_length * key_length floats, which soon is more
 * than a device has, so a call is cut into parts of whole heads, or of some rows of one. Pure arithmetic; knows no
 * OpenCL.
 */
#include "engines/opencl/unfused/opencl_unfused_parts.h"

#include <inttypes.h>

#include "base/memory.h"
#include "base/report.h"

enum { REGION_STEP = 256 }; /* floats; regions begin at multiples of 1 KiB, which suits every device's base alignment */

static const int64_t most_floats = INT32_MAX; /* CLBlast counts elements in 32 bits */

/* Appends a region of count * rows * columns floats; false when the sum passes what CLBlast can count. */
static bool append(int64_t *total, int64_t *at, int64_t count, int64_t rows, int64_t columns) {
    int64_t elements = 0;
    *at = *total;
    if (!attn_multiply(count, rows, &elements) || !attn_multiply(elements, columns, &elements) ||
        elements > most_floats) {
        return false;
    }
    *total = attn_round_up(*total + elements, REGION_STEP);
    return *total <= most_floats;
}

static bool lay_out(const attn_unfused_sizes *s, int64_t pairs, int64_t rows, int64_t temporary, int64_t limit,
                    attn_unfused_part *part) {
    int64_t total = 0, first = 0;
    *part = (attn_unfused_part){ .pairs = pairs, .rows = rows };
    bool fits = append(&total, &first, 1, temporary / 4, 1) &&
                append(&total, &part->scores, pairs, rows, s->key_length) &&
                append(&total, &part->query, pairs, rows, s->head_dim) &&
                append(&total, &part->key, pairs, s->key_length, s->head_dim) &&
                append(&total, &part->value, pairs, s->key_length, s->value_dim) &&
                append(&total, &part->sums, pairs, rows, s->value_dim);
    part->floats = total;
    return fits && total <= limit / 4;
}

clattn_status attn_unfused_cut(const attn_unfused_sizes *sizes, int64_t limit, attn_unfused_part *part,
                               clattn_report *report) {
    int64_t pairs = sizes->pairs, rows = sizes->rows, temporary = 0;
    if (sizes->most_rows > 0 && rows > sizes->most_rows) {
        pairs = attn_min(pairs, 1);
        rows = sizes->most_rows;
    }
    if (pairs > 0 && rows > 0 && sizes->key_length > 0) {
        ATTN_TRY(sizes->temporary(sizes, rows, &temporary, report));
    }
    while (!lay_out(sizes, pairs, rows, temporary, limit, part)) {
        if (pairs > 1) {
            pairs = (pairs + 1) / 2;
        } else if (rows > 1) {
            rows = (rows + 1) / 2;
            ATTN_TRY(sizes->temporary(sizes, rows, &temporary, report));
        } else {
            return attn_refuse(report, CLATTN_DEVICE_OUT_OF_MEMORY,
                               "key_length: one row of scores with its %" PRId64 " keys of head_dim %" PRId64
                               " and value_dim %" PRId64 " does not fit a workspace of %" PRId64 " bytes",
                               sizes->key_length, sizes->head_dim, sizes->value_dim, limit);
        }
    }
    return CLATTN_OK;
}
