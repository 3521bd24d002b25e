/* Locks that are still safe when a callback of the caller's comes back into the library under them. */
#ifndef ATTN_BASE_LOCK_H
#define ATTN_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

/** A lock that the thread which has it may take again: an allocator called under it may ask for what it guards. */
bool attn_lock_init_recursive(pthread_mutex_t *lock);

/** A lock that the thread which has it cannot take again: that answers EDEADLK. */
bool attn_lock_init_checked(pthread_mutex_t *lock);

#endif
