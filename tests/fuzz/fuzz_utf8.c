/* Walking over UTF-8: what is taken is written back as the same bytes, and never goes past the end. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *bytes = malloc(size > 0 ? size : 1);
    FUZZ_CHECK(bytes);
    memcpy(bytes, size > 0 ? data : (const uint8_t *)"", size);
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        char again[4];
        int length = attn_utf8_next(bytes + at, (int64_t)(size - at), &code);
        FUZZ_CHECK(length >= 0 && (size_t)length <= size - at);
        FUZZ_CHECK(length == 0 ||
                   (attn_utf8_put(again, code) == length && memcmp(again, bytes + at, (size_t)length) == 0));
        FUZZ_CHECK(length == 0 || (code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)));
        at += length > 0 ? (size_t)length : 1;
    }
    free(bytes);
    char *text = fuzz_text(data, size);
    FUZZ_CHECK(attn_utf8_width(text) >= 0);
    free(text);
    return 0;
}
