/*
 * The step between the two products, for problems that have one: softcap, bias, ALiBi, mask. One row of a block at a time,
 * on scores that lie in L1. Included by cpu_fused_body.h. A new feature of the score is one line in step_scores().
 */

/** What the step needs of one row. */
typedef struct step_row {
    bool has_mask, bits;
    clattn_type bias_type;
    const void *bias; /* NULL = none */
    const uint8_t *mask;
    int64_t bias_first, bias_stride; /* element of key 0, elements a key */
    int64_t mask_stride;
    int64_t position; /* i + offset */
    float slope;
    float cap; /* 0 = none */
} step_row;

static step_row start_step(const attn_cpu_job *job, int64_t b, int64_t h, int64_t i) {
    const clattn_problem *problem = job->problem;
    const attn_call *call = job->call;
    step_row row = {.cap = (float)problem->softcap};
    if (problem->bias != CLATTN_BIAS_NONE) {
        row.bias = call->bias.data;
        row.bias_type = attn_bias_type(problem);
        row.bias_first = attn_view_row(&call->bias, b, h, i);
        row.bias_stride = call->bias.stride[3];
    }
    if (problem->mask != CLATTN_MASK_NONE) {
        row.has_mask = true;
        row.bits = problem->mask == CLATTN_MASK_BITS;
        row.mask = (const uint8_t *)call->mask.data + attn_view_row(&call->mask, b, h, i);
        row.mask_stride = call->mask.stride[3];
    }
    if (problem->alibi) {
        row.slope = ((const float *)call->alibi_slopes.data)[call->alibi_slopes.offset + h];
        row.position = i + attn_call_offset(problem, call, b);
    }
    return row;
}

/** tanh: odd polynomial (1.9e-8) below 0.63, through the exponential above. */
INLINE vf hyperbolic_tangent(vf x) {
    vi sign = (vi)x & splat_int(INT32_MIN);
    vf y = (vf)((vi)x ^ sign), z = y * y;
    vf p = splat(-6.045165098e-03f);
    p = p * z + splat(2.096132911e-02f);
    p = p * z + splat(-5.384326318e-02f);
    p = p * z + splat(1.333271885e-01f);
    p = p * z + splat(-3.333332843e-01f);
    p = p * z * y + y;
    vf e = power_of_two(choose(y > splat(10.0f), splat(10.0f), y) * splat((float)(2 * LOG2E)));
    vf q = splat(1.0f) - splat(2.0f) / (e + splat(1.0f));
    return (vf)((vi)choose(y < splat(0.63f), p, q) | sign);
}

/** Elements of keys key .. key + n of the row's bias, n <= LANES. */
INLINE vf bias_vector(const step_row *row, int64_t key, int64_t n) {
    if (row->bias_stride == 1) {
        int64_t index = row->bias_first + key;
        switch (row->bias_type) {
        case CLATTN_FP16: return load_up_to(CLATTN_FP16, row->bias, index, n);
        case CLATTN_BF16: return load_up_to(CLATTN_BF16, row->bias, index, n);
        default: return load_up_to(CLATTN_FP32, row->bias, index, n);
        }
    }
    vf x = {0};
    for (int64_t i = 0; i < attn_min(n, LANES); i++) {
        x[i] = attn_load_float(row->bias_type, row->bias, row->bias_first + (key + i) * row->bias_stride);
    }
    return x;
}

/** -1 where the mask allows keys key .. key + n, n <= LANES; key is a multiple of LANES. */
INLINE vi mask_vector(const step_row *row, int64_t key, int64_t n) {
    n = attn_min(n, LANES);
    if (row->bits && row->mask_stride == 1) {
        uint32_t word = row->mask[key / 8];
        if (LANES > 8 && n > 8) word |= (uint32_t)row->mask[key / 8 + 1] << 8;
        word >>= key % 8;
        return (((vi)(word - (vu){0}) >> lane_numbers()) & 1) != 0;
    }
    vb bytes = {0};
    if (row->bits) {
        bytes += (uint8_t)(row->mask[0] & 1);
    } else if (row->mask_stride == 1 && n == LANES) {
        memcpy(&bytes, row->mask + key, sizeof bytes);
    } else {
        for (int64_t i = 0; i < n; i++) bytes[i] = row->mask[(key + i) * row->mask_stride];
    }
    return __builtin_convertvector(bytes, vi) != 0;
}

/**
 * Turns the raw scores of keys first + begin .. first + end of one row into scores times log2(e), -inf where not allowed:
 * outside low .. high, by the mask, or by a bias of -inf. Lanes from end to the next whole vector become -inf.
 * Answers the maximum.
 */
static float step_scores(const step_row *row, float *scores, int64_t first, int begin, int end, int low, int high) {
    vf maximum = splat(-INFINITY), forbidden = splat(-INFINITY), cap = splat(row->cap);
    vf slope = splat(row->slope), each = __builtin_convertvector(lane_numbers(), vf);
    float inverse = row->cap > 0 ? 1.0f / row->cap : 0;
    for (int c = begin; c < end; c += LANES) {
        vf x = load(scores + c);
        vi at = lane_numbers() + c, allowed = (at >= low) & (at < high);
        if (row->cap > 0) x = cap * hyperbolic_tangent(x * inverse);
        if (row->bias) {
            vf bias = bias_vector(row, first + c, end - c);
            x += bias;
            allowed &= bias != forbidden;
        }
        if (row->slope != 0) {
            vf distance = splat((float)(first + c - row->position)) + each;
            x -= slope * (vf)((vi)distance & splat_int(INT32_MAX));
        }
        if (row->has_mask) allowed &= mask_vector(row, first + c, end - c);
        x = choose(allowed, x * splat((float)LOG2E), forbidden);
        maximum = larger(x, maximum);
        store(scores + c, x);
    }
    return lanes_max(maximum);
}
