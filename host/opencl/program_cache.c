/*
 * The programs of a device: a list keyed by source name and options. Looking up and building happen under one lock, so
 * that two plans made at once never build the same program twice. Programs stay until the device ends.
 */
#include <string.h>

#include "base/report.h"
#include "opencl/program.h"
#include "opencl/program_build.h"

struct attn_program {
    struct attn_program *next;
    cl_program program;
    char fingerprint[]; /* name, a NUL, options, a NUL */
};

static bool same(const struct attn_program *entry, const char *name, const char *options) {
    return strcmp(entry->fingerprint, name) == 0 && strcmp(entry->fingerprint + strlen(name) + 1, options) == 0;
}

static clattn_status get_locked(struct attn_opencl_device *device, const char *name, const char *options,
                                cl_program *program, clattn_report *report) {
    for (const struct attn_program *entry = device->programs; entry != NULL; entry = entry->next) {
        if (same(entry, name, options)) {
            *program = entry->program;
            return CLATTN_OK;
        }
    }
    size_t name_size = strlen(name) + 1, options_size = strlen(options) + 1;
    struct attn_program *entry = attn_allocate(device->memory, (int64_t)(sizeof *entry + name_size + options_size));
    if (entry == NULL) {
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = attn_program_build(device, name, options, &entry->program, report);
    if (status != CLATTN_OK) {
        attn_release(device->memory, entry);
        return status;
    }
    memcpy(entry->fingerprint, name, name_size);
    memcpy(entry->fingerprint + name_size, options, options_size);
    entry->next = device->programs;
    device->programs = entry;
    *program = entry->program;
    return CLATTN_OK;
}

clattn_status attn_program_get(struct attn_opencl_device *device, const char *name, const char *options,
                               cl_program *program, clattn_report *report) {
    *program = NULL;
    ATTN_TRY(attn_opencl_open(device, report));
    pthread_mutex_lock(&device->lock);
    clattn_status status = get_locked(device, name, options, program, report);
    pthread_mutex_unlock(&device->lock);
    return status;
}

static void end_list(struct attn_opencl_device *device, bool is_ours) {
    while (device->programs != NULL) {
        struct attn_program *entry = device->programs;
        device->programs = entry->next;
        if (is_ours) {
            (void)clReleaseProgram(entry->program);
        }
        attn_release(device->memory, entry);
    }
}

void attn_program_release_all(struct attn_opencl_device *device) {
    end_list(device, true);
}

void attn_program_forget_all(struct attn_opencl_device *device) {
    end_list(device, false);
}
