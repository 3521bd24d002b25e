/*
 * Linear maps on the host's processors: cuts a call into items for the runtime's threads, the kernel of one instruction
 * set. Knows nothing of vectors (linear_cpu_body.h does).
 */
#include <string.h>

#include "cpu/threads.h"
#include "engines/isa_bodies.h"
#include "engines/linear/linear_cpu.h"

enum {
    DOT_ROWS_MOST = 40,   /* rows of a call whose w is read where it lies, not packed */
    DOT_WORDS = 16,       /* and in_dim is this many times as long: each scalar product ends with a sum over lanes */
    ITEM_ROWS = 512,      /* at most, where sums come in parts: the outputs of an item stay in the second cache */
    ITEM_WORK = 1 << 18,  /* multiply-adds that are worth an item of their own */
    ITEMS_OF_A_THREAD = 4 /* where there is work enough, so that threads end together */
};

typedef struct cpu_state {
    attn_memory *memory;
    struct attn_threads *threads;
    const attn_linear_kernel *kernel;
    int64_t scratch_size; /* floats of a worker */
} cpu_state;

static const attn_linear_kernel *(*const kernels[ATTN_ISA_COUNT])(void) = {
    [ATTN_ISA_GENERIC] = attn_linear_kernel_generic,
    [ATTN_ISA_AVX2] = attn_linear_kernel_avx2,
    [ATTN_ISA_AVX512] = attn_linear_kernel_avx512,
};

ATTN_ISA_BODIES(bodies, kernels);

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    return attn_isa_supports(device, why_not);
}

/* The length of `count` nearly equal blocks of `step`s. */
static int64_t block_of(int64_t whole, int64_t count, int64_t step) {
    return attn_round_up(attn_divide_up(whole, count), step);
}

int64_t attn_linear_scratch(const attn_linear_kernel *kernel, const clattn_linear_problem *problem) {
    int64_t columns = attn_min(ATTN_LINEAR_COLUMNS, attn_round_up(problem->out_dim, kernel->tile_columns));
    return kernel->row_scratch + columns * attn_min(ATTN_LINEAR_PART, problem->in_dim);
}

/* How many items are worth their while: one for one thread. */
static int64_t useful_items(int64_t threads, double work) {
    int64_t most = threads * ITEMS_OF_A_THREAD;
    return threads == 1 ? 1 : work / ITEM_WORK < (double)most ? 1 + (int64_t)(work / ITEM_WORK) : most;
}

int64_t attn_linear_cut(const attn_linear_kernel *kernel, int64_t threads, attn_linear_job *job, bool *tiled) {
    int64_t rows = job->call->rows, out = job->out_dim;
    int64_t useful = useful_items(threads, (double)rows * (double)job->in_dim * (double)out);
    *tiled = rows > 2 && (rows > DOT_ROWS_MOST || rows * DOT_WORDS > job->in_dim);
    if (!*tiled) {
        job->rows = rows;
        job->row_blocks = 1;
        job->columns = block_of(out, attn_min(useful, attn_divide_up(out, 8)), 8);
        return attn_divide_up(out, job->columns);
    }
    /* Columns first: a block of rows more packs every column once more. */
    int64_t blocks = attn_clamp(useful, attn_divide_up(out, ATTN_LINEAR_COLUMNS), attn_divide_up(out, kernel->tile_columns));
    job->columns = block_of(out, blocks, kernel->tile_columns);
    int64_t column_blocks = attn_divide_up(out, job->columns);
    blocks = attn_min(attn_divide_up(useful, column_blocks), attn_divide_up(rows, 4 * kernel->tile_rows));
    if (job->in_dim > ATTN_LINEAR_PART) {
        blocks = attn_max(blocks, attn_divide_up(rows, ITEM_ROWS));
    }
    job->rows = block_of(rows, blocks, kernel->tile_rows);
    job->row_blocks = attn_divide_up(rows, job->rows);
    return column_blocks * job->row_blocks;
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_plan_info *info,
                             clattn_report *report) {
    const attn_linear_kernel *kernel = kernels[attn_body_choose(bodies, device)]();
    int64_t floats = attn_linear_scratch(kernel, problem);
    cpu_state *made = attn_allocate(device->memory, sizeof *made);
    (void)report;
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (cpu_state){ device->memory, device->threads, kernel, floats };
    strcpy(info->kernel, kernel->name);
    info->workspace_size = floats * (int64_t)sizeof(float) * attn_threads_count(device->threads);
    *state = made;
    return CLATTN_OK;
}

static void release(void *state) {
    cpu_state *s = state;
    attn_release(s->memory, s);
}

typedef struct work {
    attn_linear_job job;
    const cpu_state *state;
    float *scratch; /* of all workers */
} work;

static void run_tiles(void *user, int64_t item, int64_t worker) {
    const work *w = user;
    w->state->kernel->tiles(&w->job, item, w->scratch + worker * w->state->scratch_size);
}

static void run_dots(void *user, int64_t item, int64_t worker) {
    const work *w = user;
    (void)worker;
    w->state->kernel->dots(&w->job, item);
}

static clattn_status execute(void *state, const attn_execution *execution) {
    const cpu_state *s = state;
    const clattn_linear_problem *p = execution->problem;
    work w = { .state = s,
               .scratch = execution->workspace,
               .job = { .call = execution->call, .in_dim = p->in_dim, .out_dim = p->out_dim } };
    bool tiled;
    int64_t items = attn_linear_cut(s->kernel, attn_threads_count(s->threads), &w.job, &tiled);
    attn_threads_run(s->threads, items, tiled ? run_tiles : run_dots, &w);
    return CLATTN_OK;
}

const attn_engine attn_linear_cpu = {
    .name = "cpu",
    .bodies = bodies,
    .supports = supports,
    .preference = attn_prefer_by_kind,
    .prepare = prepare,
    .execute = execute,
    .release = release,
};
