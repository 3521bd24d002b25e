/*
 * Batches of matrix products by CLBlast. Knows nothing of attention. CLBlast keeps programs in caches of its own,
 * process wide; they are emptied when the device ends, because they must not outlive its context. Whether its kernels run
 * on a device it reports only by an error of the call, with a line on standard error: so the smallest work-group is asked
 * for before it is called at all, and what a plan will use is tried once while the plan is made.
 */
#include "engines/opencl/unfused/opencl_unfused_product.h"

#include <clblast_c.h>
#include <inttypes.h>

#include "base/report.h"
#include "opencl/buffer.h"

enum {
    SMALLEST_GROUP = 64, /* no kernel for small products in CLBlast's tables has fewer work-items a group */
    STEP = 64,
    LARGEST_CUBE = 4096, /* where its kernels for large products begin is looked for up to here */
    LARGE_RUN = 1,
    CACHES_KEPT = 2 /* bits of attn_opencl_device.tried */
};

static clattn_status check(CLBlastStatusCode code, clattn_report *report) {
    if (code == CLBlastSuccess) {
        return CLATTN_OK;
    }
    const char *name = code > -1000 ? attn_cl_name((cl_int)code) : "see clblast_c.h";
    return attn_refuse(report, attn_cl_status((cl_int)code), "CLBlast's matrix product failed: %s (%d)", name,
                       (int)code);
}

static void clear_caches(struct attn_opencl_device *device, attn_opencl_kept *kept, bool forget) {
    if (!forget) {
        (void)CLBlastClearCache();
    }
    attn_release(device->memory, kept);
}

/* Once a device, however many plans ask. */
static clattn_status clear_caches_at_end(struct attn_opencl_device *device) {
    if ((atomic_load(&device->tried) & CACHES_KEPT) != 0) {
        return CLATTN_OK;
    }
    attn_opencl_kept *kept = attn_allocate(device->memory, (int64_t)sizeof *kept);
    if (!kept) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if ((atomic_fetch_or(&device->tried, CACHES_KEPT) & CACHES_KEPT) != 0) {
        attn_release(device->memory, kept); /* another plan was faster */
        return CLATTN_OK;
    }
    kept->end = clear_caches;
    attn_opencl_at_end(device, kept);
    return CLATTN_OK;
}

static CLBlastTranspose transposition(bool transposed) {
    return transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
}

static CLBlastStatusCode one(const attn_product *p, int64_t index, cl_command_queue queue, cl_event *event) {
    size_t a = (size_t)(p->a.at + index * p->a.step), b = (size_t)(p->b.at + index * p->b.step),
           c = (size_t)(p->c.at + index * p->c.step);
    return CLBlastSgemmWithTempBuffer(
        CLBlastLayoutColMajor, transposition(p->a_transposed), transposition(p->b_transposed), (size_t)p->m,
        (size_t)p->n, (size_t)p->k, p->alpha, p->a.memory, a, (size_t)p->a.leading, p->b.memory, b,
        (size_t)p->b.leading, 0.0f, p->c.memory, c, (size_t)p->c.leading, &queue, event, p->temporary);
}

static CLBlastStatusCode batch(const attn_product *p, cl_command_queue queue, cl_event *event) {
    return CLBlastSgemmStridedBatched(
        CLBlastLayoutColMajor, transposition(p->a_transposed), transposition(p->b_transposed), (size_t)p->m,
        (size_t)p->n, (size_t)p->k, p->alpha, p->a.memory, (size_t)p->a.at, (size_t)p->a.leading, (size_t)p->a.step,
        p->b.memory, (size_t)p->b.at, (size_t)p->b.leading, (size_t)p->b.step, 0.0f, p->c.memory, (size_t)p->c.at,
        (size_t)p->c.leading, (size_t)p->c.step, (size_t)p->count, &queue, event);
}

static clattn_status follow(attn_chain *chain, CLBlastStatusCode code, cl_event event) {
    if (event) {
        attn_chain_follow(chain, event);
    }
    if (code != CLBlastSuccess) {
        attn_chain_lose(chain); /* it may have enqueued some of its kernels */
    }
    return check(code, chain->report);
}

clattn_status attn_product_temporary(struct attn_opencl_device *device, const attn_product *shape, int64_t *bytes,
                                     clattn_report *report) {
    size_t size = 0;
    cl_command_queue queue = device->queue;
    const size_t m = (size_t)shape->m, n = (size_t)shape->n, k = (size_t)shape->k;
    /* Offsets of 1 mean that no matrix can be used as it lies: the most that any product of the shape needs. */
    CLBlastStatusCode code = CLBlastSGemmTempBufferSize(
        CLBlastLayoutColMajor, transposition(shape->a_transposed), transposition(shape->b_transposed), m, n, k, 1,
        shape->a_transposed ? k : m, 1, shape->b_transposed ? n : k, 1, m, &queue, &size);
    ATTN_TRY(check(code, report));
    if (size > INT64_MAX) {
        return attn_refuse(report, CLATTN_OVERFLOW, "the temporary memory of a matrix product does not fit 63 bits");
    }
    *bytes = (int64_t)size;
    return CLATTN_OK;
}

