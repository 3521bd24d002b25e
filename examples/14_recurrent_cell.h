/*
 * What 14_learn_reversal.c learns with: a linear map with its derivative, and a recurrent cell (GRU) whose derivative
 * is written here, because the library has no recurrent layers.
 *
 * A batch of words of one length goes through a cell together. Arrays are [step, word, dim], so one step is a block of
 * BATCH rows, and all steps together are one array of steps * BATCH rows.
 */
#ifndef EXAMPLE_RECURRENT_CELL_H
#define EXAMPLE_RECURRENT_CELL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_learning.h"

enum { LETTERS = 16, START = 16, EMBED = 16, HIDDEN = 32, LONGEST = 12, BATCH = 32, ROWS = LONGEST * BATCH };

/* What layers and parameters are made with. */
typedef struct workshop {
    clattn_runtime *runtime;
    clattn_parameters *parameters;
    const char *engine;
    uint64_t seed; /* of the next parameter */
} workshop;

typedef struct map {
    clattn_parameter w, b;
    clattn_linear_plan *plan;
    clattn_linear_backward *backward;
} map;

/* A cell, and what it keeps of a batch. Rows of the matrices: reset, update, new, as PyTorch's GRU has them. */
typedef struct gru {
    map input, state;
    int64_t in_dim;
    float inputs[ROWS * (EMBED + HIDDEN)]; /* [step, word, in_dim] */
    float states[(ROWS + BATCH) * HIDDEN]; /* [step, word, HIDDEN]: before each step, and after the last */
    float gates[ROWS * 4 * HIDDEN];        /* reset, update, new, and the state's part of new */
    float grad_x[ROWS * 3 * HIDDEN], grad_h[ROWS * 3 * HIDDEN]; /* by the results of the two maps */
} gru;

static void check(clattn_status status, const clattn_report *report, const char *what) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n%s", what, clattn_status_message(status), report ? report->text : "");
        exit(2);
    }
}

/* ------------------------------------------------------------------------------------------- parameters and maps */

/* A parameter of this name and shape, drawn; columns 0: a vector, all 0. */
static clattn_parameter add(workshop *s, const char *prefix, const char *name, int64_t rows, int64_t columns) {
    char full[96];
    clattn_report report;
    clattn_parameter added;
    snprintf(full, sizeof full, "attention.%s%s", prefix, name);
    check(clattn_parameters_add(s->parameters, full, columns ? 2 : 1, (int64_t[]){ rows, columns }, &added, &report),
          &report, full);
    if (columns) {
        check(clattn_fill(CLATTN_FILL_XAVIER, s->seed++, rows, columns, added.value), NULL, full);
    }
    return added;
}

static map map_create(workshop *s, clattn_parameter w, clattn_parameter b) {
    const clattn_linear_problem problem = { sizeof problem, ROWS, w.shape[1], w.shape[0] };
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_report report;
    map m = { .w = w, .b = b };
    options.engine = s->engine;
    check(clattn_linear_plan_create(s->runtime, &problem, &options, &m.plan, &report), &report, w.name);
    check(clattn_linear_backward_create(s->runtime, &problem, &options, &m.backward, &report), &report, w.name);
    return m;
}

static void map_destroy(map *m) {
    clattn_linear_plan_destroy(m->plan);
    clattn_linear_backward_destroy(m->backward);
}

static void map_forward(const map *m, int64_t rows, const float *input, float *output) {
    clattn_linear_tensors tensors = CLATTN_LINEAR_TENSORS_INIT;
    tensors.rows = rows, tensors.input = input, tensors.w = m->w.value, tensors.b = m->b.value, tensors.output = output;
    check(clattn_linear_execute(m->plan, &tensors), NULL, m->w.name);
}

/* Adds to what grad_input holds. */
static void map_input_backward(const map *m, int64_t rows, const float *grad_output, float *grad_input) {
    clattn_linear_gradients g = CLATTN_LINEAR_GRADIENTS_INIT;
    g.rows = rows, g.grad_output = grad_output, g.w = m->w.value, g.grad_input = grad_input, g.add = true;
    check(clattn_linear_backward_execute(m->backward, &g), NULL, m->w.name);
}

static void map_weights_backward(const map *m, int64_t rows, const float *grad_output, const float *input) {
    clattn_linear_gradients g = CLATTN_LINEAR_GRADIENTS_INIT;
    g.rows = rows, g.grad_output = grad_output, g.input = input, g.grad_w = m->w.gradient, g.grad_b = m->b.gradient;
    check(clattn_linear_backward_execute(m->backward, &g), NULL, m->w.name);
}

