/*
 * The sub-word tokeniser as the word model calls it. The library behind it is optional; without it sub-words are refused
 * by name. Pieces keep the library's spelling: a lower one eighth block (U+2581) stands for the space before a word.
 */
#include "words/words_subwords.h"

#include <string.h>

#include "base/input_file.h"

#if CLATTN_HAVE_SENTENCEPIECE

typedef struct piece_taker {
    attn_word_text *text;
    attn_error *error;
} piece_taker;

static int take_piece(void *user, const char *piece, long long length) {
    piece_taker *taking = user;
    return attn_word_text_token(taking->text, piece, length, taking->error);
}

int attn_subwords_open(void **model, const char *path, attn_error *error) {
    if (!path) {
        return attn_fail(error, ATTN_USAGE, "--tokens subwords: --subword-model FILE is missing");
    }
    if (attn_input_check(path, error) != ATTN_DONE) { /* the library's own message would go to stderr */
        return error->status;
    }
    *model = attn_sentencepiece_open(path);
    return *model ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "--subword-model %s: not a model of SentencePiece", path);
}

void attn_subwords_close(void *model) {
    if (model) {
        attn_sentencepiece_close(model);
    }
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

int attn_subwords_open(void **model, const char *path, attn_error *error) {
    (void)model;
    (void)path;
    return attn_fail(error, ATTN_UNSERVED, "--tokens subwords: needs SentencePiece, which this build has not");
}

void attn_subwords_close(void *model) {
    (void)model;
}

int attn_subwords_cut(attn_word_text *text, const char *sentence, int64_t length, attn_error *error) {
    (void)text;
    (void)sentence;
    (void)length;
    return attn_fail(error, ATTN_UNSERVED, "--tokens subwords: needs SentencePiece, which this build has not");
}

#endif