clattn_status attn_product_enqueue(attn_chain *chain, const attn_product *product) {
    int64_t temporary = 0;
    ATTN_TRY(attn_product_temporary(chain->device, product, &temporary, chain->report));
    if (temporary == 0) {
        cl_event event = NULL;
        ATTN_TRY(attn_chain_barrier(chain));
        CLBlastStatusCode code = batch(product, chain->queue, &event);
        return follow(chain, code, event);
    }
    for (int64_t index = 0; index < product->count; ++index) {
        cl_event event = NULL;
        ATTN_TRY(attn_chain_barrier(chain));
        CLBlastStatusCode code = one(product, index, chain->queue, &event);
        ATTN_TRY(follow(chain, code, event));
    }
    return CLATTN_OK;
}

bool attn_product_serves(const struct attn_opencl_device *device, clattn_report *why_not) {
    if (device->info.max_work_group < SMALLEST_GROUP) {
        attn_report_line(why_not, "device: CLBlast needs work-groups of %d, the device allows %" PRId64, SMALLEST_GROUP,
                         device->info.max_work_group);
        return false;
    }
    return true;
}

/* A limit of the device is no failure: another engine may serve. */
static clattn_status of_trial(const attn_chain *chain, CLBlastStatusCode code, clattn_status status) {
    if (code == CLBlastInvalidLocalNumDimensions || code == CLBlastInvalidLocalThreadsTotal ||
        code == CLBlastInvalidLocalThreadsDim || code == CLBlastInvalidLocalMemUsage) {
        return attn_refuse(chain->report, CLATTN_UNSUPPORTED, "device: CLBlast's kernels do not fit it");
    }
    return status;
}

static clattn_status try_one(attn_chain *chain, const attn_product *product) {
    cl_event event = NULL;
    CLBlastStatusCode code = one(product, 0, chain->queue, &event);
    ATTN_TRY(of_trial(chain, code, follow(chain, code, event)));
    return attn_chain_finish(chain);
}

/* One product by each routine makes CLBlast build what it will need. */
static clattn_status try_both(attn_chain *chain, const attn_product *product) {
    cl_event event = NULL;
    CLBlastStatusCode code = batch(product, chain->queue, &event);
    ATTN_TRY(of_trial(chain, code, follow(chain, code, event)));
    return try_one(chain, product);
}

static clattn_status run_trial(struct attn_opencl_device *device, const attn_product *product,
                               clattn_status (*try)(attn_chain *, const attn_product *), clattn_report *report) {
    attn_chain chain;
    attn_chain_begin(&chain, device, NULL, 0, NULL, report, NULL);
    return attn_chain_end(&chain, try(&chain, product), NULL);
}

clattn_status attn_product_prepare(struct attn_opencl_device *device, clattn_report *report) {
    attn_buffer buffer = { 0 };
    ATTN_TRY(attn_opencl_open(device, report));
    ATTN_TRY(clear_caches_at_end(device));
    ATTN_TRY(attn_buffer_reserve(device, 64, "a product's trial", &buffer, report));
    struct attn_matrix zeros = { device->nothing, 0, 1, 1 }, result = { buffer.memory, 0, 1, 1 };
    attn_product product = { .m = 1, .n = 1, .k = 1, .count = 1, .a = zeros, .b = zeros, .c = result };
    product.temporary = buffer.memory;
    clattn_status status = run_trial(device, &product, try_both, report);
    attn_buffer_release(&buffer);
    return status;
}

/* A cube of the size; what is in the memory does not matter. */
static clattn_status try_cube(struct attn_opencl_device *device, int64_t size, int64_t temporary,
                              clattn_report *report) {
    attn_buffer from = { 0 }, to = { 0 }, scratch = { 0 };
    const int64_t bytes = size * size * (int64_t)sizeof(float);
    clattn_status status = attn_buffer_reserve(device, bytes, "a product's trial", &from, report);
    if (status == CLATTN_OK) {
        status = attn_buffer_reserve(device, bytes, "a product's trial", &to, report);
    }
    if (status == CLATTN_OK) {
        status = attn_buffer_reserve(device, temporary, "a product's trial", &scratch, report);
    }
    if (status == CLATTN_OK) {
        struct attn_matrix factor = { from.memory, 0, size, 0 }, result = { to.memory, 0, size, 0 };
        attn_product product = { .m = size, .n = size, .k = size, .count = 1, .a = factor, .b = factor, .c = result };
        product.temporary = scratch.memory;
        status = run_trial(device, &product, try_one, report);
    }
    attn_buffer_release(&from);
    attn_buffer_release(&to);
    attn_buffer_release(&scratch);
    return status;
}

clattn_status attn_product_prepare_large(struct attn_opencl_device *device, clattn_report *report) {
    if ((atomic_load(&device->tried) & LARGE_RUN) != 0) {
        return CLATTN_OK;
    }
    for (int64_t size = STEP; size <= LARGEST_CUBE; size += STEP) {
        int64_t temporary = 0;
        const attn_product cube = { .m = size, .n = size, .k = size };
        ATTN_TRY(attn_product_temporary(device, &cube, &temporary, report));
        if (temporary > 0) {
            ATTN_TRY(try_cube(device, size, temporary, report));
            break;
        }
    }
    (void)atomic_fetch_or(&device->tried, LARGE_RUN);
    return CLATTN_OK;
}
