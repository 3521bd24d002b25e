/* Cuts sentences into tokens: at white space, at what is no letter or digit, or by a sub-word model. */
#ifndef ATTN_CLI_WORDS_WORDS_TOKENS_H
#define ATTN_CLI_WORDS_WORDS_TOKENS_H

#include "words/words_vocabulary.h"

/** The tokens of one sentence, by the text's tokeniser. */
int attn_tokens_cut(attn_word_text *text, const char *sentence, int64_t length, attn_error *error);
int attn_tokens_init(attn_word_text *text, const char *subword_model, attn_error *error);
void attn_tokens_free(attn_word_text *text);

#endif
