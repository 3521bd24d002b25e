/*
 * clattn words: the word model of the articles. Reads flags and the text, then hands over to words_<sub-command>.c. To add a
 * sub-command: its function in words.h, a row in the table, the flags it takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hint.h"
#include "case/case_help.h"
#include "commands.h"

#if CLATTN_HAVE_LAYERS
#include "base/input_file.h"
#include "words/words.h"
#include "words/words_help.h"

enum {
    COUNT = 1,
    WEIGHTS = 2,
    SHOW = 4,
    PROBE = 8,
    TRAIN = 16,
    PREDICT = 32,
    GENERATE = 64,
    NEIGHBOURS = 128,
    MODEL = WEIGHTS | SHOW | PROBE,        /* is drawn, or given */
    TEXT = COUNT | MODEL,                  /* reads one and keeps nothing of it */
    ASK = PREDICT | GENERATE | NEIGHBOURS, /* a model that has learnt */
    ALL = TEXT | TRAIN | ASK
};

static const struct {
    const char *name;
    int bit;
    const char *help;
    int (*run)(attn_words *words, attn_error *error);
} sub_commands[] = {
    { "count", COUNT, attn_words_help_count, attn_words_count },
    { "weights", WEIGHTS, attn_words_help_weights, attn_words_weights },
    { "show", SHOW, attn_words_help_show, attn_words_show },
    { "probe", PROBE, attn_words_help_probe, attn_words_probe },
    { "train", TRAIN, attn_words_help_train, attn_words_train },
    { "predict", PREDICT, attn_words_help_predict, attn_words_predict },
    { "generate", GENERATE, attn_words_help_generate, attn_words_generate },
    { "neighbours", NEIGHBOURS, attn_words_help_neighbours, attn_words_neighbours },
};
enum { SUBS = sizeof sub_commands / sizeof sub_commands[0] };

/* causal=yes and scale=X among the words; true when it was one. */
static bool read_setting(attn_words *w, const char *text, attn_error *error) {
    if (strncmp(text, "causal=", 7) == 0) {
        w->settings.has_causal = true;
        w->settings.causal = strcmp(text + 7, "yes") == 0;
        if (!w->settings.causal && strcmp(text + 7, "no") != 0) {
            attn_fail(error, ATTN_USAGE, "%s: yes or no is expected", text);
        }
        return true;
    }
    if (strncmp(text, "scale=", 6) == 0) {
        w->settings.has_scale = true;
        if (attn_text_number(text + 6, &w->settings.scale) != 0) {
            attn_fail(error, ATTN_USAGE, "%s: a finite number is expected", text);
        }
        return true;
    }
    return false;
}

/* What is left of the words is one WORD or SENTENCE, in one argument or many. */
static int read_arguments(attn_words *w, int sub, attn_error *error) {
    size_t length = 1;
    for (int n = 1; n < w->options.word_count; n++) {
        length += strlen(w->options.words[n]) + 1;
    }
    char *joined = calloc(length, 1);
    if (!joined) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    for (int n = 1; n < w->options.word_count && error->status == ATTN_DONE; n++) {
        const char *word = w->options.words[n];
        if ((sub_commands[sub].bit & MODEL) != 0 && read_setting(w, word, error)) {
            continue;
        }
        if ((sub_commands[sub].bit & (COUNT | TRAIN | GENERATE)) != 0) {
            attn_fail(error, ATTN_USAGE, "%s: words %s takes no word (%s)", word, sub_commands[sub].name,
                      sub_commands[sub].bit == GENERATE ? "--prompt TEXT begins a text" : "--text FILE names a text");
        }
        attn_text_add(joined, length, "%s%s", w->argument ? " " : "", word);
        w->argument = joined;
    }
    if (!w->argument) {
        free(joined);
    }
    return error->status;
}

static int choice(const char *flag, const char *value, const char *const *names, const char *wanted,
                  attn_error *error) {
    for (int n = 0; value && names[n]; n++) {
        if (strcmp(names[n], value) == 0) {
            return n;
        }
    }
    if (value) {
        attn_fail(error, ATTN_USAGE, "%s %s: %s is expected", flag, value, wanted);
    }
    return 0;
}

static int open_text(attn_words *w, attn_error *error) {
    if (w->text_path && w->sentence) {
        return attn_fail(error, ATTN_USAGE, "--sentence: not together with --text");
    }
    const char *vectors = w->settings.vectors; /* said before a word is found missing in it */
    if (vectors && attn_input_check(vectors, error) != ATTN_DONE) {
        return error->status;
    }
    static const char *const tokens[] = { "space", "words", "subwords", "characters", NULL };
    static const char *const sentences[] = { "lines", "marks", NULL };
    int token = choice("--tokens", w->tokens, tokens, "space, words, subwords or characters", error);
    int sentence = choice("--sentences", w->sentences, sentences, "lines or marks", error);
    if (error->status == ATTN_DONE && w->subword_model && token != ATTN_TOKENS_SUBWORDS) {
        attn_fail(error, ATTN_USAGE, "--subword-model: needs --tokens subwords");
    }
    return error->status != ATTN_DONE ? error->status
                                      : attn_word_text_init(&w->text, (attn_token_kind)token,
                                                            (attn_sentence_kind)sentence, w->subword_model, error);
}

