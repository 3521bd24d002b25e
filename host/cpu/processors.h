/* On which processors the threads of a runtime run, and how they are started: as guests of a program that is not ours. */
#ifndef ATTN_CPU_PROCESSORS_H
#define ATTN_CPU_PROCESSORS_H

#include <pthread.h>
#include <stdint.h>

enum { ATTN_AFFINITY_BYTES = 1024 }; /* 8192 processors, the most that Linux knows */

/** The processors that the calling thread may run on, as they were when asked. */
typedef struct attn_processors {
    int64_t count; /* at least 1 */
    int64_t bytes; /* of the mask that are used; 0 = the system has no such mask */
    unsigned long mask[ATTN_AFFINITY_BYTES / sizeof(unsigned long)]; /* a cpu_set_t */
} attn_processors;

void attn_processors_ask(attn_processors *processors);

/** The number of threads for them: no more than the quota of the process's control groups allows (quota.h, with `root`). */
int64_t attn_processors_threads(const attn_processors *processors, const char *root);

/** Lets the calling thread run on these processors and no others. */
void attn_processors_take(const attn_processors *processors);

/**
 * Starts a thread that takes none of the program's signals: all are blocked but those that an instruction of the thread
 * itself raises. 0, or the error of pthread_create().
 */
int attn_processors_start(pthread_t *thread, void *(*work)(void *argument), void *argument);

#endif
