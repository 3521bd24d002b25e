/*
 * Text as a word model sees it: sentences of tokens, a vocabulary in the order of first appearance, frequencies. Text is
 * UTF-8; what is not is refused.
 */
#ifndef ATTN_CLI_WORDS_WORDS_TEXT_H
#define ATTN_CLI_WORDS_WORDS_TEXT_H

#include "words/words_vocabulary.h"

/** Starts an empty text. subword_model is the path of a model file, for ATTN_TOKENS_SUBWORDS. */
int attn_word_text_init(attn_word_text *text, attn_token_kind tokens, attn_sentence_kind sentences,
                        const char *subword_model, attn_error *error);
/** The same with the bytes of that model file, which are the text's from now on (free()); name stands in errors. */
int attn_word_text_init_bytes(attn_word_text *text, attn_token_kind tokens, attn_sentence_kind sentences, char *bytes,
                              int64_t size, const char *name, attn_error *error);
void attn_word_text_free(attn_word_text *text);

/** Refuses what is not UTF-8 or has control characters but white space; name stands in errors, with the line. */
int attn_word_text_check(const char *name, const char *text, int64_t length, attn_error *error);

/** Reads a file, or the six sentences of the articles when path is NULL. A text without a word is refused. */
int attn_word_text_read(attn_word_text *text, const char *path, attn_error *error);

/** Takes a text of the command line instead; name stands in errors. */
int attn_word_text_take(attn_word_text *text, const char *name, const char *content, attn_error *error);

/**
 * Cuts a sentence of the command line into tokens; name stands in errors. New words enter the vocabulary where grow is
 * set (with frequency 0), else they are refused by name.
 * @param ids receives malloc'ed memory
 */
int attn_word_text_cut(attn_word_text *text, const char *name, const char *sentence, bool grow, int64_t **ids,
                       int64_t *count, attn_error *error);

attn_word_span attn_word_text_sentence(const attn_word_text *text, int64_t sentence);

#endif
