/*
 * A text as the word commands read it: UTF-8, sentences, tokens, vocabulary. The first byte says how it is cut. A word
 * of the text is found in its vocabulary, and a sentence of the text can be cut again.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "words/words_text.h"

static void check_text(attn_word_text *text, const char *content) {
    static attn_error error;
    int64_t *ids = NULL, count = 0, tokens = text->token_count, counted = 0;
    for (int64_t w = 0; w < text->word_count; w++) {
        FUZZ_CHECK(attn_word_text_find(text, text->words[w]) == w);
        counted += text->counts[w];
    }
    FUZZ_CHECK(counted == tokens && text->sentence_count > 0);
    for (int64_t s = 0; s < text->sentence_count; s++) {
        attn_word_span span = attn_word_text_sentence(text, s);
        FUZZ_CHECK(span.count > 0 && span.ids + span.count <= text->ids + text->token_count);
    }
    if (attn_word_text_cut(text, "again", content, false, &ids, &count, &error) == ATTN_DONE) {
        FUZZ_CHECK(count > 0 && text->token_count == tokens);
        free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static attn_error error;
    attn_word_text text;
    static const attn_token_kind tokens[] = { ATTN_TOKENS_SPACE, ATTN_TOKENS_WORDS, ATTN_TOKENS_CHARACTERS };
    int how = size > 0 ? data[0] % 6 : 0;
    size_t skip = size > 0;
    error = (attn_error){ 0 };
    FUZZ_CHECK(attn_word_text_init(&text, tokens[how / 2], how & 1 ? ATTN_SENTENCES_MARKS : ATTN_SENTENCES_LINES, NULL,
                                   &error) == ATTN_DONE);
    const char *path = fuzz_file(data + skip, size - skip);
    if (attn_word_text_read(&text, path, &error) == ATTN_DONE) {
        char *content = fuzz_text(data + skip, size - skip);
        check_text(&text, content);
        free(content);
    } else {
        FUZZ_CHECK(strstr(error.text, path));
    }
    attn_word_text_free(&text);
    return 0;
}
