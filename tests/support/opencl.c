/*
 * OpenCL as a caller uses it (see opencl.h). Knows nothing of the library. Without OpenCL in the build it is empty.
 */
#include "support/opencl.h"

#ifdef CLATTN_HAVE_OPENCL
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 0x5a };

void opencl_expect(const char *file, int line, cl_int code) {
    ck_assert_msg(code == CL_SUCCESS, "%s:%d: OpenCL answers %d", file, line, (int)code);
}

opencl_side opencl_open(bool out_of_order) {
    opencl_side side = { NULL, NULL, NULL };
    cl_platform_id platforms[8];
    cl_uint count = 0;
    cl_int code;
    EXPECT_CL(clGetPlatformIDs(8, platforms, &count));
    for (cl_uint i = 0; i < count && i < 8 && !side.device; i++) {
        cl_uint found = 0;
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &side.device, &found) != CL_SUCCESS || found == 0) {
            side.device = NULL;
        }
    }
    ck_assert_msg(side.device, "no OpenCL device");
    side.context = clCreateContext(NULL, 1, &side.device, NULL, NULL, &code);
    EXPECT_CL(code);
    side.queue = clCreateCommandQueue(side.context, side.device,
                                      out_of_order ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0, &code);
    EXPECT_CL(code);
    return side;
}

void opencl_close(opencl_side *side) {
    EXPECT_CL(clReleaseCommandQueue(side->queue));
    EXPECT_CL(clReleaseContext(side->context));
}

cl_mem opencl_buffer(const opencl_side *side, const void *data, size_t bytes, size_t lead, size_t tail) {
    cl_int code;
    size_t all = lead + bytes + tail;
    unsigned char *image = malloc(all + 1);
    ck_assert_ptr_nonnull(image);
    memset(image, GUARD, all + 1);
    if (data) {
        memcpy(image + lead, data, bytes);
    }
    cl_mem memory = clCreateBuffer(side->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, all + 1, image, &code);
    EXPECT_CL(code);
    free(image);
    return memory;
}

void opencl_read(const opencl_side *side, cl_mem memory, void *data, size_t bytes, size_t lead, size_t tail) {
    size_t all = lead + bytes + tail;
    unsigned char *image = malloc(all + 1);
    ck_assert_ptr_nonnull(image);
    EXPECT_CL(clEnqueueReadBuffer(side->queue, memory, CL_TRUE, 0, all + 1, image, 0, NULL, NULL));
    for (size_t n = 0; n < all + 1; n++) {
        bool guard = n < lead || n >= lead + bytes;
        ck_assert_msg(!guard || image[n] == GUARD, "byte %" PRId64 " beside a buffer of %zu is written", (int64_t)(n - lead),
                      bytes);
    }
    memcpy(data, image + lead, bytes);
    free(image);
}
#endif
