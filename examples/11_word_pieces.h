/*
 * Words cut into the pieces of a vocabulary, as BERT's uncased models have them: lower case, split at white space and
 * punctuation, then the longest pieces from the left; pieces inside a word begin with ##. ASCII text only.
 */
#ifndef EXAMPLE_WORD_PIECES_H
#define EXAMPLE_WORD_PIECES_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct word_piece {
    const char *text;
    int64_t id;
} word_piece;

typedef struct word_pieces {
    char *file;
    word_piece *pieces; /* sorted */
    int64_t count;
} word_pieces;

static int by_text(const void *a, const void *b) {
    return strcmp(((const word_piece *)a)->text, ((const word_piece *)b)->text);
}

static void word_pieces_free(word_pieces *w) {
    free(w->file);
    free(w->pieces);
}

/* A vocabulary: one piece a line, its id the line's number from 0. */
static bool word_pieces_read(word_pieces *w, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    rewind(file);
    w->file = size > 0 ? malloc((size_t)size + 1) : NULL;
    w->pieces = size > 0 ? malloc(((size_t)size + 1) * sizeof *w->pieces) : NULL;
    bool read = w->file && w->pieces && fread(w->file, 1, (size_t)size, file) == (size_t)size;
    fclose(file);
    if (!read) {
        return false;
    }
    w->file[size] = '\0';
    for (char *line = w->file; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        bool last = line[length] == '\0';
        line[length] = '\0';
        w->pieces[w->count] = (word_piece){ line, w->count };
        w->count++;
        line += length + !last;
    }
    qsort(w->pieces, (size_t)w->count, sizeof *w->pieces, by_text);
    return true;
}

/* Id of a piece, -1 when it is none. */
static int64_t word_pieces_find(const word_pieces *w, const char *text) {
    word_piece wanted = { text, 0 }, *found = bsearch(&wanted, w->pieces, (size_t)w->count, sizeof wanted, by_text);
    return found ? found->id : -1;
}

/* One word into ids; [UNK] when it cannot be cut, or is longer than 100. Answers how many, at most `most`. */
static int word_pieces_cut_word(const word_pieces *w, const char *word, int length, int64_t *ids, int most) {
    int count = 0;
    for (int begin = 0; begin < length;) {
        char piece[104];
        int64_t id = -1;
        int end = length > 100 ? begin : length;
        for (; end > begin; end--) {
            snprintf(piece, sizeof piece, "%s%.*s", begin > 0 ? "##" : "", end - begin, word + begin);
            id = word_pieces_find(w, piece);
            if (id >= 0) {
                break;
            }
        }
        if (id < 0) {
            ids[0] = word_pieces_find(w, "[UNK]");
            return most > 0;
        }
        if (count == most) {
            return count;
        }
        ids[count++] = id;
        begin = end;
    }
    return count;
}

/* [CLS] pieces [SEP], cut off at `most` ids; -1 when the text is not ASCII. */
static int32_t word_pieces_cut(const word_pieces *w, const char *text, int64_t *ids, int most) {
    int count = 1;
    ids[0] = word_pieces_find(w, "[CLS]");
    while (*text != '\0' && count < most - 1) {
        char word[128];
        int length = 0;
        if (isspace((unsigned char)*text)) {
            text++;
            continue;
        }
        do {
            if ((unsigned char)*text >= 0x80) {
                return -1;
            }
            if (length < (int)sizeof word - 1) {
                word[length++] = (char)tolower((unsigned char)*text);
            }
        } while (!ispunct((unsigned char)*text++) && *text != '\0' && !isspace((unsigned char)*text) &&
                 !ispunct((unsigned char)*text));
        count += word_pieces_cut_word(w, word, length, ids + count, most - 1 - count);
    }
    ids[count++] = word_pieces_find(w, "[SEP]");
    return count;
}

#endif
