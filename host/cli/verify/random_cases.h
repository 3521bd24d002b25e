/* Random problems for `clattn verify --cases N --seed S`. */
#ifndef ATTN_CLI_VERIFY_RANDOM_CASES_H
#define ATTN_CLI_VERIFY_RANDOM_CASES_H

#include "case/case.h"

/** Multiply-adds a random case may cost. */
#define ATTN_RANDOM_WORK 2e7

/**
 * Case number n of a seed: the same on every platform. More than one in ten has more than 512 keys, more than one in a
 * hundred more than 4096. dims_text: NULL or a list `64,128` that head_dim and value_dim are drawn from. words: "" or words
 * that every problem says in place of its own.
 */
int attn_random_case(attn_case *c, uint64_t seed, uint64_t n, const char *dims_text, const char *words,
                     attn_error *error);

#endif
