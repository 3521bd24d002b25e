/*
 * GELU and its derivative. Both need the normal distribution's share below x and its density, which come of one
 * exponential and one polynomial, in double, so that the loops are vectors: no number calls a function of libm.
 */
#include <math.h>

#include "layers/blocks.h"

typedef struct gelu_work {
    int64_t count;
    const float *input, *grad_output; /* grad_output: NULL forward */
    float *output;                    /* or grad_input */
} gelu_work;

/*
 * Q(t) exp(t^2 / 2) (t + 5), with Q(t) the distribution's share above t >= 0, as a polynomial in u = (t - 5) / (t + 5):
 * within 2e-12 of itself up to t = 16. tests/golden/make_gelu.py makes and checks it.
 */
ATTN_INLINED double tail_polynomial(double u) {
    double sum = 0x1.c0285b5843c12p-18;
    sum = sum * u + 0x1.0794b65802142p-16;
    sum = sum * u - 0x1.b5577c2482304p-15;
    sum = sum * u - 0x1.f493f5c3b90b5p-15;
    sum = sum * u + 0x1.1e17c743507e0p-11;
    sum = sum * u - 0x1.a236287819853p-11;
    sum = sum * u - 0x1.885d55d404583p-9;
    sum = sum * u + 0x1.54b4b1efe2204p-6;
    sum = sum * u - 0x1.1b1c224ec0a67p-4;
    sum = sum * u + 0x1.51f632e29b7a6p-3;
    sum = sum * u - 0x1.410ed600afdfap-2;
    sum = sum * u + 0x1.fb316537fed41p-2;
    sum = sum * u - 0x1.54ad03f26e671p-1;
    return sum * u + 0x1.89d3abe1f92d0p-1;
}

/* The share below each x, and the density there times sqrt(2 pi): both 0 beyond 15, where no float can tell. */
ATTN_INLINED void distribute(const double *x, double *share, double *density) {
    double t[ATTN_BLOCK], above[ATTN_BLOCK];
    for (int k = 0; k < ATTN_BLOCK; k++) {
        t[k] = fabs(x[k]);
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        t[k] = t[k] > 16 ? 16 : t[k];
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        density[k] = -0.5 * t[k] * t[k];
    }
    attn_block_exp(density);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        density[k] = t[k] > 15 ? 0 : density[k];
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        double inverse = 1 / (t[k] + 5);
        above[k] = density[k] * inverse * tail_polynomial((t[k] - 5) * inverse);
        share[k] = 1 - above[k];
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        share[k] = x[k] < 0 ? above[k] : share[k];
    }
}

ATTN_INLINED void forward_block(int64_t count, const float *input, float *output) {
    double x[ATTN_BLOCK], share[ATTN_BLOCK], density[ATTN_BLOCK];
    attn_block_load(count, input, 0, x);
    distribute(x, share, density);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        x[k] *= share[k];
    }
    attn_block_store(count, x, output);
}

ATTN_INLINED void backward_block(int64_t count, const float *input, const float *grad_output, float *grad_input) {
    double x[ATTN_BLOCK], g[ATTN_BLOCK], share[ATTN_BLOCK], density[ATTN_BLOCK];
    attn_block_load(count, input, 0, x);
    attn_block_load(count, grad_output, 0, g);
    distribute(x, share, density);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        x[k] = density[k] == 0 ? 0 : x[k]; /* it may be infinite there */
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        g[k] *= share[k] + 0.39894228040143267794 * (x[k] * density[k]);
    }
    attn_block_store(count, g, grad_input);
}

ATTN_INLINED void run_item_of(void *user, int64_t item) {
    const gelu_work *w = user;
    int64_t end = attn_min((item + 1) * ATTN_ITEM, w->count);
    for (int64_t k = item * ATTN_ITEM; k < end; k += ATTN_BLOCK) {
        if (w->grad_output) {
            backward_block(end - k, w->input + k, w->grad_output + k, w->output + k);
        } else {
            forward_block(end - k, w->input + k, w->output + k);
        }
    }
}

ATTN_ITEM_FUNCTION(run_item)

clattn_status clattn_gelu(clattn_runtime *runtime, int64_t count, const float *input, float *output) {
    if (!attn_is_matrix(count, 1) || (count > 0 && (!input || !output))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    gelu_work work = { count, input, NULL, output };
    clattn_share(runtime, attn_divide_up(count, ATTN_ITEM), ATTN_ITEM_CHOICE(run_item), &work);
    return CLATTN_OK;
}

clattn_status clattn_gelu_backward(clattn_runtime *runtime, int64_t count, const float *input, const float *grad_output,
                                   float *grad_input) {
    if (!attn_is_matrix(count, 1) || (count > 0 && (!input || !grad_output || !grad_input))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    gelu_work work = { count, input, grad_output, grad_input };
    clattn_share(runtime, attn_divide_up(count, ATTN_ITEM), ATTN_ITEM_CHOICE(run_item), &work);
    return CLATTN_OK;
}
