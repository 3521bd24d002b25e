/*
 * A case: a problem and how its data are drawn, as the words of the command line, of case files and of bench suites
 * say. The text of a case is its identity: reading it again gives the same problem and the same data, on every
 * platform.
 */
#ifndef ATTN_CLI_CASE_CASE_H
#define ATTN_CLI_CASE_CASE_H

#include "base/text.h"
#include "clattn/clattn.h"

enum { ATTN_CASE_LIST_MAX = 256, ATTN_CASE_TEXT = 4096, ATTN_CASE_NAME = 512, ATTN_WORDS_MAX = 64 };

typedef enum attn_list_kind { ATTN_LIST_NONE, ATTN_LIST_RANDOM, ATTN_LIST_GIVEN } attn_list_kind;

/** One integer a batch entry, written out or drawn. */
typedef struct attn_case_list {
    attn_list_kind kind;
    int64_t count;
    int64_t values[ATTN_CASE_LIST_MAX];
} attn_case_list;

typedef struct attn_case {
    clattn_problem problem; /* as the words say; what no word says is CLATTN_SAME or the default */
    clattn_plan_options options; /* likewise; engine, device and blocks are the session's */
    bool has_query_length, has_head_dim, has_type, has_align;
    bool bshd;
    bool strides_random;
    bool poison;
    bool timed; /* backward: neither grad_logsumexp nor delta is given; output and logsumexp the caller makes (attn_gate_forward) */
    double spread;
    uint64_t seed;
    attn_case_list query_lengths, key_lengths, offsets;
    char drawing[32]; /* the first word given that only problems which draw their own data take */
    char later[32];   /* the first word given that belongs to a later release */
    char text[ATTN_CASE_TEXT];
    char name[ATTN_CASE_NAME]; /* from a suite's comment, and what distinguishes it from others; may be empty */
} attn_case;

/** A growing list of cases. */
typedef struct attn_cases {
    attn_case *items;
    int64_t count, capacity;
} attn_cases;

void attn_case_init(attn_case *c);

/** Reads one word name=value with a single value. Errors name the word. */
int attn_case_word(attn_case *c, const char *word, attn_error *error);

/** Reads words with single values: for plan and run. Does not check what is missing. */
int attn_case_read(attn_case *c, int count, char **words, attn_error *error);

/** Checks a case that draws its own data, fills in what is the same as another, refuses words of later releases. */
int attn_case_complete(attn_case *c, attn_error *error);

/** A backward problem asks for every gradient that it can have. */
void attn_case_ask_gradients(clattn_problem *problem);

/** Refuses words of later releases (ATTN_UNSERVED). */
int attn_case_refuse_later(const attn_case *c, attn_error *error);

/** Reads words whose values may be lists 64,128 and ranges 128..8192; appends and completes all combinations. */
int attn_cases_expand(attn_cases *cases, int count, char **words, attn_error *error);

/** One line of a suite: words and perhaps a comment. Empty lines add nothing. */
int attn_cases_line(attn_cases *cases, const char *line, attn_error *error);

/**
 * Every line of a file; a comment line names the cases up to the next one. Errors name file and line. A file without a
 * problem is an error.
 */
int attn_cases_file(attn_cases *cases, const char *path, attn_error *error);

/**
 * Adds to the names of cases of one name the words in which they differ, but for sizes and type, which a table has
 * columns for. So no two lines of a table read alike.
 */
int attn_cases_tell_apart(attn_cases *cases, attn_error *error);

void attn_cases_free(attn_cases *cases);

/** Name number n of the words of a problem; NULL after the last one. */
const char *attn_case_word_name(int n);

/** Whether so few rows share a key that memory is the limit, as in decoding. */
bool attn_case_is_decode(const clattn_problem *problem);

#endif
