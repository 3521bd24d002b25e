/*
 * Additive attention on an OpenCL device: builds kernels/additive.cl and opens slots, in whose buffers calls stage their
 * host memory. One work-item a row on CPU devices, a work-group a row elsewhere; block sizes are rows of
 * kernels/tuning/additive_cpu.csv and additive_gpu.csv. Knows nothing of how rows are computed; additive_opencl_run.c runs
 * calls.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engines/additive/additive_opencl.h"
#include "engines/engine_body.h"
#include "engines/opencl/opencl_body.h"
#include "opencl/launch.h"
#include "opencl/program.h"
#include "tuning/block_sizes.h"

static const char *const names[ATTN_ADDITIVE_BUFFERS] = { "query",     "key",           "v",           "value",
                                                          "mask",      "query_lengths", "key_lengths", "output",
                                                          "logsumexp", "weights" };

enum { CPU_SHAPED, GPU_SHAPED, SHAPES };

static const char *why_not(const attn_device *device) {
    return device->opencl ? NULL : "it needs an OpenCL device";
}

static const attn_body bodies[] = {
    [CPU_SHAPED] = { "cpu-shaped", "a work-item a row, the choice on CPU devices", why_not },
    [GPU_SHAPED] = { "gpu-shaped", "a work-group a row, the choice on GPUs", why_not },
    [SHAPES] = { NULL, NULL, NULL },
};

static bool supports(const void *problem, const attn_device *device, clattn_report *refused) {
    (void)problem;
    if (!device->opencl) {
        attn_report_line(refused, "device: not an OpenCL device");
        return false;
    }
    if (device->blocks.block_query != 0 || device->blocks.splits != 0) {
        attn_report_line(refused, "blocks.%s: only block_key and body mean something here",
                         device->blocks.splits != 0 ? "splits" : "block_query");
        return false;
    }
    return true;
}

/* Bytes of each buffer; 0 = not needed. All fit: operations/additive.c has checked the largest. */
static void buffer_sizes(const clattn_additive_problem *p, int64_t *size) {
    int64_t number = (int64_t)sizeof(float), mask = 1;
    for (int d = 0; d < 3; d++) {
        mask *= p->mask == CLATTN_MASK_BYTES ? p->mask_shape[d] : 0;
    }
    size[ATTN_ADDITIVE_QUERY] = p->batch * p->query_length * p->hidden * number;
    size[ATTN_ADDITIVE_KEY] = p->batch * p->key_length * p->hidden * number;
    size[ATTN_ADDITIVE_V] = p->hidden * number;
    size[ATTN_ADDITIVE_VALUE] = p->batch * p->key_length * p->value_dim * number;
    size[ATTN_ADDITIVE_MASK] = mask;
    size[ATTN_ADDITIVE_QUERY_LENGTHS] = p->query_lengths ? p->batch * (int64_t)sizeof(cl_long) : 0;
    size[ATTN_ADDITIVE_KEY_LENGTHS] = p->key_lengths ? p->batch * (int64_t)sizeof(cl_long) : 0;
    size[ATTN_ADDITIVE_OUTPUT] = p->batch * p->query_length * p->value_dim * number;
    size[ATTN_ADDITIVE_LOGSUMEXP] = p->batch * p->query_length * number;
    size[ATTN_ADDITIVE_WEIGHTS] = p->weights ? p->batch * p->query_length * p->key_length * number : 0;
}

/* What of them a slot takes. */
static int64_t slot_bytes(const clattn_additive_problem *p) {
    int64_t sizes[ATTN_ADDITIVE_BUFFERS], bytes = 0;
    buffer_sizes(p, sizes);
    for (int k = 0; k < ATTN_ADDITIVE_BUFFERS; k++) {
        bytes += sizes[k] > 0 ? attn_max(sizes[k], 64) : 0;
    }
    return bytes;
}

static clattn_status get_program(const attn_additive_state *s, const char *name, const char *extra, cl_program *program,
                                 clattn_report *report) {
    char options[160];
    cl_kernel kernel = NULL;
    attn_kernel_limits limits;
    if (s->group > s->opencl->info.max_work_group) { /* some drivers fail to build such a program */
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: needs work-groups of %" PRId64 ", the device allows %" PRId64, name, s->group,
                           s->opencl->info.max_work_group);
    }
    snprintf(options, sizeof options, "%s-DGROUP=%" PRId64 " -DBLOCK=%" PRId64 " -DVECTOR=%" PRId64, extra, s->group,
             s->block, s->vector);
    ATTN_TRY(attn_program_get(s->opencl, name, options, program, report));
    ATTN_TRY(attn_kernel_create(*program, name, &kernel, report));
    clattn_status status = attn_kernel_ask(s->opencl, kernel, &limits, report);
    (void)clReleaseKernel(kernel);
    ATTN_TRY(status);
    if (limits.work_group < s->group || limits.local_memory > s->opencl->info.local_memory) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: needs work-groups of %" PRId64 " with %" PRId64
                           " bytes of local memory, the device allows it %" PRId64 ", and %" PRId64 " bytes",
                           name, s->group, limits.local_memory, limits.work_group, s->opencl->info.local_memory);
    }
    return CLATTN_OK;
}

