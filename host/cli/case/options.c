/*
 * Flags and words of a command line. A command says its own flags in a table; everything that does not begin with `--`
 * is a word. Knows nothing of what the words mean, but for their names, which its hints offer.
 */
#include "case/options.h"

#include <inttypes.h>
#include <string.h>

#include "base/hint.h"
#include "case/case.h"

static const attn_flag *find_flag(const attn_flag *flags, int count, const char *argument, size_t length) {
    for (int f = 0; f < count; f++) {
        if (strlen(flags[f].name) == length && strncmp(flags[f].name, argument, length) == 0) {
            return &flags[f];
        }
    }
    return NULL;
}

/* Reads the flag at argv[at]; *at moves on when its value is the next argument. */
static int read_flag(const attn_flag *flag, int argc, char **argv, int *at, attn_error *error) {
    const char *equals = strchr(argv[*at], '=');
    if (!flag->value && !flag->set) {
        return attn_fail(error, ATTN_UNSERVED, "%s is of a later release", flag->name);
    }
    if (!flag->value) {
        if (equals) {
            return attn_fail(error, ATTN_USAGE, "%s takes no value", flag->name);
        }
        *flag->set = true;
        return ATTN_DONE;
    }
    if (*flag->value) {
        return attn_fail(error, ATTN_USAGE, "%s is given twice", flag->name);
    }
    if (!equals && *at + 1 >= argc) {
        return attn_fail(error, ATTN_USAGE, "%s needs a value", flag->name);
    }
    if (!equals && strncmp(argv[*at + 1], "--", 2) == 0) { /* a value left out, most likely */
        return attn_fail(error, ATTN_USAGE, "%s needs a value; %s is none (%s=%s would be)", flag->name, argv[*at + 1],
                         flag->name, argv[*at + 1]);
    }
    *flag->value = equals ? equals + 1 : argv[++*at];
    return (*flag->value)[0] != '\0' ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "%s needs a value", flag->name);
}

/* An unknown option; perhaps a slip, or a word of a problem that was given strokes. */
static int refuse_flag(const char *argument, const attn_flag *common, int common_count, const attn_flag *flags,
                       int count, attn_error *error) {
    attn_hint hint;
    size_t strokes = strspn(argument, "-"), length = strcspn(argument, "=");
    attn_hint_begin(&hint, argument, length);
    for (int f = 0; f < common_count + count; f++) {
        attn_hint_try(&hint, f < count ? flags[f].name : common[f - count].name);
    }
    for (int n = 0; attn_case_word_name(n); n++) {
        const char *name = attn_case_word_name(n);
        if (argument[length] == '=' && strlen(name) == length - strokes &&
            strncmp(name, argument + strokes, length - strokes) == 0) {
            return attn_fail(error, ATTN_USAGE, "%s: no such option; did you mean %s?", argument, argument + strokes);
        }
    }
    return attn_fail(error, ATTN_USAGE, "%s: no such option%s", argument, attn_hint_text(&hint));
}

int attn_options_number(const char *flag, const char *text, int64_t minimum, int64_t *value, attn_error *error) {
    if (!text) {
        return ATTN_DONE;
    }
    if (attn_text_integer(text, value) != 0 || *value < minimum) {
        return attn_fail(error, ATTN_USAGE, "%s %s: a whole number of at least %" PRId64 " is expected", flag, text,
                         minimum);
    }
    return ATTN_DONE;
}

int attn_options_read(attn_options *options, const attn_flag *flags, int count, int argc, char **argv,
                      attn_error *error) {
    const attn_flag common[] = {
        { "--engine", &options->engine, NULL },
        { "--device", &options->device, NULL },
        { "--threads", &options->threads_text, NULL },
        { "--blocks", &options->blocks, NULL },
        { "--body", &options->body, NULL },
        { "--tuning", &options->tuning, NULL },
        { "--help", NULL, &options->help },
        { "-h", NULL, &options->help },
    };
    const int common_count = (int)(sizeof common / sizeof common[0]);
    bool only_words = false;
    *options = (attn_options){ .words = argv };
    for (int at = 0; at < argc; at++) {
        const char *argument = argv[at];
        if (!only_words && strcmp(argument, "--") == 0) {
            only_words = true;
            continue;
        }
        if (only_words || argument[0] != '-' || argument[1] == '\0') {
            argv[options->word_count++] = argv[at];
            continue;
        }
        size_t length = strcspn(argument, "=");
        const attn_flag *flag = find_flag(flags, count, argument, length);
        flag = flag ? flag : find_flag(common, common_count, argument, length);
        if (!flag) {
            return refuse_flag(argument, common, common_count, flags, count, error);
        }
        if (read_flag(flag, argc, argv, &at, error) != ATTN_DONE) {
            return error->status;
        }
    }
    if (attn_options_number("--threads", options->threads_text, 1, &options->threads, error) != ATTN_DONE) {
        return error->status;
    }
    return options->threads <= CLATTN_MOST_THREADS
               ? ATTN_DONE
               : attn_fail(error, ATTN_USAGE, "--threads %s: %d at most", options->threads_text, CLATTN_MOST_THREADS);
}
