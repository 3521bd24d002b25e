/*
 * The matrix unit in portable C, on any processor: for tests alone, never chosen (it is slow). May not assume an
 * instruction set. Everything is in cpu_matrix_body.h.
 */
#define ATTN_VECTOR_BYTES 16
#define ATTN_MATRIX_AMX 0
#define ATTN_AVX512_BF16 0
#define ATTN_MATRIX attn_cpu_matrix_portable
#define ATTN_MATRIX_NAME "portable tiles of bf16"
#include "engines/cpu/matrix/cpu_matrix_body.h"
