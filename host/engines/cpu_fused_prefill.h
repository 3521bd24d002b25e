/*
 * Prefill: many rows of one head against blocks of packed keys. A block's keys and values stay in L2 while all row tiles of
 * the item pass over them. Included by cpu_fused_body.h.
 */

/** A block of keys: n keys from number `first` on. */
typedef struct key_block {
    int64_t first;
    int n;
    const float *keys, *values;
    int64_t value_pitch;
} key_block;

/** Height of the next tile when `left` rows are left: the last ones go to the smallest that holds them. */
static inline int tile_height(int64_t left) {
    if (TILE_ROWS > 8 && left <= 8 && left > 4) return 8;
    return left > 4 ? TILE_ROWS : 4;
}

/** Whole tiles of fp32 are read where they lie; the others from a copy. */
static inline bool reads_in_place(const prefill_work *w, int64_t row, int height) {
    return w->job->problem->type == CLATTN_FP32 && row + height <= w->count;
}

static void start_rows(prefill_work *w) {
    const clattn_problem *problem = w->job->problem;
    const attn_view *query = &w->job->call->query;
    attn_row_rule rule = attn_row_rule_of(problem, w->job->call, w->b);
    for (int64_t i = 0; i < w->count;) {
        int height = tile_height(w->count - i);
        int64_t real = attn_min(height, w->count - i);
        if (!reads_in_place(w, i, height)) {
            float *copy = w->queries + i * w->dim_pitch;
            copy_rows(problem->type, copy, w->dim_pitch, query->data, attn_view_row(query, w->b, w->h, w->first + i),
                      query->stride[2], real, problem->head_dim, splat(1.0f));
            memset(copy + real * w->dim_pitch, 0, (size_t)((height - real) * w->dim_pitch) * sizeof(float));
        }
        for (int64_t row = i; row < i + height; row++) {
            start_row(w->job, w->h, &w->maxima[row], &w->sums[row]);
            w->ranges[row] = row < w->count ? attn_rule_keys(&rule, w->first + row) : (attn_key_range){ 0, 0 };
        }
        i += height;
    }
}

/** Packs block `number` of the head's keys, and copies its values, unless they lie there from an earlier item. */
static key_block get_block(const prefill_work *w, int64_t number) {
    const attn_cpu_job *job = w->job;
    const clattn_problem *problem = job->problem;
    const attn_call *call = job->call;
    int64_t used = attn_used_key_length(call, w->b);
    key_block block = { .first = number * job->block_key };
    block.n = (int)attn_min(job->block_key, used - block.first);
    int64_t slot = block_slot(job, number), tag = block_tag(w, number);
    int64_t *tags = (int64_t *)(void *)(w->scratch + job->layout.tags);
    float *keys = (float *)(void *)(w->scratch + job->layout.keys) + slot * job->block_key * problem->head_dim;
    float *values = (float *)(void *)(w->scratch + job->layout.values) + slot * job->block_key * job->value_pitch;
    int64_t value_row = attn_view_row(&call->value, w->b, w->g, block.first);
    if (tags[slot] != tag) {
        tags[slot] = tag;
        pack_keys(problem->type, keys, call->key.data, attn_view_row(&call->key, w->b, w->g, block.first),
                  call->key.stride[2], block.n, problem->head_dim, splat(job->key_factor));
        if (job->copy_values) {
            copy_rows(problem->type, values, job->value_pitch, call->value.data, value_row, call->value.stride[2],
                      block.n, problem->value_dim, splat(1.0f));
        }
    }
    block.keys = keys;
    block.values = job->copy_values ? values : (const float *)call->value.data + value_row;
    block.value_pitch = job->copy_values ? job->value_pitch : call->value.stride[2];
    return block;
}

/** Keys of a block that a tile's rows attend. */
typedef struct tile_range {
    int begin, end;         /* some row attends; begin is a multiple of TILE_KEYS */
    int all_begin, all_end; /* every row attends */
    int low[TILE_ROWS], high[TILE_ROWS];
    bool first; /* no earlier block had keys for the tile */
} tile_range;

static inline int inside_block(const key_block *block, int64_t key) {
    return (int)attn_max(0, attn_min(key - block->first, block->n));
}

static tile_range get_tile_range(const prefill_work *w, const key_block *block, int64_t row, int height) {
    tile_range t = { .begin = block->n, .all_end = block->n, .first = true };
    attn_key_range top = w->ranges[row], last = w->ranges[attn_min(row + height, w->count) - 1];
    if (last.begin <= block->first && last.begin < last.end &&
        top.end >= block->first + block->n) { /* ranges never fall: all is inside */
        for (int i = 0; i < height; i++) {
            t.low[i] = 0;
            t.high[i] = block->n;
        }
        t.begin = 0;
        t.end = block->n;
        t.first = top.begin >= block->first;
        return t;
    }
    for (int i = 0; i < height; i++) {
        bool real = row + i < w->count;
        attn_key_range range = w->ranges[row + i];
        t.low[i] = real ? inside_block(block, range.begin) : 0;
        t.high[i] = real ? inside_block(block, range.end) : block->n;
        if (!real) continue;
        t.all_begin = t.low[i] > t.all_begin ? t.low[i] : t.all_begin;
        t.all_end = t.high[i] < t.all_end ? t.high[i] : t.all_end;
        if (range.begin < range.end) {
            t.begin = t.low[i] < t.begin ? t.low[i] : t.begin;
            t.end = t.high[i] > t.end ? t.high[i] : t.end;
            t.first = t.first && range.begin >= block->first;
        }
    }
    t.begin = t.begin / TILE_KEYS * TILE_KEYS;
    return t;
}

