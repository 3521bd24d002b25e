/* What the gates of a chunk come to, and back. Knows nothing of matrices. */
#include "layers/memory_factors.h"

#include <math.h>

#define NEGLIGIBLE 0x1p-80

bool attn_memory_factors_create(clattn_runtime *runtime, int64_t chunk, attn_memory_factors *factors) {
    int64_t rows = chunk + 1, size = (int64_t)sizeof(double);
    *factors = (attn_memory_factors){ .chunk = chunk };
    double *all = clattn_allocate(runtime, (3 * rows + 2 * rows * chunk) * size); /* chunk is at most 2^16 */
    if (all) {
        factors->keep = all;
        factors->lift = all + rows;
        factors->hold = all + 2 * rows;
        factors->reach = all + 3 * rows;
        factors->push = factors->reach + rows * chunk;
    }
    factors->row = attn_layer_floats(runtime, chunk);
    return all && factors->row;
}

void attn_memory_factors_release(clattn_runtime *runtime, attn_memory_factors *factors) {
    clattn_release(runtime, factors->keep);
    clattn_release(runtime, factors->row);
    *factors = (attn_memory_factors){ 0 };
}

void attn_memory_factors_make(attn_memory_factors *f, const attn_memory_gates *gates, int64_t tokens) {
    int64_t width = f->chunk;
    f->tokens = tokens;
    f->keep[0] = f->hold[0] = 1;
    f->lift[0] = 0;
    memset(f->reach, 0, (size_t)((tokens + 1) * width) * sizeof *f->reach);
    memset(f->push, 0, (size_t)((tokens + 1) * width) * sizeof *f->push);
    for (int64_t t = 1; t <= tokens; t++) {
        int64_t at = (t - 1) * gates->stride;
        double stay = 1 - (double)gates->alpha[at], eta = (double)gates->eta[at];
        const double *reach = f->reach + (t - 1) * width, *push = f->push + (t - 1) * width;
        f->keep[t] = stay * f->keep[t - 1];
        f->hold[t] = eta * f->hold[t - 1];
        f->lift[t] = stay * f->lift[t - 1] + f->hold[t];
        for (int64_t j = 0; j < t; j++) {
            double pushed = j == t - 1 ? (double)gates->theta[at] : eta * push[j];
            f->push[t * width + j] = pushed;
            f->reach[t * width + j] = stay * reach[j] + pushed;
        }
    }
}

const float *attn_memory_factors_row(const attn_memory_factors *f, const double *row, int64_t count) {
    double most = 0;
    for (int64_t j = 0; j < count; j++) {
        most = fabs(row[j]) > most ? fabs(row[j]) : most;
    }
    most *= NEGLIGIBLE;
    for (int64_t j = 0; j < count; j++) {
        f->row[j] = fabs(row[j]) < most ? 0 : -(float)row[j];
    }
    return f->row;
}

float attn_memory_factor(double factor) {
    return fabs(factor) < NEGLIGIBLE ? 0 : (float)factor;
}

/* What row t hands to row t - 1; answers the derivatives by the two gates of token t that multiply it. */
static void step_back(const attn_memory_factors *f, attn_memory_factors *s, int64_t t, double stay, double eta,
                      double *grad_alpha, double *grad_eta) {
    int64_t width = f->chunk, here = t * width, before = here - width;
    s->hold[t] += s->lift[t];
    *grad_alpha = -(s->keep[t] * f->keep[t - 1] + s->lift[t] * f->lift[t - 1]);
    *grad_eta = s->hold[t] * f->hold[t - 1];
    s->keep[t - 1] += s->keep[t] * stay;
    s->lift[t - 1] += s->lift[t] * stay;
    s->hold[t - 1] += s->hold[t] * eta;
    for (int64_t j = 0; j < t; j++) {
        s->push[here + j] += s->reach[here + j];
    }
    for (int64_t j = 0; j < t - 1; j++) {
        *grad_alpha -= s->reach[here + j] * f->reach[before + j];
        *grad_eta += s->push[here + j] * f->push[before + j];
        s->reach[before + j] += s->reach[here + j] * stay;
        s->push[before + j] += s->push[here + j] * eta;
    }
}

void attn_memory_factors_backward(const attn_memory_factors *f, const attn_memory_gates *gates, attn_memory_factors *s,
                                  float *grad_alpha, float *grad_theta, float *grad_eta) {
    for (int64_t t = f->tokens; t >= 1; t--) {
        int64_t at = (t - 1) * gates->stride;
        double by_alpha, by_eta;
        step_back(f, s, t, 1 - (double)gates->alpha[at], (double)gates->eta[at], &by_alpha, &by_eta);
        if (grad_alpha) {
            grad_alpha[at] = (float)by_alpha;
        }
        if (grad_eta) {
            grad_eta[at] = (float)by_eta;
        }
        if (grad_theta) {
            grad_theta[at] = (float)s->push[t * f->chunk + t - 1];
        }
    }
}
