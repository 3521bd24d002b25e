/*
 * The tokenisers: white space, runs of letters and digits, characters, sub-words. Text that comes here is checked UTF-8. What is a
 * letter the C library's Unicode tables say, so no table is kept here. To add a tokeniser: its kind in words_vocabulary.h and a
 * function here.
 */
#define _POSIX_C_SOURCE 200809L
#include "words/words_tokens.h"

#include <ctype.h>
#include <locale.h>
#include <stdlib.h>
#include <wchar.h>
#include <wctype.h>

#include "base/utf8.h"
#include "words/words_subwords.h"

static int cut_space(attn_word_text *text, const char *sentence, int64_t length, attn_error *error) {
    int64_t start = -1;
    for (int64_t at = 0, step; at <= length; at += step) {
        uint32_t code = ' ';
        step = at < length ? attn_utf8_next(sentence + at, length - at, &code) : 1;
        bool space = attn_utf8_is_space(code);
        if (!space && start < 0) {
            start = at;
        }
        if (space && start >= 0) {
            if (attn_word_text_token(text, sentence + start, at - start, error) != ATTN_DONE) {
                return error->status;
            }
            start = -1;
        }
    }
    return ATTN_DONE;
}

static int cut_words(attn_word_text *text, const char *sentence, int64_t length, attn_error *error) {
    locale_t letters = (locale_t)text->letters;
    char *word = malloc(2 * (size_t)length + 4); /* lower case may be longer */
    int64_t used = 0;
    int status = word ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    for (int64_t at = 0, step; status == ATTN_DONE && at <= length; at += step) {
        uint32_t code = ' ';
        step = at < length ? attn_utf8_next(sentence + at, length - at, &code) : 1;
        if (iswalnum_l((wint_t)code, letters) != 0 || (used > 0 && attn_utf8_is_mark(code))) {
            used += attn_utf8_put(word + used, (uint32_t)towlower_l((wint_t)code, letters));
        } else if (used > 0) {
            status = attn_word_text_token(text, word, used, error);
            used = 0;
        }
    }
    free(word);
    return status;
}

static int cut_characters(attn_word_text *text, const char *sentence, int64_t length, attn_error *error) {
    length -= length > 0 && sentence[length - 1] == '\n';
    length -= length > 0 && sentence[length - 1] == '\r';
    for (int64_t at = 0, step; at < length; at += step) {
        uint32_t code;
        step = attn_utf8_next(sentence + at, length - at, &code);
        if (attn_word_text_token(text, sentence + at, step, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return ATTN_DONE;
}

int attn_tokens_cut(attn_word_text *text, const char *sentence, int64_t length, attn_error *error) {
    switch (text->tokens) {
        case ATTN_TOKENS_WORDS: return cut_words(text, sentence, length, error);
        case ATTN_TOKENS_SUBWORDS: return attn_subwords_cut(text, sentence, length, error);
        case ATTN_TOKENS_CHARACTERS: return cut_characters(text, sentence, length, error);
        default: return cut_space(text, sentence, length, error);
    }
}

static int find_letters(attn_word_text *text, attn_error *error) {
    static const char *const names[] = { "C.UTF-8", "en_US.UTF-8", "UTF-8" };
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        locale_t locale = newlocale(LC_CTYPE_MASK, names[n], (locale_t)0);
        if (locale == (locale_t)0) {
            continue;
        }
        if (iswalpha_l((wint_t)0xe9, locale) != 0) { /* it knows more than ASCII */
            text->letters = locale;
            return ATTN_DONE;
        }
        freelocale(locale);
    }
    return attn_fail(error, ATTN_UNSERVED,
                     "--tokens words: this system has no UTF-8 locale (C.UTF-8) to tell letters by");
}

int attn_tokens_init(attn_word_text *text, const char *subword_model, attn_error *error) {
    switch (text->tokens) {
        case ATTN_TOKENS_WORDS: return find_letters(text, error);
        case ATTN_TOKENS_SUBWORDS: return attn_subwords_read(text, subword_model, error);
        default: return ATTN_DONE;
    }
}

void attn_tokens_free(attn_word_text *text) {
    if (text->letters) {
        freelocale((locale_t)text->letters);
    }
    attn_subwords_close(text);
}
