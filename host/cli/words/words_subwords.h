/*
 * Sub-words by SentencePiece, where the build found it: a thin line between its C++ and this program's C. Without it the
 * functions are there too and say so.
 */
#ifndef ATTN_CLI_WORDS_WORDS_SUBWORDS_H
#define ATTN_CLI_WORDS_WORDS_SUBWORDS_H

#include "words/words_vocabulary.h"

/** Reads a model file (path NULL: bad usage) into text->subword_bytes, and opens it. */
int attn_subwords_read(attn_word_text *text, const char *path, attn_error *error);
/** Opens the model in text->subword_bytes; name stands in errors. */
int attn_subwords_open(attn_word_text *text, const char *name, attn_error *error);
void attn_subwords_close(attn_word_text *text);

int attn_subwords_cut(attn_word_text *text, const char *sentence, int64_t length, attn_error *error);

#if CLATTN_HAVE_SENTENCEPIECE
#ifdef __cplusplus
extern "C" {
#endif
/* words_sentencepiece.cc */
void *attn_sentencepiece_open(const char *bytes, long long size);
void attn_sentencepiece_close(void *model);
/** Calls take() for each piece until it answers something else than 0, which is then the answer; -1 = the library
 * failed. */
int attn_sentencepiece_cut(void *model, const char *sentence, long long length,
                           int (*take)(void *user, const char *piece, long long length), void *user);
#ifdef __cplusplus
}
#endif
#endif

#endif