static clattn_status read_row(attn_additive_state *s, const char *table, const attn_tuning_row *row,
                              clattn_report *report) {
    attn_blocks blocks;
    ATTN_TRY(attn_blocks_take(table, row, &s->device.blocks, 1, &blocks, report));
    s->group = attn_max(attn_blocks_get(&blocks, "threads"), 1); /* additive_cpu has none */
    s->block = attn_blocks_get(&blocks, "block_key");
    s->vector = attn_blocks_get(&blocks, "vector");
    return CLATTN_OK;
}

/* What another row, or the other shape, may do better at. */
static bool goes_on(clattn_status status) {
    return status == CLATTN_UNSUPPORTED || status == CLATTN_BUILD_FAILED;
}

/* The first row of a table whose programs fit the device. */
static clattn_status build_shape(attn_additive_state *s, const char *table, clattn_report *report) {
    attn_tuning_row rows[ATTN_OPENCL_ROWS];
    int64_t dim = attn_min(attn_max(s->problem.hidden, s->problem.value_dim), ATTN_ANY_DIM);
    int64_t count = attn_opencl_find_rows_of(table, CLATTN_FP32, dim, &s->device, rows);
    clattn_status status = CLATTN_UNSUPPORTED;
    if (count == 0) {
        return attn_refuse(report, status, "%s: no row of the table is for this device", table);
    }
    for (int64_t n = 0; n < count && goes_on(status); n++) {
        status = read_row(s, table, &rows[n], report);
        if (status == CLATTN_OK) {
            status = get_program(s, "additive", "", &s->program, report);
        }
        if (status == CLATTN_OK && s->problem.weights) {
            status = get_program(s, "additive_weights", "-DWRITE_WEIGHTS ", &s->weights_program, report);
        }
    }
    return status;
}

static clattn_status build(attn_additive_state *s, clattn_report *report) {
    int asked = attn_body_find(bodies, s->device.blocks.body);
    ATTN_TRY(attn_opencl_open(s->opencl, report));
    if (asked == GPU_SHAPED || (asked < 0 && !s->opencl->is_cpu)) {
        clattn_status status = build_shape(s, "additive_gpu", report);
        if (!goes_on(status) || asked == GPU_SHAPED) {
            return status;
        }
    }
    return build_shape(s, "additive_cpu", report); /* one work-item a row fits every device */
}

static void release(void *state) {
    attn_additive_state *s = state;
    attn_release(s->device.memory, s);
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_plan_info *info,
                             clattn_report *report) {
    attn_additive_state *made = attn_allocate_zeroed(device->memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    made->problem = *(const clattn_additive_problem *)problem;
    made->device = *device;
    made->opencl = device->opencl;
    clattn_status status = build(made, report);
    if (status != CLATTN_OK) {
        release(made);
        return status;
    }
    info->workspace_size = slot_bytes(&made->problem);
    info->block_key = made->block;
    snprintf(info->kernel, sizeof info->kernel, "additive, a group of %" PRId64 " a row, keys in blocks of %" PRId64, made->group,
             made->block);
    *state = made;
    return CLATTN_OK;
}

static void slot_close(void *state, void *slot) {
    const attn_additive_state *s = state;
    attn_additive_slot *o = slot;
    cl_kernel const kernels[] = { o->kernel, o->weights_kernel };
    for (int k = 0; k < 2; k++) {
        if (kernels[k]) {
            (void)clReleaseKernel(kernels[k]);
        }
    }
    for (int k = 0; k < ATTN_ADDITIVE_BUFFERS; k++) {
        attn_buffer_release(&o->buffers[k]);
    }
    attn_release(s->device.memory, o);
}

static clattn_status fill_slot(const attn_additive_state *s, attn_additive_slot *slot, clattn_report *report) {
    int64_t sizes[ATTN_ADDITIVE_BUFFERS];
    buffer_sizes(&s->problem, sizes);
    ATTN_TRY(attn_kernel_create(s->program, "additive", &slot->kernel, report));
    if (s->weights_program) {
        ATTN_TRY(attn_kernel_create(s->weights_program, "additive_weights", &slot->weights_kernel, report));
    }
    for (int k = 0; k < ATTN_ADDITIVE_BUFFERS; k++) {
        if (sizes[k] > 0) {
            ATTN_TRY(attn_buffer_reserve(s->opencl, sizes[k], names[k], &slot->buffers[k], report));
        }
    }
    return CLATTN_OK;
}

static clattn_status slot_open(void *state, void **slot, clattn_report *report) {
    const attn_additive_state *s = state;
    attn_additive_slot *made = attn_allocate_zeroed(s->device.memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = fill_slot(s, made, report);
    if (status != CLATTN_OK) {
        slot_close(state, made);
        return status;
    }
    *slot = made;
    return CLATTN_OK;
}

const attn_engine attn_additive_opencl = {
    .name = "opencl",
    .bodies = bodies,
    .supports = supports,
    .preference = attn_prefer_by_kind,
    .prepare = prepare,
    .slot_open = slot_open,
    .slot_close = slot_close,
    .execute = attn_additive_opencl_execute,
    .release = release,
};
