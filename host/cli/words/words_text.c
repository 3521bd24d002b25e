/*
 * Reads a text into sentences and a vocabulary. Words are numbered as they first appear, found by a hash table. Does not
 * know where a sentence is cut into tokens (words_tokens.c), nor what is done with them.
 */
#include "words/words_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"

enum { MOST_BYTES = 1 << 30 };

static const char six_sentences[] = "The quick brown fox jumps over the lazy dog.\n"
                                    "She sells seashells by the seashore.\n"
                                    "I love to eat pizza.\n"
                                    "The cat chased the mouse.\n"
                                    "The sun is shining brightly.\n"
                                    "I am feeling happy today.\n";

static int no_memory(attn_error *error) {
    return attn_fail(error, ATTN_UNSERVED, "out of memory");
}

/* Room for one more item. */
static bool make_room(void **items, int64_t count, int64_t *capacity, size_t size) {
    if (count < *capacity) {
        return true;
    }
    int64_t more = *capacity < 64 ? 64 : 2 * *capacity;
    void *grown = realloc(*items, (size_t)more * size);
    if (!grown) {
        return false;
    }
    *items = grown;
    *capacity = more;
    return true;
}

static uint64_t hash(const char *word, int64_t length) {
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (int64_t k = 0; k < length; k++) {
        h = (h ^ (unsigned char)word[k]) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* The slot of the word: its own, or the free one where it would be. */
static int64_t slot_of(const attn_word_text *text, const char *word, int64_t length) {
    int64_t slot = (int64_t)(hash(word, length) % (uint64_t)text->slot_count);
    for (; text->slots[slot] != 0; slot = (slot + 1) % text->slot_count) {
        const char *there = text->words[text->slots[slot] - 1];
        if (strncmp(there, word, (size_t)length) == 0 && there[length] == '\0') {
            break;
        }
    }
    return slot;
}

static bool rehash(attn_word_text *text) {
    int64_t count = text->slot_count < 64 ? 128 : 2 * text->slot_count;
    int64_t *slots = calloc((size_t)count, sizeof *slots);
    if (!slots) {
        return false;
    }
    free(text->slots);
    text->slots = slots;
    text->slot_count = count;
    for (int64_t w = 0; w < text->word_count; w++) {
        slots[slot_of(text, text->words[w], (int64_t)strlen(text->words[w]))] = w + 1;
    }
    return true;
}

static bool new_word(attn_word_text *text, const char *word, int64_t length) {
    int64_t capacity = text->word_capacity;
    if (!make_room((void **)&text->words, text->word_count, &text->word_capacity, sizeof *text->words) ||
        !make_room((void **)&text->counts, text->word_count, &capacity, sizeof *text->counts) ||
        (2 * text->word_count >= text->slot_count && !rehash(text))) {
        return false;
    }
    char *copy = malloc((size_t)length + 1);
    if (!copy) {
        return false;
    }
    memcpy(copy, word, (size_t)length);
    copy[length] = '\0';
    text->words[text->word_count] = copy;
    text->counts[text->word_count++] = 0;
    text->slots[slot_of(text, copy, length)] = text->word_count;
    return true;
}

int64_t attn_word_text_find(const attn_word_text *text, const char *word) {
    return text->slot_count > 0 ? text->slots[slot_of(text, word, (int64_t)strlen(word))] - 1 : -1;
}

/* Refuses a word; names one that holds it ("dog" is not there, "dog." is). */
static int not_there(const attn_word_text *text, const char *word, int64_t length, attn_error *error) {
    char part[256];
    bool whole = length < (int64_t)sizeof part;
    attn_text_copy(part, sizeof part, word, (size_t)length);
    for (int64_t w = 0; whole && w < text->word_count; w++) {
        if (strstr(text->words[w], part)) {
            return attn_fail(error, ATTN_USAGE, "\"%s\": not in the vocabulary of %s (\"%.200s\" is)", part, text->name,
                             text->words[w]);
        }
    }
    return attn_fail(error, ATTN_USAGE, "\"%s\": not in the vocabulary of %s", part, text->name);
}

int attn_word_text_token(attn_word_text *text, const char *word, int64_t length, attn_error *error) {
    if (text->slot_count == 0 && !rehash(text)) {
        return no_memory(error);
    }
    int64_t slot = slot_of(text, word, length), id = text->slots[slot] - 1;
    if (id < 0 && text->use == ATTN_TOKEN_LOOK) {
        return not_there(text, word, length, error);
    }
    if ((id < 0 && !new_word(text, word, length)) ||
        !make_room((void **)&text->ids, text->token_count, &text->token_capacity, sizeof *text->ids)) {
        return no_memory(error);
    }
    id = id < 0 ? text->word_count - 1 : id;
    text->counts[id] += text->use == ATTN_TOKEN_COUNT;
    text->ids[text->token_count++] = id;
    return ATTN_DONE;
}

/* UTF-8, and no control characters but white space: a text, not something else. */
static int check_text(const char *name, const char *text, int64_t length, attn_error *error) {
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
        if (text->token_count == before) {
            continue;
        }
        if (!make_room((void **)&text->ends, text->sentence_count, &text->sentence_capacity, sizeof *text->ends)) {
            return no_memory(error);
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
        status =
            length == 0 ? attn_fail(error, ATTN_USAGE, "%s: empty", path) : check_text(path, content, length, error);
    }
    if (status == ATTN_DONE) {
        int64_t mark = length >= 3 && memcmp(content, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        status = add_sentences(text, content + mark, length - mark, error);
    }
    free(content);
    return status;
}

int attn_word_text_cut(attn_word_text *text, const char *name, const char *sentence, bool grow, int64_t **ids,
                       int64_t *count, attn_error *error) {
    int64_t before = text->token_count;
    text->use = grow ? ATTN_TOKEN_LEARN : ATTN_TOKEN_LOOK;
    text->reading = name;
    *ids = NULL;
    int64_t length = (int64_t)strlen(sentence);
    if (check_text(name, sentence, length, error) != ATTN_DONE ||
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
        return no_memory(error);
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
