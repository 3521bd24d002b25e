/*
 * Calls: a call's tensors checked against the resolved problem and turned into views. What can be found wrong before anything is
 * written is refused here, by field. overlap.c holds the test of memory that would be written twice.
 */
#include "problem/call.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/report.h"
#include "problem/call_training.h"
#include "problem/call_views.h"
#include "problem/overlap.h"
#include "problem/problem.h"

static clattn_status refuse(const attn_call *call, const char *field, const char *why) {
    return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "%s: %s", field, why);
}

static clattn_status resolve_length(const attn_call *call, const char *field, int64_t given, int64_t largest,
                                    int64_t *length) {
    *length = given == CLATTN_SAME ? largest : given;
    if (*length < 0 || *length > largest) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS,
                           "%s: %" PRId64 " is outside 0..%" PRId64 ", the problem's", field, given, largest);
    }
    return CLATTN_OK;
}

static clattn_status resolve_lengths(const clattn_problem *p, const clattn_tensors *t, attn_call *call) {
    ATTN_TRY(resolve_length(call, "query_length", t->query_length, p->query_length, &call->query_length));
    ATTN_TRY(resolve_length(call, "key_length", t->key_length, p->key_length, &call->key_length));
    if (t->past_length < CLATTN_SAME) {
        return refuse(call, "past_length", "is negative");
    }
    call->past_length = t->past_length == CLATTN_SAME ? p->past_length : t->past_length;
    if (call->past_length > call->key_length) {
        return refuse(call, "past_length", "is more than key_length, which counts the past too");
    }
    bool matters = call->query_length != call->key_length || call->past_length > 0;
    if (p->alignment == CLATTN_ALIGN_UNSET && attn_problem_uses_offset(p) && matters) {
        return refuse(call, "alignment", "the problem left it open, but this call's query and key lengths differ");
    }
    return CLATTN_OK;
}

/**
 * Whether all that the view walks has an address, in elements of `size` bytes. A view that walks nothing is made one of zeros, and
 * strides that are never stepped are made 0: whatever they were, nobody multiplies by them.
 */
static clattn_status check_end(const clattn_problem *p, const attn_call *call, const char *field,
                               const int64_t extent[4], int64_t size, attn_view *view) {
    int64_t end, bytes;
    bool empty = extent[0] == 0 || extent[1] == 0 || extent[2] == 0 || extent[3] == 0;
    if (empty) {
        *view = (attn_view){ view->data, 0, { 0, 0, 0, view->stride[3] } };
    }
    for (int k = 0; k < 3; k++) {
        view->stride[k] = extent[k] == 1 ? 0 : view->stride[k];
    }
    if (!attn_view_end(view, extent, &end) || !attn_multiply(end, size, &bytes)) {
        return attn_refuse(call->report, CLATTN_OVERFLOW, "%s: its last element lies beyond 2^63 - 1 bytes", field);
    }
    if (p->memory == CLATTN_MEMORY_HOST && !attn_fits_address(view->data, bytes)) {
        return attn_refuse(call->report, CLATTN_OVERFLOW, "%s: its last element lies beyond the address space", field);
    }
    return CLATTN_OK;
}

clattn_status attn_view_tensor(const clattn_problem *p, const attn_call *call, const char *field,
                               const clattn_tensor *t, clattn_type type, const int64_t shape[4], int64_t used,
                               attn_view *view) {
    int64_t heads = shape[1], length = shape[2], dim = shape[3];
    bool empty = p->batch == 0 || used == 0;
    if (!t->data && !empty) {
        return refuse(call, field, "data is NULL");
    }
    *view = (attn_view){ t->data, t->offset, { t->batch_stride, t->head_stride, t->length_stride, 1 } };
    if (t->layout == CLATTN_BHSD) {
        view->stride[2] = dim;
        view->stride[1] = length * dim;
        view->stride[0] = heads * length * dim;
    } else if (t->layout == CLATTN_BSHD) {
        view->stride[1] = dim;
        view->stride[2] = heads * dim;
        view->stride[0] = length * heads * dim;
    } else if (t->layout != CLATTN_STRIDED) {
        return refuse(call, field, "layout is not one of its values");
    }
    if (t->offset < 0 || view->stride[0] < 0 || view->stride[1] < 0 || view->stride[2] < 0) {
        return refuse(call, field, "offset and strides must not be negative");
    }
    const int64_t extent[4] = { shape[0], heads, used, dim };
    return check_end(p, call, field, extent, clattn_type_size(type), view);
}

