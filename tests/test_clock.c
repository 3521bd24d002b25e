/* The clock: it is the monotonic one, in nanoseconds, and answers at the rate of time. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "base/clock.h"
#include "support/suite.h"

static int64_t monotonic(void) {
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

START_TEST(test_is_monotonic) {
    int64_t before = monotonic(), now = attn_clock_now(), after = monotonic();
    ck_assert_int_le(before, now);
    ck_assert_int_le(now, after);
}
END_TEST

START_TEST(test_seconds) {
    int64_t start = attn_clock_now();
    struct timespec pause = { .tv_nsec = 20000000 };
    nanosleep(&pause, NULL);
    double seconds = attn_clock_seconds_since(start);
    ck_assert_double_ge(seconds, 0.02);
    ck_assert_double_le(seconds, 1e-9 * (double)(attn_clock_now() - start));
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_is_monotonic, test_seconds };
    return suite_run(SUITE_OF("clock", tests, 10), SUITE_FORK);
}
