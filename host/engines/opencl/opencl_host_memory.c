/*
 * Which tensors are used in place and which are copied, and the copies, both ways. Knows nothing of engines and of calls.
 */
#include "engines/opencl/opencl_host_memory.h"

#include <string.h>

#include "base/report.h"

typedef struct host_range {
    unsigned char *begin, *end;
    bool written;
} host_range;

static unsigned char *host_at(const attn_placement *p, int64_t element) {
    return (unsigned char *)p->data + element * p->element;
}

static bool fits_one_buffer(const struct attn_opencl_device *device, const unsigned char *begin,
                            const unsigned char *end) {
    return end - begin <= device->info.max_allocation;
}

/* The range to use in place; false when the tensor has to be copied: a view may span far more than it holds. */
static bool range_in_place(const struct attn_opencl_device *device, const attn_placement *p, host_range *range) {
    unsigned char *first = host_at(p, p->first), *end = host_at(p, p->end);
    if (((uintptr_t)first) % (uintptr_t)p->element != 0) {
        return false;
    }
    unsigned char *begin = first;
    if (!attn_buffer_can_wrap(device, first)) {
        begin = p->data; /* the start of the caller's memory, when the offset is what spoils the alignment */
        if (p->first < 0 || !attn_buffer_can_wrap(device, begin)) {
            return false;
        }
    }
    if (!fits_one_buffer(device, begin, end)) {
        return false;
    }
    *range = (host_range){ begin, end, p->output };
    return true;
}

/* Adds a range; ranges that overlap are joined. */
static int add_range(host_range *ranges, int count, host_range range) {
    for (int k = 0; k < count;) {
        if (ranges[k].begin < range.end && range.begin < ranges[k].end) {
            range.begin = ranges[k].begin < range.begin ? ranges[k].begin : range.begin;
            range.end = ranges[k].end > range.end ? ranges[k].end : range.end;
            range.written = range.written || ranges[k].written;
            ranges[k] = ranges[--count];
            k = 0;
        } else {
            ++k;
        }
    }
    ranges[count] = range;
    return count + 1;
}

static bool is_inside(const host_range *range, const attn_placement *p) {
    const unsigned char *first = host_at(p, p->first);
    return first >= range->begin && first < range->end;
}

static clattn_status wrap_ranges(attn_host_memory *host, const host_range *ranges, int count) {
    for (int k = 0; k < count; ++k) {
        ATTN_TRY(attn_buffer_wrap(host->device, ranges[k].begin, ranges[k].end - ranges[k].begin, "a tensor",
                                  &host->regions[k], host->report));
        host->written[k] = ranges[k].written;
        host->region_count = k + 1;
    }
    for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
        attn_placement *p = &host->placements[id];
        if (!p->name || host->staged[id]) {
            continue;
        }
        for (int k = 0; k < count; ++k) {
            if (is_inside(&ranges[k], p)) {
                p->memory = host->regions[k].memory;
                p->layout.offset = (host_at(p, p->first) - ranges[k].begin) / p->element;
            }
        }
    }
    return CLATTN_OK;
}

/* Dense sizes of the copy on the device: broadcast dimensions are copied once. */
static int64_t dense_size(const attn_placement *p, int64_t size[4]) {
    int64_t count = 1;
    for (int k = 0; k < 4; ++k) {
        size[k] = p->walk[k] == 0 ? 1 : p->size[k];
        count *= size[k];
    }
    return count;
}

/* Copies between the host tensor and its dense image, in the direction that `to_host` says. */
static void copy_rows(const attn_placement *p, const int64_t size[4], unsigned char *dense, bool to_host) {
    bool whole = p->walk[3] == 1 || size[3] == 1;
    size_t bytes = (size_t)(whole ? size[3] * p->element : p->element);
    int64_t pieces = whole ? 1 : size[3];
    for (int64_t b = 0; b < size[0]; ++b) {
        for (int64_t h = 0; h < size[1]; ++h) {
            for (int64_t i = 0; i < size[2]; ++i) {
                int64_t row = p->first + b * p->walk[0] + h * p->walk[1] + i * p->walk[2];
                for (int64_t d = 0; d < pieces; ++d, dense += bytes) {
                    unsigned char *host = host_at(p, row + d * p->walk[3]);
                    memcpy(to_host ? host : dense, to_host ? dense : host, bytes);
                }
            }
        }
    }
}

static clattn_status write_rows(const attn_host_memory *host, const attn_placement *p, const int64_t size[4],
                                int64_t bytes) {
    attn_memory *memory = host->device->memory;
    unsigned char *dense = attn_allocate(memory, bytes);
    if (!dense) {
        return CLATTN_OUT_OF_MEMORY;
    }
    copy_rows(p, size, dense, false);
    cl_int code = clEnqueueWriteBuffer(host->device->queue, p->memory, CL_TRUE, 0, (size_t)bytes, dense, 0, NULL, NULL);
    attn_release(memory, dense);
    return attn_cl_check(code, "clEnqueueWriteBuffer", host->report);
}