/** One tile of rows against one block: scores, softmax, values. */
INLINE void tile_block(const int height, const prefill_work *w, const key_block *block, int64_t row,
                       ahead_stream *stream) {
    const attn_cpu_job *job = w->job;
    int dim = (int)job->problem->head_dim;
    tile_range t = get_tile_range(w, block, row, height);
    if (t.begin >= t.end) return;
    const attn_view *query = &job->call->query;
    bool in_place = reads_in_place(w, row, height);
    const float *queries = in_place ? (const float *)query->data + attn_view_row(query, w->b, w->h, w->first + row)
                                    : w->queries + row * w->dim_pitch;
    int64_t pitch = in_place ? query->stride[2] : w->dim_pitch;
    float *output = w->output + row * job->value_pitch, tops[TILE_ROWS];
    vf maxima[TILE_ROWS];
    tile_steps steps;
    tile_ahead ahead = { .count = 0 };
    if (job->stepped) {
        start_steps(&steps, job, w->b, w->h, w->first + row, (int)attn_min(height, w->count - row));
    }
    UNROLL for (int i = 0; i < height; i++) maxima[i] = splat(-INFINITY);
    for (int key = t.begin; key < t.end; key += TILE_KEYS) {
        tile_bounds bounds = { t.low, t.high, key };
        bool inner = key >= t.all_begin && key + TILE_KEYS <= t.all_end;
        float *scores = w->scores + key;
        const float *keys = block->keys + (int64_t)key * dim;
        take_lines(stream, dim, &ahead);
        if (job->stepped) look_ahead(&steps, block->first + key, height, dim, &ahead);
        vf *wanted = job->stepped ? NULL : maxima;
        if (inner) {
            score_tile_wide(height, TILE_VECTORS, dim, queries, pitch, keys, scores, wanted, NULL, &ahead);
        } else if (t.end - key > LANES) {
            score_tile_wide(height, TILE_VECTORS, dim, queries, pitch, keys, scores, wanted, &bounds, &ahead);
        } else {
            score_tile_wide(height, 1, dim, queries, pitch, keys, scores, wanted, &bounds, &ahead);
        }
        if (job->stepped && inner) {
            step_tile(&steps, scores, block->first + key, maxima);
        } else if (job->stepped) {
            step_edge(&steps, scores, block->first, (int)attn_min(TILE_KEYS, t.end - key), &bounds, maxima);
        }
    }
    UNROLL for (int i = 0; i < height; i++) tops[i] = lanes_max(maxima[i]);
    for (int i = 0; i < height; i++) {
        softmax_row(w->scores + i * SCORE_PITCH, t.begin, t.end, tops[i], &w->maxima[row + i], &w->sums[row + i],
                    output + i * job->value_pitch, job->value_pitch, t.first);
    }
    value_rows(height, w->scores + t.begin, block->values + t.begin * block->value_pitch, block->value_pitch,
               t.end - t.begin, output, job->value_pitch, t.first);
}

static __attribute__((noinline)) void tile_block_full(const prefill_work *w, const key_block *block, int64_t row,
                                                     ahead_stream *stream) {
    tile_block(TILE_ROWS, w, block, row, stream);
}

#if TILE_ROWS > 8
static __attribute__((noinline)) void tile_block_8(const prefill_work *w, const key_block *block, int64_t row,
                                                     ahead_stream *stream) {
    tile_block(8, w, block, row, stream);
}
#endif

static __attribute__((noinline)) void tile_block_4(const prefill_work *w, const key_block *block, int64_t row,
                                                     ahead_stream *stream) {
    tile_block(4, w, block, row, stream);
}

static void rows_block(const prefill_work *w, const key_block *block, ahead_stream *stream) {
    for (int64_t i = 0; i < w->count;) {
        int height = tile_height(w->count - i);
        if (height == TILE_ROWS) {
            tile_block_full(w, block, i, stream);
#if TILE_ROWS > 8
        } else if (height == 8) {
            tile_block_8(w, block, i, stream);
#endif
        } else {
            tile_block_4(w, block, i, stream);
        }
        i += height;
    }
}

static void prefill_item(const attn_cpu_job *job, int64_t item, void *scratch) {
    prefill_work w = start_prefill(job, item, scratch);
    start_rows(&w);
    attn_key_range all = rows_keys(job, w.b, w.first, w.count);
    unsigned flush = start_flush();
    for (int64_t number = all.begin / job->block_key; all.begin < all.end && number * job->block_key < all.end;
         number++) {
        key_block block = get_block(&w, number);
        ahead_stream stream = start_stream(&w, item, number, all);
        rows_block(&w, &block, &stream);
    }
    end_flush(flush);
    finish_prefill(&w);
}
