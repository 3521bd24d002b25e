/* The problems of tests/golden: a line of problems.txt made ready to execute, and its expected numbers. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include "clattn/clattn.h"
#include "support/array.h"

enum { GOLDEN_FILES = 16 };

typedef struct golden {
    char name[64];
    clattn_problem problem;
    clattn_tensors tensors; /* inputs set; outputs are the test's to set */
    test_array output, logsumexp, weights; /* expected; data NULL when not given */
    test_array files[GOLDEN_FILES];        /* what the inputs point into */
    int file_count;
    void *joined[2]; /* past and new keys, values, one after the other */
} golden;

/** Reads the lines of problems.txt one by one: true with the next problem, false at the end. Begin with *position = 0. */
bool golden_next(long *position, golden *g);
void golden_free(golden *g);

#endif
