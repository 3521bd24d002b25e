/*
 * Prefill in bf16 on a matrix unit: 32 rows at a time against blocks of packed keys. Scores are exact products summed in
 * fp32, the step and the softmax are those of cpu_fused_step.h and in fp32; weights are rounded to bf16 where their scores
 * lay, sums of values are fp32 again. Included by cpu_fused_matrix_body.h.
 */

enum { MATRIX_ROWS = 2 * UNIT_ROWS, WEIGHT_PITCH = 2 * SCORE_PITCH /* weights lie over the row's scores */ };

/** An item under way, beside its prefill_work. */
typedef struct matrix_work {
    prefill_work p;
    matrix_unit unit;
    int64_t dim_steps, value_steps; /* tiles that the two products sum over, in a whole block */
    uint16_t limit;
    bool careful;  /* keys so large that the unit's flushed denormals or an overflow could show */
    bool stepped;  /* scores need more than a factor */
    float *part;   /* [MATRIX_ROWS][MATRIX_ROWS] */
} matrix_work;

/** A packed block of keys: n keys from number `first` on. */
typedef struct matrix_block {
    int64_t first;
    int n;
    const char *keys, *values;
} matrix_block;

/**
 * The unit takes denormals for 0. That is below what anyone sees while sizes stay under this limit, and so do sums of
 * products under the largest float; what exceeds it goes to the careful path, row by row for queries, the item for keys.
 */
static uint16_t size_limit(double scale) {
    double limit = fmin(ldexp(1, 56), ldexp(1, 80) / fmax(fabs(scale), 1e-12));
    return attn_bf16_from_double(limit);
}

static void start_matrix(matrix_work *w, const attn_cpu_job *job, int64_t item, char *scratch) {
    const clattn_problem *problem = job->problem;
    const attn_view *query = &job->call->query;
    prefill_work *p = &w->p;
    *p = start_prefill(job, item, scratch);
    p->dim_pitch = attn_round_up(problem->head_dim, UNIT_DEPTH);
    p->output_pitch = attn_round_up(problem->value_dim, UNIT_ROWS);
    p->exact = problem->logsumexp ? (vf *)(void *)(scratch + job->layout.exact) : NULL;
    w->dim_steps = p->dim_pitch / UNIT_DEPTH;
    w->value_steps = attn_round_up(job->block_key, UNIT_DEPTH) / UNIT_DEPTH;
    w->limit = size_limit(problem->scale);
    w->careful = false;
    w->stepped = job->stepped || !(job->key_factor > 0);
    w->part = p->scores + MATRIX_ROWS * SCORE_PITCH;
    attn_row_rule rule = attn_row_rule_of(problem, job->call, p->b);
    int64_t rows = attn_round_up(p->count, UNIT_ROWS);
    for (int64_t row = 0; row < rows; row++) {
        start_row(job, p->h, &p->maxima[row], &p->sums[row]);
        if (p->exact) p->exact[row] = p->sums[row];
        p->ranges[row] = row < p->count ? attn_rule_keys(&rule, p->first + row) : (attn_key_range){ 0, 0 };
    }
    copy_queries((uint16_t *)(void *)p->queries, p->dim_pitch,
                 (const uint16_t *)query->data + attn_view_row(query, p->b, p->h, p->first), query->stride[2], p->count,
                 rows, problem->head_dim, w->limit, p->sums);
}

/** Packs block `number` of the head, unless it lies there from an earlier item. The tag's lowest bit: beyond the limit. */
static matrix_block get_matrix_block(matrix_work *w, int64_t number) {
    const prefill_work *p = &w->p;
    const attn_cpu_job *job = p->job;
    const clattn_problem *problem = job->problem;
    const attn_call *call = job->call;
    int64_t used = attn_used_key_length(call, p->b), blocks = (call->key_length + job->block_key - 1) / job->block_key;
    matrix_block block = { .first = number * job->block_key };
    block.n = (int)attn_min(job->block_key, used - block.first);
    int64_t slot = job->slots > 1 ? number : 0, tag = (p->b * problem->kv_heads + p->g) * blocks + number;
    int64_t *tags = (int64_t *)(void *)(p->scratch + job->layout.tags), keys = w->value_steps * UNIT_DEPTH;
    char *packed_keys = p->scratch + job->layout.keys + slot * keys * p->dim_pitch * 2;
    char *packed_values = p->scratch + job->layout.values + slot * keys * p->output_pitch * 2;
    if (tags[slot] < 0 || tags[slot] / 2 != tag) {
        const uint16_t *key = (const uint16_t *)call->key.data + attn_view_row(&call->key, p->b, p->g, block.first);
        const uint16_t *value = (const uint16_t *)call->value.data + attn_view_row(&call->value, p->b, p->g, block.first);
        bool large = pack_unit_keys(packed_keys, key, call->key.stride[2], block.n, problem->head_dim, w->limit);
        pack_unit_values(packed_values, value, call->value.stride[2], block.n, problem->value_dim, w->value_steps);
        tags[slot] = 2 * tag + large;
    }
    w->careful = w->careful || tags[slot] % 2 != 0;
    block.keys = packed_keys;
    block.values = packed_values;
    return block;
}

