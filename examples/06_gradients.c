/*
 * The gradient of a loss: how the sum of squares of the outputs changes with every query, key and value; and for three of
 * them the same by a finite difference, to see that it is true.
 */
#include <math.h>
#include <stdio.h>

#include "clattn/clattn.h"

enum { ROWS = 4, KEYS = 6, DIM = 8 };

static double query[ROWS * DIM], key[KEYS * DIM], value[KEYS * DIM], output[ROWS * DIM], logsumexp[ROWS];
static double grad_output[ROWS * DIM], grad_query[ROWS * DIM], grad_key[KEYS * DIM], grad_value[KEYS * DIM];
static clattn_runtime *runtime;
static clattn_problem problem = CLATTN_PROBLEM_INIT;
static clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
static clattn_tensors tensors = CLATTN_TENSORS_INIT;
static clattn_report report;

static clattn_status compute(clattn_direction direction) {
    problem.direction = direction; /* all else is the same problem */
    return clattn_attention(runtime, &problem, &options, &tensors, &report);
}

/* The loss of the present inputs. */
static clattn_status forward(double *loss) {
    clattn_status status = compute(CLATTN_FORWARD);
    *loss = 0;
    for (int n = 0; n < ROWS * DIM && status == CLATTN_OK; n++) {
        *loss += output[n] * output[n];
    }
    return status;
}

/* The gradient of the loss: forward, what the loss says about the outputs, backward. */
static clattn_status gradient(void) {
    double loss;
    clattn_status status = forward(&loss); /* writes output and logsumexp, which backward reads */
    for (int n = 0; n < ROWS * DIM; n++) {
        grad_output[n] = 2 * output[n];
    }
    return status == CLATTN_OK ? compute(CLATTN_BACKWARD) : status;
}

/* The gradient by one number, from the losses beside it. */
static clattn_status difference(double *x, double *slope) {
    const double here = *x, step = 1e-5;
    double above = 0, below = 0;
    *x = here + step;
    clattn_status status = forward(&above);
    *x = here - step;
    status = status == CLATTN_OK ? forward(&below) : status;
    *x = here;
    *slope = (above - below) / (2 * step);
    return status;
}

static clattn_status compare(void) {
    struct {
        const char *name;
        double *x, *gradient;
    } picks[] = { { "query[3]", &query[3], &grad_query[3] },
                  { "key[10]", &key[10], &grad_key[10] },
                  { "value[7]", &value[7], &grad_value[7] } };
    clattn_status status = gradient();
    for (int n = 0; n < 3 && status == CLATTN_OK; n++) {
        double slope, known = *picks[n].gradient;
        status = difference(picks[n].x, &slope);
        printf("%-9s gradient %.9f, finite difference %.9f\n", picks[n].name, known, slope);
        if (status == CLATTN_OK && !(fabs(known - slope) < 1e-7)) {
            status = CLATTN_INTERNAL;
        }
    }
    return status;
}

int main(void) {
    for (int n = 0; n < KEYS * DIM; n++) {
        query[n % (ROWS * DIM)] = sin(n), key[n] = cos(2 * n), value[n] = sin(3 * n + 1);
    }
    problem.type = CLATTN_FP64, problem.query_length = ROWS, problem.key_length = KEYS, problem.head_dim = DIM;
    problem.causal = true, problem.alignment = CLATTN_ALIGN_BOTTOM_RIGHT, problem.logsumexp = true;
    options.engine = "reference"; /* the one that has gradients in this version */
    tensors.query.data = query, tensors.key.data = key, tensors.value.data = value;
    tensors.output.data = output, tensors.logsumexp.data = logsumexp, tensors.grad_output.data = grad_output;
    tensors.grad_query.data = grad_query, tensors.grad_key.data = grad_key, tensors.grad_value.data = grad_value;
    clattn_status status = clattn_runtime_create(NULL, &runtime);
    if (status == CLATTN_OK) {
        status = compare();
        clattn_runtime_destroy(runtime);
    }
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s\n%s", clattn_status_message(status), report.text);
    }
    return status != CLATTN_OK;
}
