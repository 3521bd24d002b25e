/* The threads of this process, as Linux lists them. */
#ifndef TESTS_TASKS_H
#define TESTS_TASKS_H

#include <stdint.h>

enum { TASKS_MOST = 256 };

typedef struct task {
    long id;
    uint64_t blocked; /* signals: bit n - 1 for signal n */
} task;

/** Answers how many there are. */
int tasks_list(task tasks[TASKS_MOST]);

#endif
