/* Run only for the check with oclgrind, which must refuse it: the kernel writes one element past its buffer. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

int main(void) {
    const char *text = "kernel void past(global int *a) { a[get_global_id(0) + 1] = 1; }";
    cl_platform_id platform;
    cl_device_id device;
    const size_t size = 16;
    if (clGetPlatformIDs(1, &platform, NULL) != CL_SUCCESS) return 1;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL) != CL_SUCCESS) return 1;
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, NULL);
    cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, NULL);
    if (clBuildProgram(program, 1, &device, "", NULL, NULL) != CL_SUCCESS) return 1;
    cl_kernel kernel = clCreateKernel(program, "past", NULL);
    cl_mem buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, size * sizeof(cl_int), NULL, NULL);
    if (clSetKernelArg(kernel, 0, sizeof buffer, &buffer) != CL_SUCCESS) return 1;
    if (clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &size, NULL, 0, NULL, NULL) != CL_SUCCESS) return 1;
    return clFinish(queue) == CL_SUCCESS ? 0 : 1;
}