/* -------------------------------------------------------------------------------------------------------- the cell */

static void gru_create(gru *g, workshop *s, const char *prefix, const char *suffix, int64_t in_dim) {
    char names[4][32];
    const char *parts[] = { "weight_ih", "weight_hh", "bias_ih", "bias_hh" };
    for (int k = 0; k < 4; k++) {
        snprintf(names[k], sizeof names[k], "%s%s", parts[k], suffix);
    }
    g->in_dim = in_dim;
    g->input = map_create(s, add(s, prefix, names[0], 3 * HIDDEN, in_dim), add(s, prefix, names[2], 3 * HIDDEN, 0));
    g->state = map_create(s, add(s, prefix, names[1], 3 * HIDDEN, HIDDEN), add(s, prefix, names[3], 3 * HIDDEN, 0));
}

static void gru_destroy(gru *g) {
    map_destroy(&g->input);
    map_destroy(&g->state);
}

static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

/* Step t of a batch: from inputs and states of t, states of t + 1. */
static void gru_step(gru *g, int t) {
    static float x[BATCH * 3 * HIDDEN], h[BATCH * 3 * HIDDEN];
    const float *before = g->states + t * BATCH * HIDDEN;
    float *after = g->states + (t + 1) * BATCH * HIDDEN;
    map_forward(&g->input, BATCH, g->inputs + t * BATCH * g->in_dim, x);
    map_forward(&g->state, BATCH, before, h);
    for (int n = 0; n < BATCH; n++) {
        const float *xn = x + n * 3 * HIDDEN, *hn = h + n * 3 * HIDDEN;
        float *gate = g->gates + (t * BATCH + n) * 4 * HIDDEN;
        for (int k = 0; k < HIDDEN; k++) {
            float reset = sigmoid(xn[k] + hn[k]), update = sigmoid(xn[HIDDEN + k] + hn[HIDDEN + k]);
            float fresh = tanhf(xn[2 * HIDDEN + k] + reset * hn[2 * HIDDEN + k]);
            gate[k] = reset, gate[HIDDEN + k] = update;
            gate[2 * HIDDEN + k] = fresh, gate[3 * HIDDEN + k] = hn[2 * HIDDEN + k];
            after[n * HIDDEN + k] = (1 - update) * fresh + update * before[n * HIDDEN + k];
        }
    }
}

/* The derivative of one word's step by the sums inside the gates; grad_state becomes the direct part of that by the
 * state before. */
static void gates_backward(const float *gate, const float *before, float *grad_state, float *grad_x, float *grad_h) {
    for (int k = 0; k < HIDDEN; k++) {
        float reset = gate[k], update = gate[HIDDEN + k], fresh = gate[2 * HIDDEN + k], part = gate[3 * HIDDEN + k];
        float by_fresh = grad_state[k] * (1 - update) * (1 - fresh * fresh);
        float by_update = grad_state[k] * (before[k] - fresh) * update * (1 - update);
        float by_reset = by_fresh * part * reset * (1 - reset);
        grad_x[k] = grad_h[k] = by_reset;
        grad_x[HIDDEN + k] = grad_h[HIDDEN + k] = by_update;
        grad_x[2 * HIDDEN + k] = by_fresh;
        grad_h[2 * HIDDEN + k] = by_fresh * reset;
        grad_state[k] *= update;
    }
}

/* Step t backwards: grad_state [BATCH, HIDDEN], by the states after it, becomes that by the states before it.
 * grad_input [BATCH, in_dim] is written. */
static void gru_step_backward(gru *g, int t, float *grad_state, float *grad_input) {
    for (int n = t * BATCH; n < (t + 1) * BATCH; n++) {
        gates_backward(g->gates + n * 4 * HIDDEN, g->states + n * HIDDEN, grad_state + (n - t * BATCH) * HIDDEN,
                       g->grad_x + n * 3 * HIDDEN, g->grad_h + n * 3 * HIDDEN);
    }
    memset(grad_input, 0, (size_t)(BATCH * g->in_dim) * sizeof *grad_input);
    map_input_backward(&g->state, BATCH, g->grad_h + t * BATCH * 3 * HIDDEN, grad_state);
    map_input_backward(&g->input, BATCH, g->grad_x + t * BATCH * 3 * HIDDEN, grad_input);
}

/* Gradients of the matrices and biases, of all steps at once. */
static void gru_weights_backward(gru *g, int steps) {
    map_weights_backward(&g->input, (int64_t)steps * BATCH, g->grad_x, g->inputs);
    map_weights_backward(&g->state, (int64_t)steps * BATCH, g->grad_h, g->states);
}

#endif
