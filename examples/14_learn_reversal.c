/*
 * Additive attention, learnt from scratch: the encoder-decoder of 12_encoder_decoder.c begins with random parameters
 * and learns to write words backwards, by back-propagation through time. Prints the loss now and then, and before and
 * after training what the decoder looks at in each step and how many letters it writes right.
 *
 *     14_learn_reversal [FILE] [--steps N] [--longest N] [--seed N] [--engine NAME] [--check]
 *
 *     FILE        where the parameters are written (.safetensors); 12_encoder_decoder FILE reads them
 *     --steps     batches of 32 words; default 2000
 *     --longest   letters of the longest words, 3 to 12; default 12
 *     --check     after 100 batches: derivatives beside differences of the loss, and no more training
 *
 * The same seed gives the same numbers. Exit status: 0, 1 (it did not learn, or a derivative is wrong), 2 (bad input).
 */
#include <inttypes.h>

#include "14_reversal_model.h"

enum { SHORTEST = 3, MEASURED = 8 }; /* letters of a word; batches */

typedef struct settings {
    const char *path, *engine;
    int64_t steps, longest, seed;
    bool check;
} settings;

/* ----------------------------------------------------------------------------------------------------------- words */

/* What is right to write: the letters in the other order. */
static void label(model *m, int length) {
    for (int t = 0; t < length; t++) {
        memcpy(m->labels + t * BATCH, m->letters + (length - 1 - t) * BATCH, BATCH * sizeof *m->labels);
    }
}

/* A batch of random words; length 0 draws one, SHORTEST to `longest`. Answers the length. */
static int draw_words(model *m, uint64_t seed, int length, int64_t longest) {
    float drawn[ROWS + 1];
    check(clattn_fill(CLATTN_FILL_UNIFORM, seed, ROWS + 1, 1, drawn), NULL, "words");
    if (length == 0) {
        length = SHORTEST + (int)(drawn[ROWS] * (float)(longest - SHORTEST + 1));
    }
    for (int k = 0; k < length * BATCH; k++) {
        m->letters[k] = (int64_t)(drawn[k] * LETTERS);
    }
    label(m, length);
    return length;
}

typedef enum words_use { TO_LEARN = 1, TO_MEASURE, TO_CHECK } words_use;

/* Words for different uses are drawn by seeds that are far apart. */
static uint64_t words_seed(const settings *s, words_use use, uint64_t batch) {
    return ((uint64_t)s->seed << 40) + ((uint64_t)use << 36) + batch;
}

/* --------------------------------------------------------------------------------------------------------- measure */

typedef struct measures {
    double right;    /* share of the letters that are right */
    double diagonal; /* share of the steps that look most at the right letter or at one beside it */
} measures;

/* Of random words of the greatest length, which the decoder writes by itself. There are 16^12 such words of 12 letters,
 * so those of training are not among them. */
static measures measure(model *m, const settings *s) {
    int length = (int)s->longest, right = 0, diagonal = 0;
    for (uint64_t batch = 0; batch < MEASURED; batch++) {
        draw_words(m, words_seed(s, TO_MEASURE, batch), length, s->longest);
        forward(m, length, false);
        for (int k = 0; k < length * BATCH; k++) {
            right += m->written[k] == m->labels[k];
            diagonal += llabs(largest(m->weights + k * LONGEST, length) - (length - 1 - k / BATCH)) <= 1;
        }
    }
    return (measures){ right / (double)(MEASURED * BATCH * length), diagonal / (double)(MEASURED * BATCH * length) };
}

/* One word, what the decoder looks at while it writes, and the measures. */
static measures show(model *m, const settings *s, const char *title) {
    const char *text = &"backgammonne"[LONGEST - s->longest];
    int length = (int)s->longest;
    for (int k = 0; k < length * BATCH; k++) {
        m->letters[k] = text[k / BATCH] - 'a';
    }
    label(m, length);
    forward(m, length, false);
    printf("%s: each row a letter written, each column a letter read, blank below a tenth\n\n      ", title);
    for (int t = 0; t < length; t++) {
        printf(" %c", text[t]);
    }
    for (int t = 0; t < length; t++) {
        printf("\n    %c ", 'a' + (int)m->written[t * BATCH]);
        for (int j = 0; j < length; j++) {
            printf(" %c", " .:-=+*#%@"[(int)(m->weights[t * BATCH * LONGEST + j] * 9.99f)]);
        }
    }
    const measures all = measure(m, s);
    printf(
        "\n\n  random words of %d letters: %.1f %% of the letters are right; in %.1f %% of the steps it looks most at\n"
        "  the letter to write or at one beside it\n\n",
        length, 100 * all.right, 100 * all.diagonal);
    return all;
}

/* ----------------------------------------------------------------------------------------------------------- learn */

static double learn_batch(model *m, int length) {
    clattn_parameters_clear(m->shop.parameters);
    forward(m, length, true);
    double loss = loss_of(m, length);
    backward(m, length);
    return loss;
}

