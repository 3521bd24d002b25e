/*
 * Attention on the program's own threads: a pool of a few lines, handed to the runtime. The library starts no thread
 * then. With OpenMP the whole pool would be one function:
 *
 *     static void parallel_for(void *user, int64_t count, void (*body)(void *share, int64_t index), void *share) {
 *     #pragma omp parallel for schedule(static, 1)
 *         for (int64_t k = 0; k < count; k++) body(share, k);
 *     }
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "clattn/clattn.h"

enum { WORKERS = 3, HEADS = 8, LENGTH = 256, DIM = 64, COUNT = HEADS * LENGTH * DIM };

/** Workers that wait for a loop, and take its indices one by one together with whoever brought it. */
typedef struct pool {
    pthread_mutex_t lock, one_loop; /* one_loop: callers come one after the other */
    pthread_cond_t work, done;
    pthread_t workers[WORKERS];
    void (*body)(void *share, int64_t index);
    void *share;
    int64_t next, count, running;
    bool stop;
} pool;

/* Called with the lock; gives it away while a body runs. */
static void take_indices(pool *p) {
    while (p->next < p->count) {
        int64_t index = p->next++;
        p->running++;
        pthread_mutex_unlock(&p->lock);
        p->body(p->share, index);
        pthread_mutex_lock(&p->lock);
        p->running--;
    }
    if (p->running == 0) {
        pthread_cond_signal(&p->done);
    }
}

static void *worker(void *user) {
    pool *p = user;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        take_indices(p);
        pthread_cond_wait(&p->work, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void parallel_for(void *user, int64_t count, void (*body)(void *share, int64_t index), void *share) {
    pool *p = user;
    pthread_mutex_lock(&p->one_loop);
    pthread_mutex_lock(&p->lock);
    p->body = body, p->share = share, p->next = 0, p->count = count;
    pthread_cond_broadcast(&p->work);
    take_indices(p);
    while (p->running > 0) {
        pthread_cond_wait(&p->done, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&p->one_loop);
}

static int64_t pool_begin(pool *p) {
    int64_t begun = 0;
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->one_loop, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    while (begun < WORKERS && pthread_create(&p->workers[begun], NULL, worker, p) == 0) {
        begun++;
    }
    return begun;
}

static void pool_end(pool *p, int64_t begun) {
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    while (begun > 0) {
        pthread_join(p->workers[--begun], NULL);
    }
}

static clattn_status attend(const clattn_runtime_options *options, float *output) {
    static float input[COUNT];
    clattn_runtime *runtime;
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options how = CLATTN_PLAN_OPTIONS_INIT;
    clattn_tensors tensors = CLATTN_TENSORS_INIT;
    for (int k = 0; k < COUNT; k++) {
        input[k] = (float)(k * 37 % 101) / 101 - 0.5f;
    }
    problem.query_heads = HEADS, problem.query_length = LENGTH, problem.head_dim = DIM;
    how.engine = "cpu";
    tensors.query.data = tensors.key.data = tensors.value.data = input, tensors.output.data = output;
    clattn_status status = clattn_runtime_create(options, &runtime);
    if (status == CLATTN_OK) {
        status = clattn_attention(runtime, &problem, &how, &tensors, NULL);
        clattn_runtime_destroy(runtime);
    }
    return status;
}

int main(void) {
    static float own[COUNT], theirs[COUNT];
    static pool p;
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    options.threads = WORKERS + 1; /* the calling thread takes part */
    clattn_status status = attend(&options, own);
    int64_t begun = pool_begin(&p);
    options.parallel_for = parallel_for;
    options.parallel_user = &p;
    status = status == CLATTN_OK ? attend(&options, theirs) : status;
    pool_end(&p, begun);
    bool same = memcmp(own, theirs, sizeof own) == 0;
    printf("%s: the pool's result has %s bits as that of the library's own threads\n", clattn_status_message(status),
           same ? "the same" : "other");
    return status != CLATTN_OK || !same;
}
