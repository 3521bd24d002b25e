/*
 * The list of paths, and what they share: places in scratch, the beginning of a job, and the threads. Knows nothing of what
 * a path computes.
 */
#define _POSIX_C_SOURCE 200809L
#include "engines/cpu/cpu_path.h"

#include <math.h>
#include <pthread.h>

#include "cpu/threads.h"
#include "engines/cpu/cpu_careful.h"
#include "engines/cpu/cpu_progress.h"

/* Of the paths with one result, those that can refuse a call stand before those that take every one. */
const attn_cpu_path *const attn_cpu_paths[] = {
    &attn_cpu_decode_path,
    &attn_cpu_prefill_path,
    &attn_cpu_double_path,
    &attn_cpu_careful_path,
    &attn_cpu_weights_path,
    &attn_cpu_careful_weights_path,
    &attn_cpu_dropout_path,
    &attn_cpu_backward_path,
    &attn_cpu_backward_careful_path,
    NULL,
};

_Static_assert(sizeof attn_cpu_paths / sizeof *attn_cpu_paths - 1 <= ATTN_CPU_MOST_PATHS, "a plan has too few parts");

int64_t attn_cpu_take(attn_cpu_taker *taker, int64_t count, int64_t size) {
    int64_t at = taker->end, bytes;
    if (!attn_multiply(count, size, &bytes) || !attn_add(bytes, ATTN_ALIGNMENT - 1, &bytes) ||
        !attn_add(at, bytes / ATTN_ALIGNMENT * ATTN_ALIGNMENT, &taker->end)) {
        taker->overflow = true;
    }
    return at;
}

int64_t attn_cpu_take_careful(const attn_cpu_plan *plan, attn_cpu_taker *taker) {
    int64_t bytes = 0;
    taker->overflow |= !attn_cpu_row_scratch(&plan->problem, &bytes);
    return attn_cpu_take(taker, bytes, 1);
}

bool attn_cpu_dims_fit(const attn_cpu_plan *plan, attn_cpu_taker *taker) {
    const int64_t most = INT64_MAX / 65536;
    bool fit = plan->problem.head_dim <= most && plan->problem.value_dim <= most;
    taker->overflow |= !fit;
    return fit;
}

int attn_cpu_path_find(const attn_cpu_plan *plan, attn_cpu_result result, int64_t query_length) {
    for (int i = 0; attn_cpu_paths[i]; i++) {
        const attn_cpu_path *path = attn_cpu_paths[i];
        if (plan->parts[i] && path->result == result &&
            (!path->takes || path->takes(plan, plan->parts[i], query_length))) {
            return i;
        }
    }
    return -1;
}

/*
 * Products of weights and values below 2^-126 become 0, and what is left is divided by 1 - dropout at a row's end. Weights
 * that are as many times larger lose no more than without dropout. fp16 counts nothing that small, and its rounded weights
 * have no room.
 */
static float headroom_of(const clattn_problem *problem) {
    return problem->type == CLATTN_FP16 ? 0 : (float)ceil(-log2(1 - problem->dropout)) + 0.0f; /* 0, not -0 */
}

attn_cpu_job attn_cpu_job_start(const attn_cpu_run *run) {
    const clattn_problem *problem = &run->plan->problem;
    attn_cpu_job job = { .problem = problem, .call = run->call, .block_key = run->plan->block_key };
    job.stepped = problem->softcap > 0 || problem->mask != CLATTN_MASK_NONE || problem->bias != CLATTN_BIAS_NONE ||
                  problem->alibi;
    job.dropped = problem->dropout > 0;
    job.kept_share = (float)(1 - problem->dropout);
    job.headroom = headroom_of(problem);
    job.output_type = attn_output_type(problem);
    job.key_factor = (float)(problem->scale * (problem->softcap > 0 ? 1 : 1.44269504088896340736));
    return job;
}

bool attn_cpu_copies_values(const clattn_problem *problem, const attn_call *call, int64_t lanes) {
    const attn_view *value = &call->value;
    bool strides = value->stride[0] % lanes == 0 && value->stride[1] % lanes == 0 && value->stride[2] % lanes == 0;
    uintptr_t address = (uintptr_t)value->data + (uintptr_t)value->offset * sizeof(float);
    return problem->type != CLATTN_FP32 || problem->value_dim % lanes != 0 || !strides ||
           address % ((uintptr_t)lanes * sizeof(float)) != 0;
}

int64_t attn_cpu_weights_rows(const clattn_problem *problem, const attn_call *call) {
    bool none = problem->weights == CLATTN_WEIGHTS_NONE || problem->key_length == 0 ||
                problem->weights_first_row >= call->query_length; /* no weight to write, however many entries */
    return none ? 0 : problem->weights_rows;
}

/** Items of one kind under way. */
typedef struct shared_items {
    const attn_cpu_run *run;
    void (*work)(const void *job, int64_t item, void *scratch);
    const void *job;
} shared_items;

/** Runs one item on one worker. Progress is reported by the calling thread, whichever worker it is. */
static void run_item(void *user, int64_t item, int64_t worker) {
    const shared_items *items = user;
    const attn_cpu_run *run = items->run;
    attn_cpu_progress *progress = run->progress;
    if (atomic_load_explicit(&progress->cancelled, memory_order_relaxed)) {
        return;
    }
    items->work(items->job, item, run->scratch + worker * run->plan->scratch_size);
    if (run->call->progress) {
        int64_t done = progress->before + 1 + atomic_fetch_add(&progress->done, 1);
        if (pthread_equal(pthread_self(), progress->caller) &&
            !run->call->progress(run->call->progress_user, (double)done / (double)progress->total)) {
            atomic_store(&progress->cancelled, true);
        }
    }
}

clattn_status attn_cpu_share(const attn_cpu_run *run, int64_t items,
                             void (*work)(const void *job, int64_t item, void *scratch), const void *job) {
    shared_items shared = { run, work, job };
    attn_cpu_progress *progress = run->progress;
    atomic_store(&progress->done, 0);
    if (progress->alone) {
        for (int64_t item = 0; item < items; item++) {
            run_item(&shared, item, 0);
        }
    } else {
        attn_threads_run(run->plan->threads, items, run_item, &shared);
    }
    progress->before += items;
    /* The calling thread may have had no item: it asks once more here. */
    const attn_call *call = run->call;
    if (call->progress && items > 0 && !atomic_load(&progress->cancelled) &&
        !call->progress(call->progress_user, (double)progress->before / (double)progress->total)) {
        atomic_store(&progress->cancelled, true);
    }
    return atomic_load(&progress->cancelled) ? CLATTN_CANCELLED : CLATTN_OK;
}
