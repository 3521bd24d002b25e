/*
 * The bodies of the cpu engine by name, and which one a problem gets when none is asked for. Decode, fp64 and rows of the careful
 * path know no unit for bf16: they run on the kernels beside it. To add a body: its place in the enum, its row in the
 * table, and what it consists of in attn_cpu_body_choose().
 */
#include "engines/cpu/cpu_bodies.h"

#include "cpu/cpu_features.h"
#include "engines/engine_body.h"

enum { GENERIC, AVX2, AVX512, PORTABLE_TILES, AMX, AVX512_BF16, PORTABLE_PAIRS, BODIES };

static const attn_cpu_kernels *kernels_of(attn_isa isa) {
    switch (isa) {
        case ATTN_ISA_AVX512: return attn_cpu_kernels_avx512();
        case ATTN_ISA_AVX2: return attn_cpu_kernels_avx2();
        default: return attn_cpu_kernels_generic();
    }
}

/**
 * Whether a matrix unit that multiplies bf16 is faster than vectors. fp32 it multiplies six times over, and packs in three
 * pieces: faster from 64 rows, 256 keys and dims of 32 on (128 x 128: 0.8 to 1.1 of the vectors' speed, 197 x 197: 1.0,
 * 64 x 1024: 1.04, 512 x 512: 1.15; of dim 16: 0.95, 32: 1.12).
 */
static bool matrix_pays(const clattn_problem *problem) {
    return problem->type != CLATTN_FP32 ||
           (problem->query_length >= 64 && problem->key_length >= 256 && problem->head_dim + problem->value_dim >= 64);
}

/** Units of this processor; their vectors are as wide as those of the AVX-512 kernels beside them. */
static const attn_cpu_unit *get_amx(void) {
    return attn_cpu_kernels_avx512() && attn_cpu_has_amx_bf16() ? attn_cpu_matrix_amx() : NULL;
}

static const attn_cpu_unit *get_pairs(void) {
    return attn_cpu_kernels_avx512() && attn_cpu_has_avx512_bf16() ? attn_cpu_pairs_avx512() : NULL;
}

static const attn_cpu_unit *best_unit(const clattn_problem *problem) {
    const attn_cpu_unit *amx = matrix_pays(problem) ? get_amx() : NULL;
    return amx || !attn_cpu_pairs_pay() ? amx : get_pairs();
}

static const char *why_not_portable(const attn_device *device) {
    return device->kind == CLATTN_DEVICE_CPU ? NULL : "the cpu engine runs on the CPU itself, without OpenCL";
}

static const char *why_not_avx2(const attn_device *device) {
    bool here = attn_cpu_best_isa() >= ATTN_ISA_AVX2 && kernels_of(ATTN_ISA_AVX2);
    return here ? why_not_portable(device) : "this processor, system or build has no AVX2";
}

static const char *why_not_avx512(const attn_device *device) {
    bool here = attn_cpu_best_isa() >= ATTN_ISA_AVX512 && kernels_of(ATTN_ISA_AVX512);
    return here ? why_not_portable(device) : "this processor, system or build has no AVX-512";
}

static const char *why_not_amx(const attn_device *device) {
    return get_amx() ? why_not_portable(device) : "this processor, system or build has no AMX-BF16";
}

static const char *why_not_pairs(const attn_device *device) {
    return get_pairs() ? why_not_portable(device) : "this processor, system or build has no AVX512-BF16";
}

const attn_body attn_cpu_bodies[] = {
    [GENERIC] = { "generic", "vectors of 16 bytes in portable C", why_not_portable },
    [AVX2] = { "avx2", "vectors of AVX2, without a unit for bf16", why_not_avx2 },
    [AVX512] = { "avx512", "vectors of AVX-512, without a unit for bf16", why_not_avx512 },
    [PORTABLE_TILES] = { "portable-tiles",
                         "prefill on matrix tiles of bf16 in portable C: slow, for tests on any machine",
                         why_not_portable },
    [AMX] = { "amx", "prefill on the matrix tiles of AMX-BF16, the rest as avx512", why_not_amx },
    [AVX512_BF16] = { "avx512-bf16", "prefill of bf16 by products of pairs (AVX512-BF16), the rest as avx512",
                      why_not_pairs },
    [PORTABLE_PAIRS] = { "portable-pairs",
                         "prefill of bf16 by products of pairs in portable C: slow, for tests on any machine",
                         why_not_portable },
    [BODIES] = { NULL, NULL, NULL },
};

/** The best of this processor that this build has kernels for. */
static attn_isa best_isa(void) {
    static const attn_isa by_speed[] = { ATTN_ISA_AVX512, ATTN_ISA_AVX2 };
    for (size_t i = 0; i < sizeof by_speed / sizeof *by_speed; i++) {
        if (attn_cpu_best_isa() >= by_speed[i] && kernels_of(by_speed[i])) {
            return by_speed[i];
        }
    }
    return ATTN_ISA_GENERIC;
}

bool attn_cpu_body_choose(const char *name, const clattn_problem *problem, attn_cpu_body *body) {
    const attn_cpu_unit *unit = NULL;
    attn_isa isa = ATTN_ISA_GENERIC;
    int at = attn_body_find(attn_cpu_bodies, name);
    bool of_unit = at == PORTABLE_TILES || at == AMX || at == AVX512_BF16 || at == PORTABLE_PAIRS;
    if (name && at < 0) {
        return false;
    }
    switch (at) {
        case GENERIC: break;
        case AVX2: isa = ATTN_ISA_AVX2; break;
        case AVX512: isa = ATTN_ISA_AVX512; break;
        case PORTABLE_TILES: unit = attn_cpu_matrix_portable(); break;
        case PORTABLE_PAIRS: unit = attn_cpu_pairs_portable(); break;
        case AMX:
            unit = get_amx();
            isa = best_isa();
            break;
        case AVX512_BF16:
            unit = get_pairs();
            isa = best_isa();
            break;
        default:
            unit = best_unit(problem);
            isa = best_isa();
            break;
    }
    *body = (attn_cpu_body){ .kernels = kernels_of(isa) };
    if (!body->kernels || isa > attn_cpu_best_isa() || (of_unit && !unit)) {
        return false;
    }
    body->unit = unit && unit->serves(problem->type) ? unit : &body->kernels->floats;
    return true;
}
