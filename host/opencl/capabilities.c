/*
 * What a device can do, asked once when it is found. Knows nothing of contexts and programs.
 * To add a capability: a member in device.h, a line in ask_numbers() or ask_kind().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl/device.h"

#ifndef CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV
#define CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV 0x4000
#define CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV 0x4001
#define CL_DEVICE_WARP_SIZE_NV 0x4003
#endif
#ifndef CL_DEVICE_WAVEFRONT_WIDTH_AMD
#define CL_DEVICE_WAVEFRONT_WIDTH_AMD 0x4043
#endif
#ifndef CL_DEVICE_SUB_GROUP_SIZES_INTEL
#define CL_DEVICE_SUB_GROUP_SIZES_INTEL 0x4108
#endif

bool attn_opencl_has_extension(const struct attn_opencl_device *device, const char *name) {
    size_t length = strlen(name);
    for (const char *at = device->extensions; (at = strstr(at, name)) != NULL; at += length) {
        bool begins = at == device->extensions || at[-1] == ' ';
        if (begins && (at[length] == ' ' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool ask_text(cl_device_id id, cl_device_info what, char *text, size_t size) {
    size_t length = 0;
    text[0] = '\0';
    if (clGetDeviceInfo(id, what, 0, NULL, &length) != CL_SUCCESS || length == 0 || length > 1 << 20) {
        return false;
    }
    char *whole = malloc(length + 1);
    bool good = whole != NULL && clGetDeviceInfo(id, what, length, whole, NULL) == CL_SUCCESS;
    if (good) {
        whole[length] = '\0';
        snprintf(text, size, "%s", whole);
    }
    free(whole);
    return good;
}

static int64_t ask_uint(cl_device_id id, cl_device_info what, int64_t otherwise) {
    cl_uint value = 0;
    return clGetDeviceInfo(id, what, sizeof value, &value, NULL) == CL_SUCCESS ? (int64_t)value : otherwise;
}

static int64_t ask_ulong(cl_device_id id, cl_device_info what, int64_t otherwise) {
    cl_ulong value = 0;
    if (clGetDeviceInfo(id, what, sizeof value, &value, NULL) != CL_SUCCESS) {
        return otherwise;
    }
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t ask_size(cl_device_id id, cl_device_info what, int64_t otherwise) {
    size_t value = 0;
    return clGetDeviceInfo(id, what, sizeof value, &value, NULL) == CL_SUCCESS ? (int64_t)value : otherwise;
}

/* "OpenCL C 1.2 ..." -> 120 */
static int64_t version_number(const char *text, const char *prefix) {
    int major = 0, minor = 0;
    if (strncmp(text, prefix, strlen(prefix)) != 0 || sscanf(text + strlen(prefix), "%d.%d", &major, &minor) != 2) {
        return 0;
    }
    return 100 * major + 10 * minor;
}

static bool ask_texts(struct attn_opencl_device *device) {
    clattn_device_info *info = &device->info;
    cl_platform_id platform = NULL;
    char c_version[128];
    bool good =
        ask_text(device->id, CL_DEVICE_NAME, info->name, sizeof info->name) &&
        ask_text(device->id, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor) &&
        ask_text(device->id, CL_DRIVER_VERSION, info->driver, sizeof info->driver) &&
        ask_text(device->id, CL_DEVICE_VERSION, info->version, sizeof info->version) &&
        ask_text(device->id, CL_DEVICE_OPENCL_C_VERSION, c_version, sizeof c_version) &&
        clGetDeviceInfo(device->id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) == CL_SUCCESS &&
        clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof info->platform, info->platform, NULL) == CL_SUCCESS;
    (void)ask_text(device->id, CL_DEVICE_EXTENSIONS, device->extensions, sizeof device->extensions);
    device->c_version = version_number(c_version, "OpenCL C ");
    return good && version_number(info->version, "OpenCL ") >= 120;
}

static int64_t ask_smallest_sub_group(const struct attn_opencl_device *device) {
    size_t sizes[8] = { 0 }, bytes = 0, smallest = 0;
    if (!attn_opencl_has_extension(device, "cl_intel_required_subgroup_size") ||
        clGetDeviceInfo(device->id, CL_DEVICE_SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &bytes) != CL_SUCCESS) {
        return 0;
    }
    for (size_t k = 0; k < bytes / sizeof sizes[0]; k++) {
        smallest = smallest == 0 || sizes[k] < smallest ? sizes[k] : smallest;
    }
    return (int64_t)smallest;
}

