/* Batches of matrix products by CLBlast, for opencl_unfused.c. */
#ifndef ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_PRODUCT_H
#define ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_PRODUCT_H

#include "opencl/launch.h"

/** C = alpha * A * B, `count` times, fp32, column-major: C is m x n, A is m x k and B is k x n, each stored transposed where
 * that is said. Everything is counted in elements and stays below 2^31 of them. */
typedef struct attn_product {
    int64_t m, n, k, count;
    float alpha;
    bool a_transposed, b_transposed;
    struct attn_matrix {
        cl_mem memory;
        int64_t at, leading, step; /* first element, leading dimension, distance from one matrix to the next */
    } a, b, c;
    cl_mem temporary; /* holds at least attn_product_temporary() bytes from its beginning */
} attn_product;

/** Whether the device allows the work-groups that CLBlast needs at the least; if not, one line in why_not. Asks CLBlast
 *  nothing. */
bool attn_product_serves(const struct attn_opencl_device *device, clattn_report *why_not);

/** Builds CLBlast's programs for the device and has its caches emptied when the device ends. A tiny product is tried:
 *  UNSUPPORTED when its kernels do not fit the device. */
clattn_status attn_product_prepare(struct attn_opencl_device *device, clattn_report *report);

/** The same for the kernels that take temporary memory; for plans whose products need some. Tried once a device. */
clattn_status attn_product_prepare_large(struct attn_opencl_device *device, clattn_report *report);

/** Bytes of temporary memory that one product of the shape (m, n, k and what is transposed) may need, at most and for smaller
 *  ones too; 0 = small enough for the kernel that needs none. */
clattn_status attn_product_temporary(struct attn_opencl_device *device, const attn_product *shape, int64_t *bytes,
                                     clattn_report *report);

/** Enqueues. Small products go as one batch, large ones one by one, because only those take their temporary memory
 * from us. */
clattn_status attn_product_enqueue(attn_chain *chain, const attn_product *product);

#endif
