/* A suite: a file of problem lines and comments. Errors name the file and the line; names stay inside their room. */
#include <string.h>

#include "case/case.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static attn_error error;
    attn_cases cases = { 0 };
    const char *path = fuzz_file(data, size);
    error = (attn_error){ 0 };
    int status = attn_cases_file(&cases, path, &error);
    FUZZ_CHECK(status == ATTN_DONE || (status == error.status && strstr(error.text, path)));
    if (status == ATTN_DONE && cases.count < 64) {
        FUZZ_CHECK(attn_cases_tell_apart(&cases, &error) == ATTN_DONE);
    }
    for (int64_t k = 0; k < cases.count; k++) {
        FUZZ_CHECK(memchr(cases.items[k].name, '\0', sizeof cases.items[k].name));
        FUZZ_CHECK(memchr(cases.items[k].text, '\0', sizeof cases.items[k].text));
    }
    attn_cases_free(&cases);
    return 0;
}
