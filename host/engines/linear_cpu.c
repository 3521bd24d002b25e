/*
 * Linear maps on the host: the reference, plain loops in double, and the cpu engine, a BLAS's product. Knows no device
 * but the CPU. The BLAS takes 32-bit sizes, so rows go in portions.
 */
#include <cblas.h>
#include <string.h>

#include "engines/linear.h"

typedef struct host_state {
    clattn_linear_problem problem;
    attn_memory *memory;
} host_state;

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: runs on the CPU");
    }
    return device->kind == CLATTN_DEVICE_CPU;
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_operation_info *info,
                             clattn_report *report) {
    host_state *made = attn_allocate(device->memory, sizeof *made);
    (void)report;
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (host_state){ *(const clattn_linear_problem *)problem, device->memory };
    strcpy(info->kernel, strcmp(info->engine, "cpu") == 0 ? "cblas_sgemm" : "plain loops in double");
    *state = made;
    return CLATTN_OK;
}

static void release(void *state) {
    host_state *s = state;
    attn_release(s->memory, s);
}

static clattn_status execute_reference(void *state, const void *call) {
    const clattn_linear_problem *p = &((const host_state *)state)->problem;
    const attn_linear_call *c = call;
    for (int64_t r = 0; r < c->rows; r++) {
        for (int64_t o = 0; o < p->out_dim; o++) {
            float *output = &c->output[r * p->out_dim + o];
            double sum = (c->b ? (double)c->b[o] : 0) + (c->add ? (double)*output : 0);
            for (int64_t i = 0; i < p->in_dim; i++) {
                sum += (double)c->input[r * p->in_dim + i] * (double)c->w[o * p->in_dim + i];
            }
            *output = (float)sum;
        }
    }
    return CLATTN_OK;
}

/* What the product is added to: the bias, what was there, both, or nothing. Answers beta. */
static float begin_rows(const attn_linear_call *c, int64_t out_dim) {
    for (int64_t r = 0; c->b && r < c->rows; r++) {
        float *output = c->output + r * out_dim;
        for (int64_t o = 0; o < out_dim; o++) {
            output[o] = c->add ? output[o] + c->b[o] : c->b[o];
        }
    }
    return c->b || c->add ? 1.0f : 0.0f;
}

static clattn_status execute_blas(void *state, const void *call) {
    enum { PORTION = 1 << 20 };
    const clattn_linear_problem *p = &((const host_state *)state)->problem;
    const attn_linear_call *c = call;
    int in = (int)p->in_dim, out = (int)p->out_dim;
    float beta = begin_rows(c, p->out_dim);
    for (int64_t first = 0; first < c->rows; first += PORTION) {
        int rows = (int)attn_min(PORTION, c->rows - first);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1.0f, c->input + first * in, in, c->w, in,
                    beta, c->output + first * out, out);
    }
    return CLATTN_OK;
}

const attn_operation_engine attn_linear_reference = {
    "reference", true, supports, prepare, execute_reference, release
};
const attn_operation_engine attn_linear_cpu = { "cpu", false, supports, prepare, execute_blas, release };
