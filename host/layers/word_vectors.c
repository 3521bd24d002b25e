/*
 * Text files of word vectors: GloVe's lines, and word2vec's, which begin with "count dim". The file is read whole; its
 * lines are cut up in place, so words are pointers into it. Words are found by a hash table. Memory for the table is
 * asked for only after the file proved long enough to hold it. Knows nothing of models.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "layers/float_text.h"
#include "layers/layer_file.h"
#include "layers/layer_text.h"

struct clattn_word_vectors {
    clattn_runtime *runtime;
    char *text;
    int64_t count, dim;
    float *table; /* [count, dim] */
    char **words;
    int64_t *slots; /* open addressing: index + 1, 0 = free */
    int64_t slot_count;
};

typedef struct reading {
    clattn_word_vectors *vectors;
    int64_t line, told; /* line number; words that the first line promises, -1 = none */
    int64_t room;       /* words that there is memory for */
    clattn_report *report;
} reading;

void clattn_word_vectors_destroy(clattn_word_vectors *vectors) {
    if (vectors) {
        clattn_release(vectors->runtime, vectors->text);
        clattn_release(vectors->runtime, vectors->table);
        clattn_release(vectors->runtime, vectors->words);
        clattn_release(vectors->runtime, vectors->slots);
        clattn_release(vectors->runtime, vectors);
    }
}

static clattn_status refuse(const reading *r, const char *what) {
    return LAYER_REFUSE(r->report, CLATTN_INVALID_ARGUMENT, "line %" PRId64 ": %s", r->line, what);
}

static uint64_t hash(const char *word) {
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *word != '\0'; word++) {
        h = (h ^ (unsigned char)*word) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* The slot of the word: its own, or the free one where it would be. */
static int64_t find_slot(const clattn_word_vectors *v, const char *word) {
    int64_t slot = (int64_t)(hash(word) % (uint64_t)v->slot_count);
    while (v->slots[slot] != 0 && strcmp(v->words[v->slots[slot] - 1], word) != 0) {
        slot = (slot + 1) % v->slot_count;
    }
    return slot;
}

/* Cuts the last word off the line, which ends at *end; moves *end. NULL when there is but one left. */
static char *cut_last(char *line, char **end) {
    char *at = *end;
    while (at > line && at[-1] != ' ') {
        at--;
    }
    if (at <= line + 1) {
        return NULL;
    }
    *end = at - 1;
    **end = '\0';
    return at;
}

static clattn_status add_line(reading *r, char *line) {
    clattn_word_vectors *v = r->vectors;
    char *end = line + strlen(line);
    if (v->count == r->room) { /* a line with all its numbers is longer than what room counts on */
        return refuse(r, "fewer numbers than the dim");
    }
    float *row = v->table + v->count * v->dim;
    for (int64_t d = v->dim - 1; d >= 0; d--) {
        char *number = cut_last(line, &end);
        if (!number) {
            return refuse(r, "fewer numbers than the dim");
        }
        if (!attn_layer_float(number, &row[d])) {
            return LAYER_REFUSE(r->report, CLATTN_INVALID_ARGUMENT, "line %" PRId64 ": \"%.40s\" is no finite number",
                                r->line, number);
        }
    }
    if (!attn_layer_is_utf8(line)) {
        return refuse(r, "the word is not UTF-8");
    }
    int64_t slot = find_slot(v, line);
    if (v->slots[slot] != 0) {
        return LAYER_REFUSE(r->report, CLATTN_INVALID_ARGUMENT,
                            "line %" PRId64 ": \"%.80s\" is there twice (a line with more numbers "
                            "than the dim can look so)",
                            r->line, line);
    }
    v->words[v->count++] = line;
    v->slots[slot] = v->count;
    return CLATTN_OK;
}

/* Takes white space off the end, as some files have it there. */
static void trim(char *line) {
    for (size_t length = strlen(line); length > 0 && strchr(" \t\r", line[length - 1]); length--) {
        line[length - 1] = '\0';
    }
}

static int64_t count_fields(const char *line) {
    int64_t count = 1;
    for (; *line != '\0'; line++) {
        count += *line == ' ';
    }
    return count;
}

/* A number of at most 18 digits at the start of the text; -1 = none. *end is what follows. */
static int64_t read_count(const char *text, const char **end) {
    int64_t count = 0;
    for (*end = text; **end >= '0' && **end <= '9' && *end - text < 18; (*end)++) {
        count = 10 * count + (**end - '0');
    }
    return *end > text ? count : -1;
}

/* The first line: word2vec's "count dim" or already a word; fills told and dim. */
static bool is_heading(reading *r, const char *line) {
    const char *end;
    if (count_fields(line) == 2) {
        int64_t count = read_count(line, &end), dim = *end == ' ' ? read_count(end + 1, &end) : -1;
        if (count >= 0 && dim >= 0 && *end == '\0') {
            r->told = count;
            r->vectors->dim = dim;
            return true;
        }
    }
    r->vectors->dim = count_fields(line) - 1;
    return false;
}

/*
 * Room for the words that `length` bytes in `lines` lines can hold. The shortest line is a letter, two bytes a number,
 * and the newline; the last line may do without that.
 */
static clattn_status make_room(reading *r, int64_t lines, int64_t length) {
    clattn_word_vectors *v = r->vectors;
    if (v->dim < 1) {
        return refuse(r, "no \"word number number ...\", no \"count dim\"");
    }
    int64_t most = v->dim > length / 2 ? 0 : (length + 1) / (2 * v->dim + 2);
    if (r->told > lines || r->told > most) {
        return LAYER_REFUSE(r->report, CLATTN_INVALID_ARGUMENT,
                            "line 1: promises %" PRId64 " words of %" PRId64 " numbers, more than the file holds",
                            r->told, v->dim);
    }
    r->room = lines < most ? lines : most;
    v->slot_count = 2 * r->room + 1;
    v->table = attn_layer_floats(v->runtime, r->room * v->dim + 1);
    v->words = clattn_allocate(v->runtime, (r->room + 1) * (int64_t)sizeof *v->words);
    v->slots = clattn_allocate(v->runtime, v->slot_count * (int64_t)sizeof *v->slots);
    if (!v->table || !v->words || !v->slots) {
        return CLATTN_OUT_OF_MEMORY;
    }
    memset(v->slots, 0, (size_t)v->slot_count * sizeof *v->slots);
    return CLATTN_OK;
}

static clattn_status read_lines(reading *r, char *at, int64_t length) {
    char *end = at + length;
    int64_t lines = 1;
    for (const char *c = at; c < end; c++) {
        lines += *c == '\n';
    }
    while (at < end) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *next = newline ? newline + 1 : end;
        *(newline ? newline : end) = '\0';
        r->line++;
        trim(at);
        if (r->line == 1) {
            bool heading = is_heading(r, at);
            ATTN_TRY(make_room(r, lines, heading ? end - next : end - at));
            at = heading ? next : at;
            if (heading) {
                continue;
            }
        }
        if (*at == '\0' && next < end) {
            return refuse(r, "empty");
        }
        if (*at != '\0') {
            ATTN_TRY(add_line(r, at));
        }
        at = next;
    }
    if (r->told >= 0 && r->told != r->vectors->count) {
        return LAYER_REFUSE(r->report, CLATTN_INVALID_ARGUMENT,
                            "line 1: promises %" PRId64 " words, there are %" PRId64, r->told, r->vectors->count);
    }
    return r->vectors->count > 0 ? CLATTN_OK : LAYER_REFUSE(r->report, CLATTN_INVALID_ARGUMENT, "the file is empty");
}

