/* The small JSON of headers: any sequence of its functions on any text stays inside the text. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "layers/header_json.h"

/* One function a byte; false when it found an error. */
static bool step(attn_header_json *json, uint8_t which) {
    int64_t numbers[8], count;
    switch (which % 6) {
        case 0: return attn_header_take(json, '{') || attn_header_take(json, ',');
        case 1: return attn_header_expect(json, ':', "a ':' was expected");
        case 2: {
            const char *string = attn_header_string(json);
            FUZZ_CHECK(!string || (string >= json->text && string + strlen(string) < json->text + json->length));
            return string;
        }
        case 3: return attn_header_integer(json) >= 0;
        case 4:
            count = attn_header_integers(json, numbers, 8);
            FUZZ_CHECK(count <= 8);
            for (int64_t k = 0; k < count; k++) {
                FUZZ_CHECK(numbers[k] >= 0);
            }
            return count >= 0;
        default: return attn_header_at_end(json);
    }
}

/* The first bytes, up to a newline, say which functions are called. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t steps = newline ? (size_t)(newline - data) : 0;
    char *text = fuzz_text(data + steps, size - steps);
    attn_header_json json = { text, (int64_t)(size - steps), 0, NULL };
    for (size_t k = 0; k < steps; k++) {
        (void)step(&json, data[k]);
        FUZZ_CHECK(json.at >= 0 && json.at <= json.length);
    }
    free(text);
    return 0;
}
