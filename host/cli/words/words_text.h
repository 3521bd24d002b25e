/*
 * Text as a word model sees it: sentences of tokens, a vocabulary in the order of first appearance, frequencies. Text is
 * UTF-8; what is not is refused.
 */
#ifndef ATTN_CLI_WORDS_WORDS_TEXT_H
#define ATTN_CLI_WORDS_WORDS_TEXT_H

#include "base/text.h"
#include "base/utf8.h"

typedef enum attn_token_kind {
    ATTN_TOKENS_SPACE,   /* what stands between white space, case and punctuation kept */
    ATTN_TOKENS_WORDS,   /* runs of letters and digits, lower-cased */
    ATTN_TOKENS_SUBWORDS /* pieces that a library cuts by a model file */
} attn_token_kind;

typedef enum attn_sentence_kind {
    ATTN_SENTENCES_LINES, /* a line each */
    ATTN_SENTENCES_MARKS  /* up to . ! or ? before white space, or an empty line */
} attn_sentence_kind;

/** What becomes of a token that the tokeniser finds. */
typedef enum attn_token_use {
    ATTN_TOKEN_COUNT, /* of the text: enters the vocabulary, is counted */
    ATTN_TOKEN_LEARN, /* of the command line: enters the vocabulary */
    ATTN_TOKEN_LOOK   /* of the command line: must be in the vocabulary */
} attn_token_use;

typedef struct attn_word_text {
    attn_token_kind tokens;
    attn_sentence_kind sentences;
    attn_token_use use;
    const char *name;    /* of the text, for errors */
    const char *reading; /* of what is read now */
    int64_t word_count, word_capacity;
    char **words;    /* the vocabulary */
    int64_t *counts; /* how often each stands in the text */
    int64_t slot_count;
    int64_t *slots; /* hash table: word + 1, 0 = free */
    int64_t token_count, token_capacity;
    int64_t *ids; /* of all tokens */
    int64_t sentence_count, sentence_capacity;
    int64_t *ends;  /* one past the last token of each sentence */
    void *letters;  /* the locale that knows letters, for ATTN_TOKENS_WORDS */
    void *subwords; /* the library's model, for ATTN_TOKENS_SUBWORDS */
} attn_word_text;

/** A run of tokens: the model's view of a sentence. */
typedef struct attn_word_span {
    const int64_t *ids;
    int64_t count;
} attn_word_span;

/** Starts an empty text. subword_model is the path of a model file, for ATTN_TOKENS_SUBWORDS. */
int attn_word_text_init(attn_word_text *text, attn_token_kind tokens, attn_sentence_kind sentences,
                        const char *subword_model, attn_error *error);
void attn_word_text_free(attn_word_text *text);

/** Reads a file, or the six sentences of the articles when path is NULL. A text without a word is refused. */
int attn_word_text_read(attn_word_text *text, const char *path, attn_error *error);

/**
 * Cuts a sentence of the command line into tokens; name stands in errors. New words enter the vocabulary where grow is
 * set (with frequency 0), else they are refused by name.
 * @param ids receives malloc'ed memory
 */
int attn_word_text_cut(attn_word_text *text, const char *name, const char *sentence, bool grow, int64_t **ids,
                       int64_t *count, attn_error *error);

/** The word's number, or -1. */
int64_t attn_word_text_find(const attn_word_text *text, const char *word);

attn_word_span attn_word_text_sentence(const attn_word_text *text, int64_t sentence);

/** For tokenisers: the next token. */
int attn_word_text_token(attn_word_text *text, const char *word, int64_t length, attn_error *error);

/** The tokens of one sentence, by the text's tokeniser (words_tokens.c). */
int attn_tokens_cut(attn_word_text *text, const char *sentence, int64_t length, attn_error *error);
int attn_tokens_init(attn_word_text *text, const char *subword_model, attn_error *error);
void attn_tokens_free(attn_word_text *text);

#endif
