/*
 * words train: a decoder learns a text, step by step, into its file. How it begins is in words_train_begin.c, what a step
 * reads in words_batches.c, the model in words_learner.c.
 */
#include "words/words_train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/interrupt.h"
#include "base/progress.h"
#include "words/words_learner_file.h"

enum { WARM_UP = 10, MOST_LINES = 20, MOST_LOOKED_AT = 1024 /* pieces, for a loss that is printed */ };

static const double KEEP_EVERY = 60; /* seconds: a crash costs no more than that */

/* One run of the command. */
typedef struct training {
    attn_words *words;
    attn_learner *learner;
    attn_batches batches;
    int64_t *ids, *labels; /* [batch, context] */
    double began, kept_at;
    int64_t first, tokens; /* steps made before; words learnt since */
    double loss, validation;
} training;

static int begin(training *t, attn_error *error) {
    if (attn_words_train_begin(t->words, &t->batches, error) != ATTN_DONE) {
        return error->status;
    }
    size_t rows = (size_t)(t->batches.batch * t->batches.context);
    t->ids = malloc(rows * sizeof *t->ids);
    t->labels = malloc(rows * sizeof *t->labels);
    t->first = t->learner->steps;
    return t->ids && t->labels ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
}

/* ------------------------------------------------------------------------------------------------ steps */

static int failed(clattn_status status, const clattn_report *report, attn_error *error) {
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, report);
}

static int not_finite(const attn_learner *l, int64_t step, attn_error *error) {
    return attn_fail(error, ATTN_USAGE,
                     "--rate %g: the loss is not finite any more at step %" PRId64 "; a smaller one may help",
                     l->settings.number[ATTN_LEARN_RATE], step);
}

/* Of the rows that are filled in now. */
static int look_at(training *t, double *sum, int64_t *counted, attn_error *error) {
    attn_learner *l = t->learner;
    clattn_report report = { 0 };
    clattn_cross_entropy_io io = CLATTN_CROSS_ENTROPY_IO_INIT;
    double loss = 0;
    int64_t now = 0;
    if (attn_learner_forward(l, t->ids, CLATTN_SAME, error) != ATTN_DONE) {
        return error->status;
    }
    io.rows = t->batches.batch * t->batches.context, io.classes = l->words, io.logits = l->logits;
    io.labels = t->labels, io.loss = &loss, io.counted = &now, io.report = &report, io.runtime = l->session.runtime;
    clattn_status status = clattn_cross_entropy(&io);
    *sum += loss * (double)now;
    *counted += now;
    return failed(status, &report, error);
}

/* The mean loss over what is learnt, or over what was held out, as the model is now. */
static int mean_loss(training *t, bool held, double *loss, attn_error *error) {
    int64_t counted = 0, rows;
    double sum = 0;
    for (int64_t at = 0; (rows = attn_batches_look(&t->batches, held, MOST_LOOKED_AT, at, t->ids, t->labels)) > 0;
         at += rows) {
        if (look_at(t, &sum, &counted, error) != ATTN_DONE) {
            return error->status;
        }
    }
    *loss = counted > 0 ? sum / (double)counted : 0;
    return isfinite((float)*loss) ? ATTN_DONE : not_finite(t->learner, t->learner->steps, error); /* kept as a float */
}

static int one_step(training *t, attn_error *error) {
    attn_learner *l = t->learner;
    const clattn_schedule schedule = { sizeof schedule, l->settings.number[ATTN_LEARN_RATE], 0, WARM_UP, 0 };
    clattn_report report = { 0 };
    double norm = 0;
    t->tokens += attn_batches_step(&t->batches, l->steps, t->ids, t->labels);
    clattn_parameters_clear(l->parameters);
    clattn_status status = clattn_decoder_learn(l->decoder, t->ids, t->labels, CLATTN_SAME, 1, &t->loss, &report);
    if (status != CLATTN_OK) {
        return failed(status, &report, error);
    }
    status = clattn_parameters_clip(l->parameters, 1, &norm);
    if (!isfinite((float)t->loss) || !isfinite(norm)) {
        return not_finite(l, l->steps + 1, error);
    }
    status = status == CLATTN_OK
                 ? clattn_optimiser_step(l->optimiser, clattn_schedule_rate(&schedule, l->steps), &report)
                 : status;
    l->steps++;
    return !attn_losses_add(&l->losses, t->loss) ? attn_fail(error, ATTN_UNSERVED, "out of memory")
                                                 : failed(status, &report, error);
}

static double tokens_a_second(const training *t) {
    double seconds = attn_seconds() - t->began;
    return seconds > 0 ? (double)t->tokens / seconds : 0;
}

static void show_progress(const training *t) {
    const attn_learner *l = t->learner;
    char what[128];
    snprintf(what, sizeof what, "loss %.4f, %.0f tokens/s, step %" PRId64, t->loss, tokens_a_second(t), l->steps);
    attn_progress((double)l->steps, (double)l->settings.whole[ATTN_LEARN_STEPS], what);
}

/* Every ATTN_LEARN_EVERY steps: what was held out; a line, but not more of them than a screen holds. */
static int look(training *t, attn_error *error) {
    attn_learner *l = t->learner;
    bool held = l->settings.number[ATTN_LEARN_VALIDATE] > 0;
    int64_t looks = l->settings.whole[ATTN_LEARN_STEPS] / ATTN_LEARN_EVERY;
    int64_t every = (looks + MOST_LINES - 1) / MOST_LINES; /* 0 where nothing is looked at */
    if (l->steps % ATTN_LEARN_EVERY != 0) {
        return ATTN_DONE;
    }
    if (held && mean_loss(t, true, &t->validation, error) != ATTN_DONE) {
        return error->status;
    }
    if (held && !attn_losses_add(&l->validations, t->validation)) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    if (!t->words->json && l->steps / ATTN_LEARN_EVERY % every == 0) {
        attn_progress_end();
        printf("step %5" PRId64 "  loss %.4f", l->steps, t->loss);
        printf(held ? "  validation %.4f\n" : "\n", t->validation);
        fflush(stdout);
    }
    return ATTN_DONE;
}

