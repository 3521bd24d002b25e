/*
 * OpenCL's error codes as names and as clattn_status. Knows nothing of devices and calls.
 * To add a code: one line in the list below.
 */
#include "opencl/cl_status.h"

#include "base/report.h"

#define ATTN_CL_CODES(X)                   \
    X(CL_SUCCESS)                          \
    X(CL_DEVICE_NOT_FOUND)                 \
    X(CL_DEVICE_NOT_AVAILABLE)             \
    X(CL_COMPILER_NOT_AVAILABLE)           \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE)    \
    X(CL_OUT_OF_RESOURCES)                 \
    X(CL_OUT_OF_HOST_MEMORY)               \
    X(CL_PROFILING_INFO_NOT_AVAILABLE)     \
    X(CL_MEM_COPY_OVERLAP)                 \
    X(CL_BUILD_PROGRAM_FAILURE)            \
    X(CL_MAP_FAILURE)                      \
    X(CL_MISALIGNED_SUB_BUFFER_OFFSET)     \
    X(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST) \
    X(CL_COMPILE_PROGRAM_FAILURE)          \
    X(CL_LINKER_NOT_AVAILABLE)             \
    X(CL_LINK_PROGRAM_FAILURE)             \
    X(CL_KERNEL_ARG_INFO_NOT_AVAILABLE)    \
    X(CL_INVALID_VALUE)                    \
    X(CL_INVALID_DEVICE_TYPE)              \
    X(CL_INVALID_PLATFORM)                 \
    X(CL_INVALID_DEVICE)                   \
    X(CL_INVALID_CONTEXT)                  \
    X(CL_INVALID_QUEUE_PROPERTIES)         \
    X(CL_INVALID_COMMAND_QUEUE)            \
    X(CL_INVALID_HOST_PTR)                 \
    X(CL_INVALID_MEM_OBJECT)               \
    X(CL_INVALID_BINARY)                   \
    X(CL_INVALID_BUILD_OPTIONS)            \
    X(CL_INVALID_PROGRAM)                  \
    X(CL_INVALID_PROGRAM_EXECUTABLE)       \
    X(CL_INVALID_KERNEL_NAME)              \
    X(CL_INVALID_KERNEL_DEFINITION)        \
    X(CL_INVALID_KERNEL)                   \
    X(CL_INVALID_ARG_INDEX)                \
    X(CL_INVALID_ARG_VALUE)                \
    X(CL_INVALID_ARG_SIZE)                 \
    X(CL_INVALID_KERNEL_ARGS)              \
    X(CL_INVALID_WORK_DIMENSION)           \
    X(CL_INVALID_WORK_GROUP_SIZE)          \
    X(CL_INVALID_WORK_ITEM_SIZE)           \
    X(CL_INVALID_GLOBAL_OFFSET)            \
    X(CL_INVALID_EVENT_WAIT_LIST)          \
    X(CL_INVALID_EVENT)                    \
    X(CL_INVALID_OPERATION)                \
    X(CL_INVALID_BUFFER_SIZE)              \
    X(CL_INVALID_GLOBAL_WORK_SIZE)         \
    X(CL_INVALID_PROPERTY)                 \
    X(CL_INVALID_COMPILER_OPTIONS)         \
    X(CL_INVALID_LINKER_OPTIONS)

const char *attn_cl_name(cl_int code) {
    switch (code) {
#define ATTN_CL_NAME(name) \
    case name: return #name;
        ATTN_CL_CODES(ATTN_CL_NAME)
#undef ATTN_CL_NAME
        case -1001: return "CL_PLATFORM_NOT_FOUND_KHR";
        default: return "an unknown code";
    }
}

clattn_status attn_cl_status(cl_int code) {
    switch (code) {
        case CL_SUCCESS: return CLATTN_OK;
        case CL_OUT_OF_HOST_MEMORY: return CLATTN_OUT_OF_MEMORY;
        case CL_MEM_OBJECT_ALLOCATION_FAILURE:
        case CL_OUT_OF_RESOURCES:
        case CL_INVALID_BUFFER_SIZE: return CLATTN_DEVICE_OUT_OF_MEMORY;
        case CL_BUILD_PROGRAM_FAILURE:
        case CL_COMPILE_PROGRAM_FAILURE:
        case CL_LINK_PROGRAM_FAILURE:
        case CL_COMPILER_NOT_AVAILABLE: return CLATTN_BUILD_FAILED;
        default: return CLATTN_OPENCL_ERROR;
    }
}

clattn_status attn_cl_check(cl_int code, const char *call, clattn_report *report) {
    if (code == CL_SUCCESS) {
        return CLATTN_OK;
    }
    return attn_refuse(report, attn_cl_status(code), "%s failed: %s (%d)", call, attn_cl_name(code), (int)code);
}
