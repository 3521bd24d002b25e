/*
 * Problems: defaults, checks, and what can be counted before anything runs. Every refusal names its field. A new field is
 * one check here; what needs the call's memory belongs to call.c.
 */
#include "problem/problem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/report.h"
#include "base/visit.h"
#include "clattn/clattn_inspect.h"

#define OFFSET_LIMIT (INT64_C(1) << 61)
#define WINDOW_LIMIT (INT64_C(1) << 62)

/*
 * Sizes that the structure has had, one a version. A new member goes to the end, and where the padding there would take it in, a
 * filler before it, so that the structure grows; then its new size comes first here, and the older one stays.
 */
static const size_t sizes_known[] = { sizeof(clattn_problem) };

bool attn_problem_uses_offset(const clattn_problem *problem) {
    return problem->causal || attn_problem_has_window(problem) || problem->alibi;
}

clattn_type attn_weights_type(const clattn_problem *problem) {
    bool wide = problem->type == CLATTN_FP64;
    return problem->weights == CLATTN_WEIGHTS_SOFTMAX ? problem->type : wide ? CLATTN_FP64 : CLATTN_FP32;
}

clattn_type attn_logsumexp_type(const clattn_problem *problem) {
    return problem->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
}

clattn_type attn_bias_type(const clattn_problem *problem) {
    return problem->bias == CLATTN_BIAS_STORAGE ? problem->type : CLATTN_FP32;
}

static clattn_status check_enums(const clattn_problem *p, clattn_report *report) {
    const struct {
        const char *name;
        int value, count;
    } enums[] = {
        { "type", (int)p->type, 4 },
        { "direction", (int)p->direction, 2 },
        { "memory", (int)p->memory, 2 },
        { "alignment", (int)p->alignment, 6 },
        { "mask", (int)p->mask, 3 },
        { "bias", (int)p->bias, 3 },
        { "weights", (int)p->weights, 5 },
        { "output_type", (int)p->output_type, 2 },
        { "gradient_type", (int)p->gradient_type, 2 },
    };
    for (size_t i = 0; i < sizeof enums / sizeof *enums; i++) {
        if (enums[i].value < 0 || enums[i].value >= enums[i].count) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s: %d is not one of its values", enums[i].name,
                               enums[i].value);
        }
    }
    return CLATTN_OK;
}

/** Fills CLATTN_SAME and checks the sizes. */
static clattn_status resolve_sizes(clattn_problem *p, clattn_report *report) {
    p->kv_heads = p->kv_heads == CLATTN_SAME ? p->query_heads : p->kv_heads;
    p->key_length = p->key_length == CLATTN_SAME ? p->query_length : p->key_length;
    p->value_dim = p->value_dim == CLATTN_SAME ? p->head_dim : p->value_dim;
    const struct {
        const char *name;
        int64_t value, least;
    } sizes[] = {
        { "batch", p->batch, 0 },
        { "query_heads", p->query_heads, 1 },
        { "kv_heads", p->kv_heads, 1 },
        { "query_length", p->query_length, 0 },
        { "key_length", p->key_length, 0 },
        { "head_dim", p->head_dim, 1 },
        { "value_dim", p->value_dim, 1 },
        { "past_length", p->past_length, 0 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].value < sizes[i].least) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s: %" PRId64 ", must be at least %" PRId64,
                               sizes[i].name, sizes[i].value, sizes[i].least);
        }
    }
    if (p->query_heads % p->kv_heads != 0) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM,
                           "query_heads: %" PRId64 " is not a multiple of kv_heads %" PRId64, p->query_heads,
                           p->kv_heads);
    }
    if (p->past_length > p->key_length) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM,
                           "past_length: %" PRId64 " is more than key_length %" PRId64 ", which counts the past too",
                           p->past_length, p->key_length);
    }
    return CLATTN_OK;
}

static clattn_status resolve_numbers(clattn_problem *p, clattn_report *report) {
    if (!p->has_scale) {
        p->has_scale = true;
        p->scale = 1.0 / sqrt((double)p->head_dim);
    }
    if (!isfinite(p->scale)) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "scale: must be finite");
    }
    if (!isfinite(p->softcap) || p->softcap < 0) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "softcap: must be finite and not negative");
    }
    if (p->window_left < CLATTN_OPEN || p->window_right < CLATTN_OPEN) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s: must not be negative (CLATTN_OPEN for an open side)",
                           p->window_left < CLATTN_OPEN ? "window_left" : "window_right");
    }
    p->window_left = p->window_left >= WINDOW_LIMIT ? CLATTN_OPEN : p->window_left;
    p->window_right = p->window_right >= WINDOW_LIMIT ? CLATTN_OPEN : p->window_right;
    if (p->offset > OFFSET_LIMIT || p->offset < -OFFSET_LIMIT) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "offset: must lie within +-2^61");
    }
    return CLATTN_OK;
}

