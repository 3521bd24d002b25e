/*
 * One item of prefill, whatever its products are made with: where its rows and scratch lie, and its rows' way out. Included
 * by cpu_fused_body.h and cpu_fused_matrix_body.h.
 */

/** One item under way: rows of one head. */
typedef struct prefill_work {
    const attn_cpu_job *job;
    char *scratch;
    int64_t b, h, g;
    int64_t first, count;   /* rows */
    int64_t dim_pitch;      /* of copied queries */
    int64_t output_pitch;   /* of sums */
    attn_key_range *ranges; /* of each row */
    float *queries, *output, *maxima, *scores;
    vf *sums;
    vf *exact; /* sums of weights before they were rounded, where they are and logsumexp is wanted; else NULL */
} prefill_work;

/** Where block `number` of a head's keys is packed: in a slot of its own, or all in one. */
static inline int64_t block_slot(const attn_cpu_job *job, int64_t number) {
    return job->slots > 1 ? number : 0;
}

static prefill_work start_prefill(const attn_cpu_job *job, int64_t item, char *scratch) {
    const clattn_problem *problem = job->problem;
    const attn_cpu_layout *at = &job->layout;
    prefill_work w = { .job = job, .scratch = scratch };
    int64_t head = item / job->chunks, chunk = job->chunks - 1 - item % job->chunks; /* causal: the long ones first */
    w.b = head / problem->query_heads;
    w.h = head % problem->query_heads;
    w.g = w.h / (problem->query_heads / problem->kv_heads);
    w.first = chunk * job->rows;
    w.dim_pitch = attn_round_up(problem->head_dim, LANES);
    w.output_pitch = job->value_pitch;
    w.count = attn_min(job->rows, job->call->query_length - w.first);
    w.ranges = (attn_key_range *)(void *)(scratch + at->ranges);
    w.queries = (float *)(void *)(scratch + at->queries);
    w.output = (float *)(void *)(scratch + at->output);
    w.maxima = (float *)(void *)(scratch + at->maxima);
    w.scores = (float *)(void *)(scratch + at->scores);
    w.sums = (vf *)(void *)(scratch + at->sums);
    return w;
}

static void finish_prefill(const prefill_work *w) {
    for (int64_t i = 0; i < w->count; i++) {
        if (w->ranges[i].begin >= w->ranges[i].end) w->maxima[i] = -INFINITY;
        w->sums[i][0] = lanes_sum(w->sums[i]);
        if (w->exact) w->exact[i][0] = lanes_sum(w->exact[i]);
    }
    for (int64_t i = 0; i < w->count; i++) {
        finish_row(w->job, w->b, w->h, w->first + i, w->output + i * w->output_pitch, w->maxima[i], w->sums[i][0],
                   w->exact ? w->exact[i][0] : w->sums[i][0], w->scratch + w->job->layout.row);
    }
}
