/* Locks of two kinds of POSIX. */
#define _XOPEN_SOURCE 700
#include "base/lock.h"

static bool init(pthread_mutex_t *lock, int kind) {
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0) {
        return false;
    }
    bool made = pthread_mutexattr_settype(&attributes, kind) == 0 && pthread_mutex_init(lock, &attributes) == 0;
    pthread_mutexattr_destroy(&attributes);
    return made;
}

bool attn_lock_init_recursive(pthread_mutex_t *lock) {
    return init(lock, PTHREAD_MUTEX_RECURSIVE);
}

bool attn_lock_init_checked(pthread_mutex_t *lock) {
    return init(lock, PTHREAD_MUTEX_ERRORCHECK);
}
