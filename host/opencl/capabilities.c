/*
 * What a device can do, asked once when it is found. Knows nothing of contexts and programs.
 * To add a capability: a member in device.h; a line in ask_limits() when a device that does not report it must be left out,
 * in ask_more() when there is a number to go on with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/report.h"
#include "opencl/device.h"

#ifndef CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV
#define CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV 0x4000
#define CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV 0x4001
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

/* Without the answer nobody knows what fits the device: one line in the report says which it was. */
static bool refuse(clattn_report *report, const char *what, cl_int code) {
    attn_report_line(report, "%s cannot be asked for: %s (%d)", what, attn_cl_name(code), (int)code);
    return false;
}

static bool ask_text(cl_device_id id, cl_device_info what, const char *name, char *text, size_t size,
                     clattn_report *report) {
    size_t length = 0;
    text[0] = '\0';
    cl_int code = clGetDeviceInfo(id, what, 0, NULL, &length);
    if (code != CL_SUCCESS || length == 0) {
        return code == CL_SUCCESS || refuse(report, name, code);
    }
    char *whole = length <= 1 << 20 ? malloc(length + 1) : NULL;
    code = whole ? clGetDeviceInfo(id, what, length, whole, NULL) : CL_OUT_OF_HOST_MEMORY;
    if (code == CL_SUCCESS) {
        whole[length] = '\0';
        snprintf(text, size, "%s", whole);
    }
    free(whole);
    return code == CL_SUCCESS || refuse(report, name, code);
}

/* What must be known: false, with a line, where the device does not report it. */
static bool need_value(cl_device_id id, cl_device_info what, const char *name, size_t size, void *value,
                       clattn_report *report) {
    cl_int code = clGetDeviceInfo(id, what, size, value, NULL);
    return code == CL_SUCCESS || refuse(report, name, code);
}

/* What only makes a choice better. */
static int64_t ask_uint(cl_device_id id, cl_device_info what, int64_t otherwise) {
    cl_uint value = 0;
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

#define TEXT(what, to) ask_text(device->id, what, #what, to, sizeof to, report)
#define NEED(what, to) need_value(device->id, what, #what, sizeof to, &to, report)

static bool ask_texts(struct attn_opencl_device *device, clattn_report *report) {
    clattn_device_info *info = &device->info;
    cl_platform_id platform = NULL;
    char c_version[128];
    if (!TEXT(CL_DEVICE_NAME, info->name) || !TEXT(CL_DEVICE_VENDOR, info->vendor) ||
        !TEXT(CL_DRIVER_VERSION, info->driver) || !TEXT(CL_DEVICE_VERSION, info->version) ||
        !TEXT(CL_DEVICE_OPENCL_C_VERSION, c_version) || !TEXT(CL_DEVICE_EXTENSIONS, device->extensions) ||
        !NEED(CL_DEVICE_PLATFORM, platform)) {
        return false;
    }
    cl_int code = clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof info->platform, info->platform, NULL);
    if (code != CL_SUCCESS) {
        return refuse(report, "CL_PLATFORM_NAME", code);
    }
    device->c_version = version_number(c_version, "OpenCL C ");
    if (version_number(info->version, "OpenCL ") < 120) {
        attn_report_line(report, "\"%s\" is below OpenCL 1.2", info->version);
        return false;
    }
    return true;
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

static int64_t to_int64(cl_ulong value) {
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* Sizes and counts that every refusal and every choice of blocks is computed from. */
static bool ask_limits(struct attn_opencl_device *device, clattn_report *report) {
    enum { MOST_DIMENSIONS = 16 };
    clattn_device_info *info = &device->info;
    cl_uint units = 0, dimensions = 0;
    cl_ulong memory = 0, allocation = 0, local = 0;
    size_t group = 0, items[MOST_DIMENSIONS] = { 0 };
    if (!NEED(CL_DEVICE_MAX_COMPUTE_UNITS, units) || !NEED(CL_DEVICE_GLOBAL_MEM_SIZE, memory) ||
        !NEED(CL_DEVICE_MAX_MEM_ALLOC_SIZE, allocation) || !NEED(CL_DEVICE_LOCAL_MEM_SIZE, local) ||
        !NEED(CL_DEVICE_MAX_WORK_GROUP_SIZE, group) || !NEED(CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, dimensions) ||
        !NEED(CL_DEVICE_MAX_WORK_ITEM_SIZES, items)) {
        return false;
    }
    if (units == 0 || memory == 0 || allocation == 0 || group == 0 || items[0] == 0) {
        attn_report_line(report, "reports 0 for its compute units, its memory or its work-groups");
        return false;
    }
    info->compute_units = (int64_t)units;
    info->memory = to_int64(memory);
    info->max_allocation = to_int64(allocation);
    info->local_memory = to_int64(local);
    info->max_work_group = attn_min(to_int64(group), to_int64(items[0])); /* kernels here have one dimension */
    return true;
}

static void ask_more(struct attn_opencl_device *device) {
    cl_device_id id = device->id;
    device->float_vector = attn_max(1, attn_min(ask_uint(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 1), 16));
    if (attn_opencl_has_extension(device, "cl_nv_device_attribute_query")) {
        device->nvidia_capability = 10 * ask_uint(id, CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV, 0) +
                                    ask_uint(id, CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV, 0);
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

static bool ask_kind(struct attn_opencl_device *device, clattn_report *report) {
    cl_bool available = CL_FALSE, compiler = CL_FALSE;
    cl_device_type type = 0;
    if (!NEED(CL_DEVICE_AVAILABLE, available) || !NEED(CL_DEVICE_COMPILER_AVAILABLE, compiler) ||
        !NEED(CL_DEVICE_TYPE, type)) {
        return false;
    }
    if (!available || !compiler) {
        attn_report_line(report, available ? "has no compiler" : "is not available");
        return false;
    }
    device->is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    device->info.kind = device->is_cpu ? CLATTN_DEVICE_OPENCL_CPU : CLATTN_DEVICE_OPENCL_GPU;
    return true;
}

clattn_status attn_opencl_ask(struct attn_opencl_device *device, clattn_report *report) {
    clattn_report why;
    attn_report_clear(&why);
    if (!ask_texts(device, &why) || !ask_kind(device, &why) || !ask_limits(device, &why)) {
        char prefix[192];
        const char *name = device->info.name[0] != '\0' ? device->info.name : "a device without a name";
        snprintf(prefix, sizeof prefix, "%s (OpenCL) is left out: ", name);
        attn_report_text(report, prefix, why.text);
        return CLATTN_OPENCL_ERROR;
    }
    ask_more(device);
    device->info.fp16_arithmetic = attn_opencl_has_extension(device, "cl_khr_fp16");
    device->info.fp64_arithmetic = attn_opencl_has_extension(device, "cl_khr_fp64");
    device->info.subgroups = attn_opencl_has_extension(device, "cl_khr_subgroups") ||
                             attn_opencl_has_extension(device, "cl_intel_subgroups");
    list_features(device);
    return CLATTN_OK;
}
