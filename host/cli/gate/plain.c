/*
 * The plain loops. Compiled with -O2 and nothing else, so that "plain one-thread float loops" is what it says. Shares
 * nothing with the engines; what is allowed and what is added are its arguments.
 */
#include "gate/plain.h"

#include <math.h>
#include <string.h>

float attn_plain_tf32(float x) {
    uint32_t bits;
    if (!isfinite(x)) {
        return x;
    }
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~UINT32_C(0x1fff);
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float plain_store(const attn_plain *plain, float x) {
    if (plain->form != ATTN_PLAIN_STORED) {
        return x;
    }
    uint16_t stored;
    clattn_set_element(plain->type, &stored, 0, (double)x);
    return (float)clattn_get_element(plain->type, &stored, 0);
}

static float plain_score(const attn_plain *plain, int64_t j) {
    const float *key = plain->keys + j * plain->head_dim;
    float sum = 0;
    for (int64_t d = 0; d < plain->head_dim; d++) {
        sum += plain->query[d] * key[d];
    }
    float score = plain->scale * sum;
    if (plain->softcap > 0) {
        score = plain->softcap * tanhf(score / plain->softcap);
    }
    return plain_store(plain, plain->added ? score + plain->added[j] : score);
}

void attn_plain_row(const attn_plain *plain, float *scores, float *output) {
    float maximum = plain->has_sink ? plain->sink : -INFINITY;
    for (int64_t j = 0; j < plain->key_length; j++) {
        if (plain->allowed && !plain->allowed[j]) {
            continue;
        }
        scores[j] = plain_score(plain, j);
        maximum = scores[j] > maximum ? scores[j] : maximum;
    }
    float denominator = plain->has_sink ? expf(plain->sink - maximum) : 0;
    for (int64_t j = 0; j < plain->key_length; j++) {
        if (!plain->allowed || plain->allowed[j]) {
            scores[j] = expf(scores[j] - maximum);
            denominator += scores[j];
        }
    }
    for (int64_t d = 0; d < plain->value_dim; d++) {
        output[d] = 0;
    }
    for (int64_t j = 0; j < plain->key_length; j++) {
        if (plain->allowed && !plain->allowed[j]) {
            continue;
        }
        float weight = plain_store(plain, scores[j] / denominator);
        weight = plain->form == ATTN_PLAIN_TF32 ? attn_plain_tf32(weight) : weight;
        weight = plain->keep != NULL ? weight * plain->keep[j] : weight;
        const float *value = plain->values + j * plain->value_dim;
        for (int64_t d = 0; d < plain->value_dim; d++) {
            output[d] += weight * value[d];
        }
    }
}

/* What softcap leaves of a gradient. */
static float plain_slope(const attn_plain *plain, const float *key) {
    float sum = 0;
    if (!(plain->softcap > 0)) {
        return 1;
    }
    for (int64_t d = 0; d < plain->head_dim; d++) {
        sum += plain->query[d] * key[d];
    }
    float t = tanhf(plain->scale * sum / plain->softcap);
    return 1 - t * t;
}

void attn_plain_backward_row(const attn_plain *plain, const attn_plain_gradients *g) {
    float delta = 0;
    for (int64_t d = 0; d < plain->value_dim; d++) {
        delta += g->grad_output[d] * g->output[d];
    }
    for (int64_t d = 0; d < plain->head_dim; d++) {
        g->grad_query[d] = 0;
    }
    for (int64_t j = 0; j < plain->key_length; j++) {
        if (plain->allowed && !plain->allowed[j]) {
            continue;
        }
        const float *key = plain->keys + j * plain->head_dim, *value = plain->values + j * plain->value_dim;
        float *grad_key = g->grad_keys + j * plain->head_dim, *grad_value = g->grad_values + j * plain->value_dim;
        float weight = expf(plain_score(plain, j) - g->logsumexp), keep = plain->keep ? plain->keep[j] : 1, dot = 0;
        for (int64_t d = 0; d < plain->value_dim; d++) {
            dot += g->grad_output[d] * value[d];
        }
        for (int64_t d = 0; d < plain->value_dim; d++) {
            grad_value[d] += keep * weight * g->grad_output[d];
        }
        float ds = plain->scale * weight * (keep * dot - delta) * plain_slope(plain, key);
        for (int64_t d = 0; d < plain->head_dim; d++) {
            g->grad_query[d] += ds * key[d];
        }
        for (int64_t d = 0; d < plain->head_dim; d++) {
            grad_key[d] += ds * plain->query[d];
        }
    }
}
