/* What others do on the processors meanwhile: a measurement beside them is not one of the machine. */
#ifndef ATTN_CLI_BASE_LOAD_H
#define ATTN_CLI_BASE_LOAD_H

#include <stdbool.h>
#include <stdio.h>

/** A moment: seconds that the processors, and this process on them, have worked until then. */
typedef struct attn_load {
    bool known;
    double at;   /* of a steady clock */
    double busy; /* of all processors this process may use, with what a hypervisor took away */
    double own;  /* of this process, all threads */
    int processors;
} attn_load;

/** Now. Not known where the system does not say (no /proc/stat). */
void attn_load_now(attn_load *load);

/** Sums the busy seconds of processors in a text like /proc/stat, of those that mine(n) allows. Answers how many. */
int attn_load_read(FILE *file, bool (*mine)(int processor), double ticks_a_second, double *busy);

/**
 * The part of threads' processors that others took between two moments, 0 to 1; < 0 = not known. Others that found room
 * on processors beside the threads took nothing.
 */
double attn_load_taken(const attn_load *from, const attn_load *to, double threads);

#endif
