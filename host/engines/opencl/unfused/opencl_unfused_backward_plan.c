/*
 * What backward of opencl-unfused needs: regions of the workspace, temporary memory of its products, kernels.
 */
#include <stdio.h>

#include "engines/opencl/unfused/opencl_unfused_backward.h"
#include "problem/training.h"

/* Gradients that come of the loss's derivatives by the scores. */
enum { OF_SCORES = CLATTN_GRADIENT_QUERY | CLATTN_GRADIENT_KEY | CLATTN_GRADIENT_BIAS | CLATTN_GRADIENT_ALIBI_SLOPES };

uint32_t attn_unfused_backward_regions(const clattn_problem *p) {
    const bool query = (p->gradients & CLATTN_GRADIENT_QUERY) != 0, key = (p->gradients & CLATTN_GRADIENT_KEY) != 0,
               value = (p->gradients & CLATTN_GRADIENT_VALUE) != 0, bias = (p->gradients & CLATTN_GRADIENT_BIAS) != 0,
               slopes = (p->gradients & CLATTN_GRADIENT_ALIBI_SLOPES) != 0,
               sinks = (p->gradients & CLATTN_GRADIENT_SINKS) != 0, of_keys = bias && p->bias_shape[3] != 1;
    const bool changes = (p->gradients & OF_SCORES) != 0, scores = changes || value;
    const struct {
        attn_unfused_region region;
        bool used;
    } all[] = {
        { ATTN_REGION_SCORES, scores },
        { ATTN_REGION_QUERY, scores },
        { ATTN_REGION_KEY, scores },
        { ATTN_REGION_VALUE, changes },
        { ATTN_REGION_GIVEN, scores },
        { ATTN_REGION_SUMS, query },
        { ATTN_REGION_CHANGES, changes },
        { ATTN_REGION_UNCAPPED, of_keys && p->softcap > 0.0 },
        { ATTN_REGION_KEY_SUMS, key },
        { ATTN_REGION_VALUE_SUMS, value },
        { ATTN_REGION_KEY_TOTAL, key },
        { ATTN_REGION_VALUE_TOTAL, value },
        { ATTN_REGION_DELTA, changes || sinks },
        { ATTN_REGION_SINK_ROWS, sinks },
        { ATTN_REGION_SLOPE_ROWS, slopes },
        { ATTN_REGION_BIAS_ROWS, bias && !of_keys },
        { ATTN_REGION_BIAS_TOTAL, of_keys },
    };
    uint32_t regions = 0;
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) {
        regions |= all[n].used ? 1u << all[n].region : 0;
    }
    return regions;
}

clattn_status attn_unfused_bias_elements(const clattn_problem *p, int64_t *elements) {
    const int64_t *shape = p->bias_shape;
    const bool shared = shape[0] != p->batch || shape[1] != p->query_heads || shape[2] != p->query_length;
    *elements = 0;
    if (!(p->gradients & CLATTN_GRADIENT_BIAS) || !shared) { /* else each part has elements of its own */
        return CLATTN_OK;
    }
    return attn_multiply(shape[0], shape[1], elements) && attn_multiply(*elements, shape[2], elements) &&
                   attn_multiply(*elements, shape[3], elements)
               ? CLATTN_OK
               : CLATTN_OVERFLOW;
}

clattn_status attn_unfused_backward_temporary(const attn_unfused_sizes *sizes, int64_t rows, int64_t *bytes,
                                              clattn_report *report) {
    const int64_t keys = sizes->key_length, dim = sizes->head_dim, value_dim = sizes->value_dim;
    const attn_product products[] = {
        { .m = keys, .n = rows, .k = dim, .a_transposed = true },
        { .m = keys, .n = rows, .k = value_dim, .a_transposed = true },
        { .m = value_dim, .n = keys, .k = rows, .b_transposed = true },
        { .m = dim, .n = keys, .k = rows, .b_transposed = true },
        { .m = dim, .n = rows, .k = keys },
    };
    *bytes = 0;
    if (!ATTN_HAS_REGION(sizes->regions, ATTN_REGION_SCORES)) { /* sinks alone */
        return CLATTN_OK;
    }
    for (size_t n = 0; n < sizeof products / sizeof *products; n++) {
        int64_t needed = 0;
        ATTN_TRY(attn_product_temporary(sizes->user, &products[n], &needed, report));
        *bytes = attn_max(*bytes, needed);
    }
    return CLATTN_OK;
}

static clattn_status build_sums(attn_unfused_state *state, const attn_device *device, int place, clattn_type type,
                                clattn_report *report) {
    char options[64];
    snprintf(options, sizeof options, "-DATTN_TYPE=%d -DGROUP=%d", (int)type, state->lanes);
    state->kernels[place].name = "gradient_rows";
    return attn_opencl_build(device, "gradient_rows", options, state->lanes, false, &state->kernels[place].program,
                             NULL, report);
}

/* Both kinds with as many work-items as the copies, or as both allow. */
static clattn_status build_both_sums(attn_unfused_state *state, const attn_device *device, clattn_report *report) {
    const clattn_type bias = attn_grad_bias_type(&state->problem);
    for (;; state->lanes /= 2) {
        clattn_status status = build_sums(state, device, ATTN_UNFUSED_ROWS, CLATTN_FP32, report);
        if (status == CLATTN_OK) {
            status = build_sums(state, device, ATTN_UNFUSED_BIAS_ROWS, bias, report);
        }
        if (status != CLATTN_UNSUPPORTED || state->lanes == 1) {
            return status;
        }
    }
}

clattn_status attn_unfused_backward_build(attn_unfused_state *state, const attn_device *device, clattn_report *report) {
    const clattn_problem *p = &state->problem;
    const clattn_type output = attn_output_type(p), gradient = attn_gradient_type(p), bias = attn_grad_bias_type(p);
    const struct {
        int place;
        const char *name;
        clattn_type type;
        const char *defines;
    } copies[] = {
        { ATTN_UNFUSED_GATHER_GIVEN, "gather", output, "" },
        { ATTN_UNFUSED_DELTA, "gradient_delta", output, "" },
        { ATTN_UNFUSED_REPAIR, "backward_repair", p->type, attn_training_defines(p) },
        { ATTN_UNFUSED_STORE, "gradient_store", gradient, "" },
        { ATTN_UNFUSED_BIAS, "gradient_bias", bias, "" },
    };
    for (size_t n = 0; n < sizeof copies / sizeof *copies; n++) {
        ATTN_TRY(attn_unfused_build_copy(state, device, copies[n].place, copies[n].name, copies[n].type,
                                         copies[n].defines, report));
    }
    ATTN_TRY(attn_unfused_build_rows(state, device, ATTN_UNFUSED_SCORES, "backward_scores", report));
    return build_both_sums(state, device, report); /* last: the others may make the number of lanes smaller */
}
