/*
 * When a result is right (docs/numerics.md): a bound for every element, pooled comparisons with plain evaluation,
 * empty rows, logsumexp and weights, guard zones, the same bits twice. The gold is the library's reference, a row at a
 * time.
 */
#ifndef ATTN_CLI_GATE_GATE_H
#define ATTN_CLI_GATE_GATE_H

#include "case/case_data.h"
#include "clattn/clattn_inspect.h"

/** What the gate found about one result. */
typedef struct attn_gate_result {
    bool passed, refused;
    char failure[1024]; /* the first broken rule, with numbers; or why it was refused */
    int64_t failures;   /* elements beyond their bound */
    int64_t rows, outputs;
    double worst;   /* largest error as a part of its bound */
    int64_t pooled; /* outputs pooled for the comparisons below; they are made from 4096 on */
    double max_error, mean_error, plain_max, plain_mean;
    int64_t plain_rows; /* rows evaluated plainly, and how long that took */
    double plain_seconds;
    double nmse, drift;    /* normalised mean squared error; |mean signed error| as a part of the mean bound */
    clattn_plan_info info; /* of the plan that served; its strings are static */
} attn_gate_result;

/** A result to be judged: memory laid out as in the case's tensors. */
typedef struct attn_gate_subject {
    const void *output, *logsumexp, *weights; /* the last two may be NULL */
    attn_gate_result *result;                 /* info is filled in */
} attn_gate_subject;

/** Which rows are looked at. */
typedef struct attn_gate_options {
    double max_work; /* multiply-adds the reference may spend; rows beyond are sampled evenly. 0 = every row */
    int plain_runs;  /* times the plain evaluation of a row is run, the fastest counts; 0 = once */
} attn_gate_options;

/** Judges count results of one case against the reference. Fails only where the reference itself cannot run. */
int attn_gate_check(const attn_case_data *data, const attn_gate_options *options, attn_gate_subject *subjects,
                    int count, attn_error *error);

/**
 * Runs the case twice on an engine: same bits, nothing written outside. Leaves the outputs in copies (output,
 * logsumexp, weights; the caller frees the block of each). A refusal sets result->refused.
 */
int attn_gate_execute(clattn_runtime *runtime, const char *engine, int64_t device, attn_case_data *data,
                      attn_guarded copies[3], attn_gate_result *result, attn_error *error);

/** Gold of the gradients of a backward case. Options may be NULL; max_work leaves rows, keys and heads out. */
typedef struct attn_gradient_gold attn_gradient_gold;

/** Free it in any case. */
int attn_gate_gradients_create(attn_gradient_gold **gold, const attn_case_data *data, const attn_gate_options *options,
                               attn_error *error);
void attn_gate_gradients_free(attn_gradient_gold *gold);

/** Runs a backward case twice on an engine, as attn_gate_execute(), and judges what it wrote by rule 6. */
int attn_gate_gradients_engine(clattn_runtime *runtime, const char *engine, int64_t device, attn_case_data *data,
                               const attn_gradient_gold *gold, attn_gate_result *result, attn_error *error);

/** Judges gradients as they stand in the case's memory. */
void attn_gate_gradients_check(const attn_case_data *data, const attn_gradient_gold *gold, attn_gate_result *result);

/** Makes output and logsumexp of a timed backward case, by the best engine here or else the reference. */
int attn_gate_forward(clattn_runtime *runtime, attn_case_data *data, attn_error *error);

/** Times the plain backward of some rows, as many as the options allow: how many, and the seconds of all of them. */
int attn_gate_plain_backward(const attn_case_data *data, const attn_gate_options *options, int64_t *rows,
                             double *seconds, attn_error *error);

/** Both: runs one engine and judges it, forward or backward. */
int attn_gate_engine(clattn_runtime *runtime, const char *engine, int64_t device, attn_case_data *data,
                     const attn_gate_options *options, attn_gate_result *result, attn_error *error);

#endif
