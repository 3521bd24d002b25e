/*
 * What every suite shares: running it, the devices to run on, and errors as sentences. A suite that uses OpenCL passes
 * SUITE_NO_FORK: a context made before a fork hangs on some implementations.
 */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "clattn/clattn.h"

enum { SUITE_SKIPPED = 77 };

/** Whether the thread sanitizer is in: it has a thread of its own, and starts none after a fork of several. */
#if defined(__SANITIZE_THREAD__)
#define SUITE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SUITE_THREAD_SANITIZER 1
#endif
#endif
#ifndef SUITE_THREAD_SANITIZER
#define SUITE_THREAD_SANITIZER 0
#endif

typedef enum suite_fork { SUITE_FORK, SUITE_NO_FORK } suite_fork;

/** Runs the suite; what main() returns. */
int suite_run(Suite *suite, suite_fork fork);

/** A suite of one case that holds the tests; timeout in seconds for each (forked suites only). */
Suite *suite_of(const char *name, const TTest *const *tests, int count, double timeout);
#define SUITE_OF(name, tests, timeout) suite_of(name, tests, (int)(sizeof(tests) / sizeof *(tests)), timeout)

/** Fails the test with the status' name and the report when the status is another one. */
#define EXPECT_STATUS(got, expected, report) suite_expect_status(__FILE__, __LINE__, #got, got, expected, report)
void suite_expect_status(const char *file, int line, const char *call, clattn_status got, clattn_status expected,
                         const clattn_report *report);

/** A runtime with the default options (NULL) or those given; fails the test when there is none. */
clattn_runtime *suite_runtime(const clattn_runtime_options *options);

/** The first OpenCL device, or -1. */
int64_t suite_opencl_device(const clattn_runtime *runtime);

/**
 * Whether this machine has an OpenCL device. For main(): a suite without one returns SUITE_SKIPPED, or fails where
 * CLATTN_REQUIRE_DEVICE=1 is set: suite_without_device() is the value to return.
 */
bool suite_has_opencl(void);
int suite_without_device(void);

/**
 * Whether a test of a suite that does not fork ends here for want of a device: says so, and the suite that passes counts as
 * skipped. Fails the test where CLATTN_REQUIRE_DEVICE=1 is set.
 */
bool suite_skips(const char *test, bool has_device);

/** Fails the test unless the function starts a structure as the macro does, and zeros one of another size, within it. */
#define EXPECT_START(type, macro, start)                                                            \
    do {                                                                                            \
        static const type expected = macro;                                                           \
        type got, before;                                                                           \
        memset(&got, 0x5a, sizeof got);                                                             \
        memset(&before, 0x5a, sizeof before);                                                       \
        start(&got, sizeof got);                                                                    \
        ck_assert_msg(memcmp(&got, &expected, sizeof got) == 0, #start " is not " #macro);            \
        memset(&got, 0x5a, sizeof got);                                                             \
        start(&got, sizeof got - 8);                                                                \
        ck_assert_uint_eq(got.struct_size, 0);                                                      \
        ck_assert(memcmp((char *)&got + sizeof got - 8, (char *)&before + sizeof got - 8, 8) == 0); \
        start(NULL, sizeof got);                                                                    \
    } while (0)

/** Options of a plan on an engine (NULL = the best) and a device, else as they are. */
clattn_plan_options suite_on(const char *engine, int64_t device);

#endif
