/* Text files of word vectors: what is taken is finite, found by its word, and was written out in the file. */
#include <math.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clattn_word_vectors *vectors = NULL;
    clattn_report report;
    clattn_status status = clattn_word_vectors_read(fuzz_runtime(), fuzz_file(data, size), &vectors, &report);
    if (status != CLATTN_OK) {
        FUZZ_CHECK(status == CLATTN_INVALID_ARGUMENT && !vectors && report.length > 0);
        return 0;
    }
    int64_t count = clattn_word_vectors_count(vectors), dim = clattn_word_vectors_dim(vectors);
    FUZZ_CHECK(count > 0 && dim > 0 && (uint64_t)count * (uint64_t)dim * 2 < size);
    for (int64_t k = 0; k < count; k++) {
        const char *word = clattn_word_vectors_word(vectors, k);
        FUZZ_CHECK(word && word[0] != '\0' && clattn_word_vectors_find(vectors, word) == k);
    }
    for (int64_t k = 0; k < count * dim; k++) {
        FUZZ_CHECK(isfinite(clattn_word_vectors_table(vectors)[k]));
    }
    clattn_word_vectors_destroy(vectors);
    return 0;
}
