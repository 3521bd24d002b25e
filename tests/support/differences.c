/* Central differences with one step of Richardson's extrapolation. */
#include "support/differences.h"

#include <check.h>
#include <inttypes.h>
#include <math.h>

/* The slope from the losses `step` to either side; the steps are what the floats made of them. */
static double slope(differences_loss loss, void *user, float *x, float step) {
    const float here = *x;
    *x = here + step;
    double right = (double)*x, above = loss(user);
    *x = here - step;
    double left = (double)*x, below = loss(user);
    *x = here;
    return (above - below) / (right - left);
}

void differences_check(const char *name, differences_loss loss, void *user, float *x, int64_t count,
                       const float *gradient) {
    double most = 0;
    for (int64_t k = 0; k < count; k++) {
        most = fmax(most, fabs((double)gradient[k]));
    }
    int64_t stride = count > 40 ? count / 40 : 1;
    for (int64_t k = 0; k < count; k += stride) {
        double near = slope(loss, user, &x[k], 0.02f), far = slope(loss, user, &x[k], 0.04f);
        double expected = (4 * near - far) / 3;
        ck_assert_msg(fabs((double)gradient[k] - expected) <= 1e-3 * most + 2e-4,
                      "%s, element %" PRId64 ": gradient %.9g, differences say %.9g", name, k, (double)gradient[k],
                      expected);
    }
}

double differences_sum(int64_t count, const float *x, const float *with) {
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        sum += (double)x[k] * (double)with[k];
    }
    return sum;
}
