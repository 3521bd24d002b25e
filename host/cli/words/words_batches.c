/*
 * A text as rows for training. A sentence is a row of its own, its rest empty; characters are read through windows of
 * the whole text, since what a character follows does not begin with its line. Knows nothing of the model.
 */
#include "words/words_batches.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "case/case_data.h"
#include "clattn/clattn_learning.h"

enum { LONGEST = 64, BATCH = 16 };                  /* unless somebody says otherwise */
enum { DRAW_ORDER = 1000, DRAW_HELD, DRAW_WINDOW }; /* streams of attn_draw() */

static int64_t least_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t sentence_length(const attn_word_text *text, int64_t sentence) {
    return text->ends[sentence] - (sentence > 0 ? text->ends[sentence - 1] : 0);
}

/* Numbers 0 to count - 1 in an order that the seed draws. */
static void shuffle(int64_t *order, int64_t count, uint64_t seed, uint64_t stream) {
    for (int64_t k = 0; k < count; k++) {
        order[k] = k;
    }
    for (int64_t k = count - 1; k > 0; k--) {
        int64_t other = (int64_t)(attn_draw(seed, stream, (uint64_t)k) % (uint64_t)(k + 1)), kept = order[k];
        order[k] = order[other];
        order[other] = kept;
    }
}

static void fill_stream(attn_batches *b, const attn_word_text *text, int64_t end) {
    int64_t at = 0;
    for (int64_t s = 0; s < text->sentence_count; s++) {
        int64_t count = sentence_length(text, s);
        memcpy(b->stream + at, text->ids + text->ends[s] - count, (size_t)count * sizeof *b->stream);
        at += count;
        b->stream[at++] = end;
    }
    b->stream_length = at;
}

static void add_pieces(attn_batches *b, int64_t first, int64_t count) {
    for (int64_t at = 0; at < count; at += b->context) {
        b->pieces[b->piece_count++] = (attn_piece){ first + at, least_of(b->context, count - at) };
    }
}

/* Sentences in an order that the seed draws: those that are learnt first. */
static int cut_sentences(attn_batches *b, const attn_word_text *text, int64_t held, attn_error *error) {
    int64_t count = text->sentence_count;
    int64_t *order = malloc((size_t)count * sizeof *order);
    if (!order) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    shuffle(order, count, (uint64_t)b->seed, DRAW_HELD);
    for (int64_t k = 0; k < count; k++) {
        int64_t length = sentence_length(text, order[k]);
        add_pieces(b, text->ends[order[k]] - length + order[k], length); /* so many ends stand before it */
        b->learnt_count = k < count - held ? b->piece_count : b->learnt_count;
    }
    free(order);
    return ATTN_DONE;
}

/* Windows beside one another; the last one ends where the run does, so that all are full where there is room. */
static void add_windows(attn_batches *b, int64_t first, int64_t count) {
    int64_t before = b->piece_count;
    add_pieces(b, first, count);
    if (b->piece_count > before && count > b->context) {
        b->pieces[b->piece_count - 1] = (attn_piece){ first + count - b->context, b->context };
    }
}

static void cut_windows(attn_batches *b, int64_t held) {
    b->learnt_length = b->stream_length - held;
    add_windows(b, 0, b->learnt_length - 1);
    b->learnt_count = b->piece_count;
    add_windows(b, b->learnt_length, held - 1);
}

static int find_held(const attn_batches *b, const attn_word_text *text, double share, int64_t *held,
                     attn_error *error) {
    int64_t all = b->windows ? b->stream_length : text->sentence_count, least = b->windows ? 2 : 1;
    *held = share > 0 ? most_of((int64_t)llround(share * (double)all), least) : 0;
    return all - *held >= least
               ? ATTN_DONE
               : attn_fail(error, ATTN_USAGE, "--validate %g: %s is too short to be shared", share, text->name);
}

static void resolve(const attn_word_text *text, attn_learner_settings *s) {
    int64_t longest = 1;
    for (int64_t k = 0; k < text->sentence_count; k++) {
        longest = most_of(longest, sentence_length(text, k));
    }
    bool windows = s->whole[ATTN_LEARN_TOKENS] == ATTN_TOKENS_CHARACTERS;
    if (s->whole[ATTN_LEARN_CONTEXT] == 0) {
        s->whole[ATTN_LEARN_CONTEXT] = windows ? LONGEST : least_of(longest, LONGEST);
    }
    if (s->whole[ATTN_LEARN_BATCH] == 0) {
        s->whole[ATTN_LEARN_BATCH] = windows ? BATCH : least_of(text->sentence_count, BATCH);
    }
    if (s->number[ATTN_LEARN_RATE] == 0) {
        s->number[ATTN_LEARN_RATE] = s->whole[ATTN_LEARN_OPTIMISER] == CLATTN_SGD ? 0.1 : 0.003;
    }
}

