/*
 * Overlap of a call's memory. Ranges that do not meet are fine. Ranges that meet are fine only when the two walk the same
 * grid in different columns (query, key, value and output side by side in one buffer); everything else is refused.
 */
#include "problem/overlap.h"

#include "base/memory.h"
#include "base/report.h"
#include "problem/problem.h"

/** A tensor's bytes: where it starts, its extent and strides in bytes. */
typedef struct region {
    const char *name;
    const void *handle; /* cl_mem, or NULL for host memory */
    uint64_t begin, end;
    int64_t extent[4], stride[4];
    bool written;
} region;

bool attn_view_end(const attn_view *view, const int64_t extent[4], int64_t *end) {
    int64_t last = view->offset;
    *end = 0;
    for (int k = 0; k < 4; k++) {
        if (extent[k] == 0) {
            return true;
        }
    }
    for (int k = 0; k < 4; k++) {
        int64_t step;
        if (!attn_multiply(extent[k] - 1, view->stride[k], &step) || !attn_add(last, step, &last)) {
            return false;
        }
    }
    return attn_add(last, 1, end);
}

static region make_region(const clattn_problem *p, const char *name, const attn_view *view, int64_t size, bool written,
                          int64_t a, int64_t b, int64_t c, int64_t d) {
    bool host = p->memory == CLATTN_MEMORY_HOST;
    region r = { .name = name, .handle = host ? NULL : view->data, .extent = { a, b, c, d }, .written = written };
    int64_t end = 0;
    if (!view->data) {
        return r;
    }
    if (!attn_view_end(view, r.extent, &end)) { /* call.c has refused such a view */
        r.end = UINT64_MAX;
        return r;
    }
    if (end > 0) {
        uint64_t base = host ? (uint64_t)(uintptr_t)view->data : 0;
        r.begin = base + (uint64_t)view->offset * (uint64_t)size;
        r.end = base + (uint64_t)end * (uint64_t)size;
        for (int k = 0; k < 4; k++) {
            r.stride[k] = view->stride[k] * size;
        }
        r.extent[3] = d * size; /* the innermost run, in bytes */
    }
    return r;
}

/** `count` elements of `size` bytes. */
static region make_list(const clattn_problem *p, const char *name, const void *data, int64_t offset, int64_t size,
                        bool written, int64_t count) {
    attn_view view = { (void *)(uintptr_t)data, offset, { 0, 0, 0, 1 } };
    return make_region(p, name, &view, size, written, 1, 1, 1, count);
}

static region make_integers(const clattn_problem *p, const char *name, const clattn_integers *list) {
    return make_list(p, name, list->data, list->offset, list->type == CLATTN_INT32 ? 4 : 8, false, p->batch);
}

/** Whether two elements of one output would share memory: every stride must step over all that lies inside it. */
static bool overlaps_itself(const region *r) {
    if (r->begin == r->end) {
        return false; /* absent or empty */
    }
    int order[3] = { 0, 1, 2 };
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            if (r->stride[order[k]] > r->stride[order[k + 1]]) {
                int swap = order[k];
                order[k] = order[k + 1];
                order[k + 1] = swap;
            }
        }
    }
    int64_t inner = r->extent[3];
    for (int i = 0; i < 3; i++) {
        int k = order[i];
        if (r->extent[k] <= 1) {
            continue;
        }
        if (r->stride[k] < inner) {
            return true;
        }
        inner += (r->extent[k] - 1) * r->stride[k];
    }
    return false;
}

/** The smallest stride over a dimension with more than one entry, when every other is a multiple of it; else 0. */
static int64_t grid(const region *r) {
    int64_t step = 0;
    for (int k = 0; k < 3; k++) {
        if (r->extent[k] > 1 && (step == 0 || r->stride[k] < step)) {
            step = r->stride[k];
        }
    }
    for (int k = 0; k < 3 && step > 0; k++) {
        if (r->extent[k] > 1 && r->stride[k] % step != 0) {
            return 0;
        }
    }
    return step;
}

static bool overlaps(const region *a, const region *b) {
    if (a->handle != b->handle || a->end <= b->begin || b->end <= a->begin || a->begin == a->end ||
        b->begin == b->end) {
        return false;
    }
    int64_t step = grid(a);
    if (step <= 0 || step != grid(b)) {
        return true;
    }
    const region *low = a->begin <= b->begin ? a : b, *high = low == a ? b : a;
    int64_t column = (int64_t)((high->begin - low->begin) % (uint64_t)step);
    return column < low->extent[3] || column + high->extent[3] > step;
}

/* The memory of a call. */
typedef struct regions {
    region items[32];
    size_t count;
} regions;

static void add(regions *all, region r) {
    all->items[all->count++] = r;
}

