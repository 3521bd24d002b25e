/*
 * Which body of the warp tile a device gets. Knows devices and the names of bodies, nothing of blocks. NVIDIA's is chosen
 * by itself; those of AMD and Intel were compiled and emulated but have never run on a card, so only body matrix asks
 * for them. To add a body: its header, named in kernels/include/units/warp_tile.cl.h, and its numbers in tile_numbers.cl.h; a row in tiles[]; its device in find_tile().
 */
#include "engines/opencl/fused/opencl_fused_tiles.h"

#include <string.h>

#include "kernels/include/units/tile_numbers.cl.h"

enum { PORTABLE, NVIDIA, AMD_MFMA, AMD_GFX11, AMD_GFX12, INTEL };

static const attn_mma_tile tiles[] = {
    [PORTABLE] = { "portable", "", NVIDIA_LANES, NVIDIA_LANES * PORTABLE_LANE_WORDS, false, NULL },
    [NVIDIA] = { "NVIDIA", " -DWARP_TILE_NVIDIA=1", NVIDIA_LANES, 0, true, "-cl-nv-maxrregcount" },
    [AMD_MFMA] = { "AMD MFMA", " -DWARP_TILE_AMD_MFMA=1", MFMA_LANES, 0, true, NULL },
    [AMD_GFX11] = { "AMD RDNA3", " -DWARP_TILE_AMD_GFX11=1", GFX11_LANES, 0, true, NULL },
    [AMD_GFX12] = { "AMD RDNA4", " -DWARP_TILE_AMD_GFX12=1", GFX12_LANES, 0, true, NULL },
    [INTEL] = { "Intel", " -DWARP_TILE_INTEL=1 -cl-intel-256-GRF-per-thread", INTEL_LANES, 0, true, NULL },
};

/* A unit in local memory, by the name of the body. */
#define EMULATED(maker, define, unit)                                                                          \
    { maker " (emulated)", " -D" define "=1 -DTILE_EMULATED=1", unit##_LANES,                                  \
      unit##_LANES * EMULATED_LANE_WORDS(unit##_WORDS), false, NULL }
static const struct {
    const char *body;
    attn_mma_tile tile;
} emulated[] = {
    { "emulated-mfma", EMULATED("AMD MFMA", "WARP_TILE_AMD_MFMA", MFMA) },
    { "emulated-gfx11", EMULATED("AMD RDNA3", "WARP_TILE_AMD_GFX11", GFX11) },
    { "emulated-gfx12", EMULATED("AMD RDNA4", "WARP_TILE_AMD_GFX12", GFX12) },
    { "emulated-intel", EMULATED("Intel", "WARP_TILE_INTEL", INTEL) },
};

const attn_mma_tile *attn_mma_tile_emulated(const char *body) {
    for (size_t n = 0; body && n < sizeof emulated / sizeof *emulated; n++) {
        if (strcmp(emulated[n].body, body) == 0) {
            return &emulated[n].tile;
        }
    }
    return NULL;
}

static bool is_named(const struct attn_opencl_device *device, const char *architecture) {
    return !device->is_cpu && strncmp(device->info.name, architecture, strlen(architecture)) == 0;
}

static int find_tile(const struct attn_opencl_device *device) {
    if (device->nvidia_capability >= 80) {
        return NVIDIA;
    }
    if (is_named(device, "gfx908") || is_named(device, "gfx90a") || is_named(device, "gfx94")) {
        return AMD_MFMA;
    }
    if (is_named(device, "gfx11")) {
        return AMD_GFX11;
    }
    if (is_named(device, "gfx120")) {
        return AMD_GFX12;
    }
    if (device->smallest_sub_group == 16 &&
        attn_opencl_has_extension(device, "cl_intel_subgroup_matrix_multiply_accumulate")) {
        return INTEL;
    }
    return PORTABLE;
}

bool attn_mma_tile_trusted(const struct attn_opencl_device *device) {
    return find_tile(device) == NVIDIA;
}

const attn_mma_tile *attn_mma_tile_choose(const attn_device *device, clattn_type type, clattn_report *report) {
    const attn_mma_tile *asked = attn_mma_tile_emulated(device->blocks.body);
    if (asked) {
        return asked;
    }
    if (type == CLATTN_FP16 && is_named(device->opencl, "gfx90a")) {
        attn_report_line(report, "type: the matrix units of gfx90a take denormal fp16 numbers for 0");
        return NULL;
    }
    if (type == CLATTN_BF16 && is_named(device->opencl, "gfx908")) {
        attn_report_line(report, "type: gfx908 has no bf16 product of 16 x 16 x 16");
        return NULL;
    }
    return &tiles[find_tile(device->opencl)];
}
