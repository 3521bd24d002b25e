/*
 * Decode: the few rows of a group against keys as they lie in memory, which are read once; keys are split into parts, merged
 * by maximum and sum. Included by cpu_fused_body.h.
 */

enum { DECODE_KEYS = ATTN_CPU_PART, DECODE_TILE = 4, TILE_STRIPE = LANES / DECODE_TILE };

/** One part of the keys of one group under way. */
typedef struct decode_work {
    const attn_cpu_job *job;
    char *scratch;
    int64_t b, g, rows, group; /* rows = group * query_length */
    int64_t dim_pitch;
    float *queries, *output, *maxima, *scores;
    vf *sums;
    attn_key_range *ranges;
} decode_work;

static inline int64_t decode_head(const decode_work *w, int64_t row) {
    return w->g * w->group + row / w->job->call->query_length;
}

static inline int64_t decode_row(const decode_work *w, int64_t row) {
    return row % w->job->call->query_length;
}

static decode_work start_group(const attn_cpu_job *job, int64_t group, char *scratch) {
    const clattn_problem *problem = job->problem;
    const attn_cpu_layout *at = &job->layout;
    decode_work w = { .job = job, .scratch = scratch, .b = group / problem->kv_heads, .g = group % problem->kv_heads };
    w.group = problem->query_heads / problem->kv_heads;
    w.rows = w.group * job->call->query_length;
    w.dim_pitch = attn_round_up(problem->head_dim, LANES);
    w.ranges = (attn_key_range *)(void *)(scratch + at->ranges);
    w.queries = (float *)(void *)(scratch + at->queries);
    w.output = (float *)(void *)(scratch + at->output);
    w.maxima = (float *)(void *)(scratch + at->maxima);
    w.scores = (float *)(void *)(scratch + at->scores);
    w.sums = (vf *)(void *)(scratch + at->sums);
    return w;
}

/** Queries in floats, missing rows of the last tile 0; nothing summed yet. */
static void start_group_rows(decode_work *w) {
    const clattn_problem *problem = w->job->problem;
    const attn_view *query = &w->job->call->query;
    int64_t padded = attn_round_up(w->rows, DECODE_TILE);
    memset(w->output, 0, (size_t)(padded * w->job->value_pitch) * sizeof(float));
    for (int64_t row = 0; row < padded; row++) {
        float *copy = w->queries + row * w->dim_pitch;
        w->maxima[row] = -INFINITY;
        w->sums[row] = (vf){ 0 };
        if (row < w->rows) {
            w->ranges[row] = attn_row_keys(problem, w->job->call, w->b, decode_row(w, row));
            copy_rows(problem->type, copy, w->dim_pitch, query->data,
                      attn_view_row(query, w->b, decode_head(w, row), decode_row(w, row)), 0, 1, problem->head_dim,
                      splat(w->job->key_factor));
        } else {
            w->ranges[row] = (attn_key_range){ 0, INT64_MAX };
            memset(copy, 0, (size_t)w->dim_pitch * sizeof(float));
        }
    }
}

/** DECODE_TILE rows against n keys: dot products along the dim, LANES at a time through one transposing reduction. */
INLINE void decode_scores_typed(const clattn_type type, const decode_work *w, const float *queries, int64_t key, int n,
                                float *scores, bool prefetch) {
    const attn_view *keys = &w->job->call->key, *values = &w->job->call->value;
    const int64_t size = type == CLATTN_FP32 ? 4 : 2, dim = w->job->problem->head_dim;
    int64_t first = attn_view_row(keys, w->b, w->g, key), value = attn_view_row(values, w->b, w->g, key);
    for (int c = 0; c < n; c += TILE_STRIPE) {
        vf a[LANES];
        int64_t at[TILE_STRIPE];
        UNROLL for (int i = 0; i < LANES; i++) a[i] = (vf){ 0 };
        UNROLL for (int i = 0; i < TILE_STRIPE; i++) at[i] = first + (c + i < n ? c + i : n - 1) * keys->stride[2];
        if (prefetch) {
            for (int i = 0; i < TILE_STRIPE && c + i < n; i++) {
                const char *line = (const char *)values->data + (value + (c + i) * values->stride[2]) * size;
                for (int64_t x = 0; x < w->job->problem->value_dim * size; x += 64) __builtin_prefetch(line + x, 0, 3);
            }
        }
        int64_t d = 0;
        for (; d + LANES <= dim; d += LANES) {
            vf k[TILE_STRIPE];
            UNROLL for (int i = 0; i < TILE_STRIPE; i++) k[i] = load_typed(type, keys->data, at[i] + d);
            UNROLL for (int r = 0; r < DECODE_TILE; r++) {
                vf q = load(queries + r * w->dim_pitch + d);
                UNROLL for (int i = 0; i < TILE_STRIPE; i++) a[r * TILE_STRIPE + i] += q * k[i];
            }
        }
        if (d < dim) {
            vf k[TILE_STRIPE];
            UNROLL for (int i = 0; i < TILE_STRIPE; i++) k[i] = load_part(type, keys->data, at[i] + d, dim - d);
            UNROLL for (int r = 0; r < DECODE_TILE; r++) {
                vf q = load(queries + r * w->dim_pitch + d);
                UNROLL for (int i = 0; i < TILE_STRIPE; i++) a[r * TILE_STRIPE + i] += q * k[i];
            }
        }
        vf dots = transposed_sums(a);
        UNROLL for (int r = 0; r < DECODE_TILE; r++) {
            memcpy(scores + r * SCORE_PITCH + c, (const char *)&dots + r * TILE_STRIPE * 4, TILE_STRIPE * 4);
        }
    }
}

