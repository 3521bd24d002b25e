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
    ATTN_RUN_INPUTS
};

enum {
    ATTN_RUN_OUTPUT,
    ATTN_RUN_LOGSUMEXP,
    ATTN_RUN_WEIGHTS,
    ATTN_RUN_PRESENT_KEY,
    ATTN_RUN_PRESENT_VALUE,
    ATTN_RUN_OUTPUTS
};

typedef struct attn_run {
    const char *input_path[ATTN_RUN_INPUTS];
    const char *output_path[ATTN_RUN_OUTPUTS];
    const char *weights_stage;
    attn_case c;                     /* what the words say */
    attn_npy input[ATTN_RUN_INPUTS]; /* data NULL: not given. KEY and VALUE hold past and new ones after reading */
    attn_npy output[ATTN_RUN_OUTPUTS];
    clattn_problem problem;
    clattn_tensors tensors;
} attn_run;

extern const char *const attn_run_input_flags[ATTN_RUN_INPUTS];
extern const char *const attn_run_output_flags[ATTN_RUN_OUTPUTS];

/** Reads every file, checks types and shapes against each other and the words, and sets problem and tensors. */
int attn_run_read(attn_run *run, attn_error *error);

/** Makes the arrays to write. */
int attn_run_make_outputs(attn_run *run, attn_error *error);

void attn_run_free(attn_run *run);

#endif