clattn_status attn_view_broadcast(const clattn_problem *p, const attn_call *call, const char *field,
                                  const clattn_broadcast *t, const int64_t shape[4], int64_t size, attn_view *view) {
    bool bits = size == 0;
    bool empty = shape[0] == 0 || shape[1] == 0 || shape[2] == 0 || shape[3] == 0;
    if (!t->data && !empty) {
        return refuse(call, field, "data is NULL, but the problem has one");
    }
    int64_t row = bits ? (shape[3] + 7) / 8 : shape[3];
    const int64_t dense[4] = { shape[1] * shape[2] * row, shape[2] * row, row, 1 };
    *view = (attn_view){ (void *)t->data, t->offset, { 0, 0, 0, 0 } };
    for (int k = 0; k < 4; k++) {
        int64_t stride = t->strided && !(bits && k == 3) ? t->strides[k] : dense[k];
        view->stride[k] = shape[k] == 1 ? 0 : stride;
        if (view->stride[k] < 0 || t->offset < 0) {
            return refuse(call, field, "offset and strides must not be negative");
        }
    }
    const int64_t extent[4] = { shape[0], shape[1], shape[2], row };
    return check_end(p, call, field, extent, bits ? 1 : size, view);
}

clattn_status attn_view_array(const clattn_problem *p, const attn_call *call, const char *field, const clattn_array *t,
                              const int64_t shape[4], int64_t size, attn_view *view) {
    bool empty = shape[0] == 0 || shape[1] == 0 || shape[2] == 0 || shape[3] == 0;
    if (!t->data && !empty) {
        return refuse(call, field, "data is NULL, but the problem has one");
    }
    if (t->offset < 0) {
        return refuse(call, field, "offset is negative");
    }
    *view = (attn_view){ t->data, t->offset, { shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1 } };
    return check_end(p, call, field, shape, size, view);
}

clattn_status attn_view_integers(const clattn_problem *p, const attn_call *call, const char *field,
                                 const clattn_integers *t, int64_t least, int64_t most, clattn_integers *integers) {
    if (!t->data && p->batch > 0) {
        return refuse(call, field, "data is NULL, but the problem has them");
    }
    if (t->type != CLATTN_INT32 && t->type != CLATTN_INT64) {
        return refuse(call, field, "type is not one of its values");
    }
    if (t->offset < 0) {
        return refuse(call, field, "offset is negative");
    }
    attn_view view = { (void *)(uintptr_t)t->data, t->offset, { 0, 0, 0, 1 } };
    const int64_t extent[4] = { 1, 1, 1, p->batch };
    ATTN_TRY(check_end(p, call, field, extent, t->type == CLATTN_INT32 ? 4 : 8, &view));
    *integers = *t;
    integers->offset = view.offset;
    for (int64_t b = 0; p->memory == CLATTN_MEMORY_HOST && b < p->batch; b++) {
        int64_t value = attn_integer(t, b);
        if (value < least || value > most) {
            return attn_refuse(call->report, CLATTN_INVALID_TENSORS,
                               "%s[%" PRId64 "]: %" PRId64 " is outside %" PRId64 "..%" PRId64, field, b, value, least,
                               most);
        }
    }
    return CLATTN_OK;
}

