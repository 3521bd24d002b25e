/*
 * The additive kernel in vectors of four floats, for any processor. The text is additive_cpu_body.h. To add an
 * instruction set: a file like this one, a line in additive_cpu.c, its flags in cmake/CompileFlags.cmake.
 */
#define ATTN_VECTOR_BYTES 16
#define ATTN_KERNEL attn_additive_kernel_generic
#define ATTN_KERNEL_NAME "generic"
#include "engines/additive/additive_cpu_body.h"