static void ask_numbers(struct attn_opencl_device *device) {
    cl_device_id id = device->id;
    clattn_device_info *info = &device->info;
    info->compute_units = ask_uint(id, CL_DEVICE_MAX_COMPUTE_UNITS, 1);
    info->memory = ask_ulong(id, CL_DEVICE_GLOBAL_MEM_SIZE, 0);
    info->max_allocation = ask_ulong(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 0);
    info->local_memory = ask_ulong(id, CL_DEVICE_LOCAL_MEM_SIZE, 0);
    info->max_work_group = ask_size(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, 1);
    device->base_alignment = ask_uint(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, 1024) / 8;
    device->float_vector = ask_uint(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 1);
    if (device->float_vector < 1 || device->float_vector > 16) {
        device->float_vector = device->float_vector < 1 ? 1 : 16;
    }
    cl_device_local_mem_type local = CL_GLOBAL;
    device->local_memory_real =
        clGetDeviceInfo(id, CL_DEVICE_LOCAL_MEM_TYPE, sizeof local, &local, NULL) == CL_SUCCESS && local == CL_LOCAL;
    if (attn_opencl_has_extension(device, "cl_nv_device_attribute_query")) {
        device->nvidia_capability = 10 * ask_uint(id, CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV, 0) +
                                    ask_uint(id, CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV, 0);
        device->warp = ask_uint(id, CL_DEVICE_WARP_SIZE_NV, 0);
    } else if (attn_opencl_has_extension(device, "cl_amd_device_attribute_query")) {
        device->warp = ask_uint(id, CL_DEVICE_WAVEFRONT_WIDTH_AMD, 0);
    }
    device->smallest_sub_group = ask_smallest_sub_group(device);
}

/* Extensions that some kernel or reader cares about, in one line. */
static void list_features(struct attn_opencl_device *device) {
    static const char *const known[] = { "cl_khr_fp16",
                                         "cl_khr_fp64",
                                         "cl_khr_subgroups",
                                         "cl_intel_subgroups",
                                         "cl_khr_subgroup_shuffle",
                                         "cl_intel_required_subgroup_size",
                                         "cl_intel_subgroup_matrix_multiply_accumulate",
                                         "cl_khr_integer_dot_product",
                                         "cl_nv_device_attribute_query",
                                         "cl_amd_device_attribute_query" };
    char *features = device->info.features;
    size_t room = sizeof device->info.features, used = 0;
    for (size_t k = 0; k < sizeof known / sizeof known[0]; ++k) {
        if (!attn_opencl_has_extension(device, known[k])) {
            continue;
        }
        int n = snprintf(features + used, room - used, "%s%s", used > 0 ? " " : "", known[k]);
        if (n < 0 || (size_t)n >= room - used) {
            features[used] = '\0';
            return;
        }
        used += (size_t)n;
    }
}

clattn_status attn_opencl_ask(struct attn_opencl_device *device) {
    cl_bool available = CL_FALSE, compiler = CL_FALSE;
    cl_device_type type = 0;
    cl_device_id id = device->id;
    if (clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL) != CL_SUCCESS || !available ||
        clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL) != CL_SUCCESS ||
        !compiler || clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL) != CL_SUCCESS ||
        !ask_texts(device)) {
        return CLATTN_OPENCL_ERROR;
    }
    ask_numbers(device);
    device->is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    device->info.kind = device->is_cpu ? CLATTN_DEVICE_OPENCL_CPU : CLATTN_DEVICE_OPENCL_GPU;
    device->info.fp16_arithmetic = attn_opencl_has_extension(device, "cl_khr_fp16");
    device->info.fp64_arithmetic = attn_opencl_has_extension(device, "cl_khr_fp64");
    device->info.subgroups = attn_opencl_has_extension(device, "cl_khr_subgroups") ||
                             attn_opencl_has_extension(device, "cl_intel_subgroups");
    list_features(device);
    return CLATTN_OK;
}