static clattn_status resolve_alignment(clattn_problem *p, clattn_report *report) {
    if (!attn_problem_uses_offset(p)) {
        p->alignment = CLATTN_ALIGN_TOP_LEFT;
        return CLATTN_OK;
    }
    bool matters = p->query_length != p->key_length || p->query_lengths || p->key_lengths || p->past_length > 0;
    if (p->alignment == CLATTN_ALIGN_UNSET && matters) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM,
                           "alignment: causal, window and alibi need it here, since query and key "
                           "lengths differ or "
                           "vary or there is a past: any clattn_alignment but CLATTN_ALIGN_UNSET");
    }
    return CLATTN_OK;
}

/** A shape that is not asked for becomes 0s. */
static clattn_status resolve_shape(const char *name, const clattn_problem *p, bool used, int64_t shape[4],
                                   clattn_report *report) {
    const int64_t full[4] = { p->batch, p->query_heads, p->query_length, p->key_length };
    for (int k = 0; k < 4; k++) {
        if (!used) {
            shape[k] = 0;
            continue;
        }
        shape[k] = shape[k] == CLATTN_SAME ? full[k] : shape[k];
        if (shape[k] != 1 && shape[k] != full[k]) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s[%d]: %" PRId64 ", must be 1 or %" PRId64, name, k,
                               shape[k], full[k]);
        }
    }
    return CLATTN_OK;
}

static clattn_status resolve_weights(clattn_problem *p, clattn_report *report) {
    if (p->weights == CLATTN_WEIGHTS_NONE) { /* what the fields hold means nothing then */
        p->weights_first_head = p->weights_first_row = p->weights_heads = p->weights_rows = 0;
        return CLATTN_OK;
    }
    const struct {
        const char *first_name, *count_name;
        int64_t first, *count, limit;
    } ranges[] = {
        { "weights_first_head", "weights_heads", p->weights_first_head, &p->weights_heads, p->query_heads },
        { "weights_first_row", "weights_rows", p->weights_first_row, &p->weights_rows, p->query_length },
    };
    for (size_t i = 0; i < 2; i++) {
        bool inside = ranges[i].first >= 0 && ranges[i].first <= ranges[i].limit;
        int64_t left = inside ? ranges[i].limit - ranges[i].first : 0, *count = ranges[i].count;
        *count = *count == CLATTN_SAME ? left : *count;
        if (!inside) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s: %" PRId64 " is outside 0..%" PRId64,
                               ranges[i].first_name, ranges[i].first, ranges[i].limit);
        }
        if (*count < 0 || *count > left) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s: %" PRId64 ", there are %" PRId64,
                               ranges[i].count_name, *count, left);
        }
    }
    return CLATTN_OK;
}

clattn_status attn_check_bytes(const char *name, int64_t a, int64_t b, int64_t c, int64_t d, int64_t size,
                               clattn_report *report) {
    int64_t bytes = size;
    const int64_t dims[4] = { a, b, c, d };
    for (int k = 0; k < 4; k++) {
        if (!attn_multiply(bytes, attn_max(dims[k], 1), &bytes)) {
            return attn_refuse(report, CLATTN_OVERFLOW,
                               "%s: [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "] has more than 2^63 - 1 bytes",
                               name, a, b, c, d);
        }
    }
    return CLATTN_OK;
}

static clattn_status check_overflow(const clattn_problem *p, clattn_report *report) {
    int64_t size = clattn_type_size(p->type), result = clattn_type_size(attn_output_type(p));
    ATTN_TRY(attn_check_bytes("query", p->batch, p->query_heads, p->query_length, p->head_dim, size, report));
    ATTN_TRY(attn_check_bytes("key", p->batch, p->kv_heads, p->key_length, p->head_dim, size, report));
    ATTN_TRY(attn_check_bytes("value", p->batch, p->kv_heads, p->key_length, p->value_dim, size, report));
    ATTN_TRY(attn_check_bytes("output", p->batch, p->query_heads, p->query_length, p->value_dim, result, report));
    if (p->mask != CLATTN_MASK_NONE) {
        const int64_t *m = p->mask_shape;
        ATTN_TRY(attn_check_bytes("mask", m[0], m[1], m[2], m[3], 1, report));
    }
    if (p->bias != CLATTN_BIAS_NONE) {
        const int64_t *m = p->bias_shape;
        ATTN_TRY(attn_check_bytes("bias", m[0], m[1], m[2], m[3], 8, report));
    }
    if (p->weights != CLATTN_WEIGHTS_NONE) {
        ATTN_TRY(attn_check_bytes("weights", p->batch, p->weights_heads, p->weights_rows, p->key_length, 8, report));
    }
    return attn_check_bytes("logsumexp", p->batch, p->query_heads, p->query_length, 1, 8, report);
}