/* The whole file; a byte order mark at its start is no part of the first word. */
static clattn_status read_file(reading *r, FILE *stream, int64_t size) {
    clattn_word_vectors *v = r->vectors;
    v->text = size < INT64_MAX ? clattn_allocate(v->runtime, size + 1) : NULL;
    if (!v->text) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if (fread(v->text, 1, (size_t)size, stream) != (size_t)size || memchr(v->text, '\0', (size_t)size)) {
        return LAYER_REFUSE(r->report, CLATTN_INVALID_ARGUMENT, "the file cannot be read, or is no text");
    }
    v->text[size] = '\0';
    int64_t mark = strncmp(v->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return read_lines(r, v->text + mark, size - mark);
}

static ATTN_NOT_INLINED clattn_status read_path(clattn_runtime *runtime, const char *path,
                                                clattn_word_vectors **vectors, clattn_report *report) {
    FILE *stream = NULL;
    int64_t size = 0;
    clattn_word_vectors *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_word_vectors){ .runtime = runtime };
    clattn_status status = attn_layer_open(path, &stream, &size, report);
    if (status == CLATTN_OK) {
        reading r = { made, 0, -1, 0, report };
        status = read_file(&r, stream, size);
        (void)fclose(stream);
    }
    if (status != CLATTN_OK) {
        (void)LAYER_REFUSE(report, status, "file: %s", path);
        clattn_word_vectors_destroy(made);
        return status;
    }
    *vectors = made;
    return CLATTN_OK;
}

clattn_status clattn_word_vectors_read(clattn_runtime *runtime, const char *path, clattn_word_vectors **vectors,
                                       clattn_report *report) {
    clattn_report_clear(report);
    if (vectors) {
        *vectors = NULL;
    }
    if (!runtime || !path || !vectors) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "runtime, path, vectors: NULL");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = read_path(runtime, path, vectors, report);
    attn_visit_end(&visit);
    return status;
}

int64_t clattn_word_vectors_count(const clattn_word_vectors *vectors) {
    return vectors ? vectors->count : 0;
}

int64_t clattn_word_vectors_dim(const clattn_word_vectors *vectors) {
    return vectors ? vectors->dim : 0;
}

const float *clattn_word_vectors_table(const clattn_word_vectors *vectors) {
    return vectors ? vectors->table : NULL;
}

const char *clattn_word_vectors_word(const clattn_word_vectors *vectors, int64_t index) {
    return vectors && index >= 0 && index < vectors->count ? vectors->words[index] : NULL;
}

int64_t clattn_word_vectors_find(const clattn_word_vectors *vectors, const char *word) {
    return vectors && word ? vectors->slots[find_slot(vectors, word)] - 1 : -1;
}
