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

enum { COUNT = 1, WEIGHTS = 2, SHOW = 4, PROBE = 8, MODEL = WEIGHTS | SHOW | PROBE, ALL = COUNT | MODEL };

static const char words_usage[] = "clattn words SUB-COMMAND ...\n"
                                  "\n"
                                  "  clattn words count                vocabulary and frequencies of a text\n"
                                  "  clattn words weights [WORD]       attention of a word (fox) over each\n"
                                  "                                    sentence, word by word; the weighted sum;\n"
                                  "                                    the word nearest to it\n"
                                  "  clattn words show [SENTENCE]      the pattern of attention inside a sentence,\n"
                                  "                                    a heat map for each head\n"
                                  "  clattn words probe [SENTENCE]     how pattern and prediction move when words\n"
                                  "                                    are taken away or added\n"
                                  "\n"
                                  "`clattn help words SUB-COMMAND` says more. Of a later release: train, predict,\n"
                                  "generate, neighbours.\n";

static const char words_help_text[] = "\n"
                                      "The text:\n"
                                      "  --text FILE           UTF-8; default: six sentences about a fox, seashells,\n"
                                      "                        pizza, a cat, the sun and being happy\n"
                                      "  --tokens KIND         space (default): what stands between white space, case\n"
                                      "                        and punctuation kept; words: runs of letters and\n"
                                      "                        digits, lower-cased; subwords: pieces of SentencePiece\n"
                                      "  --subword-model FILE  the model that cuts sub-words\n"
                                      "  --sentences KIND      lines (default): one a line; marks: up to . ! ? before\n"
                                      "                        white space, or an empty line\n"
                                      "  --json                everything as JSON on standard output\n";

static const char words_help_model[] = "The model:\n"
                                       "  --embedding NAME      how vectors are drawn: uniform in [0, 1) (default),\n"
                                       "                        xavier, he\n"
                                       "  --dim N               numbers a vector (16)\n"
                                       "  --seed S              the same seed, the same vectors (1)\n"
                                       "  --vectors FILE        given vectors instead: text lines \"word x1 x2 ...\"\n"
                                       "                        (GloVe, word2vec), or an .npy array [vocabulary, dim]\n"
                                       "                        in the order of `words count --json`\n"
                                       "  --heads N             share the vector out to N heads (1)\n"
                                       "  causal=yes            a word looks back only, not ahead\n"
                                       "  scale=X               factor of the dot products\n";

static const char words_help_count[] =
    "clattn words count [OPTIONS]\n"
    "\n"
    "Sentences, words, and how often each word of the vocabulary stands in the text.\n";

static const char words_help_weights[] =
    "clattn words weights [WORD] [OPTIONS]\n"
    "\n"
    "WORD (default fox) looks at every sentence of the text: weight j is softmax of\n"
    "the dot product of its vector with that of word j. The context vector is the sum\n"
    "of the words' vectors by these weights; nearest is the word of the vocabulary\n"
    "with the smallest Euclidean distance to it (of equals the first). Dot products\n"
    "are not scaled. With causal=yes the word stands at its first place in the\n"
    "sentence, or after its end when it is not in it.\n"
    "  --self                the self-attention form: scaled by 1 / sqrt(numbers a\n"
    "                        head); in a sentence that holds the word these are the\n"
    "                        weights of its row\n";

static const char words_help_show[] =
    "clattn words show [SENTENCE] [OPTIONS]\n"
    "\n"
    "Scaled self-attention of a sentence (default: I saw a man in the park with a\n"
    "telescope.). A row shows where its word looks. New words join the vocabulary of\n"
    "the text, after its own; not so with an .npy of vectors.\n"
    "  --map KIND            numbers, blocks or colours; default: colours on a\n"
    "                        terminal, else numbers\n"
    "  --plot FILE           F.svg or F.png: the pattern as a picture (PNG has\n"
    "                        letters for ASCII alone, boxes for others; SVG has all)\n"
    "  --positions           add the sinusoidal code of the place to each vector\n"
    "  --project             W_query, W_key and W_value, drawn (xavier, seeds S+1,\n"
    "                        S+2, S+3), before attention\n";

static const char words_help_probe[] =
    "clattn words probe [SENTENCE] [OPTIONS]\n"
    "\n"
    "Misleading words: looks from one word of the sentence, before and after a\n"
    "change. The prediction is the word of the vocabulary nearest to the context\n"
    "vector. Without --add and --remove each other word is taken away in turn.\n"
    "  --word WORD           the word looked from; default: the last one\n"
    "  --remove WORDS        takes a word, or several in a row, away (their first\n"
    "                        place; or a number, from 1)\n"
    "  --add WORDS           puts words in\n"
    "  --at N                where they become word number N; default: the place of\n"
    "                        --remove, or the end\n"
    "  --plot FILE           F.svg or F.png: the patterns before and after (with\n"
    "                        --add or --remove)\n"
    "  --positions           add the sinusoidal code of the place to each vector\n";

