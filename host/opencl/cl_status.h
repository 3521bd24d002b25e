/* OpenCL's error codes: names, and which clattn_status each is. */
#ifndef ATTN_OPENCL_CL_STATUS_H
#define ATTN_OPENCL_CL_STATUS_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include "clattn/clattn.h"

/** "CL_OUT_OF_RESOURCES", or "an unknown code"; static. */
const char *attn_cl_name(cl_int code);

/** CL_SUCCESS is OK; lack of memory and failed builds have a status of their own; the rest is OPENCL_ERROR. */
clattn_status attn_cl_status(cl_int code);

/** attn_cl_status(code); when it is not OK, one line that names the call. report may be NULL. */
clattn_status attn_cl_check(cl_int code, const char *call, clattn_report *report);

#endif
