/* The bodies of the warp tile of attention_fused_mma.cl, as the host must know them. */
#ifndef ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_TILES_H
#define ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_TILES_H

#include "engines/opencl/opencl_call.h"

/** A body, as its header says: work-items of a warp, TILE_SCRATCH_WORDS. Tiles have 16 rows. */
typedef struct attn_mma_tile {
    const char *name, *defines;
    int64_t lanes, scratch_words;
    bool declares_memory;       /* TILE_STATIC */
    const char *register_limit; /* build option that takes a number, or NULL */
} attn_mma_tile;

/** The tile of a body of opencl-fused that is another maker's matrix units, emulated: for tests. NULL for other bodies. */
const attn_mma_tile *attn_mma_tile_emulated(const char *body);

/** Whether the device's own matrix units are chosen without being asked for: those that have run somewhere. */
bool attn_mma_tile_trusted(const struct attn_opencl_device *device);

/**
 * The tile for the device, or that of the body asked for; the portable one where the device has no matrix units. NULL, with a line,
 * when its units cannot serve the type.
 */
const attn_mma_tile *attn_mma_tile_choose(const attn_device *device, clattn_type type, clattn_report *report);

#endif
