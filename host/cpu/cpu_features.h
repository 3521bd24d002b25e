/* What the processor is and can do, asked at run time. */
#ifndef ATTN_CPU_CPU_FEATURES_H
#define ATTN_CPU_CPU_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

/** Instruction sets that kernels are compiled for, each better than the one before. */
typedef enum attn_isa { ATTN_ISA_GENERIC, ATTN_ISA_AVX2, ATTN_ISA_AVX512, ATTN_ISA_COUNT } attn_isa;

/** The best instruction set that this processor and system can run. */
attn_isa attn_cpu_best_isa(void);

/**
 * Whether processor and system let this process use matrix tiles of bf16 (AMX-BF16, with AVX512-BF16 beside it). Asks the
 * system for leave, which it gives once for the whole process; asking again changes nothing.
 */
bool attn_cpu_has_amx_bf16(void);

/** Whether the processor multiplies pairs of bf16 in vectors of 64 bytes (AVX512-BF16). */
bool attn_cpu_has_avx512_bf16(void);

/** And faster than it multiplies and adds fp32: on AMD's Zen 4 at twice the rate, on Intel's Xeon at half of it. */
bool attn_cpu_pairs_pay(void);

/**
 * Whether a stream from memory is best prefetched into L1 alone. On AMD's Zen 4 decode reads 1.4 to 2 times as fast when it
 * was prefetched into L2 before; on Intel's Xeon L1 alone gave all that memory has.
 */
bool attn_cpu_prefetches_l1(void);

/** "generic", "avx2", "avx512"; static. */
const char *attn_isa_name(attn_isa isa);

/** The processor's name and vendor as it states them itself, and the extensions that matter here; all cut when too long. */
void attn_cpu_name(char *text, size_t size);
void attn_cpu_vendor(char *text, size_t size);
void attn_cpu_features_text(char *text, size_t size);

#endif