static clattn_status resolve_inputs(const clattn_problem *p, const clattn_tensors *t, attn_call *call) {
    const int64_t query[4] = { p->batch, p->query_heads, p->query_length, p->head_dim };
    const int64_t key[4] = { p->batch, p->kv_heads, p->key_length, p->head_dim };
    const int64_t value[4] = { p->batch, p->kv_heads, p->key_length, p->value_dim };
    ATTN_TRY(attn_view_tensor(p, call, "query", &t->query, p->type, query, call->query_length, &call->query));
    ATTN_TRY(attn_view_tensor(p, call, "key", &t->key, p->type, key, call->key_length, &call->key));
    ATTN_TRY(attn_view_tensor(p, call, "value", &t->value, p->type, value, call->key_length, &call->value));
    if (p->mask != CLATTN_MASK_NONE) {
        int64_t size = p->mask == CLATTN_MASK_BITS ? 0 : 1;
        ATTN_TRY(attn_view_broadcast(p, call, "mask", &t->mask, p->mask_shape, size, &call->mask));
    }
    if (p->bias != CLATTN_BIAS_NONE) {
        int64_t size = clattn_type_size(attn_bias_type(p));
        ATTN_TRY(attn_view_broadcast(p, call, "bias", &t->bias, p->bias_shape, size, &call->bias));
    }
    const int64_t heads[4] = { p->query_heads, 1, 1, 1 }, size = clattn_type_size(CLATTN_FP32);
    if (p->alibi) {
        ATTN_TRY(attn_view_array(p, call, "alibi_slopes", &t->alibi_slopes, heads, size, &call->alibi_slopes));
    }
    if (p->sinks) {
        ATTN_TRY(attn_view_array(p, call, "sinks", &t->sinks, heads, size, &call->sinks));
    }
    if (p->query_lengths) {
        ATTN_TRY(attn_view_integers(p, call, "query_lengths", &t->query_lengths, 0, call->query_length,
                                    &call->query_lengths));
    }
    if (p->key_lengths) {
        ATTN_TRY(attn_view_integers(p, call, "key_lengths", &t->key_lengths, 0, call->key_length, &call->key_lengths));
    }
    if (p->alignment == CLATTN_ALIGN_OFFSETS) {
        int64_t limit = INT64_C(1) << 61;
        ATTN_TRY(attn_view_integers(p, call, "offsets", &t->offsets, -limit, limit, &call->offsets));
    }
    return attn_call_view_dropout(p, t, call);
}

/** What the forward writes, and the backward reads. */
static clattn_status resolve_outputs(const clattn_problem *p, const clattn_tensors *t, attn_call *call) {
    const int64_t output[4] = { p->batch, p->query_heads, p->query_length, p->value_dim };
    const int64_t rows[4] = { p->batch, p->query_heads, p->query_length, 1 };
    const int64_t weights[4] = { p->batch, p->weights_heads, p->weights_rows, p->key_length };
    if (!p->delta) {
        ATTN_TRY(attn_view_tensor(p, call, "output", &t->output, attn_output_type(p), output, call->query_length,
                                  &call->output));
    }
    if (p->logsumexp) {
        int64_t size = clattn_type_size(attn_logsumexp_type(p));
        ATTN_TRY(attn_view_array(p, call, "logsumexp", &t->logsumexp, rows, size, &call->logsumexp));
    }
    if (p->weights != CLATTN_WEIGHTS_NONE) {
        int64_t size = clattn_type_size(attn_weights_type(p));
        ATTN_TRY(attn_view_array(p, call, "weights", &t->weights, weights, size, &call->weights));
    }
    if (p->direction == CLATTN_BACKWARD) {
        ATTN_TRY(attn_call_view_gradients(p, t, call));
    }
    return attn_check_overlap(p, call);
}

clattn_status attn_call_resolve(const clattn_problem *problem, const clattn_tensors *tensors, bool caller_workspace,
                                attn_call *call) {
    if (!tensors || !call) {
        return CLATTN_INVALID_ARGUMENT;
    }
    clattn_tensors filled = CLATTN_TENSORS_INIT;
    /* Sizes that the structure has had, one a version: problem.c says how to add one. */
    if (tensors->struct_size != sizeof filled) {
        return CLATTN_INVALID_ARGUMENT; /* the report itself lies in the structure: it cannot be trusted */
    }
    memcpy(&filled, tensors, tensors->struct_size);
    memset(call, 0, sizeof *call);
    call->report = filled.report;
    call->timing = filled.timing;
    call->progress = filled.progress;
    call->progress_user = filled.progress_user;
    call->workspace = caller_workspace ? filled.workspace : NULL;
    call->workspace_size = filled.workspace_size;
    attn_report_clear(call->report);
    ATTN_TRY(resolve_lengths(problem, &filled, call));
    ATTN_TRY(resolve_inputs(problem, &filled, call));
    return resolve_outputs(problem, &filled, call);
}

clattn_tensor clattn_packed_qkv(void *data, int64_t part, int64_t length, int64_t heads, int64_t dim) {
    int64_t row, token, entry;
    bool known = part >= 0 && part <= 2 && attn_multiply(heads, dim, &row) && attn_multiply(row, 3, &token) &&
                 attn_multiply(token, length, &entry);
    if (!known) {
        return (clattn_tensor){ data, -1, CLATTN_STRIDED, 0, 0, 0 };
    }
    return (clattn_tensor){ data, part * row, CLATTN_STRIDED, entry, dim, token };
}

void clattn_tensors_init(clattn_tensors *tensors, size_t size) {
    static const clattn_tensors start = CLATTN_TENSORS_INIT;
    attn_init_structure(tensors, size, &start, sizeof start);
}