/** What the backward reads and writes beside what both directions have. Views that are not there add empty regions. */
static void add_gradients(regions *all, const clattn_problem *p, const attn_call *call) {
    int64_t result = clattn_type_size(attn_output_type(p)), gradient = clattn_type_size(attn_gradient_type(p));
    int64_t lse = clattn_type_size(attn_logsumexp_type(p)), bias = clattn_type_size(attn_grad_bias_type(p));
    int64_t b = p->batch, h = p->query_heads, g = p->kv_heads, q = call->query_length, k = call->key_length;
    const int64_t *s = p->bias_shape;
    add(all, make_region(p, "grad_query", &call->grad_query, gradient, true, b, h, q, p->head_dim));
    add(all, make_region(p, "grad_key", &call->grad_key, gradient, true, b, g, k, p->head_dim));
    add(all, make_region(p, "grad_value", &call->grad_value, gradient, true, b, g, k, p->value_dim));
    add(all, make_region(p, "grad_bias", &call->grad_bias, bias, true, s[0], s[1], s[2], s[3]));
    add(all, make_region(p, "grad_alibi_slopes", &call->grad_alibi_slopes, lse, true, 1, 1, 1, h));
    add(all, make_region(p, "grad_sinks", &call->grad_sinks, lse, true, 1, 1, 1, h));
    add(all, make_region(p, "grad_output", &call->grad_output, result, false, b, h, q, p->value_dim));
    add(all, make_region(p, "grad_logsumexp", &call->grad_logsumexp, lse, false, b, h, q, 1));
    add(all, make_region(p, "delta", &call->delta, lse, false, b, h, q, 1));
}

static void add_inputs(regions *all, const clattn_problem *p, const attn_call *call) {
    int64_t size = clattn_type_size(p->type), b = p->batch, h = p->query_heads, q = call->query_length,
            k = call->key_length;
    int64_t mask_row = p->mask == CLATTN_MASK_BITS ? (p->mask_shape[3] + 7) / 8 : p->mask_shape[3];
    const int64_t *m = p->mask_shape, *s = p->bias_shape;
    add(all, make_region(p, "query", &call->query, size, false, b, h, q, p->head_dim));
    add(all, make_region(p, "key", &call->key, size, false, b, p->kv_heads, k, p->head_dim));
    add(all, make_region(p, "value", &call->value, size, false, b, p->kv_heads, k, p->value_dim));
    add(all, make_region(p, "mask", &call->mask, 1, false, m[0], m[1], m[2], mask_row));
    add(all, make_region(p, "bias", &call->bias, clattn_type_size(attn_bias_type(p)), false, s[0], s[1], s[2], s[3]));
    add(all, make_list(p, "alibi_slopes", call->alibi_slopes.data, call->alibi_slopes.offset, 4, false, h));
    add(all, make_list(p, "sinks", call->sinks.data, call->sinks.offset, 4, false, h));
    add(all, make_integers(p, "query_lengths", &call->query_lengths));
    add(all, make_integers(p, "key_lengths", &call->key_lengths));
    add(all, make_integers(p, "offsets", &call->offsets));
    add(all, make_integers(p, "first_rows", &call->first_rows));
    add(all, make_integers(p, "first_keys", &call->first_keys));
}

clattn_status attn_check_overlap(const clattn_problem *p, const attn_call *call) {
    int64_t result = clattn_type_size(attn_output_type(p)), lse = clattn_type_size(attn_logsumexp_type(p)),
            b = p->batch;
    int64_t h = p->query_heads, q = call->query_length, weight = clattn_type_size(attn_weights_type(p));
    bool forward = p->direction == CLATTN_FORWARD;
    regions all = { .count = 0 };
    add(&all, make_region(p, "output", &call->output, result, forward, b, h, q, p->value_dim));
    add(&all, make_region(p, "logsumexp", &call->logsumexp, lse, forward, b, h, q, 1));
    add(&all,
        make_region(p, "weights", &call->weights, weight, true, b, p->weights_heads, p->weights_rows, p->key_length));
    add(&all, make_region(p, "dropout_mask", &call->dropout_mask, 1, true, b, h, q, p->key_length));
    add(&all, make_list(p, "workspace", call->workspace, 0, 1, true,
                        attn_max(call->workspace_size, 0)));
    add_gradients(&all, p, call);
    add_inputs(&all, p, call);
    const region *r = all.items;
    for (size_t i = 0; i < all.count; i++) {
        if (r[i].written && overlaps_itself(&r[i])) {
            return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "%s: its strides make elements overlap",
                               r[i].name);
        }
        for (size_t n = 0; n < all.count && r[i].written; n++) {
            bool compared = n == i || (n < i && r[n].written);
            if (!compared && overlaps(&r[i], &r[n])) {
                return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "%s: overlaps %s", r[i].name, r[n].name);
            }
        }
    }
    return CLATTN_OK;
}
