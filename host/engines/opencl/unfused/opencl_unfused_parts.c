/*
 * The memory plan of opencl-unfused: scores need batch * heads * query_length * key_length floats, which soon is more
 * than a device has, so a call is cut into parts of whole heads, or of some rows of one. Pure arithmetic; knows no
 * OpenCL.
 */
#include "engines/opencl/unfused/opencl_unfused_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/report.h"

enum { REGION_STEP = 256 }; /* floats; regions begin at multiples of 1 KiB, which suits every device's base alignment */

static const int64_t most_floats = INT32_MAX; /* CLBlast counts elements in 32 bits */

/* Floats of a region as count * rows * columns. Totals are for a pair that is cut. */
static void shape_of(const attn_unfused_sizes *s, attn_unfused_region region, int64_t pairs, int64_t rows,
                     int64_t temporary, int64_t shape[3]) {
    const int64_t keys = s->key_length;
    const bool cut = rows < s->rows;
    int64_t sizes[3] = { pairs, rows, 1 };
    switch (region) {
        case ATTN_REGION_TEMPORARY: sizes[0] = temporary / 4, sizes[1] = 1; break;
        case ATTN_REGION_SCORES:
        case ATTN_REGION_CHANGES:
        case ATTN_REGION_UNCAPPED: sizes[2] = keys; break;
        case ATTN_REGION_QUERY: sizes[2] = s->head_dim; break;
        case ATTN_REGION_GIVEN: sizes[2] = s->value_dim; break;
        case ATTN_REGION_SUMS: sizes[2] = s->backward ? s->head_dim : s->value_dim; break;
        case ATTN_REGION_KEY:
        case ATTN_REGION_KEY_SUMS: sizes[1] = keys, sizes[2] = s->head_dim; break;
        case ATTN_REGION_VALUE:
        case ATTN_REGION_VALUE_SUMS: sizes[1] = keys, sizes[2] = s->value_dim; break;
        case ATTN_REGION_KEY_TOTAL: sizes[1] = cut ? keys : 0, sizes[2] = s->head_dim; break;
        case ATTN_REGION_VALUE_TOTAL: sizes[1] = cut ? keys : 0, sizes[2] = s->value_dim; break;
        case ATTN_REGION_BIAS_TOTAL: sizes[0] = cut || pairs < s->pairs ? s->bias_elements : 0, sizes[1] = 1; break;
        default: sizes[0] = s->pairs, sizes[1] = s->rows; break;
    }
    memcpy(shape, sizes, sizeof sizes);
}

/* Appends a region; false when the sum passes what CLBlast can count. */
static bool append(int64_t *total, int64_t *at, const int64_t shape[3]) {
    int64_t elements = 0;
    *at = *total;
    if (!attn_multiply(shape[0], shape[1], &elements) || !attn_multiply(elements, shape[2], &elements) ||
        elements > most_floats) {
        return false;
    }
    *total = attn_round_up(*total + elements, REGION_STEP);
    return *total <= most_floats;
}

static bool lay_out(const attn_unfused_sizes *s, int64_t pairs, int64_t rows, int64_t temporary, int64_t limit,
                    attn_unfused_part *part) {
    *part = (attn_unfused_part){ .pairs = pairs, .rows = rows };
    for (int region = 0; region < ATTN_REGIONS; region++) {
        int64_t shape[3] = { 0, 0, 0 };
        if (region == ATTN_REGION_TEMPORARY || ATTN_HAS_REGION(s->regions, region)) {
            shape_of(s, (attn_unfused_region)region, pairs, rows, temporary, shape);
        }
        if (!append(&part->floats, &part->at[region], shape)) {
            return false;
        }
    }
    return part->floats <= limit / 4;
}

/* Without keys there are no products. */
static clattn_status temporary_of(const attn_unfused_sizes *sizes, int64_t rows, int64_t *bytes,
                                  clattn_report *report) {
    *bytes = 0;
    return rows > 0 && sizes->key_length > 0 ? sizes->temporary(sizes, rows, bytes, report) : CLATTN_OK;
}

static clattn_status refuse(const attn_unfused_sizes *s, int64_t limit, clattn_report *report) {
    if (s->backward) {
        return attn_refuse(report, CLATTN_DEVICE_OUT_OF_MEMORY,
                           "key_length: one row of scores with its %" PRId64 " keys of head_dim %" PRId64
                           " and value_dim %" PRId64 ", numbers of %" PRId64 " times %" PRId64
                           " rows and sums of %" PRId64 " biases do not fit a workspace of %" PRId64 " bytes",
                           s->key_length, s->head_dim, s->value_dim, s->pairs, s->rows, s->bias_elements, limit);
    }
    return attn_refuse(report, CLATTN_DEVICE_OUT_OF_MEMORY,
                       "key_length: one row of scores with its %" PRId64 " keys of head_dim %" PRId64
                       " and value_dim %" PRId64 " does not fit a workspace of %" PRId64 " bytes",
                       s->key_length, s->head_dim, s->value_dim, limit);
}

clattn_status attn_unfused_cut(const attn_unfused_sizes *sizes, int64_t limit, attn_unfused_part *part,
                               clattn_report *report) {
    int64_t pairs = sizes->pairs, rows = sizes->rows, temporary = 0;
    if (sizes->most_rows > 0 && rows > sizes->most_rows) {
        pairs = attn_min(pairs, 1);
        rows = sizes->most_rows;
    }
    if (pairs > 0) {
        ATTN_TRY(temporary_of(sizes, rows, &temporary, report));
    }
    while (!lay_out(sizes, pairs, rows, temporary, limit, part)) {
        if (pairs > 1) {
            pairs = (pairs + 1) / 2;
        } else if (rows > 1) {
            rows = (rows + 1) / 2;
            ATTN_TRY(temporary_of(sizes, rows, &temporary, report));
        } else {
            return refuse(sizes, limit, report);
        }
    }
    return CLATTN_OK;
}
