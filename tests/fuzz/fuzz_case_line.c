/* A line of problem words. What is taken says itself again: its text read once more is the same case. */
#include <stdlib.h>
#include <string.h>

#include "case/case.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static attn_error error;
    char *line = fuzz_text(data, size);
    attn_cases cases = { 0 }, again = { 0 };
    error = (attn_error){ 0 };
    int status = attn_cases_line(&cases, line, &error);
    FUZZ_CHECK(status == ATTN_DONE ? cases.count >= 0 : status == error.status && error.text[0] != '\0');
    if (status == ATTN_DONE && cases.count > 0) {
        const attn_case *c = &cases.items[cases.count - 1];
        FUZZ_CHECK(attn_cases_line(&again, c->text, &error) == ATTN_DONE && again.count == 1);
        FUZZ_CHECK(strcmp(again.items[0].text, c->text) == 0 && again.items[0].seed == c->seed);
        FUZZ_CHECK(again.items[0].problem.head_dim == c->problem.head_dim);
    }
    attn_cases_free(&cases);
    attn_cases_free(&again);
    free(line);
    return 0;
}
