/* Not compiled: an engine of one family includes another's, and a folder includes one beside it. */
#include "engines/cpu/cpu_kernels.h"
#include "engines/opencl/decode/opencl_decode_gpu.h"
