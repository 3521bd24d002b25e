/*
 * The kernels for any processor: vectors of 16 bytes, as the compiler translates them. May not assume an instruction
 * set. Everything is in cpu_body.h.
 */
#define ATTN_VECTOR_BYTES 16
#define ATTN_KERNELS attn_cpu_kernels_generic
#define ATTN_KERNELS_NAME "generic"
#include "engines/cpu/isa/cpu_body.h"