/* A model that has learnt brings its own of all this. */
static int refuse_beside_model(const attn_words *w, attn_error *error) {
    const attn_word_settings *s = &w->settings;
    const struct {
        bool given;
        const char *name;
    } all[] = {
        { w->text_path, "--text" },      { w->sentence, "--sentence" },   { w->subword_model, "--subword-model" },
        { w->tokens, "--tokens" },
        { w->sentences, "--sentences" }, { s->embedding, "--embedding" }, { s->dim_text, "--dim" },
        { s->seed_text, "--seed" },      { s->vectors, "--vectors" },     { s->heads_text, "--heads" },
        { w->self, "--self" },           { s->positions, "--positions" }, { s->project, "--project" },
        { s->has_causal, "causal" },     { s->has_scale, "scale" }
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (all[k].given) {
            return attn_fail(error, ATTN_USAGE, "%s: not together with --model, which brings its own", all[k].name);
        }
    }
    return ATTN_DONE;
}

static int read_words_flags(attn_words *w, int sub, int argc, char **argv, attn_error *error) {
    const struct {
        int subs;
        attn_flag flag;
    } all[] = {
        { TEXT | TRAIN, { "--text", &w->text_path, NULL } },
        { TEXT, { "--sentence", &w->sentence, NULL } },
        { TEXT, { "--tokens", &w->tokens, NULL } },
        { TEXT | TRAIN, { "--subword-model", &w->subword_model, NULL } },
        { TEXT, { "--sentences", &w->sentences, NULL } },
        { ALL, { "--json", NULL, &w->json } },
        { MODEL, { "--embedding", &w->settings.embedding, NULL } },
        { MODEL, { "--dim", &w->settings.dim_text, NULL } },
        { MODEL, { "--seed", &w->settings.seed_text, NULL } },
        { MODEL, { "--vectors", &w->settings.vectors, NULL } },
        { MODEL, { "--heads", &w->settings.heads_text, NULL } },
        { WEIGHTS, { "--self", NULL, &w->self } },
        { SHOW | PROBE, { "--positions", NULL, &w->settings.positions } },
        { SHOW | PROBE | TRAIN, { "--plot", &w->plot, NULL } },
        { SHOW, { "--project", NULL, &w->settings.project } },
        { SHOW, { "--map", &w->map, NULL } },
        { PROBE, { "--word", &w->word, NULL } },
        { PROBE, { "--add", &w->add, NULL } },
        { PROBE, { "--remove", &w->remove, NULL } },
        { PROBE, { "--at", &w->at, NULL } },
        { WEIGHTS | SHOW | TRAIN | ASK, { "--model", &w->model_path, NULL } },
        { TRAIN, { "--resume", NULL, &w->resume } },
        { PREDICT | NEIGHBOURS, { "--top", &w->top, NULL } },
        { GENERATE, { "--prompt", &w->prompt, NULL } },
        { GENERATE, { "--stop", &w->stop, NULL } },
        { GENERATE, { "--max", &w->most, NULL } },
        { GENERATE, { "--temperature", &w->temperature, NULL } },
        { GENERATE, { "--top-k", &w->top_k, NULL } },
        { GENERATE, { "--seed", &w->settings.seed_text, NULL } },
    };
    attn_flag flags[sizeof all / sizeof all[0] + ATTN_LEARN_SETTINGS];
    int count = 0;
    for (int k = 0; k < ATTN_LEARN_SETTINGS && sub_commands[sub].bit == TRAIN; k++) {
        flags[count++] = (attn_flag){ attn_learner_settings_flag((attn_learn_setting)k), &w->learn[k], NULL };
    }
    for (size_t f = 0; f < sizeof all / sizeof all[0]; f++) {
        if ((all[f].subs & sub_commands[sub].bit) != 0) {
            flags[count++] = all[f].flag;
        }
    }
    int status = attn_options_read(&w->options, flags, count, argc, argv, error);
    if (status == ATTN_DONE && !w->options.help) {
        status = read_arguments(w, sub, error);
        bool text = (sub_commands[sub].bit & TEXT) != 0;
        if (status == ATTN_DONE && text) {
            status = w->model_path ? refuse_beside_model(w, error) : open_text(w, error);
        }
    }
    return status;
}

static int run_sub(int sub, int argc, char **argv, attn_error *error) {
    attn_words *w = calloc(1, sizeof *w);
    if (!w) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    int status = read_words_flags(w, sub, argc, argv, error);
    if (status == ATTN_DONE && w->options.help) {
        fputs(sub_commands[sub].help, stdout);
        fputs((sub_commands[sub].bit & TEXT) != 0 ? attn_words_help_text : "", stdout);
        attn_help_print((sub_commands[sub].bit & MODEL) != 0 ? attn_words_help_model : "", 0);
    } else if (status == ATTN_DONE) {
        status = sub_commands[sub].run(w, error);
    }
    attn_word_model_close(&w->model);
    attn_learner_close(&w->learner);
    attn_word_text_free(&w->text);
    free(w->argument);
    free(w);
    return status;
}

int attn_command_words(int argc, char **argv, attn_error *error) {
    if (argc == 0) {
        fputs(attn_words_usage, stderr);
        return attn_fail(error, ATTN_USAGE, "words: a sub-command is missing");
    }
    const char *name = argv[0];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        fputs(attn_words_usage, stdout);
        return ATTN_DONE;
    }
    attn_hint hint;
    attn_hint_begin(&hint, name, strlen(name));
    for (int sub = 0; sub < SUBS; sub++) {
        if (strcmp(sub_commands[sub].name, name) == 0) {
            return run_sub(sub, argc, argv, error);
        }
        attn_hint_try(&hint, sub_commands[sub].name);
    }
    return attn_fail(error, ATTN_USAGE, "words %s: no such sub-command%s", name, attn_hint_text(&hint));
}
#else
int attn_command_words(int argc, char **argv, attn_error *error) {
    (void)argc;
    (void)argv;
    return attn_fail(error, ATTN_UNSERVED, "words needs the layers, which this build has not (CLATTN_LAYERS)");
}
#endif
