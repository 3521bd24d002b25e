/* One clock for all that is timed: it never steps back, whatever happens to the time of day. */
#ifndef ATTN_BASE_CLOCK_H
#define ATTN_BASE_CLOCK_H

#include <stdint.h>

/** Nanoseconds since some moment in the past, the same moment for the life of the process. */
int64_t attn_clock_now(void);

/** Seconds since an answer of attn_clock_now(). */
double attn_clock_seconds_since(int64_t start);

#endif
