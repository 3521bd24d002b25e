/*
 * One table says all of a setting: its name, what it may be, what it is when nobody says.
 */
#include "words/words_settings.h"

#include <inttypes.h>
#include <string.h>

enum { NAMES = 5 };

typedef enum setting_kind { WHOLE, NUMBER, NAME } setting_kind;

static const char *const tokens[NAMES] = { "space", "words", "subwords", "characters" };
static const char *const sentences[NAMES] = { "lines", "marks" };
static const char *const optimisers[NAMES] = { "sgd", "adam" };

static const struct {
    const char *flag; /* whose name without strokes is that of the note */
    setting_kind kind;
    const char *const *names;
    const char *expected; /* of a name or a number */
    int64_t least, most;  /* of a whole number that is given */
    int64_t whole;        /* by default */
} rows[ATTN_LEARN_SETTINGS] = {
    [ATTN_LEARN_TOKENS] = { "--tokens", NAME, tokens, "space, words, subwords or characters", 0, 0, 0 },
    [ATTN_LEARN_SENTENCES] = { "--sentences", NAME, sentences, "lines or marks", 0, 0, 0 },
    [ATTN_LEARN_CONTEXT] = { "--context", WHOLE, NULL, NULL, 1, 65536, 0 },
    [ATTN_LEARN_DIM] = { "--dim", WHOLE, NULL, NULL, 1, 65536, 32 },
    [ATTN_LEARN_HEADS] = { "--heads", WHOLE, NULL, NULL, 1, 65536, 2 },
    [ATTN_LEARN_BLOCKS] = { "--blocks", WHOLE, NULL, NULL, 1, 1024, 2 },
    [ATTN_LEARN_BATCH] = { "--batch", WHOLE, NULL, NULL, 1, 65536, 0 },
    [ATTN_LEARN_OPTIMISER] = { "--optimizer", NAME, optimisers, "adam or sgd", 0, 0, 1 },
    [ATTN_LEARN_RATE] = { "--rate", NUMBER, NULL, "a number above 0", 0, 0, 0 },
    [ATTN_LEARN_SEED] = { "--seed", WHOLE, NULL, NULL, 0, INT64_MAX, 1 },
    [ATTN_LEARN_VALIDATE] = { "--validate", NUMBER, NULL, "a share from 0 to 0.9", 0, 0, 0 },
    [ATTN_LEARN_STEPS] = { "--steps", WHOLE, NULL, NULL, 1, INT64_C(1) << 40, 300 },
};

const char *attn_learner_settings_flag(attn_learn_setting which) {
    return rows[which].flag;
}

const char *attn_learner_settings_name(attn_learn_setting which) {
    return rows[which].flag + 2;
}

static int read_name(attn_learner_settings *s, attn_learn_setting which, const char *text, const char *who,
                     attn_error *error) {
    for (int n = 0; n < NAMES && rows[which].names[n]; n++) {
        if (strcmp(rows[which].names[n], text) == 0) {
            s->whole[which] = n;
            return ATTN_DONE;
        }
    }
    return attn_fail(error, ATTN_USAGE, "%s%s %.200s: %s is expected", who, attn_learner_settings_name(which), text,
                     rows[which].expected);
}

static int read_number(attn_learner_settings *s, attn_learn_setting which, const char *text, const char *who,
                       attn_error *error) {
    double *number = &s->number[which];
    bool read = attn_text_number(text, number) == 0;
    read = read && (which == ATTN_LEARN_RATE ? *number > 0 : *number >= 0 && *number <= 0.9);
    return read ? ATTN_DONE
                : attn_fail(error, ATTN_USAGE, "%s%s %.200s: %s is expected", who, attn_learner_settings_name(which),
                            text, rows[which].expected);
}

/* who: "--", or the file and ": " */
static int read_one(attn_learner_settings *s, attn_learn_setting which, const char *text, const char *who,
                    attn_error *error) {
    if (rows[which].kind == NAME) {
        return read_name(s, which, text, who, error);
    }
    if (rows[which].kind == NUMBER) {
        return read_number(s, which, text, who, error);
    }
    int64_t *whole = &s->whole[which];
    if (attn_text_integer(text, whole) != 0 || *whole < rows[which].least) {
        return attn_fail(error, ATTN_USAGE, "%s%s %.200s: a whole number of at least %" PRId64 " is expected", who,
                         attn_learner_settings_name(which), text, rows[which].least);
    }
    return *whole <= rows[which].most ? ATTN_DONE
                                      : attn_fail(error, ATTN_USAGE, "%s%s %.200s: at most %" PRId64, who,
                                                  attn_learner_settings_name(which), text, rows[which].most);
}

int attn_learner_settings_read(attn_learner_settings *settings, const char *const texts[ATTN_LEARN_SETTINGS],
                               attn_error *error) {
    memset(settings, 0, sizeof *settings);
    for (int k = 0; k < ATTN_LEARN_SETTINGS; k++) {
        settings->whole[k] = rows[k].whole;
        if (attn_learner_settings_given(settings, (attn_learn_setting)k, texts[k], error) != ATTN_DONE) {
            return error->status;
        }
    }
    int64_t dim = settings->whole[ATTN_LEARN_DIM], heads = settings->whole[ATTN_LEARN_HEADS];
    return dim % heads == 0 ? ATTN_DONE
                            : attn_fail(error, ATTN_USAGE,
                                        "--dim %" PRId64 ", --heads %" PRId64 ": vectors of %" PRId64
                                        " numbers cannot be shared out evenly to %" PRId64 " heads",
                                        dim, heads, dim, heads);
}

int attn_learner_settings_given(attn_learner_settings *settings, attn_learn_setting which, const char *text,
                                attn_error *error) {
    return text ? read_one(settings, which, text, "--", error) : ATTN_DONE;
}

int attn_learner_settings_note(attn_learner_settings *settings, attn_learn_setting which, const char *text,
                               const char *path, attn_error *error) {
    char who[512];
    snprintf(who, sizeof who, "%.500s: ", path);
    return read_one(settings, which, text, who, error);
}

void attn_learner_settings_text(const attn_learner_settings *settings, attn_learn_setting which, char text[64]) {
    switch (rows[which].kind) {
        case NAME: snprintf(text, 64, "%s", rows[which].names[settings->whole[which]]); break;
        case NUMBER: snprintf(text, 64, "%.17g", settings->number[which]); break;
        default: snprintf(text, 64, "%" PRId64, settings->whole[which]); break;
    }
}

int attn_learner_settings_same(const attn_learner_settings *settings, const char *const texts[ATTN_LEARN_SETTINGS],
                               const char *path, attn_error *error) {
    for (int k = 0; k < ATTN_LEARN_SETTINGS; k++) {
        attn_learner_settings asked = *settings;
        char text[64];
        if (!texts[k] || k == ATTN_LEARN_STEPS) {
            continue;
        }
        if (read_one(&asked, (attn_learn_setting)k, texts[k], "--", error) != ATTN_DONE) {
            return error->status;
        }
        if (asked.whole[k] != settings->whole[k] || asked.number[k] != settings->number[k]) {
            attn_learner_settings_text(settings, (attn_learn_setting)k, text);
            return attn_fail(error, ATTN_USAGE, "--%s %.200s: --resume goes on with what %s was begun with, %s",
                             attn_learner_settings_name((attn_learn_setting)k), texts[k], path, text);
        }
    }
    return ATTN_DONE;
}
