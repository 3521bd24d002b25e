/* A harness that breaks its promise for inputs of 20 bytes and more. No seed of it is as long; the driver must find one. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)data;
    FUZZ_CHECK(size < 20);
    return 0;
}
