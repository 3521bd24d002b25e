/* Not compiled: a program file that looks inside the library and into its kernels. */
#include "base/half.h"
#include "kernels/include/arguments.cl.h"