static void decode_scores(const decode_work *w, const float *queries, int64_t key, int n, float *scores,
                          bool prefetch) {
    switch (w->job->problem->type) {
        case CLATTN_FP16: decode_scores_typed(CLATTN_FP16, w, queries, key, n, scores, prefetch); break;
        case CLATTN_BF16: decode_scores_typed(CLATTN_BF16, w, queries, key, n, scores, prefetch); break;
        default: decode_scores_typed(CLATTN_FP32, w, queries, key, n, scores, prefetch); break;
    }
}

/** Columns column .. column + vectors of the sums of DECODE_TILE rows; `last` > 0: one vector of that many elements. */
INLINE void decode_columns(const clattn_type type, const int vectors, const decode_work *w, int64_t first, int n,
                           const float *weights, float *output, int64_t column, int64_t last) {
    const attn_view *values = &w->job->call->value;
    vf a[DECODE_TILE][4];
    UNROLL for (int r = 0; r < DECODE_TILE; r++) {
        UNROLL for (int c = 0; c < vectors; c++) a[r][c] = (vf){ 0 };
    }
    for (int key = 0; key < n; key++) {
        int64_t at = first + key * values->stride[2] + column;
        vf v[4];
        UNROLL for (int c = 0; c < vectors; c++) {
            v[c] = last ? load_part(type, values->data, at, last) : load_typed(type, values->data, at + c * LANES);
        }
        UNROLL for (int r = 0; r < DECODE_TILE; r++) {
            vf p = splat(weights[r * SCORE_PITCH + key]);
            UNROLL for (int c = 0; c < vectors; c++) a[r][c] += p * v[c];
        }
    }
    UNROLL for (int r = 0; r < DECODE_TILE; r++) {
        UNROLL for (int c = 0; c < vectors; c++) {
            float *sum = output + r * w->job->value_pitch + column + c * LANES;
            store(sum, load(sum) + a[r][c]);
        }
    }
}

INLINE void decode_values_typed(const clattn_type type, const decode_work *w, int64_t key, int n, const float *weights,
                                float *output) {
    int64_t first = attn_view_row(&w->job->call->value, w->b, w->g, key), dim = w->job->problem->value_dim, c = 0;
    for (; c + 4 * LANES <= dim; c += 4 * LANES) decode_columns(type, 4, w, first, n, weights, output, c, 0);
    for (; c + LANES <= dim; c += LANES) decode_columns(type, 1, w, first, n, weights, output, c, 0);
    if (c < dim) decode_columns(type, 1, w, first, n, weights, output, c, dim - c);
}

static void decode_values(const decode_work *w, int64_t key, int n, const float *weights, float *output) {
    switch (w->job->problem->type) {
        case CLATTN_FP16: decode_values_typed(CLATTN_FP16, w, key, n, weights, output); break;
        case CLATTN_BF16: decode_values_typed(CLATTN_BF16, w, key, n, weights, output); break;
        default: decode_values_typed(CLATTN_FP32, w, key, n, weights, output); break;
    }
}

