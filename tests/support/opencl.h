/* The caller's side of OpenCL for tests: a context, a queue and buffers that no part of the library made. */
#ifndef TESTS_OPENCL_H
#define TESTS_OPENCL_H

#ifdef CLATTN_HAVE_OPENCL
#include "clattn/clattn_opencl.h"
#include "support/suite.h"

typedef struct opencl_side {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
} opencl_side;

/** The first device of the first platform that has one; fails the test when there is none. */
opencl_side opencl_open(bool out_of_order);
void opencl_close(opencl_side *side);

/** Fails the test with the code when it is not CL_SUCCESS. */
#define EXPECT_CL(call) opencl_expect(__FILE__, __LINE__, call)
void opencl_expect(const char *file, int line, cl_int code);

/** A buffer that holds `lead` bytes of 0x5a, the data (or 0x5a when data is NULL), and `tail` bytes of 0x5a. */
cl_mem opencl_buffer(const opencl_side *side, const void *data, size_t bytes, size_t lead, size_t tail);

/** Reads the middle of such a buffer back and checks that lead and tail are untouched. */
void opencl_read(const opencl_side *side, cl_mem memory, void *data, size_t bytes, size_t lead, size_t tail);

#endif
#endif