static const struct {
    const char *name;
    int bit;
    const char *help;
    int (*run)(attn_words *words, attn_error *error); /* NULL: of a later release */
} sub_commands[] = {
    { "count", COUNT, words_help_count, attn_words_count },
    { "weights", WEIGHTS, words_help_weights, attn_words_weights },
    { "show", SHOW, words_help_show, attn_words_show },
    { "probe", PROBE, words_help_probe, attn_words_probe },
    { "train", 0, NULL, NULL },
    { "predict", 0, NULL, NULL },
    { "generate", 0, NULL, NULL },
    { "neighbours", 0, NULL, NULL },
};
enum { SUBS = sizeof sub_commands / sizeof sub_commands[0] };

/* causal=yes and scale=X among the words; true when it was one. */
static bool read_setting(attn_words *w, const char *text, attn_error *error) {
    if (strncmp(text, "causal=", 7) == 0) {
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
        if (sub_commands[sub].bit != COUNT && read_setting(w, word, error)) {
            continue;
        }
        if (sub_commands[sub].bit == COUNT) {
            attn_fail(error, ATTN_USAGE, "%s: words count takes no word (--text FILE names a text)", word);
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
    const char *vectors = w->settings.vectors; /* said before a word is found missing in it */
    if (vectors && attn_input_check(vectors, error) != ATTN_DONE) {
        return error->status;
    }
    static const char *const tokens[] = { "space", "words", "subwords", NULL };
    static const char *const sentences[] = { "lines", "marks", NULL };
    int token = choice("--tokens", w->tokens, tokens, "space, words or subwords", error);
    int sentence = choice("--sentences", w->sentences, sentences, "lines or marks", error);
    if (error->status == ATTN_DONE && w->subword_model && token != ATTN_TOKENS_SUBWORDS) {
        attn_fail(error, ATTN_USAGE, "--subword-model: needs --tokens subwords");
    }
    return error->status != ATTN_DONE ? error->status
                                      : attn_word_text_init(&w->text, (attn_token_kind)token,
                                                            (attn_sentence_kind)sentence, w->subword_model, error);
}

static int read_words_flags(attn_words *w, int sub, int argc, char **argv, attn_error *error) {
    const struct {
        int subs;
        attn_flag flag;
    } all[] = {
        { ALL, { "--text", &w->text_path, NULL } },
        { ALL, { "--tokens", &w->tokens, NULL } },
        { ALL, { "--subword-model", &w->subword_model, NULL } },
        { ALL, { "--sentences", &w->sentences, NULL } },
        { ALL, { "--json", NULL, &w->json } },
        { MODEL, { "--embedding", &w->settings.embedding, NULL } },
        { MODEL, { "--dim", &w->settings.dim_text, NULL } },
        { MODEL, { "--seed", &w->settings.seed_text, NULL } },
        { MODEL, { "--vectors", &w->settings.vectors, NULL } },
        { MODEL, { "--heads", &w->settings.heads_text, NULL } },
        { WEIGHTS, { "--self", NULL, &w->self } },
        { SHOW | PROBE, { "--positions", NULL, &w->settings.positions } },
        { SHOW | PROBE, { "--plot", &w->plot, NULL } },
        { SHOW, { "--project", NULL, &w->settings.project } },
        { SHOW, { "--map", &w->map, NULL } },
        { PROBE, { "--word", &w->word, NULL } },
        { PROBE, { "--add", &w->add, NULL } },
        { PROBE, { "--remove", &w->remove, NULL } },
        { PROBE, { "--at", &w->at, NULL } },
        { MODEL, { "--model", NULL, NULL } },
    };
    attn_flag flags[sizeof all / sizeof all[0]];
    int count = 0;
    for (size_t f = 0; f < sizeof all / sizeof all[0]; f++) {
        if ((all[f].subs & sub_commands[sub].bit) != 0) {
            flags[count++] = all[f].flag;
        }
    }
    int status = attn_options_read(&w->options, flags, count, argc, argv, error);
    if (status == ATTN_DONE && !w->options.help) {
        status = read_arguments(w, sub, error);
        status = status == ATTN_DONE ? open_text(w, error) : status;
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
        fputs(words_help_text, stdout);
        attn_help_print(sub_commands[sub].bit == COUNT ? "" : words_help_model, 0);
    } else if (status == ATTN_DONE) {
        status = sub_commands[sub].run(w, error);
        attn_word_model_close(&w->model);
        attn_word_text_free(&w->text);
    }
    free(w->argument);
    free(w);
    return status;
}

int attn_command_words(int argc, char **argv, attn_error *error) {
    if (argc == 0) {
        fputs(words_usage, stderr);
        return attn_fail(error, ATTN_USAGE, "words: a sub-command is missing");
    }
    const char *name = argv[0];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        fputs(words_usage, stdout);
        return ATTN_DONE;
    }
    attn_hint hint;
    attn_hint_begin(&hint, name, strlen(name));
    for (int sub = 0; sub < SUBS; sub++) {
        if (strcmp(sub_commands[sub].name, name) == 0) {
            return sub_commands[sub].run ? run_sub(sub, argc, argv, error)
                                      : attn_fail(error, ATTN_UNSERVED, "words %s is of a later release", name);
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
