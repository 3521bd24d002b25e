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

/** The rows of such a list. Each engine names its own functions, since they know its kernels. */
#define ATTN_ISA_BODIES(generic, avx2, avx512)                                                                         \
    {                                                                                                                  \
        { "generic", "vectors of 16 bytes in portable C", generic }, { "avx2", "vectors of AVX2", avx2 },              \
            { "avx512", "vectors of AVX-512", avx512 }, { NULL, NULL, NULL },                                          \
    }

/** What such an engine refuses of a device: another one than the CPU, and block sizes, which it does not know. */
bool attn_isa_supports(const attn_device *device, clattn_report *why_not);

#endif
