/* Where the time of a training step goes: a clock for each part. The linker leads calls of the library to parts.c. */
#ifndef BENCH_LEARNING_PARTS_H
#define BENCH_LEARNING_PARTS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum part {
    PART_OTHER, /* what no other part has */
    PART_LINEAR,
    PART_TRANSPOSE,
    PART_ATTENTION,
    PART_ATTENTION_BACKWARD,
    PART_NORM,
    PART_GELU,
    PART_SUM,
    PART_EMBEDDING,
    PART_LOSS,
    PART_OPTIMISER,
    PARTS
} part;

extern const char *const part_names[PARTS];

/** Before anything is timed: of one thread its own time counts, of several the time that passes. */
void part_begin(bool one_thread);

/** Nanoseconds on that clock. */
int64_t part_now(void);

/** From here on time is this part's; answers whose it was, for part_leave(). One thread. */
part part_enter(part now);
void part_leave(part before);

/** Nanoseconds of each part since the last part_clear(). */
void part_clear(void);
int64_t part_nanoseconds(part which);

#endif
