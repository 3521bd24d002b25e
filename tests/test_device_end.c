/*
 * What is to be done when an OpenCL device ends: all of it, the last thing first, while the context is there; and when the
 * device is only forgotten, no call of OpenCL.
 */
#include "opencl/program.h"

#include "support/suite.h"

typedef struct ending {
    attn_opencl_kept kept;
    int number;
    bool context;    /* there is to be one */
    bool forget;     /* what the end is to be told */
    int *ended;      /* numbers of those that ended, behind one another */
} ending;

static void end(struct attn_opencl_device *device, attn_opencl_kept *kept, bool forget) {
    ending *e = (ending *)kept;
    ck_assert_int_eq(device->context != NULL, e->context);
    ck_assert_int_eq(forget, e->forget);
    *e->ended = *e->ended * 10 + e->number;
}

static struct attn_opencl_device **find_devices(attn_memory *memory, int64_t *count) {
    struct attn_opencl_device **devices = NULL;
    attn_memory_init(memory, &(clattn_allocator){ 0 });
    ck_assert_int_eq(attn_opencl_find(memory, &devices, count, NULL), CLATTN_OK);
    return devices;
}

START_TEST(test_all_that_is_kept_ends) {
    attn_memory memory;
    int64_t count = 0;
    struct attn_opencl_device **devices = find_devices(&memory, &count);
    for (int64_t k = 0; k < count; k++) {
        int ended = 0;
        ending first = { { NULL, end }, 1, true, false, &ended }, second = { { NULL, end }, 2, true, false, &ended };
        ending third = { { NULL, end }, 3, true, false, &ended };
        cl_program program = NULL, again = NULL;
        attn_opencl_at_end(devices[k], &first.kept);
        ck_assert_int_eq(attn_program_get(devices[k], "gather", "-DATTN_TYPE=0", &program, NULL), CLATTN_OK);
        attn_opencl_at_end(devices[k], &second.kept);
        attn_opencl_at_end(devices[k], &third.kept);
        ck_assert_int_eq(attn_program_get(devices[k], "gather", "-DATTN_TYPE=0", &again, NULL), CLATTN_OK);
        ck_assert_ptr_eq(program, again);
        ck_assert_int_eq(ended, 0);
        attn_opencl_destroy(devices[k]);
        ck_assert_int_eq(ended, 321);
    }
    attn_release(&memory, devices);
}
END_TEST

START_TEST(test_forgetting_says_so) {
    attn_memory memory;
    int64_t count = 0;
    struct attn_opencl_device **devices = find_devices(&memory, &count);
    for (int64_t k = 0; k < count; k++) {
        int ended = 0;
        ending first = { { NULL, end }, 1, false, true, &ended }, second = { { NULL, end }, 2, false, true, &ended };
        attn_opencl_at_end(devices[k], &first.kept);
        attn_opencl_at_end(devices[k], &second.kept);
        attn_opencl_forget(devices[k]);
        ck_assert_int_eq(ended, 21);
    }
    attn_release(&memory, devices);
}
END_TEST

int main(void) {
    if (!suite_has_opencl()) {
        return suite_without_device();
    }
    const TTest *const tests[] = { test_all_that_is_kept_ends, test_forgetting_says_so };
    return suite_run(SUITE_OF("device_end", tests, 60), SUITE_NO_FORK);
}
