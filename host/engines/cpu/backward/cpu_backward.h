/* The kernels of backward, in single and in double precision. */
#ifndef ATTN_ENGINES_CPU_BACKWARD_CPU_BACKWARD_H
#define ATTN_ENGINES_CPU_BACKWARD_CPU_BACKWARD_H

#undef ATTN_BACKWARD_WIDE
#define ATTN_BACKWARD_WIDE 0
#include "engines/cpu/backward/cpu_backward_ends.h"
#undef ATTN_BACKWARD_WIDE
#define ATTN_BACKWARD_WIDE 1
#include "engines/cpu/backward/cpu_backward_ends.h"

#endif
