/* The system's monotonic clock. */
#define _POSIX_C_SOURCE 200809L
#include "base/clock.h"

#include <time.h>

int64_t attn_clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

double attn_clock_seconds_since(int64_t start) {
    return 1e-9 * (double)(attn_clock_now() - start);
}
