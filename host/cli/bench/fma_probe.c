/*
 * The probes' inner loops, on the widest vectors that the processor has. FMA: independent chains of fused multiply-adds
 * in registers, which touch no memory, so nothing that computes with multiply-adds can be faster. Reading: wide sums. To
 * add an instruction set, add one kernel of each.
 */
#include "bench/machine_limits.h"

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define ATTN_X86 1
#include <immintrin.h>
#endif

/* The body of a kernel: CHAINS accumulators that each depend on themselves alone. */
#define CHAINS 12
#define KERNEL(name, attribute, element, vector, set, fma, store, width)                                               \
    attribute static double name(int64_t rounds, element *sink) {                                                      \
        vector sums[CHAINS];                                                                                           \
        vector factor = set((element)0.999999), term = set((element)1e-7);                                             \
        element out[width];                                                                                            \
        for (int c = 0; c < CHAINS; c++) {                                                                             \
            sums[c] = set((element)(c + 1));                                                                           \
        }                                                                                                              \
        for (int64_t round = 0; round < rounds; round++) {                                                             \
            sums[0] = fma(sums[0], factor, term);                                                                      \
            sums[1] = fma(sums[1], factor, term);                                                                      \
            sums[2] = fma(sums[2], factor, term);                                                                      \
            sums[3] = fma(sums[3], factor, term);                                                                      \
            sums[4] = fma(sums[4], factor, term);                                                                      \
            sums[5] = fma(sums[5], factor, term);                                                                      \
            sums[6] = fma(sums[6], factor, term);                                                                      \
            sums[7] = fma(sums[7], factor, term);                                                                      \
            sums[8] = fma(sums[8], factor, term);                                                                      \
            sums[9] = fma(sums[9], factor, term);                                                                      \
            sums[10] = fma(sums[10], factor, term);                                                                    \
            sums[11] = fma(sums[11], factor, term);                                                                    \
        }                                                                                                              \
        for (int c = 0; c < CHAINS; c++) {                                                                             \
            store(out, sums[c]);                                                                                       \
            *sink += out[0];                                                                                           \
        }                                                                                                              \
        return 2.0 * CHAINS * (width) * (double)rounds;                                                                \
    }

#if ATTN_X86
#define AVX512 __attribute__((target("avx512f")))
#define AVX2 __attribute__((target("avx2,fma")))
KERNEL(fp32_avx512, AVX512, float, __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps, 16)
KERNEL(fp64_avx512, AVX512, double, __m512d, _mm512_set1_pd, _mm512_fmadd_pd, _mm512_storeu_pd, 8)
KERNEL(fp32_avx2, AVX2, float, __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps, 8)
KERNEL(fp64_avx2, AVX2, double, __m256d, _mm256_set1_pd, _mm256_fmadd_pd, _mm256_storeu_pd, 4)
#endif

/* Everywhere else: vectors of 16 bytes, which every common processor has; contraction fuses them. */
#if defined(__GNUC__)
__extension__ typedef float float4 __attribute__((vector_size(16)));
__extension__ typedef double double2 __attribute__((vector_size(16)));
#define SET_FLOAT(x) ((float4){ (x), (x), (x), (x) })
#define SET_DOUBLE(x) ((double2){ (x), (x) })
#else
typedef float float4;
typedef double double2;
#define SET_FLOAT(x) (x)
#define SET_DOUBLE(x) (x)
#endif
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define STORE(out, x) memcpy(out, &(x), sizeof(x))
#include <string.h>
enum { FLOATS = sizeof(float4) / sizeof(float), DOUBLES = sizeof(double2) / sizeof(double) };
KERNEL(fp32_generic, , float, float4, SET_FLOAT, MULTIPLY_ADD, STORE, FLOATS)
KERNEL(fp64_generic, , double, double2, SET_DOUBLE, MULTIPLY_ADD, STORE, DOUBLES)

/* Reading: wide vectors into several sums. */
#define READER(name, attribute, vector)                                                                                \
    attribute static void name(const char *memory, int64_t bytes, uint64_t *sum) {                                     \
        vector sums[8];                                                                                                \
        memset(sums, 0, sizeof sums);                                                                                  \
        for (int64_t at = 0; at + (int64_t)sizeof sums <= bytes; at += (int64_t)sizeof sums) {                         \
            const vector *from = (const vector *)(const void *)(memory + at);                                          \
            for (int k = 0; k < 8; k++) {                                                                              \
                sums[k] += from[k];                                                                                    \
            }                                                                                                          \
        }                                                                                                              \
        for (size_t k = 0; k < sizeof sums / 8; k++) {                                                                 \
            uint64_t word;                                                                                             \
            memcpy(&word, (const char *)sums + 8 * k, 8);                                                              \
            *sum += word;                                                                                              \
        }                                                                                                              \
    }

#if defined(__GNUC__)
__extension__ typedef uint64_t words2 __attribute__((vector_size(16), aligned(8), may_alias));
#else
typedef uint64_t words2;
#endif
READER(read_generic, , words2)
#if ATTN_X86
__extension__ typedef uint64_t attn_words4 __attribute__((vector_size(32), aligned(8), may_alias));
__extension__ typedef uint64_t attn_words8 __attribute__((vector_size(64), aligned(8), may_alias));
READER(read_avx2, AVX2, attn_words4)
READER(read_avx512, AVX512, attn_words8)
#endif

int attn_vector_level(void) {
#if ATTN_X86
    return __builtin_cpu_supports("avx512f")                                 ? 2
           : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1
                                                                             : 0;
#else
    return 0;
#endif
}

double attn_fma_fp32_at(int level, int64_t rounds, float *sink) {
#if ATTN_X86
    switch (level) {
        case 2: return fp32_avx512(rounds, sink);
        case 1: return fp32_avx2(rounds, sink);
        default: break;
    }
#endif
    (void)level;
    return fp32_generic(rounds, sink);
}

double attn_fma_fp32(int64_t rounds, float *sink) {
    return attn_fma_fp32_at(attn_vector_level(), rounds, sink);
}

double attn_fma_fp64(int64_t rounds, double *sink) {
#if ATTN_X86
    switch (attn_vector_level()) {
        case 2: return fp64_avx512(rounds, sink);
        case 1: return fp64_avx2(rounds, sink);
        default: break;
    }
#endif
    return fp64_generic(rounds, sink);
}

const char *attn_fma_instructions(void) {
    static const char *const names[] = { "128-bit vectors", "avx2 fma", "avx512f" };
    return names[attn_vector_level()];
}

double attn_read_memory(const void *memory, int64_t bytes, double *sink) {
    uint64_t sum = 0;
#if ATTN_X86
    (attn_vector_level() == 2 ? read_avx512 : attn_vector_level() == 1 ? read_avx2 : read_generic)(memory, bytes, &sum);
#else
    read_generic(memory, bytes, &sum);
#endif
    *sink += (double)(sum & 1);
    return (double)bytes;
}