clattn_status attn_problem_resolve(const clattn_problem *problem, clattn_problem *resolved, clattn_report *report) {
    if (!problem || !resolved) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "problem: is NULL");
    }
    size_t version = 0, versions = sizeof sizes_known / sizeof *sizes_known;
    while (version < versions && sizes_known[version] != problem->struct_size) {
        version++;
    }
    if (version == versions) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT,
                           "struct_size: %zu, no clattn_problem has that size (%zu); start from CLATTN_PROBLEM_INIT",
                           problem->struct_size, sizeof *problem);
    }
    clattn_problem filled = CLATTN_PROBLEM_INIT;
    memcpy(&filled, problem, problem->struct_size);
    filled.struct_size = sizeof filled;
    ATTN_TRY(check_enums(&filled, report));
    ATTN_TRY(resolve_sizes(&filled, report));
    ATTN_TRY(resolve_numbers(&filled, report));
    ATTN_TRY(resolve_alignment(&filled, report));
    ATTN_TRY(resolve_shape("mask_shape", &filled, filled.mask != CLATTN_MASK_NONE, filled.mask_shape, report));
    ATTN_TRY(resolve_shape("bias_shape", &filled, filled.bias != CLATTN_BIAS_NONE, filled.bias_shape, report));
    ATTN_TRY(resolve_weights(&filled, report));
    ATTN_TRY(attn_training_resolve(&filled, report));
    ATTN_TRY(check_overflow(&filled, report));
    *resolved = filled;
    return CLATTN_OK;
}

/** Sum over rows i < rows of clamp(i + c, 0, keys). */
static double clamped_sum(double rows, double keys, double c) {
    double first = fmin(fmax(-c, 0), rows);          /* rows before: 0 */
    double last = fmin(fmax(keys - c, first), rows); /* rows from here: keys */
    return (last - first) * c + (last * (last - 1) - first * (first - 1)) / 2 + (rows - last) * keys;
}

double attn_problem_scores(const clattn_problem *p) {
    double rows = (double)p->query_length, keys = (double)p->key_length, offset = 0;
    switch (p->alignment) {
        case CLATTN_ALIGN_BOTTOM_RIGHT: offset = keys - rows; break;
        case CLATTN_ALIGN_PAST: offset = (double)p->past_length; break;
        case CLATTN_ALIGN_OFFSET: offset = (double)p->offset; break;
        default: break; /* per-entry offsets are unknown here: counted as 0 */
    }
    double right = p->window_right == CLATTN_OPEN ? INFINITY : (double)p->window_right;
    right = p->causal ? fmin(right, 0) : right;
    double end = isinf(right) ? rows * keys : clamped_sum(rows, keys, offset + right + 1);
    double begin = p->window_left == CLATTN_OPEN ? 0 : clamped_sum(rows, keys, offset - (double)p->window_left);
    double prefix = (double)p->prefix; /* its keys count once, also those that the window shows */
    double hidden = p->causal ? clamped_sum(rows, prefix, offset + 1) : rows * prefix;
    hidden -= isinf(right) ? rows * prefix : clamped_sum(rows, prefix, offset + right + 1);
    hidden += p->window_left == CLATTN_OPEN ? 0 : clamped_sum(rows, prefix, offset - (double)p->window_left);
    return (double)p->batch * (double)p->query_heads * fmax(end - begin + hidden, 0);
}

clattn_status clattn_problem_resolve(const clattn_problem *problem, clattn_problem *resolved, clattn_report *report) {
    attn_report_clear(report);
    if (!resolved) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "resolved: is NULL");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = attn_problem_resolve(problem, resolved, report);
    attn_visit_end(&visit);
    return status;
}

void clattn_problem_init(clattn_problem *problem, size_t size) {
    static const clattn_problem start = CLATTN_PROBLEM_INIT;
    attn_init_structure(problem, size, &start, sizeof start);
}
