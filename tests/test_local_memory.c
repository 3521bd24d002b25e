/*
 * How much local memory kernels may declare: the trial says yes to what a device surely has, and CPU devices are never
 * tried beyond what they report. One work-group a trial: PoCL 3.1 lets work-groups share an array declared in a kernel.
 */
#include "opencl/local_memory.h"

#include "support/suite.h"

static struct attn_opencl_device *first_device(attn_memory *memory, struct attn_opencl_device ***devices,
                                               int64_t *count) {
    ck_assert_int_eq(attn_opencl_find(memory, devices, count, NULL), CLATTN_OK);
    return *count > 0 ? (*devices)[0] : NULL;
}

static void destroy_all(attn_memory *memory, struct attn_opencl_device **devices, int64_t count) {
    for (int64_t k = 0; k < count; k++) {
        attn_opencl_destroy(devices[k]);
    }
    attn_release(memory, devices);
}

START_TEST(test_trial_finds_what_is_there) {
    attn_memory memory;
    attn_memory_init(&memory, &(clattn_allocator){ 0 });
    struct attn_opencl_device **devices = NULL;
    int64_t count = 0;
    struct attn_opencl_device *device = first_device(&memory, &devices, &count);
    if (device) {
        ck_assert(attn_opencl_try_local(device, 16 << 10, 1));
        ck_assert(!attn_opencl_try_local(device, -4, 1)); /* does not build */
    }
    destroy_all(&memory, devices, count);
}
END_TEST

START_TEST(test_cpu_devices_have_what_they_tell) {
    attn_memory memory;
    attn_memory_init(&memory, &(clattn_allocator){ 0 });
    struct attn_opencl_device **devices = NULL;
    int64_t count = 0;
    struct attn_opencl_device *device = first_device(&memory, &devices, &count);
    if (device && device->is_cpu) {
        ck_assert_int_eq(attn_opencl_local_memory(device), device->info.local_memory);
        ck_assert_int_eq(attn_opencl_local_memory(device), device->info.local_memory);
    }
    destroy_all(&memory, devices, count);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_trial_finds_what_is_there, test_cpu_devices_have_what_they_tell };
    return suite_run(SUITE_OF("local_memory", tests, 60), SUITE_FORK);
}
