/*
 * Asks the processor what it is and can do. Knows nothing of kernels. To add an instruction set: its place in attn_isa, its
 * name and its test here, and a file of kernels in engines/.
 */
#define _GNU_SOURCE
#include "cpu/cpu_features.h"

#include <stdio.h>
#include <string.h>

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define ATTN_X86 1
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#define ATTN_LINUX_TILES 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

static bool is_intel(void) {
    char vendor[16];
    attn_cpu_vendor(vendor, sizeof vendor);
    return strcmp(vendor, "GenuineIntel") == 0;
}

bool attn_cpu_prefetches_l1(void) {
    return is_intel();
}

bool attn_cpu_pairs_pay(void) {
    return attn_cpu_has_avx512_bf16() && !is_intel();
}

#if defined(ATTN_X86)

attn_isa attn_cpu_best_isa(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return ATTN_ISA_GENERIC;
    }
    unsigned a, b, c = 0, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C)) {
        return ATTN_ISA_GENERIC;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return ATTN_ISA_AVX512;
    }
    return ATTN_ISA_AVX2;
}

/** What the processor says of itself in leaf 7: bits of register d, and of a of sub-leaf 1. */
static bool has_pairs_of_bf16(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5); /* AVX512-BF16 */
}

static bool has_tiles_of_bf16(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1u << 22) && (d & 1u << 24) && /* AMX-BF16, AMX-TILE */
           has_pairs_of_bf16();
}

bool attn_cpu_has_avx512_bf16(void) {
    return attn_cpu_best_isa() == ATTN_ISA_AVX512 && has_pairs_of_bf16();
}

bool attn_cpu_has_amx_bf16(void) {
#if defined(ATTN_LINUX_TILES)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* of arch_prctl(2) */
    return attn_cpu_best_isa() == ATTN_ISA_AVX512 && has_tiles_of_bf16() &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    (void)has_tiles_of_bf16; /* other systems grant tiles in ways of their own: not known here */
    return false;
#endif
}

void attn_cpu_name(char *text, size_t size) {
    unsigned words[12];
    char name[sizeof words + 1] = { 0 };
    const char *start = name;
    if ((unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++) {
            __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
        }
        memcpy(name, words, sizeof words);
        start += strspn(name, " ");
    }
    snprintf(text, size, "%s", *start ? start : "x86 processor");
}

void attn_cpu_vendor(char *text, size_t size) {
    unsigned a, words[3] = { 0, 0, 0 };
    char name[sizeof words + 1] = { 0 };
    if (__get_cpuid(0, &a, &words[0], &words[2], &words[1])) {
        memcpy(name, words, sizeof words);
    }
    snprintf(text, size, "%s", name);
}

static void append(char *text, size_t size, int present, const char *word) {
    size_t length = strlen(text);
    if (present && length < size) {
        snprintf(text + length, size - length, "%s%s", length ? " " : "", word);
    }
}

void attn_cpu_features_text(char *text, size_t size) {
    if (size > 0) {
        text[0] = '\0';
    }
    __builtin_cpu_init();
    append(text, size, __builtin_cpu_supports("sse4.2"), "sse4.2");
    append(text, size, __builtin_cpu_supports("avx"), "avx");
    append(text, size, __builtin_cpu_supports("fma"), "fma");
    append(text, size, __builtin_cpu_supports("avx2"), "avx2");
    append(text, size, __builtin_cpu_supports("avx512f"), "avx512f");
    append(text, size, __builtin_cpu_supports("avx512bw"), "avx512bw");
    append(text, size, __builtin_cpu_supports("avx512dq"), "avx512dq");
    append(text, size, __builtin_cpu_supports("avx512vl"), "avx512vl");
    append(text, size, has_pairs_of_bf16(), "avx512-bf16");
    append(text, size, has_tiles_of_bf16(), "amx-bf16");
}

#else

attn_isa attn_cpu_best_isa(void) {
    return ATTN_ISA_GENERIC;
}

bool attn_cpu_has_amx_bf16(void) {
    return false;
}

bool attn_cpu_has_avx512_bf16(void) {
    return false;
}

void attn_cpu_name(char *text, size_t size) {
    snprintf(text, size, "processor");
}

void attn_cpu_vendor(char *text, size_t size) {
    snprintf(text, size, "%s", "");
}

void attn_cpu_features_text(char *text, size_t size) {
    snprintf(text, size, "%s", "");
}

#endif

const char *attn_isa_name(attn_isa isa) {
    static const char *const names[ATTN_ISA_COUNT] = { "generic", "avx2", "avx512" };
    return isa >= 0 && isa < ATTN_ISA_COUNT ? names[isa] : "unknown";
}
