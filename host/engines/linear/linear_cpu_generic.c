/*
 * The kernels of linear maps in vectors of four floats, for any processor. The text is linear_cpu_body.h. To add an
 * instruction set: a file like this one, a line in linear_cpu.c, its flags in cmake/CompileFlags.cmake.
 */
#define ATTN_VECTOR_BYTES 16
#define ATTN_KERNEL attn_linear_kernel_generic
#define ATTN_KERNEL_NAME "generic"
#include "engines/linear/linear_cpu_body.h"