int attn_batches_open(attn_batches *b, const attn_word_text *text, attn_learner_settings *s, int64_t end,
                      attn_error *error) {
    int64_t held;
    resolve(text, s);
    *b = (attn_batches){ .context = s->whole[ATTN_LEARN_CONTEXT], .batch = s->whole[ATTN_LEARN_BATCH], .epoch = -1 };
    b->seed = s->whole[ATTN_LEARN_SEED];
    b->windows = s->whole[ATTN_LEARN_TOKENS] == ATTN_TOKENS_CHARACTERS;
    int64_t most = text->token_count + text->sentence_count; /* of stream and pieces */
    b->stream = malloc((size_t)most * sizeof *b->stream);
    b->pieces = malloc((size_t)most * sizeof *b->pieces);
    b->order = malloc((size_t)most * sizeof *b->order);
    if (!b->stream || !b->pieces || !b->order) {
        attn_batches_close(b);
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    fill_stream(b, text, end);
    if (find_held(b, text, s->number[ATTN_LEARN_VALIDATE], &held, error) == ATTN_DONE) {
        if (b->windows) {
            cut_windows(b, held);
        } else {
            (void)cut_sentences(b, text, held, error);
        }
    }
    if (error->status != ATTN_DONE) {
        attn_batches_close(b);
    }
    return error->status;
}

void attn_batches_close(attn_batches *b) {
    free(b->stream);
    free(b->pieces);
    free(b->order);
    *b = (attn_batches){ 0 };
}

/* ------------------------------------------------------------------------------------------------ rows */

static void fill_row(const attn_batches *b, attn_piece piece, int64_t *ids, int64_t *labels) {
    for (int64_t t = 0; t < b->context; t++) {
        bool there = t < piece.count;
        ids[t] = there ? b->stream[piece.first + t] : 0;
        labels[t] = there ? b->stream[piece.first + t + 1] : CLATTN_IGNORED_LABEL;
    }
}

static attn_piece draw_window(const attn_batches *b, int64_t number) {
    int64_t places = most_of(b->learnt_length - b->context, 1);
    int64_t first = (int64_t)(attn_draw((uint64_t)b->seed, DRAW_WINDOW, (uint64_t)number) % (uint64_t)places);
    return (attn_piece){ first, least_of(b->context, b->learnt_length - 1 - first) };
}

/* Row after row the pieces follow one another, each once in an epoch, in another order each time. */
static attn_piece next_piece(attn_batches *b, int64_t number) {
    int64_t epoch = number / b->learnt_count;
    if (epoch != b->epoch) {
        shuffle(b->order, b->learnt_count, attn_draw((uint64_t)b->seed, DRAW_ORDER, (uint64_t)epoch), DRAW_ORDER);
        b->epoch = epoch;
    }
    return b->pieces[b->order[number % b->learnt_count]];
}

int64_t attn_batches_step(attn_batches *b, int64_t step, int64_t *ids, int64_t *labels) {
    int64_t counted = 0;
    for (int64_t r = 0; r < b->batch; r++) {
        int64_t number = step * b->batch + r;
        attn_piece piece = b->windows ? draw_window(b, number) : next_piece(b, number);
        fill_row(b, piece, ids + r * b->context, labels + r * b->context);
        counted += piece.count;
    }
    return counted;
}

/* Number k of `few` that are spread evenly over `all`; k all / few without leaving 63 bits. */
static int64_t spread(int64_t k, int64_t few, int64_t all) {
    return all / few * k + all % few * k / few;
}

/* The last window of a run begins before the one before it ends: what both have counts once. */
static int64_t shared_with_last(const attn_batches *b, int64_t piece) {
    int64_t shared = 0;
    if (b->windows && piece > 0) {
        shared = b->pieces[piece - 1].first + b->pieces[piece - 1].count - b->pieces[piece].first;
    }
    return most_of(shared, 0);
}

int64_t attn_batches_look(const attn_batches *b, bool held, int64_t most, int64_t at, int64_t *ids, int64_t *labels) {
    int64_t first = held ? b->learnt_count : 0, all = held ? b->piece_count - first : b->learnt_count;
    int64_t looked_at = least_of(all, most), filled = most_of(least_of(looked_at - at, b->batch), 0);
    for (int64_t r = 0; r < b->batch; r++) {
        int64_t number = r < filled ? first + spread(at + r, looked_at, all) : 0, *row = labels + r * b->context;
        int64_t shared = r < filled ? shared_with_last(b, number) : 0;
        fill_row(b, r < filled ? b->pieces[number] : (attn_piece){ 0, 0 }, ids + r * b->context, row);
        for (int64_t t = 0; t < shared; t++) {
            row[t] = CLATTN_IGNORED_LABEL;
        }
    }
    return filled;
}
