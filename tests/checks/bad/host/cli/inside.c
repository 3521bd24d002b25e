/* Not compiled: a program file that looks inside the library. */
#include "base/half.h"
