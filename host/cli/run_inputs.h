/* The files of `clattn run`, and the problem and tensors that follow from them. */
#ifndef ATTN_CLI_RUN_INPUTS_H
#define ATTN_CLI_RUN_INPUTS_H

#include "base/npy.h"
#include "case/case.h"

enum {
    ATTN_RUN_QUERY,
    ATTN_RUN_KEY,
    ATTN_RUN_VALUE,
    ATTN_RUN_PAST_KEY,
    ATTN_RUN_PAST_VALUE,
    ATTN_RUN_MASK,
    ATTN_RUN_BIAS,
    ATTN_RUN_KEY_LENGTHS,
    ATTN_RUN_QUERY_LENGTHS,
    ATTN_RUN_OFFSETS,
    ATTN_RUN_SLOPES,
    ATTN_RUN_SINKS,
    ATTN_RUN_GRAD_OUTPUT,
    ATTN_RUN_GRAD_LOGSUMEXP,
    ATTN_RUN_INPUTS
};

enum {
    ATTN_RUN_OUTPUT,
    ATTN_RUN_LOGSUMEXP,
    ATTN_RUN_WEIGHTS,
    ATTN_RUN_PRESENT_KEY,
    ATTN_RUN_PRESENT_VALUE,
    ATTN_RUN_DROPOUT_MASK,
    ATTN_RUN_GRAD_QUERY, /* from here on the backward's */
    ATTN_RUN_GRAD_KEY,
    ATTN_RUN_GRAD_VALUE,
    ATTN_RUN_GRAD_BIAS,
    ATTN_RUN_GRAD_SLOPES,
    ATTN_RUN_GRAD_SINKS,
    ATTN_RUN_OUTPUTS
};

typedef struct attn_run {
    const char *input_path[ATTN_RUN_INPUTS];
    const char *output_path[ATTN_RUN_OUTPUTS];
    const char *weights_stage;
    attn_case c;                     /* what the words say */
    attn_npy input[ATTN_RUN_INPUTS]; /* data NULL: not given. KEY and VALUE hold past and new ones after reading */
    attn_npy output[ATTN_RUN_OUTPUTS];
    clattn_problem problem; /* of the forward */
    clattn_tensors tensors;
    bool backward; /* the forward first, then gradients */
    clattn_problem gradients;
} attn_run;

extern const char *const attn_run_input_flags[ATTN_RUN_INPUTS];
extern const char *const attn_run_output_flags[ATTN_RUN_OUTPUTS];

/** Reads every file, checks types and shapes against each other and the words, and sets problem and tensors. */
int attn_run_read(attn_run *run, attn_error *error);

/** Refuses an input, naming its flag, file, and what the file holds. */
int attn_run_refuse_input(const attn_run *run, int which, const char *wants, attn_error *error);

/** Checks which options belong to the direction; before anything is read. */
int attn_run_check_direction(attn_run *run, attn_error *error);

/** Checks the gradients given, and makes of the forward's problem the backward's; after attn_run_read(). */
int attn_run_find_gradients(attn_run *run, attn_error *error);

/** Makes the arrays of gradients to write. */
int attn_run_make_gradients(attn_run *run, attn_error *error);

/** What is written in the storage type, or in fp32 where the words say so. */
attn_npy_type attn_run_result_type(const attn_run *run, clattn_result_type type);

/** Makes the arrays to write. */
int attn_run_make_outputs(attn_run *run, attn_error *error);

void attn_run_free(attn_run *run);

#endif
