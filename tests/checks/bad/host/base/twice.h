/* Includes what it needs, but has no guard. */
#include <stdint.h>

static inline int64_t attn_twice(int64_t x) {
    return 2 * x;
}