/**
 * Scores times factor of keys begin .. end of one row become weights in bf16, in the first half of the same memory. *sums
 * takes them as rounded, so that what rounding did to all of them alike cancels when the row is divided; *exact before.
 */
INLINE void weights_row(float *scores, int begin, int end, vf factor, vf zero, vf *sums, vf *exact) {
    uint16_t *weights = (uint16_t *)(void *)scores;
    vf sum = { 0 }, sum2 = { 0 }, before = { 0 };
    int c = begin;
    for (; c + 4 * LANES <= end; c += 4 * LANES) {
        vf e[4];
        UNROLL for (int i = 0; i < 4; i++) e[i] = power_of_two(load(scores + c + i * LANES) * factor - zero);
        store_weights(weights + c, e[0], e[1], &sum);
        store_weights(weights + c + 2 * LANES, e[2], e[3], &sum2);
        if (exact) before += (e[0] + e[1]) + (e[2] + e[3]);
    }
    for (; c < end; c += 2 * LANES) {
        vf e = power_of_two(load(scores + c) * factor - zero);
        vf e2 = power_of_two(load(scores + c + LANES) * factor - zero);
        store_weights(weights + c, e, e2, &sum);
        if (exact) before += e + e2;
    }
    *sums += sum + sum2;
    if (exact) *exact += before;
}

/** Takes a block's maximum into row's, the row's other sum along. */
INLINE vf raise_row(const prefill_work *p, int64_t row, float top, bool first) {
    float before = p->maxima[row];
    vf zero = raise_maximum(top, &p->maxima[row], &p->sums[row], p->output + row * p->output_pitch, p->output_pitch, first);
    if (p->exact && before > -INFINITY && p->maxima[row] > before) {
        p->exact[row] *= power_of_two(splat(before - p->maxima[row]));
    }
    return zero;
}

static void scale_pass(float *scores, int begin, int end, float factor) {
    for (int c = begin; c < end; c += LANES) store(scores + c, load(scores + c) * splat(factor));
}

/** Products of one row with keys begin .. end of a block into weights; 0 for keys that the row may not attend. */
static void matrix_row(const matrix_work *w, const matrix_block *block, int64_t row, float *scores, int begin, int end,
                       bool first) {
    const prefill_work *p = &w->p;
    const attn_cpu_job *job = p->job;
    attn_key_range range = p->ranges[row];
    int low = (int)attn_max(begin, attn_min(range.begin - block->first, block->n));
    int high = (int)attn_max(0, attn_min(range.end - block->first, block->n));
    int from = begin, to = begin;
    if (row < p->count && low < high) {
        from = low / (2 * LANES) * (2 * LANES);
        to = (int)attn_round_up(high, 2 * LANES);
        float top, factor = job->key_factor;
        if (w->stepped) {
            step_row step = start_step(job, p->b, p->h, p->first + row);
            scale_pass(scores, from, to, factor);
            top = step_scores(&step, scores, block->first, from, high, low, high);
            bounds_pass(scores, (int)attn_round_up(high, LANES), to, low, high);
            factor = 1;
        } else {
            if (low > from) bounds_pass(scores, from, from + 2 * LANES, low, high);
            if (high < to) bounds_pass(scores, to - 2 * LANES, to, low, high);
            top = maximum_pass(scores, from, to) * factor;
        }
        vf zero = raise_row(p, row, top, first);
        if (p->exact) {
            weights_row(scores, from, to, splat(factor), zero, &p->sums[row], &p->exact[row]);
        } else {
            weights_row(scores, from, to, splat(factor), zero, &p->sums[row], NULL);
        }
    }
    uint16_t *weights = (uint16_t *)(void *)scores;
    memset(weights + begin, 0, (size_t)(from - begin) * sizeof *weights);
    memset(weights + to, 0, (size_t)(end - to) * sizeof *weights);
}

