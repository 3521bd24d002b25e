/*
 * The vocabulary of a text: words numbered as they first appear, how often each stands there, and the numbers of all tokens.
 * Below the readers of texts and the tokenisers, which fill it.
 */
#ifndef ATTN_CLI_WORDS_WORDS_VOCABULARY_H
#define ATTN_CLI_WORDS_WORDS_VOCABULARY_H

#include "base/text.h"

typedef enum attn_token_kind {
    ATTN_TOKENS_SPACE,   /* what stands between white space, case and punctuation kept */
    ATTN_TOKENS_WORDS,   /* runs of letters and digits, lower-cased */
    ATTN_TOKENS_SUBWORDS, /* pieces that a library cuts by a model file */
    ATTN_TOKENS_CHARACTERS /* every character, but for the line break at a sentence's end */
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
    bool keep_empty;     /* a line without tokens is a sentence, too */
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
    char *subword_bytes; /* the file that it was read from */
    int64_t subword_size;
} attn_word_text;

/** A run of tokens: the model's view of a sentence. */
typedef struct attn_word_span {
    const int64_t *ids;
    int64_t count;
} attn_word_span;

/** For tokenisers: the next token. */
int attn_word_text_token(attn_word_text *text, const char *word, int64_t length, attn_error *error);

/** The word's number, or -1. */
int64_t attn_word_text_find(const attn_word_text *text, const char *word);

/** Room for one more item of an array; false when there is no memory. */
bool attn_word_text_grow(void **items, int64_t count, int64_t *capacity, size_t size);

#endif
