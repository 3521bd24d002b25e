/*
 * Block sizes of kernels/attention_decode_gpu.cl for a problem and a device.
 */
#include "engines/opencl/decode/opencl_decode_gpu.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/include/decode_local.cl.h"

enum {
    MANY_ROWS = 8,             /* from here on registers are scarce: half of the keys */
    FIRST_WARP_CAPABILITY = 70 /* bar.warp.sync */
};

/* 1, 4, 8, 16: as many as there are, up to what the tuning row allows. */
static int64_t choose_rows(int64_t rows, int64_t most) {
    int64_t chosen = rows <= 1 || most < 4 ? 1 : 4;
    while (chosen >= 4 && chosen < rows && 2 * chosen <= most) {
        chosen *= 2;
    }
    return chosen;
}

static bool has_warps(const attn_device *device) {
    const clattn_device_info *info = &device->opencl->info;
    return !device->opencl->is_cpu && (device->opencl->nvidia_capability >= FIRST_WARP_CAPABILITY ||
                                       strstr(info->vendor, "Advanced Micro Devices") != NULL);
}

/* Of the kernel's local argument; the names are those of decode_local.cl.h. */
static int64_t local_floats(const clattn_problem *problem, const attn_blocks *b) {
    const int64_t THREADS = attn_blocks_get(b, "threads"), LANES = attn_blocks_get(b, "lanes");
    const int64_t KEYS = attn_blocks_get(b, "keys"), ROWS = attn_blocks_get(b, "rows");
    const int64_t DIM = attn_blocks_get(b, "head_dim_max"), CHUNK = problem->type == CLATTN_FP32 ? 4 : 8;
    const bool ATTN_TRAINING = problem->dropout > 0 || problem->prefix > 0;
    return LOCAL_FLOATS;
}

clattn_status attn_decode_gpu_choose(const attn_device *device, const clattn_problem *problem, int64_t rows,
                                     const attn_tuning_row *row, attn_decode_blocks *chosen, clattn_report *report) {
    attn_blocks *blocks = &chosen->sizes;
    const int64_t has = device->opencl->info.local_memory;
    ATTN_TRY(attn_blocks_take("attention_decode_gpu", row, NULL, 1, blocks, report));
    attn_blocks_set(blocks, "rows", choose_rows(rows, attn_blocks_get(blocks, "rows")));
    if (attn_blocks_get(blocks, "rows") >= MANY_ROWS) {
        attn_blocks_set(blocks, "keys", attn_max(1, attn_blocks_get(blocks, "keys") / 2));
    }
    if (attn_blocks_get(blocks, "warp") != 0 && !has_warps(device)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_decode_gpu: warp: for NVIDIA from compute capability 7.0 on and for AMD only");
    }
    chosen->threads = attn_blocks_get(blocks, "threads");
    chosen->lanes = attn_blocks_get(blocks, "lanes");
    chosen->keys = attn_blocks_get(blocks, "keys");
    chosen->rows = attn_blocks_get(blocks, "rows");
    chosen->local_memory = local_floats(problem, blocks) * (int64_t)sizeof(float);
    if (chosen->local_memory > has) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_decode_gpu: needs %" PRId64 " bytes of local memory, the device has %" PRId64,
                           chosen->local_memory, has);
    }
    return CLATTN_OK;
}