/** DECODE_TILE rows against n keys. */
static void decode_tile(const decode_work *w, int64_t row, int64_t key, int n) {
    const attn_cpu_job *job = w->job;
    float *output = w->output + row * job->value_pitch;
    decode_scores(w, w->queries + row * w->dim_pitch, key, n, w->scores, row == 0);
    for (int r = 0; r < DECODE_TILE; r++) {
        float *scores = w->scores + r * SCORE_PITCH;
        attn_key_range range = w->ranges[row + r];
        int low = (int)attn_max(0, attn_min(range.begin - key, n)),
            high = (int)attn_max(0, attn_min(range.end - key, n));
        float top;
        if (job->stepped && row + r < w->rows) {
            step_row step = start_step(job, w->b, decode_head(w, row + r), decode_row(w, row + r));
            top = step_scores(&step, scores, key, 0, n, low, high);
        } else {
            if (low > 0 || high < n || n % LANES != 0) bounds_pass(scores, 0, n, low, high);
            top = maximum_pass(scores, 0, n);
        }
        softmax_row(scores, 0, n, top, &w->maxima[row + r], &w->sums[row + r], output + r * job->value_pitch,
                    job->value_pitch, false);
    }
    decode_values(w, key, n, w->scores, output);
}

/** Keys of one part of a group: equal parts of what its rows attend, in whole blocks. */
static attn_key_range decode_part(const decode_work *w, int64_t part) {
    const attn_cpu_job *job = w->job;
    attn_key_range all = rows_keys(job, w->b, 0, job->call->query_length);
    if (all.begin >= all.end) return (attn_key_range){ 0, 0 };
    int64_t begin = all.begin / DECODE_KEYS * DECODE_KEYS;
    int64_t keys = attn_round_up(attn_max((all.end - begin + job->splits - 1) / job->splits, 0), DECODE_KEYS);
    return (attn_key_range){ begin + part * keys, attn_min(all.end, begin + (part + 1) * keys) };
}

static float *decode_partial(const attn_cpu_job *job, int64_t item, int64_t rows, int64_t row) {
    return job->partials + (item * rows + row) * (job->value_pitch + 2);
}

static void decode_item(const attn_cpu_job *job, int64_t item, void *scratch) {
    decode_work w = start_group(job, item / job->splits, scratch);
    start_group_rows(&w);
    attn_key_range part = decode_part(&w, item % job->splits);
    for (int64_t key = part.begin; key < part.end; key += DECODE_KEYS) {
        int n = (int)attn_min(DECODE_KEYS, part.end - key);
        for (int64_t row = 0; row < w.rows; row += DECODE_TILE) decode_tile(&w, row, key, n);
    }
    for (int64_t row = 0; row < w.rows; row++) {
        float *partial = decode_partial(job, item, w.rows, row);
        memcpy(partial, w.output + row * job->value_pitch, (size_t)job->value_pitch * sizeof(float));
        partial[job->value_pitch] = w.maxima[row];
        partial[job->value_pitch + 1] = lanes_sum(w.sums[row]);
    }
}

/** One row's parts and its sink into output, maximum and sum. Parts in order, so the bits do not depend on threads. */
static void merge_row(const decode_work *w, int64_t item, int64_t row, float *maximum, float *sum) {
    const attn_cpu_job *job = w->job;
    int64_t pitch = job->value_pitch;
    vf sink;
    start_row(job, decode_head(w, row), maximum, &sink);
    float own = *maximum;
    for (int64_t s = 0; s < job->splits; s++) {
        float top = decode_partial(job, item + s, w->rows, row)[pitch];
        *maximum = top > *maximum ? top : *maximum;
    }
    *sum = own > -INFINITY ? sink[0] * power_of_two(splat(own - *maximum))[0] : sink[0];
    memset(w->output, 0, (size_t)pitch * sizeof(float));
    for (int64_t s = 0; s < job->splits; s++) {
        const float *partial = decode_partial(job, item + s, w->rows, row);
        if (partial[pitch + 1] == 0)
            continue; /* nothing allowed in this part: its sums are 0, or 0 times what may not be read */
        vf factor = power_of_two(splat(partial[pitch] - *maximum));
        *sum += factor[0] * partial[pitch + 1];
        for (int64_t c = 0; c < pitch; c += LANES)
            store(w->output + c, load(w->output + c) + load(partial + c) * factor);
    }
}

static void merge_item(const attn_cpu_job *job, int64_t item, void *scratch) {
    decode_work w = start_group(job, item, scratch);
    for (int64_t row = 0; row < w.rows; row++) {
        float maximum, sum;
        attn_key_range range = attn_row_keys(job->problem, job->call, w.b, decode_row(&w, row));
        merge_row(&w, item * job->splits, row, &maximum, &sum);
        finish_row(job, w.b, decode_head(&w, row), decode_row(&w, row), w.output,
                   range.begin < range.end ? maximum : -INFINITY, sum, sum, w.scratch + job->layout.row);
    }
}
