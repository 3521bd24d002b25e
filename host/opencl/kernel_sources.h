/* The OpenCL programs as text inside the library. The table is generated at build time from kernels/programs.cmake
 * by cmake/embed_kernels.cmake: each entry is one program with its includes flattened and #line marks kept. */
#ifndef ATTN_KERNEL_SOURCES_H
#define ATTN_KERNEL_SOURCES_H

#include <stddef.h>

typedef struct attn_kernel_source {
    const char *name; /* as in kernels/programs.cmake */
    const char *text; /* ends with a NUL byte */
    size_t size;      /* bytes of text before that NUL */
} attn_kernel_source;

extern const attn_kernel_source attn_kernel_sources[];
extern const size_t attn_kernel_source_count;

#endif
