/*
 * The runtime: memory, threads and devices. It knows that there are devices, not what they can compute; engines do.
 */
#include "runtime/runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/visit.h"
#include "cpu/cpu_features.h"
#include "cpu/threads.h"
#include "opencl/devices.h"

bool attn_device_is_lost(const attn_device *device) {
    return device->opencl && device->process != getpid();
}

clattn_status attn_runtime_add_device(clattn_runtime *runtime, clattn_device_kind kind, struct attn_opencl_device *opencl) {
    int64_t count = runtime->device_count;
    attn_device *device = attn_allocate_zeroed(&runtime->memory, sizeof *device);
    attn_device **devices = attn_allocate(&runtime->memory, (count + 1) * (int64_t)sizeof *devices);
    if (!device || !devices) {
        attn_release(&runtime->memory, device);
        attn_release(&runtime->memory, devices);
        return CLATTN_OUT_OF_MEMORY;
    }
    *device = (attn_device){.index = count, .kind = kind, .memory = &runtime->memory, .threads = runtime->threads, .opencl = opencl,
                            .process = getpid()};
    if (count > 0) {
        memcpy(devices, runtime->devices, (size_t)count * sizeof *devices);
    }
    devices[count] = device;
    attn_release(&runtime->memory, runtime->devices);
    runtime->devices = devices;
    runtime->device_count = count + 1;
    return CLATTN_OK;
}

static clattn_status add_opencl_devices(clattn_runtime *runtime) {
    struct attn_opencl_device **found = NULL;
    int64_t count = 0, added = 0;
    ATTN_TRY(attn_opencl_find(&runtime->memory, &found, &count, &runtime->left_out));
    clattn_status status = CLATTN_OK;
    for (; added < count && status == CLATTN_OK; added += status == CLATTN_OK) {
        clattn_device_info info;
        attn_opencl_describe(found[added], &info);
        status = attn_runtime_add_device(runtime, info.kind, found[added]);
    }
    for (int64_t i = added; i < count; i++) {
        attn_opencl_destroy(found[i]);
    }
    attn_release(&runtime->memory, found);
    return status;
}

static clattn_status fill(clattn_runtime *runtime, const clattn_runtime_options *options) {
    ATTN_TRY(attn_threads_create(&runtime->memory, options, &runtime->threads));
    ATTN_TRY(attn_runtime_add_device(runtime, CLATTN_DEVICE_CPU, NULL));
    return options->without_opencl ? CLATTN_OK : add_opencl_devices(runtime);
}

void clattn_runtime_options_init(clattn_runtime_options *options, size_t size) {
    static const clattn_runtime_options start = CLATTN_RUNTIME_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}

static clattn_status check_options(const clattn_runtime_options *options) {
    const clattn_allocator *allocator = &options->allocator;
    if (!allocator->allocate != !allocator->release) {
        return attn_refuse(options->report, CLATTN_INVALID_ARGUMENT, "allocator: %s is NULL and the other is not",
                           allocator->allocate ? "release" : "allocate");
    }
    if (options->threads < 0 || options->threads > CLATTN_MOST_THREADS) {
        return attn_refuse(options->report, CLATTN_INVALID_ARGUMENT, "threads: %" PRId64 " is not within 0 and %d",
                           options->threads, CLATTN_MOST_THREADS);
    }
    if (!options->parallel_for && options->parallel_user) {
        return attn_refuse(options->report, CLATTN_INVALID_ARGUMENT, "parallel_user: given without parallel_for");
    }
    return CLATTN_OK;
}

static void destroy(clattn_runtime *runtime) {
    for (int64_t i = runtime->device_count - 1; i >= 0; i--) {
        attn_device *device = runtime->devices[i];
        (attn_device_is_lost(device) ? attn_opencl_forget : attn_opencl_destroy)(device->opencl);
        attn_release(&runtime->memory, runtime->devices[i]);
    }
    attn_release(&runtime->memory, runtime->devices);
    attn_threads_destroy(runtime->threads);
    attn_runtime_forget_tuning(runtime);
    pthread_mutex_destroy(&runtime->lock);
    attn_memory memory;
    attn_memory_init(&memory, &runtime->memory.allocator);
    attn_release(&memory, runtime);
}

