/*
 * Block sizes of kernels/attention_decode_gpu.cl. The rules here are those that the kernel takes for granted; its local
 * memory is reckoned as include/decode_team.cl.h lays it out. To add a size: a column of the table, a field of the
 * blocks, its rule and its -D here.
 */
#include "engines/opencl/decode/opencl_decode_gpu.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MOST_LANES = 32,
    MOST_KEYS = 16,
    MOST_ROWS = 16,
    MANY_ROWS = 8,             /* from here on registers are scarce: half of the keys */
    ROW_FLOATS = 12,           /* of a shared_row */
    FIRST_WARP_CAPABILITY = 70 /* bar.warp.sync */
};

static bool is_power_of_two(int64_t n) {
    return n > 0 && (n & (n - 1)) == 0;
}

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

/* Each number by itself; the sums with them are made afterwards. */
static clattn_status check_row(const attn_tuning_row *row, clattn_report *report) {
    static const attn_tuning_limit limits[] = { { "head_dim_max", 1, ATTN_SHAPE_DIMS, 1 },
                                                { "threads", 4, ATTN_SHAPE_THREADS, 4 },
                                                { "lanes", 4, MOST_LANES, 4 },
                                                { "keys", 1, MOST_KEYS, 1 },
                                                { "rows", 1, MOST_ROWS, 1 },
                                                { "warp", 0, 1, 1 } };
    return ATTN_TUNING_CHECK(row, "attention_decode_gpu", limits, report);
}

static clattn_status check(const attn_device *device, const attn_decode_blocks *blocks, clattn_report *report) {
    if (!is_power_of_two(blocks->threads) || !is_power_of_two(blocks->lanes) || blocks->threads < blocks->lanes ||
        blocks->rows > blocks->lanes) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_decode_gpu: threads: %" PRId64 ", lanes: %" PRId64 ", for %" PRId64
                           " rows: powers of two are expected, rows up to lanes, lanes up to threads",
                           blocks->threads, blocks->lanes, blocks->rows);
    }
    if (!is_power_of_two(blocks->keys)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "attention_decode_gpu: keys: %" PRId64 " is no power of two",
                           blocks->keys);
    }
    if (blocks->warp != 0 && !has_warps(device)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_decode_gpu: warp: for NVIDIA from compute capability 7.0 on and for AMD only");
    }
    if (blocks->local_memory > device->opencl->info.local_memory) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_decode_gpu: needs %" PRId64 " bytes of local memory, the device has %" PRId64,
                           blocks->local_memory, device->opencl->info.local_memory);
    }
    return CLATTN_OK;
}

/* AT_QUERY and what follows it, in include/decode_team.cl.h. */
static int64_t local_floats(const clattn_problem *problem, const attn_decode_blocks *b) {
    const int64_t chunk = problem->type == CLATTN_FP32 ? 4 : 8, teams = b->threads / b->lanes;
    const int64_t parts = (b->dim + b->lanes * chunk - 1) / (b->lanes * chunk), width = b->lanes * parts * chunk;
    const int64_t scores = b->keys * b->rows, sums = (scores * (b->lanes + 4) + 31) / 32 * 32;
    const int64_t exchange = teams * attn_max(sums + b->lanes, width), slow = b->keys * parts * b->threads * 4;
    const int64_t query = b->rows * parts * chunk <= 8 ? 0 : b->rows * width;
    return exchange + 2 * teams * scores + teams * b->rows + b->threads + b->rows * width + (2 * b->rows + 3) / 4 * 4 +
           b->rows * ROW_FLOATS + slow + query;
}

clattn_status attn_decode_gpu_choose(const attn_device *device, const clattn_problem *problem, int64_t rows,
                                     const attn_tuning_row *row, attn_decode_blocks *blocks, clattn_report *report) {
    ATTN_TRY(check_row(row, report));
    *blocks = (attn_decode_blocks){ .threads = attn_tuning_get(row, "threads"),
                                    .lanes = attn_tuning_get(row, "lanes"),
                                    .keys = attn_tuning_get(row, "keys"),
                                    .rows = choose_rows(rows, attn_tuning_get(row, "rows")),
                                    .warp = attn_tuning_get(row, "warp"),
                                    .dim = row->head_dim_max };
    if (blocks->rows >= MANY_ROWS) {
        blocks->keys = attn_max(1, blocks->keys / 2);
    }
    blocks->local_memory = local_floats(problem, blocks) * (int64_t)sizeof(float);
    return check(device, blocks, report);
}

void attn_decode_gpu_options(const clattn_problem *problem, const attn_decode_blocks *blocks, char *text, size_t size) {
    snprintf(text, size,
             "-DATTN_TYPE=%d -DTHREADS=%" PRId64 " -DLANES=%" PRId64 " -DKEYS=%" PRId64 " -DROWS=%" PRId64
             " -DDIM=%" PRId64 " -DWARP=%" PRId64,
             (int)problem->type, blocks->threads, blocks->lanes, blocks->keys, blocks->rows, blocks->dim, blocks->warp);
}
