/*
 * What training asks of a problem, checked. Every refusal names its field.
 */
#include "problem/training.h"

#include <inttypes.h>

#include "base/memory.h"
#include "base/report.h"
#include "problem/problem.h"

static bool has_16_bits(clattn_type type) {
    return type == CLATTN_FP16 || type == CLATTN_BF16;
}

static clattn_type result_type(const clattn_problem *p, clattn_result_type type) {
    return type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
}

clattn_type attn_output_type(const clattn_problem *p) {
    return result_type(p, p->output_type);
}

clattn_type attn_gradient_type(const clattn_problem *p) {
    return result_type(p, p->gradient_type);
}

clattn_type attn_grad_bias_type(const clattn_problem *p) {
    return p->gradient_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : attn_bias_type(p);
}

static clattn_status resolve_result(const clattn_problem *p, const char *field, clattn_result_type *type,
                                    clattn_report *report) {
    if (*type == CLATTN_RESULT_FP32 && p->type == CLATTN_FP64) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s: CLATTN_RESULT_FP32 is for 16-bit types, not for fp64",
                           field);
    }
    if (p->type == CLATTN_FP32) {
        *type = CLATTN_RESULT_STORAGE;
    }
    return CLATTN_OK;
}

/** What every direction has. */
static clattn_status resolve_both(clattn_problem *p, clattn_report *report) {
    if (!(p->dropout >= 0 && p->dropout < 1)) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "dropout: must be at least 0 and below 1");
    }
    if (p->prefix < 0) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "prefix: %" PRId64 ", must not be negative", p->prefix);
    }
    p->prefix = attn_problem_has_window(p) ? attn_min(p->prefix, p->key_length) : 0;
    if (p->dropout_mask) {
        ATTN_TRY(attn_check_bytes("dropout_mask", p->batch, p->query_heads, p->query_length, p->key_length, 1, report));
    }
    return resolve_result(p, "output_type", &p->output_type, report);
}

/** Every gradient that is asked for belongs to something that is there. */
static clattn_status check_gradients(const clattn_problem *p, clattn_report *report) {
    const struct {
        uint32_t bit;
        bool there;
        const char *needs;
    } features[] = {
        { CLATTN_GRADIENT_BIAS, p->bias != CLATTN_BIAS_NONE, "BIAS, but the problem has no bias" },
        { CLATTN_GRADIENT_ALIBI_SLOPES, p->alibi, "ALIBI_SLOPES, but the problem has no alibi" },
        { CLATTN_GRADIENT_SINKS, p->sinks, "SINKS, but the problem has no sinks" },
    };
    if (p->gradients == 0 || p->gradients >= 2 * CLATTN_GRADIENT_SINKS) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM,
                           "gradients: 0x%lx, must be one or more CLATTN_GRADIENT_ bits and no other",
                           (unsigned long)p->gradients);
    }
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if ((p->gradients & features[i].bit) && !features[i].there) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "gradients: CLATTN_GRADIENT_%s", features[i].needs);
        }
    }
    return CLATTN_OK;
}

static clattn_status check_add(const clattn_problem *p, clattn_report *report) {
    const uint32_t tensors = CLATTN_GRADIENT_QUERY | CLATTN_GRADIENT_KEY | CLATTN_GRADIENT_VALUE;
    bool narrow = ((p->gradients & tensors) && has_16_bits(attn_gradient_type(p))) ||
                  ((p->gradients & CLATTN_GRADIENT_BIAS) && has_16_bits(attn_grad_bias_type(p)));
    if (p->gradients_add && narrow) {
        return attn_refuse(
            report, CLATTN_INVALID_PROBLEM,
            "gradients_add: sums in 16 bits lose what is added; gradient_type CLATTN_RESULT_FP32 makes them fp32");
    }
    return CLATTN_OK;
}

static clattn_status check_gradient_bytes(const clattn_problem *p, clattn_report *report) {
    int64_t size = clattn_type_size(attn_gradient_type(p)), result = clattn_type_size(attn_output_type(p));
    ATTN_TRY(attn_check_bytes("grad_output", p->batch, p->query_heads, p->query_length, p->value_dim, result, report));
    ATTN_TRY(attn_check_bytes("grad_query", p->batch, p->query_heads, p->query_length, p->head_dim, size, report));
    ATTN_TRY(attn_check_bytes("grad_key", p->batch, p->kv_heads, p->key_length, p->head_dim, size, report));
    return attn_check_bytes("grad_value", p->batch, p->kv_heads, p->key_length, p->value_dim, size, report);
}

static clattn_status resolve_backward(clattn_problem *p, clattn_report *report) {
    if (p->weights != CLATTN_WEIGHTS_NONE) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM,
                           "weights: backward writes none, and there is no gradient through them");
    }
    if (p->dropout_mask) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "dropout_mask: the forward writes it, backward does not");
    }
    if (p->delta && p->grad_logsumexp) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM,
                           "delta: holds grad_logsumexp already; only one of the two can be given");
    }
    p->logsumexp = true;
    ATTN_TRY(resolve_result(p, "gradient_type", &p->gradient_type, report));
    ATTN_TRY(check_gradients(p, report));
    ATTN_TRY(check_add(p, report));
    return check_gradient_bytes(p, report);
}

clattn_status attn_training_resolve(clattn_problem *p, clattn_report *report) {
    ATTN_TRY(resolve_both(p, report));
    if (p->direction == CLATTN_BACKWARD) {
        return resolve_backward(p, report);
    }
    p->gradients = 0;
    p->gradient_type = CLATTN_RESULT_STORAGE;
    p->gradients_add = p->grad_logsumexp = p->delta = false;
    return CLATTN_OK;
}

double attn_gradient_bytes(const clattn_problem *p) {
    double gradient = (double)clattn_type_size(attn_gradient_type(p)), batch = (double)p->batch;
    double query = batch * (double)p->query_heads * (double)p->query_length,
           key = batch * (double)p->kv_heads * (double)p->key_length;
    double bytes = query * (double)p->value_dim * (double)clattn_type_size(attn_output_type(p));
    bytes += attn_wants_gradient(p, CLATTN_GRADIENT_QUERY) ? gradient * query * (double)p->head_dim : 0;
    bytes += attn_wants_gradient(p, CLATTN_GRADIENT_KEY) ? gradient * key * (double)p->head_dim : 0;
    bytes += attn_wants_gradient(p, CLATTN_GRADIENT_VALUE) ? gradient * key * (double)p->value_dim : 0;
    return bytes;
}
