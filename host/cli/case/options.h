/* The flags and words of a command line. */
#ifndef ATTN_CLI_CASE_OPTIONS_H
#define ATTN_CLI_CASE_OPTIONS_H

#include "base/text.h"

/**
 * One flag of a command: `--name VALUE` or `--name=VALUE` into *value, or `--name` alone into *set. With neither it is of
 * a later release, whatever follows.
 */
typedef struct attn_flag {
    const char *name;
    const char **value;
    bool *set;
} attn_flag;

/** What every command takes, and the words that are left. */
typedef struct attn_options {
    const char *engine, *device, *threads_text, *blocks, *body, *tuning;
    int64_t threads; /* 0 = as many as there are processors */
    bool help;
    bool without_opencl; /* no flag: what `clattn devices` found out */
    int word_count;
    char **words;
} attn_options;

/**
 * Reads arguments: the command's own flags (count of them), the common ones where it has none of that name, and
 * words. Sorts words to the front of argv.
 * After `--` all are words. A flag given twice, unknown, or without its value is bad usage.
 */
int attn_options_read(attn_options *options, const attn_flag *flags, int count, int argc, char **argv,
                      attn_error *error);

/** Fails, unless text is a whole number of at least minimum. */
int attn_options_number(const char *flag, const char *text, int64_t minimum, int64_t *value, attn_error *error);

#endif
