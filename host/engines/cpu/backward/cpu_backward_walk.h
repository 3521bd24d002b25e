/*
 * Items of backward: rows and keys of two slices, a block of keys after the other. Has no guard: the includer defines
 * ATTN_BACKWARD_WIDE anew each time.
 */
#include "engines/cpu/backward/cpu_backward_block.h"

/** Rows or keys of a slice: chunk `slice`, and the one as far from the end. One range where they meet. */
static int OF(slice_ranges)(const attn_cpu_backward_job *own, int64_t length, int64_t slice, attn_key_range ranges[2]) {
    const int64_t n = own->slices, last = 2 * n - 1 - slice;
    if (last == slice + 1) {
        ranges[0] = (attn_key_range){ attn_cpu_backward_chunk(length, n, slice),
                                      attn_cpu_backward_chunk(length, n, slice + 2) };
        return 1;
    }
    ranges[0] =
        (attn_key_range){ attn_cpu_backward_chunk(length, n, slice), attn_cpu_backward_chunk(length, n, slice + 1) };
    ranges[1] =
        (attn_key_range){ attn_cpu_backward_chunk(length, n, last), attn_cpu_backward_chunk(length, n, last + 1) };
    return 2;
}

static REAL *OF(sums_row)(const attn_cpu_backward_sums *sums, int64_t b, int64_t h, int64_t i) {
    return (REAL *)sums->data + sums->offset + b * sums->stride[0] + h * sums->stride[1] + i * sums->stride[2];
}

static void OF(clear_sums)(const attn_cpu_backward_sums *sums, int64_t b, int64_t h, attn_key_range range,
                           int64_t dim) {
    for (int64_t i = range.begin; i < range.end && sums->data; i++) {
        memset(OF(sums_row)(sums, b, h, i), 0, (size_t)dim * sizeof(REAL));
    }
}

/** In the first phase, where each row and key has one item. */
static void OF(clear_rows)(const OF(work) * w, attn_key_range rows) {
    const attn_cpu_backward_job *own = w->own;
    const clattn_problem *p = w->job->problem;
    const attn_call *c = w->job->call;
    const size_t size = (size_t)(rows.end - rows.begin) * sizeof(double);
    int64_t group = p->query_heads / p->kv_heads;
    for (int64_t h = w->g * group; h < (w->g + 1) * group && rows.begin < rows.end; h++) {
        int64_t first = (w->b * p->query_heads + h) * c->query_length + rows.begin;
        OF(clear_sums)(&own->query, w->b, h, rows, p->head_dim);
        if (own->bias == ATTN_CPU_BIAS_ROWS)
            memset(own->row_bias + first, 0, size);
        if (own->row_slopes)
            memset(own->row_slopes + first, 0, size);
    }
}

static void OF(clear_keys)(const OF(work) * w, attn_key_range keys) {
    const attn_cpu_backward_job *own = w->own;
    const clattn_problem *p = w->job->problem;
    OF(clear_sums)(&own->key, w->b, w->g, keys, p->head_dim);
    OF(clear_sums)(&own->value, w->b, w->g, keys, p->value_dim);
    if (own->bias != ATTN_CPU_BIAS_KEYS || keys.begin >= keys.end)
        return;
    int64_t group = p->query_heads / p->kv_heads, length = w->job->call->key_length;
    for (int64_t h = w->g * group; h < (w->g + 1) * group; h++) {
        memset(own->key_bias + (w->b * p->query_heads + h) * length + keys.begin, 0,
               (size_t)(keys.end - keys.begin) * sizeof(double));
    }
}

/** grad_bias of these rows and keys is 0, before the first entry and head that give to it. */
static void OF(clear_pairs)(const OF(work) * w, attn_key_range rows, attn_key_range keys) {
    const attn_cpu_backward_job *own = w->own;
    const clattn_problem *p = w->job->problem;
    const attn_call *c = w->job->call;
    const bool added = p->gradients_add && own->pairs.in_place;
    if (own->bias != ATTN_CPU_BIAS_PAIRS || added || (w->b > 0 && p->bias_shape[0] == 1) || keys.begin >= keys.end)
        return;
    int64_t group = p->query_heads / p->kv_heads, bytes = clattn_type_size(attn_grad_bias_type(p));
    for (int64_t h = w->g * group; h < (w->g + 1) * group; h++) {
        if (h > 0 && p->bias_shape[1] == 1)
            continue;
        for (int64_t i = rows.begin; i < rows.end; i++) {
            if (own->pairs_stored) {
                memset((char *)c->grad_bias.data + (attn_view_row(&c->grad_bias, w->b, h, i) + keys.begin) * bytes, 0,
                       (size_t)((keys.end - keys.begin) * bytes));
            } else {
                memset(OF(sums_row)(&own->pairs, w->b, h, i) + keys.begin, 0,
                       (size_t)(keys.end - keys.begin) * sizeof(REAL));
            }
        }
    }
}

