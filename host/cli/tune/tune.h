/* The parts of `clattn tune`: candidates (rows of a table of block sizes) and what is measured of them. */
#ifndef ATTN_CLI_TUNE_TUNE_H
#define ATTN_CLI_TUNE_TUNE_H

#include "case/session.h"
#include "gate/gate.h"

enum { ATTN_TUNE_COLUMNS = 16, ATTN_TUNE_CANDIDATES = 256, ATTN_TUNE_ROUNDS = 32, ATTN_TUNE_LINE = 512 };

/** A table of kernels/tuning, and the class of head_dims that is tuned. */
typedef struct attn_tune_table {
    const char *name, *text;
    char header[ATTN_TUNE_LINE];
    int count; /* columns of sizes: those between head_dim_max and note */
    char columns[ATTN_TUNE_COLUMNS][32];
    int64_t head_dim_max;
} attn_tune_table;

typedef enum attn_tune_outcome {
    ATTN_TUNE_UNTRIED,
    ATTN_TUNE_TIMED,
    ATTN_TUNE_REFUSED, /* by the engine, or it spills */
    ATTN_TUNE_WRONG    /* the gate rejects it */
} attn_tune_outcome;

typedef struct attn_tune_candidate {
    int64_t sizes[ATTN_TUNE_COLUMNS];
    attn_tune_outcome outcome;
    double ratio; /* time over that of the library's own choice */
    char why[512];
} attn_tune_candidate;

/** The search in one class: a problem on an engine and a device. */
typedef struct attn_tune {
    const attn_session *session;
    const attn_case *c;
    const char *engine;
    int64_t device;
    attn_tune_table table;
    attn_tune_candidate items[ATTN_TUNE_CANDIDATES];
    int count;
    attn_case_data *data, *tails; /* of the problem; and small, with a ragged edge */
    bool on_gpu;
    clattn_plan *base, *best; /* plans of the library's choice, and of the best candidate */
    int best_item;            /* -1: none is better so far */
    double began, seconds;    /* of the search */
    double base_seconds, best_seconds, gain, noise; /* gain: 0.1 = 1.1 times as fast; noise: of that */
    bool kept, wrong;
    char skipped[512]; /* why this class was not searched; "" = it was */
} attn_tune;

/* ---- candidates (tune_rows.c) */

/** The table of a program (NULL = none); false: it has none. */
bool attn_tune_find_table(const char *program, int64_t head_dim, attn_tune_table *table);

/** Adds the sizes of every row of the text (of the same columns). */
void attn_tune_add_rows(attn_tune *tune, const char *text);

/** Adds what differs from the sizes in one column, or in two. False: there is nothing new. */
bool attn_tune_add_neighbours(attn_tune *tune, const int64_t *sizes, int columns);

/** "vendor,architecture,device,type,head_dim_max," as a row begins that is for this device and type. */
void attn_tune_key(const attn_tune *tune, char *text, size_t size);

/** The row of a candidate behind a key, with a note. */
void attn_tune_row(const attn_tune *tune, const char *key, int item, const char *note, char *text, size_t size);

/** "block_key=64 ..." */
void attn_tune_describe(const attn_tune *tune, int item, char *text, size_t size);

/* ---- measuring (tune_measure.c) */

/** Plans the library's own choice, checks it; fills table. Fails only where nothing can be measured. */
int attn_tune_begin(attn_tune *tune, attn_error *error);

/** Checks and times a candidate against the best so far. */
int attn_tune_try(attn_tune *tune, int item, attn_error *error);

/** Times the best against the library's choice once more and decides. */
int attn_tune_decide(attn_tune *tune, attn_error *error);

void attn_tune_end(attn_tune *tune);

#endif
