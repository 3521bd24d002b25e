/* Softmax and cross-entropy in one, with their derivative, which is simple only together. In double. */
#include <inttypes.h>
#include <math.h>

#include "layers/softmax.h"

typedef struct entropy_work {
    const clattn_cross_entropy_io *io;
    int64_t step;              /* rows of a share */
    double factor;             /* of the gradients */
    double losses[ATTN_PARTS]; /* the sums of the shares */
} entropy_work;

/* The row's loss; its gradient too, where it is not NULL. It may lie where the logits lie. */
ATTN_INLINED double entropy_row(int64_t classes, const float *x, int64_t label, double factor, float *gradient) {
    double weights[ATTN_BLOCK], own = (double)x[label];
    const attn_softmax_row of = attn_softmax_of(classes, x);
    for (int64_t c = 0; c < classes && gradient; c += ATTN_BLOCK) {
        attn_softmax_block(&of, classes - c, x + c, weights);
        if (label >= c && label < c + ATTN_BLOCK) {
            weights[label - c] -= 1;
        }
        for (int k = 0; k < ATTN_BLOCK; k++) {
            weights[k] *= factor;
        }
        attn_block_store(classes - c, weights, gradient + c);
    }
    return of.top + log(of.sum) - own;
}

ATTN_INLINED void entropy_item_of(void *user, int64_t item) {
    entropy_work *w = user;
    const clattn_cross_entropy_io *io = w->io;
    double loss = 0;
    for (int64_t r = item * w->step; r < attn_min((item + 1) * w->step, io->rows); r++) {
        float *gradient = io->grad_logits ? io->grad_logits + r * io->classes : NULL;
        if (io->labels[r] != io->ignore) {
            loss += entropy_row(io->classes, io->logits + r * io->classes, io->labels[r], w->factor, gradient);
            continue;
        }
        for (int64_t c = 0; c < io->classes && gradient; c++) {
            gradient[c] = 0;
        }
    }
    w->losses[item] = loss;
}

ATTN_ITEM_FUNCTION(entropy_item)

static ATTN_NOT_INLINED double mean_loss(const clattn_cross_entropy_io *io, int64_t counted) {
    entropy_work work = { .io = io, .step = attn_rows_of_part(io->rows, io->classes) };
    int64_t items = attn_divide_up(io->rows, work.step);
    work.factor = counted > 0 ? io->factor / (double)counted : 0;
    clattn_share(io->runtime, items, ATTN_ITEM_CHOICE(entropy_item), &work);
    double loss = 0;
    for (int64_t k = 0; k < items; k++) {
        loss += work.losses[k];
    }
    return counted > 0 ? loss / (double)counted : 0;
}

static clattn_status check_labels(const clattn_cross_entropy_io *io, int64_t *counted) {
    *counted = 0;
    for (int64_t r = 0; r < io->rows; r++) {
        int64_t label = io->labels[r];
        if (label != io->ignore && (label < 0 || label >= io->classes)) {
            return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT,
                                "labels[%" PRId64 "]: %" PRId64 " is none of %" PRId64 " classes", r, label,
                                io->classes);
        }
        *counted += label != io->ignore;
    }
    return CLATTN_OK;
}

clattn_status clattn_cross_entropy(const clattn_cross_entropy_io *io) {
    if (!io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    clattn_report_clear(io->report);
    if (!attn_is_matrix(io->rows, io->classes) || io->rows > INT64_MAX / (int64_t)sizeof *io->labels) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "rows, classes: %" PRId64 ", %" PRId64, io->rows,
                            io->classes);
    }
    if (!isfinite(io->factor)) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "factor: is not finite");
    }
    if (!io->loss || (io->rows > 0 && (!io->logits || !io->labels))) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "%s: missing",
                            !io->loss     ? "loss"
                            : !io->logits ? "logits"
                                          : "labels");
    }
    int64_t counted, count = io->rows * io->classes;
    if (io->grad_logits != io->logits && attn_layer_meet(io->grad_logits, count, io->logits, count)) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "grad_logits: overlaps logits without being the same");
    }
    ATTN_TRY(check_labels(io, &counted));
    attn_visit visit = attn_visit_begin();
    *io->loss = mean_loss(io, counted);
    attn_visit_end(&visit);
    if (io->counted) {
        *io->counted = counted;
    }
    return CLATTN_OK;
}

void clattn_cross_entropy_io_init(clattn_cross_entropy_io *io, size_t size) {
    static const clattn_cross_entropy_io start = CLATTN_CROSS_ENTROPY_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}