/* What the last step left: no later loss has told yet. */
static bool all_finite(const attn_learner *l) {
    bool finite = true;
    for (int64_t n = 0; n < clattn_parameters_count(l->parameters) && finite; n++) {
        clattn_parameter one;
        finite = clattn_parameters_get(l->parameters, n, &one) == CLATTN_OK;
        for (int64_t k = 0; finite && k < one.count; k++) {
            finite = isfinite(one.value[k]);
        }
    }
    return finite;
}

static int keep(training *t, attn_error *error) {
    if (!all_finite(t->learner)) { /* the file stays as it was */
        return not_finite(t->learner, t->learner->steps, error);
    }
    t->kept_at = attn_seconds();
    return attn_learner_file_write(t->learner, t->words->model_path, error);
}

static int all_steps(training *t, attn_error *error) {
    attn_learner *l = t->learner;
    t->began = t->kept_at = attn_seconds();
    while (l->steps < l->settings.whole[ATTN_LEARN_STEPS] && attn_interrupted() == 0) {
        if (one_step(t, error) != ATTN_DONE || look(t, error) != ATTN_DONE) {
            break;
        }
        show_progress(t);
        if (attn_seconds() - t->kept_at > KEEP_EVERY && keep(t, error) != ATTN_DONE) {
            break;
        }
    }
    attn_progress_end();
    return error->status;
}

/* ------------------------------------------------------------------------------------------------ end */

static void print_end(const training *t, double seconds) {
    const attn_learner *l = t->learner;
    char time[32];
    printf("%" PRId64 " steps, loss %.4f nats a token", l->steps, t->loss);
    if (l->settings.number[ATTN_LEARN_VALIDATE] > 0) {
        printf(", validation %.4f", t->validation);
    }
    if (l->steps > t->first) {
        printf("; %s, %.0f tokens/s", attn_text_seconds(seconds, time), seconds > 0 ? (double)t->tokens / seconds : 0);
    }
    printf("; %s\n", t->words->model_path);
}

static void json_end(const training *t, double seconds) {
    const attn_learner *l = t->learner;
    fputs("{ \"model\": ", stdout);
    attn_json_write_string(stdout, t->words->model_path);
    fputs(", ", stdout);
    attn_learner_json(l, stdout);
    fputs("\"loss\": ", stdout);
    attn_json_write_number(stdout, t->loss, 9);
    fputs(", \"validation\": ", stdout);
    attn_json_write_number(stdout, l->settings.number[ATTN_LEARN_VALIDATE] > 0 ? t->validation : NAN, 9);
    printf(", \"seconds\": %.6g, \"tokens\": %" PRId64 ",\n  \"losses\": ", seconds, t->tokens);
    attn_words_json_numbers(l->losses.list, l->losses.count, stdout);
    fputs(",\n  \"validations\": ", stdout);
    attn_words_json_numbers(l->validations.list, l->validations.count, stdout);
    fputs(" }\n", stdout);
}

/* What is printed last; looked at before the file is written, which a loss that is not finite leaves as it was. */
static int final_losses(training *t, attn_error *error) {
    bool held = t->learner->settings.number[ATTN_LEARN_VALIDATE] > 0;
    return mean_loss(t, false, &t->loss, error) != ATTN_DONE ||
                   (held && mean_loss(t, true, &t->validation, error) != ATTN_DONE)
               ? error->status
               : ATTN_DONE;
}

static int end(training *t, attn_error *error) {
    attn_learner *l = t->learner;
    char what[512];
    double seconds = attn_seconds() - t->began;
    bool stopped = l->steps < l->settings.whole[ATTN_LEARN_STEPS]; /* a signal after the last step stops nothing */
    if ((!stopped && final_losses(t, error) != ATTN_DONE) || keep(t, error) != ATTN_DONE) {
        return error->status;
    }
    if (t->words->plot && attn_words_plot_losses(l, t->words->plot, error) != ATTN_DONE) {
        return error->status;
    }
    if (stopped) {
        snprintf(what, sizeof what, "%.300s holds %" PRId64 " of %" PRId64 " steps; --resume goes on",
                 t->words->model_path, l->steps, l->settings.whole[ATTN_LEARN_STEPS]);
        return attn_interrupt_fail(error, what);
    }
    if (t->words->json) {
        json_end(t, seconds);
    } else {
        print_end(t, seconds);
    }
    return ATTN_DONE;
}

static void print_begin(const training *t) {
    const attn_word_text *text = t->learner->text;
    char description[512];
    attn_learner_describe(t->learner, description, sizeof description);
    printf("%" PRId64 " sentence%s, %" PRId64 " %s, a vocabulary of %" PRId64 "\n%s\n", text->sentence_count,
           text->sentence_count == 1 ? "" : "s", text->token_count, attn_words_noun(t->words), text->word_count,
           description);
    fflush(stdout);
}

int attn_words_train(attn_words *w, attn_error *error) {
    training t = { .words = w, .learner = &w->learner };
    attn_interrupt_watch();
    if (begin(&t, error) == ATTN_DONE) {
        if (!w->json) {
            print_begin(&t);
        }
        if (all_steps(&t, error) == ATTN_DONE) {
            (void)end(&t, error);
        }
    }
    attn_batches_close(&t.batches);
    free(t.ids);
    free(t.labels);
    return error->status;
}
