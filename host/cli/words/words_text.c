/*
 * Reads a text into sentences, whose tokens enter the vocabulary. Does not know where a sentence is cut into tokens, nor what
 * is done with them.
 */
#include "words/words_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"
#include "base/utf8.h"
#include "words/words_subwords.h"
#include "words/words_tokens.h"

enum { MOST_BYTES = 1 << 30 };

static const char six_sentences[] = "The quick brown fox jumps over the lazy dog.\n"
                                    "She sells seashells by the seashore.\n"
                                    "I love to eat pizza.\n"
                                    "The cat chased the mouse.\n"
                                    "The sun is shining brightly.\n"
                                    "I am feeling happy today.\n";

int attn_word_text_check(const char *name, const char *text, int64_t length, attn_error *error) {
    int64_t line = 1;
    uint32_t code = 0;
    for (int64_t at = 0, step; at < length; at += step) {
        step = attn_utf8_next(text + at, length - at, &code);
        if (step == 0) {
            return attn_fail(error, ATTN_USAGE, "%s: line %" PRId64 ": invalid UTF-8 (byte 0x%02x)", name, line,
                             (unsigned)(unsigned char)text[at]);
        }
        if ((code < 0x20 || (code >= 0x7f && code < 0xa0)) && !attn_utf8_is_space(code)) {
            return attn_fail(error, ATTN_USAGE,
                             "%s: line %" PRId64 ": a control character (0x%02x); a text is expected", name, line,
                             (unsigned)code);
        }
        line += code == '\n';
    }
    return ATTN_DONE;
}

/* Length of the sentence at the start of text; *skip more characters lead to the next one. */
static int64_t sentence_length(const attn_word_text *kind, const char *text, int64_t length) {
    if (kind->sentences == ATTN_SENTENCES_LINES) {
        const char *newline = memchr(text, '\n', (size_t)length);
        return newline ? newline - text + 1 : length;
    }
    for (int64_t at = 0; at < length; at++) {
        if (text[at] == '\n' && at + 1 < length && text[at + 1] == '\n') {
            return at + 1;
        }
        if (strchr(".!?", text[at])) {
            int64_t end = at + 1;
            while (end < length && strchr("\"')]", text[end])) {
                end++;
            }
            if (end == length || strchr(" \t\r\n", text[end])) {
                return end;
            }
        }
    }
    return length;
}

static int add_sentences(attn_word_text *text, const char *content, int64_t length, attn_error *error) {
    for (int64_t at = 0, step; at < length; at += step) {
        int64_t before = text->token_count;
        step = sentence_length(text, content + at, length - at);
        if (attn_tokens_cut(text, content + at, step, error) != ATTN_DONE) {
            return error->status;
        }
        if (text->token_count == before && !text->keep_empty) {
            continue;
        }
        if (!attn_word_text_grow((void **)&text->ends, text->sentence_count, &text->sentence_capacity,
                                 sizeof *text->ends)) {
            return attn_fail(error, ATTN_UNSERVED, "out of memory");
        }
        text->ends[text->sentence_count++] = text->token_count;
    }
    return text->token_count > 0 ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "%s: no words in it", text->name);
}

int attn_word_text_read(attn_word_text *text, const char *path, attn_error *error) {
    text->use = ATTN_TOKEN_COUNT;
    text->name = text->reading = path ? path : "the six sentences";
    if (!path) {
        return add_sentences(text, six_sentences, (int64_t)strlen(six_sentences), error);
    }
    char *content;
    int64_t length;
    int status = attn_input_text(path, MOST_BYTES, &content, &length, error);
    if (status == ATTN_DONE) {
        status = length == 0 ? attn_fail(error, ATTN_USAGE, "%s: empty", path)
                             : attn_word_text_check(path, content, length, error);
    }
    if (status == ATTN_DONE) {
        int64_t mark = length >= 3 && memcmp(content, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        status = add_sentences(text, content + mark, length - mark, error);
    }
    free(content);
    return status;
}

int attn_word_text_take(attn_word_text *text, const char *name, const char *content, attn_error *error) {
    int64_t length = (int64_t)strlen(content);
    text->use = ATTN_TOKEN_COUNT;
    text->name = text->reading = name;
    int status = attn_word_text_check(name, content, length, error);
    return status == ATTN_DONE ? add_sentences(text, content, length, error) : status;
}

int attn_word_text_cut(attn_word_text *text, const char *name, const char *sentence, bool grow, int64_t **ids,
                       int64_t *count, attn_error *error) {
    int64_t before = text->token_count;
    text->use = grow ? ATTN_TOKEN_LEARN : ATTN_TOKEN_LOOK;
    text->reading = name;
    *ids = NULL;
    int64_t length = (int64_t)strlen(sentence);
    if (attn_word_text_check(name, sentence, length, error) != ATTN_DONE ||
        attn_tokens_cut(text, sentence, length, error) != ATTN_DONE) {
        return error->status;
    }
    *count = text->token_count - before;
    text->token_count = before; /* the text itself stays as it was */
    if (*count == 0) {
        return attn_fail(error, ATTN_USAGE, "%s: no words in it", name);
    }
    *ids = malloc((size_t)*count * sizeof **ids);
    if (!*ids) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    memcpy(*ids, text->ids + before, (size_t)*count * sizeof **ids);
    return ATTN_DONE;
}

attn_word_span attn_word_text_sentence(const attn_word_text *text, int64_t sentence) {
    int64_t start = sentence > 0 ? text->ends[sentence - 1] : 0;
    return (attn_word_span){ text->ids + start, text->ends[sentence] - start };
}

int attn_word_text_init(attn_word_text *text, attn_token_kind tokens, attn_sentence_kind sentences,
                        const char *subword_model, attn_error *error) {
    *text = (attn_word_text){ .tokens = tokens, .sentences = sentences };
    return attn_tokens_init(text, subword_model, error);
}

int attn_word_text_init_bytes(attn_word_text *text, attn_token_kind tokens, attn_sentence_kind sentences, char *bytes,
                              int64_t size, const char *name, attn_error *error) {
    *text = (attn_word_text){ .tokens = tokens, .sentences = sentences, .subword_bytes = bytes, .subword_size = size };
    return tokens == ATTN_TOKENS_SUBWORDS ? attn_subwords_open(text, name, error) : attn_tokens_init(text, NULL, error);
}

void attn_word_text_free(attn_word_text *text) {
    for (int64_t w = 0; w < text->word_count; w++) {
        free(text->words[w]);
    }
    free(text->words);
    free(text->counts);
    free(text->slots);
    free(text->ids);
    free(text->ends);
    attn_tokens_free(text);
    *text = (attn_word_text){ 0 };
}