/** Keys of a block that some row of a tile attends, in whole steps; whether no earlier block had keys for the tile. */
static bool matrix_range(const matrix_work *w, const matrix_block *block, int64_t row, int64_t rows, int *begin, int *end) {
    bool first = true;
    *begin = block->n;
    *end = 0;
    for (int64_t i = row; i < attn_min(row + rows, w->p.count); i++) {
        attn_key_range range = w->p.ranges[i];
        if (range.begin >= range.end) continue;
        int low = (int)attn_max(0, attn_min(range.begin - block->first, block->n));
        int high = (int)attn_max(0, attn_min(range.end - block->first, block->n));
        *begin = low < *begin ? low : *begin;
        *end = high > *end ? high : *end;
        first = first && range.begin >= block->first;
    }
    *begin = *begin / UNIT_DEPTH * UNIT_DEPTH;
    *end = (int)attn_round_up(*end, UNIT_DEPTH);
    return first;
}

/** output (+)= a part of the sums: MATRIX_ROWS or half as many rows, `columns` columns. */
INLINE void add_part(const float *part, float *output, int64_t pitch, int rows, int columns) {
    for (int i = 0; i < rows; i++) {
        for (int c = 0; c < columns; c += LANES) {
            float *sum = output + i * pitch + c;
            store(sum, load(sum) + load(part + i * MATRIX_ROWS + c));
        }
    }
}

INLINE void matrix_values(const bool tall, matrix_work *w, const matrix_block *block, int64_t row, int begin, int end,
                          bool first) {
    const prefill_work *p = &w->p;
    const int rows = tall ? MATRIX_ROWS : UNIT_ROWS;
    const char *weights = (const char *)p->scores + begin * 2;
    int64_t steps = (end - begin) / UNIT_DEPTH, a_stride = WEIGHT_PITCH * 2, next = w->value_steps * UNIT_TILE;
    for (int64_t c = 0; c < p->output_pitch; c += MATRIX_ROWS) {
        const char *values = block->values + c / UNIT_ROWS * next + begin / UNIT_DEPTH * UNIT_TILE;
        bool wide = c + UNIT_ROWS < p->output_pitch;
        float *output = p->output + row * p->output_pitch + c, *sums = first ? output : w->part;
        int64_t pitch = first ? p->output_pitch : MATRIX_ROWS;
        if (wide) {
            unit_product(tall, true, &w->unit, weights, a_stride, values, values + next, steps, sums, pitch);
        } else {
            unit_product(tall, false, &w->unit, weights, a_stride, values, NULL, steps, sums, pitch);
        }
        if (!first) add_part(w->part, output, p->output_pitch, rows, wide ? MATRIX_ROWS : UNIT_ROWS);
    }
}

/** One tile of rows against one block: scores, softmax, values. */
INLINE void matrix_tile(const bool tall, matrix_work *w, const matrix_block *block, int64_t row) {
    const prefill_work *p = &w->p;
    const int rows = tall ? MATRIX_ROWS : UNIT_ROWS;
    int begin, end;
    bool first = matrix_range(w, block, row, rows, &begin, &end);
    if (begin >= end) return;
    const char *queries = (const char *)p->queries + row * p->dim_pitch * 2;
    int64_t next = w->dim_steps * UNIT_TILE;
    UNIT_FENCE();
    for (int key = begin; key < end; key += MATRIX_ROWS) {
        const char *keys = block->keys + key / UNIT_ROWS * next;
        unit_product(tall, true, &w->unit, queries, p->dim_pitch * 2, keys, keys + next, w->dim_steps, p->scores + key,
                     SCORE_PITCH);
    }
    for (int i = 0; i < rows; i++) matrix_row(w, block, row + i, p->scores + i * SCORE_PITCH, begin, end, first);
    UNIT_FENCE();
    matrix_values(tall, w, block, row, begin, end, first);
}

static __attribute__((noinline)) void matrix_tile_32(matrix_work *w, const matrix_block *block, int64_t row) {
    matrix_tile(true, w, block, row);
}

static __attribute__((noinline)) void matrix_tile_16(matrix_work *w, const matrix_block *block, int64_t row) {
    matrix_tile(false, w, block, row);
}

static void matrix_item(const attn_cpu_job *job, int64_t item, void *scratch) {
    matrix_work w;
    start_matrix(&w, job, item, scratch);
    prefill_work *p = &w.p;
    unit_start(&w.unit);
    attn_key_range all = rows_keys(job, p->b, p->first, p->count);
    for (int64_t number = all.begin / job->block_key; all.begin < all.end && number * job->block_key < all.end;
         number++) {
        matrix_block block = get_matrix_block(&w, number);
        int64_t row = 0;
        for (; p->count - row > UNIT_ROWS; row += MATRIX_ROWS) matrix_tile_32(&w, &block, row);
        if (row < p->count) matrix_tile_16(&w, &block, row);
    }
    unit_end(&w.unit);
    for (int64_t i = 0; w.careful && i < p->count; i++) p->sums[i] = splat(NAN);
    finish_prefill(p);
}
