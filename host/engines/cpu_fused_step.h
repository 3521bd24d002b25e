/*
 * The step between the two products, for problems that have one: softcap, bias, ALiBi, mask. One row of a block at a time,
 * on scores that lie in L1: a pass a feature. Included by cpu_fused_body.h. A new feature of the score is one more pass.
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
    step_row row = { .cap = (float)problem->softcap };
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

/** Calls in what the step will want for a tile's keys: rows are too short for the processor to see streams. */
INLINE void prefetch_step(const step_row *row, int64_t key) {
    if (row->bias) {
        const char *bias = (const char *)row->bias +
                           (row->bias_first + key * row->bias_stride) * (row->bias_type == CLATTN_FP32 ? 4 : 2);
        __builtin_prefetch(bias, 0, 3);
        __builtin_prefetch(bias + TILE_KEYS * 2, 0, 3);
    }
    if (row->has_mask) __builtin_prefetch(row->mask + (row->bits ? key / 8 : key) * row->mask_stride, 0, 3);
}

/** tanh: odd polynomial (1.9e-8) below 0.63, through the exponential above, where some lane is. */
INLINE vf hyperbolic_tangent(vf x) {
    vi sign = (vi)x & splat_int(INT32_MIN);
    vf y = (vf)((vi)x ^ sign), z = y * y;
    vf p = splat(-6.045165098e-03f);
    p = p * z + splat(2.096132911e-02f);
    p = p * z + splat(-5.384326318e-02f);
    p = p * z + splat(1.333271885e-01f);
    p = p * z + splat(-3.333332843e-01f);
    p = p * z * y + y;
    vi small = y < splat(0.63f);
    if (any_lane(~small)) {
        vf e = power_of_two(choose(y > splat(10.0f), splat(10.0f), y) * splat((float)(2 * LOG2E)));
        p = choose(small, p, splat(1.0f) - splat(2.0f) * one_over(e + splat(1.0f)));
    }
    return (vf)((vi)p | sign);
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
    vf x = { 0 };
    for (int64_t i = 0; i < attn_min(n, LANES); i++) {
        x[i] = attn_load_float(row->bias_type, row->bias, row->bias_first + (key + i) * row->bias_stride);
    }
    return x;
}

/** LANES bytes as integers. */
INLINE vi load_bytes(const uint8_t *bytes) {
#if ATTN_VECTOR_BYTES == 64
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)bytes));
#elif ATTN_VECTOR_BYTES == 32
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)bytes));
#else
    return (vi){ bytes[0], bytes[1], bytes[2], bytes[3] };
#endif
}

/** -1 where the mask allows keys key .. key + n, n <= LANES; key is a multiple of LANES. The mask has a stride of 1. */
INLINE vi mask_vector(const bool bits, const uint8_t *mask, int64_t key, int64_t n) {
    if (bits) {
        uint32_t word = mask[key / 8];
        if (LANES > 8 && n > 8) word |= (uint32_t)mask[key / 8 + 1] << 8;
        word >>= key % 8;
#if ATTN_VECTOR_BYTES == 64
        return (vi)_mm512_movm_epi32((__mmask16)word);
#else
        return (((vi)(word - (vu){ 0 }) >> lane_numbers()) & 1) != 0;
#endif
    }
    if (n >= LANES) return load_bytes(mask + key) != 0;
    vi allowed = { 0 };
    for (int64_t i = 0; i < n; i++) allowed[i] = mask[key + i];
    return allowed != 0;
}

/** The same for any stride. */
static vi mask_gathered(const step_row *row, int64_t key, int64_t n) {
    vi allowed = { 0 };
    for (int64_t i = 0; i < attn_min(n, LANES); i++)
        allowed[i] = row->bits ? row->mask[0] & 1 : row->mask[(key + i) * row->mask_stride];
    return allowed != 0;
}

/* The passes: each takes scores begin .. end (lanes beyond `end` are scratch) of keys first + begin on. */

/** Raw scores to capped ones times log2(e); without a cap that factor is in the queries. */
static void cap_pass(const step_row *row, float *scores, int begin, int end) {
    vf cap = splat((float)(row->cap * LOG2E)), inverse = splat((float)(1 / (double)row->cap));
    for (int c = begin; c < end; c += LANES) store(scores + c, cap * hyperbolic_tangent(load(scores + c) * inverse));
}

