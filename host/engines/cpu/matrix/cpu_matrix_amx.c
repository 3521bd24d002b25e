/*
 * bf16 on the matrix unit of x86 processors (AMX), with AVX-512 beside it. Compiled with flags of its own
 * (cmake/CompileFlags.cmake) and entered only after cpu_features.c said yes; so nothing outside the kernels may live here.
 * Everything is in cpu_matrix_body.h.
 */
#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512BF16__) /* the second is clang 14's name */
#define ATTN_VECTOR_BYTES 64
#define ATTN_MATRIX_AMX 1
#define ATTN_AVX512_BF16 1
#define ATTN_MATRIX attn_cpu_matrix_amx
#define ATTN_MATRIX_NAME "amx-bf16"
#include "engines/cpu/matrix/cpu_matrix_body.h"
#else
#include "engines/cpu/cpu_kernels.h"

const attn_cpu_unit *attn_cpu_matrix_amx(void) {
    return NULL;
}
#endif