static clattn_status create(const clattn_runtime_options *options, clattn_runtime **runtime) {
    clattn_runtime_options filled = CLATTN_RUNTIME_OPTIONS_INIT;
    if (options) {
        /* The sizes that the structure has had: before `report` was added, and now. */
        if (options->struct_size != offsetof(clattn_runtime_options, report) && options->struct_size != sizeof filled) {
            return CLATTN_INVALID_ARGUMENT;
        }
        memcpy(&filled, options, options->struct_size);
    }
    attn_report_clear(filled.report);
    ATTN_TRY(check_options(&filled));
    attn_memory memory; /* the runtime itself comes from the allocator it will hold */
    attn_memory_init(&memory, &filled.allocator);
    clattn_runtime *made = attn_allocate_zeroed(&memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    attn_memory_init(&made->memory, &filled.allocator);
    if (!attn_lock_init_recursive(&made->lock)) {
        attn_release(&memory, made);
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = fill(made, &filled);
    if (status != CLATTN_OK) {
        destroy(made);
        return status;
    }
    *runtime = made;
    return CLATTN_OK;
}

clattn_status clattn_runtime_create(const clattn_runtime_options *options, clattn_runtime **runtime) {
    if (!runtime) {
        return CLATTN_INVALID_ARGUMENT;
    }
    *runtime = NULL;
    attn_visit visit = attn_visit_begin(); /* threads of OpenCL's begin here, in the environment of their creator */
    clattn_status status = create(options, runtime);
    attn_visit_end(&visit);
    return status;
}

void clattn_runtime_destroy(clattn_runtime *runtime) {
    if (runtime) {
        attn_visit visit = attn_visit_begin();
        destroy(runtime);
        attn_visit_end(&visit);
    }
}

const attn_device *attn_runtime_device(clattn_runtime *runtime, int64_t index) {
    pthread_mutex_lock(&runtime->lock);
    const attn_device *device = index >= 0 && index < runtime->device_count ? runtime->devices[index] : NULL;
    pthread_mutex_unlock(&runtime->lock);
    return device;
}

int64_t clattn_runtime_device_count(const clattn_runtime *runtime) {
    if (!runtime) {
        return 0;
    }
    clattn_runtime *open = (clattn_runtime *)runtime; /* only its lock is touched */
    pthread_mutex_lock(&open->lock);
    int64_t count = open->device_count;
    pthread_mutex_unlock(&open->lock);
    return count;
}

clattn_status clattn_runtime_get_left_out(const clattn_runtime *runtime, clattn_report *report) {
    if (!runtime || !report) {
        return CLATTN_INVALID_ARGUMENT;
    }
    clattn_runtime *open = (clattn_runtime *)runtime; /* only its lock is touched */
    pthread_mutex_lock(&open->lock);
    *report = open->left_out;
    pthread_mutex_unlock(&open->lock);
    return CLATTN_OK;
}

static void describe_cpu(const clattn_runtime *runtime, clattn_device_info *info) {
    info->kind = CLATTN_DEVICE_CPU;
    strcpy(info->driver, "clattn");
    strcpy(info->platform, "host");
    attn_cpu_name(info->name, sizeof info->name);
    attn_cpu_vendor(info->vendor, sizeof info->vendor);
    attn_cpu_features_text(info->features, sizeof info->features);
    snprintf(info->version, sizeof info->version, "%s", attn_isa_name(attn_cpu_best_isa()));
    info->compute_units = attn_threads_count(runtime->threads);
    info->memory = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    info->max_allocation = info->memory;
    info->fp64_arithmetic = true;
}

clattn_status clattn_runtime_get_device(const clattn_runtime *runtime, int64_t index, clattn_device_info *info) {
    if (!runtime || !info) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const attn_device *device = attn_runtime_device((clattn_runtime *)runtime, index);
    if (!device) {
        return CLATTN_NO_DEVICE;
    }
    memset(info, 0, sizeof *info);
    if (device->opencl) {
        attn_opencl_describe(device->opencl, info);
    } else {
        describe_cpu(runtime, info);
    }
    return CLATTN_OK;
}