static void alibi_pass(const step_row *row, float *scores, int64_t first, int begin, int end) {
    vf slope = splat(row->slope * (float)LOG2E), each = __builtin_convertvector(lane_numbers(), vf);
    for (int c = begin; c < end; c += LANES) {
        vf distance = splat((float)(first + c - row->position)) + each;
        store(scores + c, load(scores + c) - slope * (vf)((vi)distance & splat_int(INT32_MAX)));
    }
}

INLINE void add_bias(float *scores, vf bias) {
    vf sum = load(scores) + bias * splat((float)LOG2E);
    store(scores, choose(bias == splat(-INFINITY), bias, sum)); /* -inf forbids even a score of NaN */
}

INLINE void bias_pass_typed(const clattn_type type, const step_row *row, float *scores, int64_t first, int begin,
                            int end) {
    int64_t index = row->bias_first + first;
    int c = begin;
    for (; c + LANES <= end; c += LANES) add_bias(scores + c, load_typed(type, row->bias, index + c));
    if (c < end) add_bias(scores + c, load_part(type, row->bias, index + c, end - c));
}

static void bias_pass(const step_row *row, float *scores, int64_t first, int begin, int end) {
    if (row->bias_stride != 1) {
        for (int c = begin; c < end; c += LANES) add_bias(scores + c, bias_vector(row, first + c, end - c));
        return;
    }
    switch (row->bias_type) {
        case CLATTN_FP16: bias_pass_typed(CLATTN_FP16, row, scores, first, begin, end); break;
        case CLATTN_BF16: bias_pass_typed(CLATTN_BF16, row, scores, first, begin, end); break;
        default: bias_pass_typed(CLATTN_FP32, row, scores, first, begin, end); break;
    }
}

INLINE void forbid(float *scores, vi allowed) {
    store(scores, choose(allowed, load(scores), splat(-INFINITY)));
}

INLINE void mask_pass_typed(const bool bits, const uint8_t *mask, float *scores, int64_t first, int begin, int end) {
    int c = begin;
    for (; c + LANES <= end; c += LANES) forbid(scores + c, mask_vector(bits, mask, first + c, LANES));
    if (c < end) forbid(scores + c, mask_vector(bits, mask, first + c, end - c));
}

static void mask_pass(const step_row *row, float *scores, int64_t first, int begin, int end) {
    if (row->mask_stride != 1) {
        for (int c = begin; c < end; c += LANES) forbid(scores + c, mask_gathered(row, first + c, end - c));
    } else if (row->bits) {
        mask_pass_typed(true, row->mask, scores, first, begin, end);
    } else {
        mask_pass_typed(false, row->mask, scores, first, begin, end);
    }
}

/** -inf outside low .. high, and in the lanes from end to the next whole vector. */
static void bounds_pass(float *scores, int begin, int end, int low, int high) {
    for (int c = begin; c < end; c += LANES) {
        vi at = lane_numbers() + c;
        store(scores + c, choose((at >= low) & (at < high), load(scores + c), splat(-INFINITY)));
    }
}

static float maximum_pass(const float *scores, int begin, int end) {
    vf maximum = splat(-INFINITY), maximum2 = maximum;
    int c = begin;
    for (; c + 2 * LANES <= end; c += 2 * LANES) {
        maximum = larger(load(scores + c), maximum);
        maximum2 = larger(load(scores + c + LANES), maximum2);
    }
    for (; c < end; c += LANES) maximum = larger(load(scores + c), maximum);
    return lanes_max(larger(maximum, maximum2));
}

/**
 * Turns the products of keys first + begin .. first + end of one row into scores times log2(e), -inf where not allowed:
 * outside low .. high, by the mask, or by a bias of -inf. begin is a multiple of LANES. Answers the maximum. What forbids
 * comes last, and selects.
 */
static float step_scores(const step_row *row, float *scores, int64_t first, int begin, int end, int low, int high) {
    if (row->cap > 0) cap_pass(row, scores, begin, end);
    if (row->slope != 0) alibi_pass(row, scores, first, begin, end);
    if (row->bias) bias_pass(row, scores, first, begin, end);
    if (row->has_mask) mask_pass(row, scores, first, begin, end);
    if (low > begin || high < end || (end - begin) % LANES != 0) bounds_pass(scores, begin, end, low, high);
    return maximum_pass(scores, begin, end);
}
