/*
 * What engines on the host's processors share whose kernels are compiled for each instruction set, and that know no other
 * unit: the linear and the additive one. Each lists a body an instruction set, in the order of attn_isa.
 */
#ifndef ATTN_ENGINES_ISA_BODIES_H
#define ATTN_ENGINES_ISA_BODIES_H

#include "cpu/cpu_features.h"
#include "engines/engine_body.h"

/** Why the body for an instruction set cannot run; NULL when it can. built: this build has its kernel. */
const char *attn_isa_why_not(attn_isa isa, bool built, const attn_device *device);

/**
 * Such a list, `bodies` of an engine whose functions kernels[attn_isa]() answer a kernel or NULL, and why each of them cannot
 * run.
 */
#define ATTN_ISA_BODIES(bodies, kernels)                                                                               \
    static const char *why_not_generic(const attn_device *device) {                                                    \
        return attn_isa_why_not(ATTN_ISA_GENERIC, (kernels)[ATTN_ISA_GENERIC](), device);                              \
    }                                                                                                                  \
    static const char *why_not_avx2(const attn_device *device) {                                                       \
        return attn_isa_why_not(ATTN_ISA_AVX2, (kernels)[ATTN_ISA_AVX2](), device);                                    \
    }                                                                                                                  \
    static const char *why_not_avx512(const attn_device *device) {                                                     \
        return attn_isa_why_not(ATTN_ISA_AVX512, (kernels)[ATTN_ISA_AVX512](), device);                                \
    }                                                                                                                  \
    static const attn_body bodies[] = { { "generic", "vectors of 16 bytes in portable C", why_not_generic },           \
                                        { "avx2", "vectors of AVX2", why_not_avx2 },                                   \
                                        { "avx512", "vectors of AVX-512", why_not_avx512 },                            \
                                        { NULL, NULL, NULL } }

/** What such an engine refuses of a device: another one than the CPU, and block sizes, which it does not know. */
bool attn_isa_supports(const attn_device *device, clattn_report *why_not);

#endif
