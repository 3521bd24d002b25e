/* Words are found by a hash table of their numbers. */
#include "words/words_vocabulary.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(attn_error *error) {
    return attn_fail(error, ATTN_UNSERVED, "out of memory");
}

bool attn_word_text_grow(void **items, int64_t count, int64_t *capacity, size_t size) {
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
    if (!attn_word_text_grow((void **)&text->words, text->word_count, &text->word_capacity, sizeof *text->words) ||
        !attn_word_text_grow((void **)&text->counts, text->word_count, &capacity, sizeof *text->counts) ||
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
        !attn_word_text_grow((void **)&text->ids, text->token_count, &text->token_capacity, sizeof *text->ids)) {
        return no_memory(error);
    }
    id = id < 0 ? text->word_count - 1 : id;
    text->counts[id] += text->use == ATTN_TOKEN_COUNT;
    text->ids[text->token_count++] = id;
    return ATTN_DONE;
}
