/*
 * The sub-word tokeniser as the word model calls it. The library behind it is optional; without it sub-words are refused
 * by name. Pieces keep the library's spelling: a lower one eighth block (U+2581) stands for the space before a word.
 */
#include "words/words_subwords.h"

#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"

#if CLATTN_HAVE_SENTENCEPIECE

enum { MOST_BYTES = 1 << 30 };

typedef struct piece_taker {
    attn_word_text *text;
    attn_error *error;
} piece_taker;

static int take_piece(void *user, const char *piece, long long length) {
    piece_taker *taking = user;
    return attn_word_text_token(taking->text, piece, length, taking->error);
}

int attn_subwords_open(attn_word_text *text, const char *name, attn_error *error) {
    text->subwords = attn_sentencepiece_open(text->subword_bytes, text->subword_size);
    return text->subwords ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "%s: not a model of SentencePiece", name);
}

int attn_subwords_read(attn_word_text *text, const char *path, attn_error *error) {
    char name[256];
    if (!path) {
        return attn_fail(error, ATTN_USAGE, "--tokens subwords: --subword-model FILE is missing");
    }
    if (attn_input_text(path, MOST_BYTES, &text->subword_bytes, &text->subword_size, error) != ATTN_DONE) {
        return error->status;
    }
    snprintf(name, sizeof name, "--subword-model %.200s", path);
    return attn_subwords_open(text, name, error);
}

void attn_subwords_close(attn_word_text *text) {
    if (text->subwords) {
        attn_sentencepiece_close(text->subwords);
    }
    free(text->subword_bytes);
}

int attn_subwords_cut(attn_word_text *text, const char *sentence, int64_t length, attn_error *error) {
    piece_taker taking = { text, error };
    while (length > 0 && strchr(" \t\r\n", sentence[length - 1])) { /* the library takes them for words */
        length--;
    }
    while (length > 0 && strchr(" \t\r\n", sentence[0])) {
        sentence++;
        length--;
    }
    int status = attn_sentencepiece_cut(text->subwords, sentence, length, take_piece, &taking);
    return status < 0 ? attn_fail(error, ATTN_USAGE, "%s: the sub-word library failed on it", text->reading) : status;
}

#else

static int not_built(attn_error *error) {
    return attn_fail(error, ATTN_UNSERVED, "--tokens subwords: needs SentencePiece, which this build has not");
}

int attn_subwords_open(attn_word_text *text, const char *name, attn_error *error) {
    (void)text;
    (void)name;
    return not_built(error);
}

int attn_subwords_read(attn_word_text *text, const char *path, attn_error *error) {
    (void)text;
    (void)path;
    return not_built(error);
}

void attn_subwords_close(attn_word_text *text) {
    free(text->subword_bytes);
}

int attn_subwords_cut(attn_word_text *text, const char *sentence, int64_t length, attn_error *error) {
    (void)text;
    (void)sentence;
    (void)length;
    return not_built(error);
}

#endif
