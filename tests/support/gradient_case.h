/*
 * A problem with all its memory, forward and backward, and its loss: sum of grad_output * output + grad_logsumexp *
 * logsumexp. So gradients can be compared with differences of the loss.
 */
#ifndef TESTS_GRADIENT_CASE_H
#define TESTS_GRADIENT_CASE_H

#include "support/suite.h"

enum { GRADIENT_INPUTS = 6 };

/** What has a gradient. */
typedef struct gradient_input {
    const char *name;
    uint32_t bit; /* CLATTN_GRADIENT_ */
    clattn_type type, grad_type;
    int64_t count;
    void *data, *grad; /* dense; grad is NULL where it is not asked for */
} gradient_input;

typedef struct gradient_case {
    clattn_problem forward, backward;
    clattn_tensors tensors; /* of both */
    clattn_type output_type, wide_type;
    gradient_input inputs[GRADIENT_INPUTS]; /* query, key, value, bias, slopes, sinks; count 0: not there */
    int64_t outputs, rows;
    void *output, *logsumexp, *grad_output, *grad_logsumexp, *delta;
    unsigned char *mask;
    int64_t lengths[3][64]; /* query_lengths, key_lengths, offsets */
    uint64_t seed;
} gradient_case;

/** A small problem in fp64 of which no two sizes are alike, with grad_logsumexp; and two threads without OpenCL. */
clattn_problem gradient_problem(void);
clattn_runtime *gradient_runtime(void);

/**
 * Memory for the problem of the given direction-free members, dense, filled with numbers of a seed. Gradients that the problem
 * can have are all asked for. What is `true` in the problem (lengths, grad_logsumexp, ...) gets its memory too; lengths are
 * full and offsets 0.
 */
void gradient_make(gradient_case *c, const clattn_problem *problem, uint64_t seed);
void gradient_free(gradient_case *c);

/** Draws numbers of about `size` into an array. */
void gradient_fill(clattn_type type, void *data, int64_t count, double size, uint64_t seed);

/** Forward, then backward, by an engine; fails the test when one of them fails. */
void gradient_run(clattn_runtime *runtime, gradient_case *c, const char *engine);

/** The backward alone, as the case stands. */
clattn_status gradient_run_backward(clattn_runtime *runtime, gradient_case *c, const char *engine,
                                    clattn_report *report);

/** Fails the test unless every gradient agrees with differences of the loss, whose forward the reference computes; fp64. */
void gradient_check_differences(clattn_runtime *runtime, gradient_case *c, const char *what);

#endif
