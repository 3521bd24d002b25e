/*
 * The part of a call that training brings, checked against the resolved problem and turned into views.
 */
#include "problem/call_training.h"

#include <inttypes.h>

#include "base/report.h"
#include "problem/call_views.h"
#include "problem/problem.h"

#define MOST_FIRST (INT64_C(1) << 61)

static clattn_status view_tensors(const clattn_problem *p, const clattn_tensors *t, attn_call *call) {
    const int64_t output[4] = { p->batch, p->query_heads, p->query_length, p->value_dim };
    const struct {
        uint32_t bit;
        const char *field;
        const clattn_tensor *tensor;
        int64_t shape[4], used;
        attn_view *view;
    } gradients[] = {
        { CLATTN_GRADIENT_QUERY,
          "grad_query",
          &t->grad_query,
          { p->batch, p->query_heads, p->query_length, p->head_dim },
          call->query_length,
          &call->grad_query },
        { CLATTN_GRADIENT_KEY,
          "grad_key",
          &t->grad_key,
          { p->batch, p->kv_heads, p->key_length, p->head_dim },
          call->key_length,
          &call->grad_key },
        { CLATTN_GRADIENT_VALUE,
          "grad_value",
          &t->grad_value,
          { p->batch, p->kv_heads, p->key_length, p->value_dim },
          call->key_length,
          &call->grad_value },
    };
    ATTN_TRY(attn_view_tensor(p, call, "grad_output", &t->grad_output, attn_output_type(p), output, call->query_length,
                              &call->grad_output));
    for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++) {
        if (attn_wants_gradient(p, gradients[i].bit)) {
            ATTN_TRY(attn_view_tensor(p, call, gradients[i].field, gradients[i].tensor, attn_gradient_type(p),
                                      gradients[i].shape, gradients[i].used, gradients[i].view));
        }
    }
    return CLATTN_OK;
}

static clattn_status view_bias(const clattn_problem *p, const clattn_tensors *t, attn_call *call) {
    int64_t size = clattn_type_size(attn_grad_bias_type(p));
    if (!attn_wants_gradient(p, CLATTN_GRADIENT_BIAS)) {
        return CLATTN_OK;
    }
    ATTN_TRY(attn_view_broadcast(p, call, "grad_bias", &t->grad_bias, p->bias_shape, size, &call->grad_bias));
    if (p->bias_shape[3] > 1 && call->grad_bias.stride[3] != 1) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "grad_bias: its last stride is %" PRId64 ", must be 1",
                           call->grad_bias.stride[3]);
    }
    return CLATTN_OK;
}

clattn_status attn_call_view_gradients(const clattn_problem *p, const clattn_tensors *t, attn_call *call) {
    const int64_t rows[4] = { p->batch, p->query_heads, p->query_length, 1 }, heads[4] = { p->query_heads, 1, 1, 1 };
    const int64_t size = clattn_type_size(attn_logsumexp_type(p));
    const struct {
        bool there;
        const char *field;
        const clattn_array *array;
        const int64_t *shape;
        attn_view *view;
    } arrays[] = {
        { attn_wants_gradient(p, CLATTN_GRADIENT_ALIBI_SLOPES), "grad_alibi_slopes", &t->grad_alibi_slopes, heads,
          &call->grad_alibi_slopes },
        { attn_wants_gradient(p, CLATTN_GRADIENT_SINKS), "grad_sinks", &t->grad_sinks, heads, &call->grad_sinks },
        { p->grad_logsumexp, "grad_logsumexp", &t->grad_logsumexp, rows, &call->grad_logsumexp },
        { p->delta, "delta", &t->delta, rows, &call->delta },
    };
    ATTN_TRY(view_tensors(p, t, call));
    ATTN_TRY(view_bias(p, t, call));
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (arrays[i].there) {
            ATTN_TRY(attn_view_array(p, call, arrays[i].field, arrays[i].array, arrays[i].shape, size, arrays[i].view));
        }
    }
    return CLATTN_OK;
}

/** One number, or a list in its place. */
static clattn_status view_first(const clattn_problem *p, attn_call *call, const char *field, int64_t first,
                                const char *list_field, const clattn_integers *list, int64_t *number,
                                clattn_integers *integers) {
    if (first < 0 || first > MOST_FIRST) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "%s: %" PRId64 " is outside 0..2^61", field, first);
    }
    *number = first;
    if (!list || !list->data) {
        return CLATTN_OK;
    }
    if (first != 0) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "%s: %s is given in its place", field, list_field);
    }
    return attn_view_integers(p, call, list_field, list, 0, MOST_FIRST, integers);
}

clattn_status attn_call_view_dropout(const clattn_problem *p, const clattn_tensors *t, attn_call *call) {
    if (p->dropout_mask) {
        const int64_t shape[4] = { p->batch, p->query_heads, p->query_length, p->key_length };
        ATTN_TRY(attn_view_array(p, call, "dropout_mask", &t->dropout_mask, shape, 1, &call->dropout_mask));
    }
    if (p->dropout == 0) {
        return CLATTN_OK;
    }
    call->dropout_seed = t->dropout_seed;
    ATTN_TRY(view_first(p, call, "first_entry", t->first_entry, NULL, NULL, &call->first_entry, NULL));
    ATTN_TRY(view_first(p, call, "first_head", t->first_head, NULL, NULL, &call->first_head, NULL));
    ATTN_TRY(view_first(p, call, "first_row", t->first_row, "first_rows", &t->first_rows, &call->first_row,
                        &call->first_rows));
    return view_first(p, call, "first_key", t->first_key, "first_keys", &t->first_keys, &call->first_key,
                      &call->first_keys);
}
