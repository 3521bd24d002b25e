/*
 * Persistent threads of a runtime, or the pool that its caller brought. One job at a time is spread over the threads; a
 * second caller meanwhile runs its job on its own thread alone. Which thread takes which item never changes a result:
 * items are independent. In a process that fork() made threads are started anew with its first job.
 */
#ifndef ATTN_CPU_THREADS_H
#define ATTN_CPU_THREADS_H

#include "base/memory.h"

typedef struct attn_threads attn_threads;

/** Of the options: threads, parallel_for. Threads start with the first job that wants them. */
clattn_status attn_threads_create(attn_memory *memory, const clattn_runtime_options *options, attn_threads **threads);

/** Stops and frees. After a fork() it only frees: the threads are the other process's. */
void attn_threads_destroy(attn_threads *threads);

/** Threads including the caller's. */
int64_t attn_threads_count(const attn_threads *threads);

/**
 * Calls work(user, item, worker) for every item 0 <= item < items, worker < attn_threads_count(); returns when all are done.
 * A worker runs one item at a time. Each worker takes a contiguous range first, then helps others. Worker 0 is on the
 * calling thread, but not when the caller's pool runs it. Arithmetic is done in the environment of base/visit.h.
 */
void attn_threads_run(attn_threads *threads, int64_t items, void (*work)(void *user, int64_t item, int64_t worker),
                      void *user);

#endif
