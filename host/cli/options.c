/*
 * Flags and words of a command line. A command says its own flags in a table; everything that does not begin with `--`
 * is a word. Knows nothing of what the words mean.
 */
#include "options.h"

#include <string.h>

static const attn_flag *attn_find_flag(const attn_flag *flags, int count, const char *argument, size_t length) {
    for (int f = 0; f < count; f++) {
        if (strlen(flags[f].name) == length && strncmp(flags[f].name, argument, length) == 0) {
            return &flags[f];
        }
    }
    return NULL;
}

/* Reads the flag at argv[at]; *at moves on when its value is the next argument. */
static int attn_read_flag(const attn_flag *flag, int argc, char **argv, int *at, attn_error *error) {
    const char *equals = strchr(argv[*at], '=');
    if (flag->value == NULL) {
        if (equals != NULL) {
            return attn_fail(error, ATTN_BAD, "%s takes no value", flag->name);
        }
        *flag->set = true;
        return ATTN_DONE;
    }
    if (*flag->value != NULL) {
        return attn_fail(error, ATTN_BAD, "%s is given twice", flag->name);
    }
    if (equals == NULL && *at + 1 >= argc) {
        return attn_fail(error, ATTN_BAD, "%s needs a value", flag->name);
    }
    *flag->value = equals != NULL ? equals + 1 : argv[++*at];
    return (*flag->value)[0] != '\0' ? ATTN_DONE : attn_fail(error, ATTN_BAD, "%s needs a value", flag->name);
}

int attn_options_number(const char *flag, const char *text, int64_t minimum, int64_t *value, attn_error *error) {
    if (text == NULL) {
        return ATTN_DONE;
    }
    if (attn_text_integer(text, value) != 0 || *value < minimum) {
        return attn_fail(error, ATTN_BAD, "%s %.100s: a whole number of at least %lld is wanted", flag, text,
                         (long long)minimum);
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
        { "--tuning", &options->tuning, NULL },
        { "--help", NULL, &options->help },
        { "-h", NULL, &options->help },
    };
    *options = (attn_options){ .words = argv };
    for (int at = 0; at < argc; at++) {
        const char *argument = argv[at];
        if (argument[0] != '-') {
            argv[options->word_count++] = argv[at];
            continue;
        }
        size_t length = strcspn(argument, "=");
        const attn_flag *flag = attn_find_flag(common, (int)(sizeof common / sizeof common[0]), argument, length);
        flag = flag != NULL ? flag : attn_find_flag(flags, count, argument, length);
        if (flag == NULL) {
            return attn_fail(error, ATTN_BAD, "%.200s: no such option", argument);
        }
        if (attn_read_flag(flag, argc, argv, &at, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return attn_options_number("--threads", options->threads_text, 1, &options->threads, error);
}
