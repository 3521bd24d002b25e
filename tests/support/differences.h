/* Central differences: whether a gradient is that of a loss, where all that can be had is the loss. */
#ifndef TESTS_DIFFERENCES_H
#define TESTS_DIFFERENCES_H

#include <stdint.h>

/** A loss of arrays that the test changes in place meanwhile. */
typedef double (*differences_loss)(void *user);

/**
 * Fails the test unless gradient[k] is the slope of the loss by x[k], for up to 40 numbers spread over x. From losses
 * at four points the error of the difference falls with the fourth power of the step (0.02); outputs that are rounded
 * to float leave some 1e-5 of the loss' terms, so the bound is 1e-3 of the largest gradient and 2e-4.
 */
void differences_check(const char *name, differences_loss loss, void *user, float *x, int64_t count,
                       const float *gradient);

/** sum_k x[k] * with[k], in double. */
double differences_sum(int64_t count, const float *x, const float *with);

#endif
