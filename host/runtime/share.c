/*
 * The runtime's threads, lent to those who see the public headers alone: layers, programs. Knows nothing of what is
 * shared.
 */
#include "base/visit.h"
#include "cpu/threads.h"
#include "runtime/runtime.h"

typedef struct lent_work {
    void (*body)(void *share, int64_t index);
    void *share;
} lent_work;

static void run_body(void *user, int64_t item, int64_t worker) {
    const lent_work *work = user;
    (void)worker;
    work->body(work->share, item);
}

void clattn_share(clattn_runtime *runtime, int64_t count, void (*body)(void *share, int64_t index), void *share) {
    if (!body) {
        return;
    }
    attn_visit visit = attn_visit_begin();
    if (runtime) {
        attn_threads_run(runtime->threads, count, run_body, &(lent_work){ body, share });
    } else {
        for (int64_t index = 0; index < count; index++) {
            body(share, index);
        }
    }
    attn_visit_end(&visit);
}