static clattn_status stage(attn_host_memory *host, int id) {
    attn_placement *p = &host->placements[id];
    attn_buffer *buffer = &host->staging[id];
    int64_t size[4], count = dense_size(p, size), bytes = count * p->element;
    ATTN_TRY(attn_buffer_reserve(host->device, bytes, p->name, buffer, host->report));
    host->compact[id] = p->end - p->first == count;
    p->memory = buffer->memory;
    p->layout.offset = 0;
    if (!host->compact[id]) {
        int64_t step = 1;
        for (int k = 3; k >= 0; --k) {
            p->layout.stride[k] = p->walk[k] == 0 ? 0 : step;
            step *= size[k];
        }
    }
    if (p->output && !p->kept) {
        return CLATTN_OK;
    }
    if (!host->compact[id]) {
        return write_rows(host, p, size, bytes);
    }
    cl_int code = clEnqueueWriteBuffer(host->device->queue, buffer->memory, CL_TRUE, 0, (size_t)bytes,
                                       host_at(p, p->first), 0, NULL, NULL);
    return attn_cl_check(code, "clEnqueueWriteBuffer", host->report);
}

/* The ranges of all tensors that are not copied. */
static int collect_ranges(attn_host_memory *host, host_range *ranges) {
    int count = 0;
    for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
        const attn_placement *p = &host->placements[id];
        host_range range;
        if (!p->name || host->staged[id]) {
            continue;
        }
        host->staged[id] = !range_in_place(host->device, p, &range);
        if (!host->staged[id]) {
            count = add_range(ranges, count, range);
        }
    }
    return count;
}

/* Ranges that fit one by one may be too long when joined: their tensors are copied then. Whether there were some. */
static bool give_up_long(attn_host_memory *host, const host_range *ranges, int count) {
    bool some = false;
    for (int k = 0; k < count; ++k) {
        if (fits_one_buffer(host->device, ranges[k].begin, ranges[k].end)) {
            continue;
        }
        for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
            const attn_placement *p = &host->placements[id];
            if (p->name && !host->staged[id] && is_inside(&ranges[k], p)) {
                host->staged[id] = some = true;
            }
        }
    }
    return some;
}

clattn_status attn_host_memory_place(attn_host_memory *host) {
    host_range ranges[ATTN_TENSOR_COUNT];
    int count = collect_ranges(host, ranges);
    while (give_up_long(host, ranges, count)) {
        count = collect_ranges(host, ranges);
    }
    for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
        if (host->staged[id]) {
            ATTN_TRY(stage(host, id));
        }
    }
    return wrap_ranges(host, ranges, count);
}

static clattn_status fetch_staged(const attn_host_memory *host, cl_command_queue queue, int id) {
    const attn_placement *p = &host->placements[id];
    int64_t size[4], bytes = dense_size(p, size) * p->element;
    if (host->compact[id]) {
        cl_int code =
            clEnqueueReadBuffer(queue, p->memory, CL_TRUE, 0, (size_t)bytes, host_at(p, p->first), 0, NULL, NULL);
        return attn_cl_check(code, "clEnqueueReadBuffer", host->report);
    }
    attn_memory *memory = host->device->memory;
    unsigned char *dense = attn_allocate(memory, bytes);
    if (!dense) {
        return CLATTN_OUT_OF_MEMORY;
    }
    cl_int code = clEnqueueReadBuffer(queue, p->memory, CL_TRUE, 0, (size_t)bytes, dense, 0, NULL, NULL);
    if (code == CL_SUCCESS) {
        copy_rows(p, size, dense, true);
    }
    attn_release(memory, dense);
    return attn_cl_check(code, "clEnqueueReadBuffer", host->report);
}

/* Mapping is what makes memory that is used in place current on the host. */
static clattn_status fetch_region(const attn_buffer *region, cl_command_queue queue, clattn_report *report) {
    cl_int code = CL_SUCCESS;
    void *mapped =
        clEnqueueMapBuffer(queue, region->memory, CL_TRUE, CL_MAP_READ, 0, (size_t)region->size, 0, NULL, NULL, &code);
    ATTN_TRY(attn_cl_check(code, "clEnqueueMapBuffer", report));
    cl_event unmapped = NULL;
    code = clEnqueueUnmapMemObject(queue, region->memory, mapped, 0, NULL, &unmapped);
    ATTN_TRY(attn_cl_check(code, "clEnqueueUnmapMemObject", report));
    code = clWaitForEvents(1, &unmapped);
    (void)clReleaseEvent(unmapped);
    if (code != CL_SUCCESS) {
        (void)clFinish(queue); /* the memory is about to go */
    }
    return attn_cl_check(code, "clWaitForEvents", report);
}

clattn_status attn_host_memory_fetch(const attn_host_memory *host, cl_command_queue queue) {
    for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
        const attn_placement *p = &host->placements[id];
        if (p->name && p->output && host->staged[id]) {
            ATTN_TRY(fetch_staged(host, queue, id));
        }
    }
    for (int k = 0; k < host->region_count; ++k) {
        if (host->written[k]) {
            ATTN_TRY(fetch_region(&host->regions[k], queue, host->report));
        }
    }
    return CLATTN_OK;
}

void attn_host_memory_release(attn_host_memory *host) {
    for (int k = 0; k < ATTN_TENSOR_COUNT; ++k) {
        attn_buffer_release(&host->regions[k]);
    }
}
