/*
 * Batches of matrix products by CLBlast. Knows nothing of attention. CLBlast keeps programs in caches of its own,
 * process wide; they are emptied when the device ends, because they must not outlive its context.
 */
#include "engines/opencl_unfused_product.h"

#include <clblast_c.h>

#include "base/report.h"
#include "opencl/buffer.h"

static clattn_status check(CLBlastStatusCode code, clattn_report *report) {
    if (code == CLBlastSuccess) {
        return CLATTN_OK;
    }
    const char *name = code > -1000 ? attn_cl_name((cl_int)code) : "see clblast_c.h";
    return attn_refuse(report, attn_cl_status((cl_int)code), "CLBlast's matrix product failed: %s (%d)", name,
                       (int)code);
}

static void clear_caches(void) {
    (void)CLBlastClearCache();
}

static CLBlastTranspose transpose_a(bool transposed) {
    return transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
}

static CLBlastStatusCode one(const attn_product *p, int64_t index, cl_command_queue queue, cl_event *event) {
    size_t a = (size_t)(p->a.at + index * p->a.step), b = (size_t)(p->b.at + index * p->b.step),
           c = (size_t)(p->c.at + index * p->c.step);
    return CLBlastSgemmWithTempBuffer(CLBlastLayoutColMajor, transpose_a(p->a_transposed), CLBlastTransposeNo,
                                      (size_t)p->m, (size_t)p->n, (size_t)p->k, p->alpha, p->a.memory, a,
                                      (size_t)p->a.leading, p->b.memory, b, (size_t)p->b.leading, 0.0f, p->c.memory, c,
                                      (size_t)p->c.leading, &queue, event, p->temporary);
}

static CLBlastStatusCode batch(const attn_product *p, cl_command_queue queue, cl_event *event) {
    return CLBlastSgemmStridedBatched(CLBlastLayoutColMajor, transpose_a(p->a_transposed), CLBlastTransposeNo,
                                      (size_t)p->m, (size_t)p->n, (size_t)p->k, p->alpha, p->a.memory, (size_t)p->a.at,
                                      (size_t)p->a.leading, (size_t)p->a.step, p->b.memory, (size_t)p->b.at,
                                      (size_t)p->b.leading, (size_t)p->b.step, 0.0f, p->c.memory, (size_t)p->c.at,
                                      (size_t)p->c.leading, (size_t)p->c.step, (size_t)p->count, &queue, event);
}

static clattn_status follow(attn_chain *chain, CLBlastStatusCode code, cl_event event) {
    if (event != NULL) {
        attn_chain_follow(chain, event);
    }
    return check(code, chain->report);
}

clattn_status attn_product_temporary(struct attn_opencl_device *device, int64_t m, int64_t n, int64_t k,
                                     bool a_transposed, int64_t *bytes, clattn_report *report) {
    size_t size = 0;
    cl_command_queue queue = device->queue;
    /* Offsets of 1 mean that no matrix can be used as it lies: the most that any product of the shape needs. */
    CLBlastStatusCode code = CLBlastSGemmTempBufferSize(
        CLBlastLayoutColMajor, transpose_a(a_transposed), CLBlastTransposeNo, (size_t)m, (size_t)n, (size_t)k, 1,
        (size_t)(a_transposed ? k : m), 1, (size_t)k, 1, (size_t)m, &queue, &size);
    ATTN_TRY(check(code, report));
    if (size > INT64_MAX) {
        return attn_refuse(report, CLATTN_OVERFLOW, "the temporary memory of a matrix product does not fit 63 bits");
    }
    *bytes = (int64_t)size;
    return CLATTN_OK;
}

clattn_status attn_product_enqueue(attn_chain *chain, const attn_product *product) {
    int64_t temporary = 0;
    ATTN_TRY(attn_product_temporary(chain->device, product->m, product->n, product->k, product->a_transposed,
                                    &temporary, chain->report));
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

/* One tiny product by each routine makes CLBlast build what it will need. */
static clattn_status try_both(attn_chain *chain, const attn_product *product) {
    cl_event event = NULL;
    CLBlastStatusCode code = batch(product, chain->queue, &event);
    ATTN_TRY(follow(chain, code, event));
    event = NULL;
    code = one(product, 0, chain->queue, &event);
    ATTN_TRY(follow(chain, code, event));
    return attn_chain_finish(chain);
}

clattn_status attn_product_prepare(struct attn_opencl_device *device, clattn_report *report) {
    attn_buffer buffer = { 0 };
    ATTN_TRY(attn_opencl_open(device, report));
    attn_opencl_at_end(device, clear_caches);
    ATTN_TRY(attn_buffer_reserve(device, 64, "a product's trial", &buffer, report));
    struct attn_matrix zeros = { device->nothing, 0, 1, 1 }, result = { buffer.memory, 0, 1, 1 };
    attn_product product = { .m = 1, .n = 1, .k = 1, .count = 1, .a = zeros, .b = zeros, .c = result };
    product.temporary = buffer.memory;
    attn_chain chain;
    attn_chain_begin(&chain, device, NULL, 0, NULL, report, NULL);
    clattn_status status = attn_chain_end(&chain, try_both(&chain, &product), NULL);
    attn_buffer_release(&buffer);
    return status;
}
