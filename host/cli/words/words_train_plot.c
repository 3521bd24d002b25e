/*
 * The losses of a training as a picture: over the steps, beside the losses of what was held out. Of many steps a
 * point is the mean of several.
 */
#include <math.h>
#include <stdlib.h>

#include "picture/chart.h"
#include "words/words_train.h"

enum { POINTS = 600, SERIES = 2, FEW = 30 /* points that are marked */ };

typedef struct loss_line {
    double x[POINTS], y[POINTS]; /* y 0: no point */
    int count;
} loss_line;

/* A mean of so many neighbours a point that all fit; first: the step of the first loss, step: from one to the next. */
static void fill_line(loss_line *line, const attn_losses *losses, int64_t first, int64_t step) {
    int64_t many = (losses->count + POINTS - 1) / POINTS;
    line->count = 0;
    for (int64_t at = 0; at < losses->count; at += many) {
        int64_t last = at + many < losses->count ? at + many : losses->count;
        double sum = 0;
        for (int64_t k = at; k < last; k++) {
            sum += (double)losses->list[k];
        }
        line->x[line->count] = (double)(first + step * (last - 1));
        line->y[line->count++] = sum / (double)(last - at);
    }
}

static void draw(attn_canvas *canvas, const void *what) {
    static const char *const names[SERIES] = { "what is learnt", "what was held out" };
    const loss_line *lines = what;
    attn_chart chart = attn_chart_begin(0, true);
    for (int s = 0; s < SERIES; s++) {
        for (int p = 0; p < lines[s].count; p++) {
            attn_chart_add(&chart, lines[s].x[p], lines[s].y[p]);
        }
    }
    attn_chart_close(&chart);
    attn_chart_grid(canvas, &chart, "loss (nats a token)", "step");
    for (int s = 0; s < SERIES; s++) {
        attn_chart_line(canvas, &chart, lines[s].x, lines[s].y, lines[s].count, lines[s].count <= FEW,
                        attn_chart_colour(s));
        if (lines[s].count > 0) {
            attn_chart_legend(canvas, s, 1, canvas->width, ATTN_CHART_BOTTOM, names[s]);
        }
    }
}

int attn_words_plot_losses(const attn_learner *learner, const char *path, attn_error *error) {
    loss_line *lines = malloc(SERIES * sizeof *lines);
    if (!lines) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    fill_line(&lines[0], &learner->losses, 1, 1);
    fill_line(&lines[1], &learner->validations, ATTN_LEARN_EVERY, ATTN_LEARN_EVERY);
    int width = 2 * ATTN_CHART_LEFT + ATTN_CHART_WIDTH, height = ATTN_CHART_BOTTOM + SERIES * ATTN_CHART_LINE;
    int status = attn_chart_write(path, width, height, draw, lines, error);
    free(lines);
    return status;
}
