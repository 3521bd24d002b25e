/* How far a call of the cpu engine is. */
#ifndef ATTN_ENGINES_CPU_CPU_PROGRESS_H
#define ATTN_ENGINES_CPU_CPU_PROGRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct attn_cpu_progress {
    bool alone;            /* too little work to wake threads for */
    pthread_t caller;      /* progress is reported on its thread */
    int64_t before, total; /* items: done before those under way, of the call */
    atomic_int_least64_t done;
    atomic_bool cancelled;
} attn_cpu_progress;

#endif
