// Gradients that are sums over much: of a bias over the dimensions in which it has size 1, of slopes and sinks over all
// rows of a head. Where elements are few, `parts` work-items share the rows of one; gradient_sum adds what they made, in
// order. How many depends on the shape alone, so that results do. For kernels and for the host that sizes the workspace.
// Include arguments.cl.h first.
#ifndef ATTN_GRADIENT_SUM_CL_H
#define ATTN_GRADIENT_SUM_CL_H

#define GRADIENT_ITEMS 4096 // with fewer elements than so, rows are shared
#define GRADIENT_PARTS_SIZE (2 * GRADIENT_ITEMS) // numbers that parts make, at most

// Shape of what is made: each size 1, or that of the call.
typedef struct gradient_shape {
    attn_int64 size[4];
} gradient_shape;

static inline attn_int64 gradient_elements(const gradient_shape *shape) {
    return shape->size[0] * shape->size[1] * shape->size[2] * shape->size[3];
}

// Rows that one element is summed over.
static inline attn_int64 gradient_rows(const attn_arguments *a, const gradient_shape *shape) {
    return (shape->size[0] == 1 ? a->batch : 1) * (shape->size[1] == 1 ? a->query_heads : 1) *
           (shape->size[2] == 1 ? a->query_length : 1);
}

static inline attn_int64 gradient_parts(attn_int64 elements, attn_int64 rows) {
    const attn_int64 parts = elements > 0 ? (GRADIENT_ITEMS + elements - 1) / elements : 1;
    return parts < rows ? parts : rows > 1 ? rows : 1;
}

#endif
