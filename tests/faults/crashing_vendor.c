/* An OpenCL library that ends the program as soon as the loader opens it. */
#include <stdlib.h>

__attribute__((constructor)) static void crash(void) {
    abort();
}