/** Whether some of the rows attend to keys of the block. */
static bool OF(is_in_reach)(const OF(work) * w, attn_key_range rows) {
    int64_t end = attn_min(rows.end, w->rule.query_length);
    if (rows.begin >= end)
        return false;
    attn_key_range first = attn_rule_keys(&w->rule, rows.begin), last = attn_rule_keys(&w->rule, end - 1);
    return (last.end > w->key && first.begin < w->key + w->keys_count) ||
           attn_rule_prefix(&w->rule, end - 1).end > w->key;
}

/** The block's keys with a range of rows of all heads of the group; keys within the prefix and behind it apart. */
static void OF(rows_of_group)(OF(work) * w, attn_key_range rows) {
    const clattn_problem *p = w->job->problem;
    const int64_t group = p->query_heads / p->kv_heads, end = attn_min(rows.end, w->rule.query_length);
    const attn_key_range segments[] = { { 0, w->rule.prefix }, { w->rule.prefix, w->rule.key_length } };
    for (w->h = w->g * group; w->h < (w->g + 1) * group; w->h++) {
        for (w->row = rows.begin; w->row < end; w->row += ATTN_CPU_BACKWARD_ROWS) {
            w->rows_count = (int)attn_min(ATTN_CPU_BACKWARD_ROWS, end - w->row);
            for (int n = 0; n < 2; n++) {
                w->segment = segments[n];
                if (w->segment.begin < w->key + w->keys_count && w->segment.end > w->key)
                    OF(rows_and_keys)(w);
            }
        }
    }
}

/** The sums of a block of keys to those of all. */
static void OF(flush_keys)(const OF(work) * w, const attn_cpu_backward_sums *to, const REAL *sums, int64_t dim,
                           REAL factor) {
    const VEC f = OF(all)(factor);
    for (int64_t key = 0; key < w->keys_count && to->data; key++) {
        REAL *row = OF(sums_row)(to, w->b, w->g, w->key + key);
        const REAL *from = sums + key * STRIP;
        for (int64_t d = 0; d < dim; d += STRIP, from += OF(KEYS_PITCH)) {
            if (dim - d >= STRIP) {
                OF(put)(row + d, OF(get)(row + d) + f * OF(get)(from));
                OF(put)(row + d + WIDTH, OF(get)(row + d + WIDTH) + f * OF(get)(from + WIDTH));
                continue;
            }
            for (int64_t k = 0; k < dim - d; k++)
                row[d + k] += factor * from[k];
        }
    }
}

/** Keys of a range, block by block, with the rows of up to two ranges. */
static void OF(walk_keys)(OF(work) * w, attn_key_range keys, const attn_key_range *rows, int row_ranges) {
    const clattn_problem *p = w->job->problem;
    keys.end = attn_min(keys.end, w->rule.key_length);
    for (w->key = keys.begin; w->key < keys.end; w->key += w->job->block_key) {
        w->keys_count = (int)attn_min(w->job->block_key, keys.end - w->key);
        bool packed = false;
        for (int n = 0; n < row_ranges; n++) {
            if (!OF(is_in_reach)(w, rows[n]))
                continue;
            if (!packed)
                OF(pack_block)(w);
            packed = true;
            OF(rows_of_group)(w, rows[n]);
        }
        if (!packed)
            continue;
        OF(flush_keys)(w, &w->own->key, w->grad_key, p->head_dim, (REAL)p->scale);
        OF(flush_keys)(w, &w->own->value, w->grad_value, p->value_dim, 1);
    }
}

/** One entry and key-value head of an item. */
static void OF(walk_head)(OF(work) * w, int64_t slice) {
    const attn_cpu_backward_job *own = w->own;
    const attn_call *c = w->job->call;
    attn_key_range keys[2], rows[2];
    int key_ranges = OF(slice_ranges)(own, c->key_length, slice, keys);
    int row_ranges = OF(slice_ranges)(own, c->query_length, (slice + own->phase) % own->slices, rows);
    w->rule = attn_row_rule_of(w->job->problem, c, w->b);
    if (w->job->problem->dropout > 0) start_dropout(&w->dropout, w->job->problem, c, w->b);
    for (int n = 0; n < row_ranges && own->phase == 0; n++)
        OF(clear_rows)(w, rows[n]);
    for (int k = 0; k < key_ranges; k++) {
        if (own->phase == 0)
            OF(clear_keys)(w, keys[k]);
        for (int n = 0; n < row_ranges; n++)
            OF(clear_pairs)(w, rows[n], keys[k]);
    }
    for (int k = 0; k < key_ranges; k++)
        OF(walk_keys)(w, keys[k], rows, row_ranges);
}

static void OF(walk_item)(const attn_cpu_backward_job *own, int64_t item, void *scratch) {
    const clattn_problem *p = own->job.problem;
    OF(work) w = OF(start_work)(own, scratch);
    const int64_t slice = item % own->slices, head = item / own->slices, heads = own->share_groups ? 1 : p->kv_heads;
    const int64_t b = head / heads, g = head % heads;
    for (w.b = own->share_entries ? 0 : b; w.b < (own->share_entries ? p->batch : b + 1); w.b++) {
        for (w.g = own->share_groups ? 0 : g; w.g < (own->share_groups ? p->kv_heads : g + 1); w.g++) {
            OF(walk_head)(&w, slice);
        }
    }
}
