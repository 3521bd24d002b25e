/* Text to float beside the C library's, which knows hexadecimal numbers, infinities and white space as well. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "layers/float_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size), *end;
    float got = 0, expected = strtof(text, &end);
    bool decimal = text[0] != '\0' && strspn(text, "0123456789.+-eE") == strlen(text);
    bool taken = attn_layer_float(text, &got);
    FUZZ_CHECK(taken == (decimal && end != text && *end == '\0' && isfinite(expected)));
    FUZZ_CHECK(!taken || memcmp(&got, &expected, sizeof got) == 0);
    free(text);
    return 0;
}
