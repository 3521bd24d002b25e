/*
 * Bodies of engines that are compiled for each instruction set: what they share. Knows no engine and no kernel.
 */
#include "engines/isa_bodies.h"

const char *attn_isa_why_not(attn_isa isa, bool built, const attn_device *device) {
    static const char *const missing[ATTN_ISA_COUNT] = {
        [ATTN_ISA_GENERIC] = "this build has no portable kernel",
        [ATTN_ISA_AVX2] = "this processor, system or build has no AVX2",
        [ATTN_ISA_AVX512] = "this processor, system or build has no AVX-512",
    };
    if (!built || attn_cpu_best_isa() < isa) {
        return missing[isa];
    }
    return device->kind == CLATTN_DEVICE_CPU ? NULL : "the cpu engine runs on the CPU itself, without OpenCL";
}

bool attn_isa_supports(const attn_device *device, clattn_report *why_not) {
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the cpu engine runs on the CPU");
        return false;
    }
    return attn_body_alone(device, why_not);
}
