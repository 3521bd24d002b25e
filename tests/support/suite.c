/*
 * The frame around each suite (see suite.h). Knows the public interface and Check, nothing inside the library. To share
 * something between suites, add it to a file of its own beside this one.
 */
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int skipped; /* tests that suite_skips() counted */

int suite_run(Suite *suite, suite_fork fork) {
    SRunner *runner = srunner_create(suite);
    if (fork == SUITE_NO_FORK) {
        srunner_set_fork_status(runner, CK_NOFORK);
    }
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner), run = srunner_ntests_run(runner);
    srunner_free(runner);
    if (failed > 0 || run == 0) {
        return EXIT_FAILURE;
    }
    return skipped > 0 ? SUITE_SKIPPED : EXIT_SUCCESS;
}

Suite *suite_of(const char *name, const TTest *const *tests, int count, double timeout) {
    Suite *suite = suite_create(name);
    TCase *one = tcase_create(name);
    tcase_set_timeout(one, timeout);
    for (int i = 0; i < count; i++) {
        tcase_add_test(one, tests[i]);
    }
    suite_add_tcase(suite, one);
    return suite;
}

void suite_expect_status(const char *file, int line, const char *call, clattn_status got, clattn_status expected,
                         const clattn_report *report) {
    if (got != expected) {
        ck_abort_msg("%s:%d: %s answers %s, not %s. %.2000s", file, line, call, clattn_status_name(got),
                     clattn_status_name(expected), report ? report->text : "");
    }
}

clattn_runtime *suite_runtime(const clattn_runtime_options *options) {
    clattn_runtime *runtime = NULL;
    EXPECT_STATUS(clattn_runtime_create(options, &runtime), CLATTN_OK, NULL);
    ck_assert_ptr_nonnull(runtime);
    return runtime;
}

int64_t suite_opencl_device(const clattn_runtime *runtime) {
    int64_t count = clattn_runtime_device_count(runtime);
    for (int64_t i = 0; i < count; i++) {
        clattn_device_info info;
        if (clattn_runtime_get_device(runtime, i, &info) == CLATTN_OK && info.kind != CLATTN_DEVICE_CPU) {
            return i;
        }
    }
    return -1;
}

bool suite_has_opencl(void) {
    clattn_runtime *runtime;
    if (clattn_runtime_create(NULL, &runtime) != CLATTN_OK) {
        return false;
    }
    bool found = suite_opencl_device(runtime) >= 0;
    clattn_runtime_destroy(runtime);
    return found;
}

/* A build without OpenCL never has one. */
static bool must_have_device(void) {
#ifdef CLATTN_HAVE_OPENCL
    const char *required = getenv("CLATTN_REQUIRE_DEVICE");
    return required && strcmp(required, "1") == 0;
#else
    return false;
#endif
}

int suite_without_device(void) {
    bool failure = must_have_device();
    fprintf(stderr, "no OpenCL device here: %s\n", failure ? "a failure, CLATTN_REQUIRE_DEVICE=1" : "skipped");
    return failure ? EXIT_FAILURE : SUITE_SKIPPED;
}

bool suite_skips(const char *test, bool has_device) {
    if (has_device) {
        return false;
    }
    ck_assert_msg(!must_have_device(), "%s: no OpenCL device here, and CLATTN_REQUIRE_DEVICE=1", test);
    fprintf(stderr, "%s: no OpenCL device here: skipped\n", test);
    skipped++;
    return true;
}

clattn_plan_options suite_on(const char *engine, int64_t device) {
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    options.engine = engine;
    options.device = device;
    return options;
}