/* Trains; answers the last of the mean losses that it prints, divided by the first. */
static double train(model *m, const settings *s) {
    clattn_schedule schedule = CLATTN_SCHEDULE_INIT;
    clattn_optimiser *optimiser;
    clattn_report report;
    double sum = 0, first = 0, last = 0;
    int64_t part = s->steps < 10 ? 1 : s->steps / 10, count = 0;
    schedule.peak = 0.01, schedule.floor = 0.0002, schedule.warm_up = 20, schedule.steps = s->steps;
    check(clattn_optimiser_create(m->shop.parameters, NULL, &optimiser, &report), &report, "optimiser");
    for (int64_t step = 0; step < s->steps; step++) {
        int length = draw_words(m, words_seed(s, TO_LEARN, (uint64_t)step), 0, s->longest);
        sum += learn_batch(m, length), count++;
        check(clattn_parameters_clip(m->shop.parameters, 1.0, NULL), NULL, "clipping");
        check(clattn_optimiser_step(optimiser, clattn_schedule_rate(&schedule, step), &report), &report, "optimiser");
        if ((step + 1) % part == 0) {
            last = sum / (double)count, first = first > 0 ? first : last;
            printf("  step %5" PRId64 "   loss %.4f\n", step + 1, last);
            sum = 0, count = 0;
        }
    }
    clattn_optimiser_destroy(optimiser);
    printf("\n");
    return last / first;
}

/* ----------------------------------------------------------------------------------------------------------- check */

static double loss_at(model *m, int length, float *value, float at) {
    float before = *value;
    *value = at;
    forward(m, length, true);
    *value = before;
    return loss_of(m, length);
}

/* The largest and three other derivatives of a parameter beside central differences of the loss. */
static bool check_parameter(model *m, int length, const clattn_parameter *p) {
    double worst = 0, most = 0;
    int64_t at[4] = { 0, p->count / 3, p->count / 2, p->count - 1 };
    for (int64_t k = 0; k < p->count; k++) {
        at[0] = fabsf(p->gradient[k]) > fabsf(p->gradient[at[0]]) ? k : at[0];
    }
    for (int k = 0; k < 4; k++) {
        float *x = p->value + at[k], up = *x + 0.005f, down = *x - 0.005f;
        double difference = (loss_at(m, length, x, up) - loss_at(m, length, x, down)) / ((double)up - down);
        worst = fmax(worst, fabs(difference - p->gradient[at[k]]));
    }
    most = fabs(p->gradient[at[0]]);
    bool good = worst <= 0.005 * most;
    printf("  %-30s largest %.2e   off by %.1e  %s\n", p->name, most, worst, good ? "" : "WRONG");
    return good;
}

/* After a few steps of training: random attention looks everywhere alike, and its derivatives are too small there. */
static bool check_gradients(model *m, const settings *s) {
    settings few = *s;
    bool good = true;
    few.steps = 100;
    train(m, &few);
    int length = draw_words(m, words_seed(s, TO_CHECK, 0), (int)s->longest, s->longest);
    learn_batch(m, length);
    for (int64_t k = 0; k < clattn_parameters_count(m->shop.parameters); k++) {
        clattn_parameter p;
        check(clattn_parameters_get(m->shop.parameters, k, &p), NULL, "parameters");
        good = check_parameter(m, length, &p) && good;
    }
    return good;
}

/* ------------------------------------------------------------------------------------------------------------ main */

static bool learn(model *m, const settings *s) {
    clattn_report report;
    show(m, s, "before");
    double fall = train(m, s);
    const measures after = show(m, s, "after");
    if (s->path) {
        check(clattn_parameters_write(m->shop.parameters, s->path, NULL, 0, &report), &report, s->path);
    }
    return fall < 0.5 && after.right > 0.9 && after.diagonal > 0.9;
}

static int64_t number(const char *text, int64_t least, int64_t most, const char *name) {
    char *end;
    int64_t x = strtoll(text, &end, 10);
    if (end == text || *end || x < least || x > most) {
        fprintf(stderr, "%s: %" PRId64 " to %" PRId64 " expected, not '%s'\n", name, least, most, text);
        exit(2);
    }
    return x;
}

static settings read_settings(int argc, char **argv) {
    settings s = { .steps = 2000, .longest = LONGEST, .seed = 1 };
    for (int k = 1; k < argc; k++) {
        const char *value = k + 1 < argc ? argv[k + 1] : "";
        if (strcmp(argv[k], "--steps") == 0) {
            s.steps = number(value, 0, 1000000000, argv[k++]);
        } else if (strcmp(argv[k], "--longest") == 0) {
            s.longest = number(value, SHORTEST, LONGEST, argv[k++]);
        } else if (strcmp(argv[k], "--seed") == 0) {
            s.seed = number(value, 0, 1000000, argv[k++]);
        } else if (strcmp(argv[k], "--engine") == 0 && k + 1 < argc) {
            s.engine = argv[++k];
        } else if (strcmp(argv[k], "--check") == 0) {
            s.check = true;
        } else if (argv[k][0] == '-') {
            fprintf(stderr, "%s: no option, or one without a value\n", argv[k]);
            exit(2);
        } else {
            s.path = argv[k];
        }
    }
    return s;
}

int main(int argc, char **argv) {
    static model m;
    const settings s = read_settings(argc, argv);
    clattn_runtime *runtime;
    check(clattn_runtime_create(NULL, &runtime), NULL, "runtime");
    model_create(&m, runtime, s.engine, (uint64_t)s.seed * 1000);
    bool good = s.check ? check_gradients(&m, &s) : learn(&m, &s);
    model_destroy(&m);
    clattn_runtime_destroy(runtime);
    return good ? 0 : 1;
}
