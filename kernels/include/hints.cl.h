// Hints to device compilers that change nothing but how long they take and what they try.
#ifndef ATTN_HINTS_CL_H
#define ATTN_HINTS_CL_H

// The kernel is written in vectors: do not widen it over work-items as well. Only where Intel's compiler says that it
// understands; oclgrind, for one, loses the kernel at this attribute.
#ifdef cl_intel_vec_len_hint
#define KERNEL_OF_VECTORS __attribute__((vec_type_hint(float16)))
#else
#define KERNEL_OF_VECTORS
#endif

#endif
