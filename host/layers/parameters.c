/*
 * Parameters by name: their memory, and what is done to all gradients at once, by all threads. parameter_files.c has
 * their files.
 */
#include "layers/parameters.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "layers/blocks.h"
#include "layers/layer_text.h"

enum { DIMENSIONS = 8 };

clattn_status clattn_parameters_create(clattn_runtime *runtime, clattn_parameters **parameters) {
    if (parameters) {
        *parameters = NULL;
    }
    if (!runtime || !parameters) {
        return CLATTN_INVALID_ARGUMENT;
    }
    clattn_parameters *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_parameters){ .runtime = runtime };
    *parameters = made;
    return CLATTN_OK;
}

static void release(clattn_runtime *runtime, const clattn_parameter *p) {
    clattn_release(runtime, (char *)(uintptr_t)p->name); /* the list's own copy */
    clattn_release(runtime, p->value);
    clattn_release(runtime, p->gradient);
}

void clattn_parameters_destroy(clattn_parameters *parameters) {
    if (parameters) {
        for (int64_t k = 0; k < parameters->count; k++) {
            release(parameters->runtime, &parameters->list[k]);
        }
        clattn_release(parameters->runtime, parameters->list);
        clattn_release(parameters->runtime, parameters);
    }
}

static clattn_status grow(clattn_parameters *p) {
    if (p->count < p->room) {
        return CLATTN_OK;
    }
    int64_t room = p->room ? 2 * p->room : 32;
    clattn_parameter *moved = clattn_allocate(p->runtime, room * (int64_t)sizeof *moved);
    if (!moved) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if (p->count > 0) {
        memcpy(moved, p->list, (size_t)p->count * sizeof *moved);
    }
    clattn_release(p->runtime, p->list);
    p->list = moved;
    p->room = room;
    return CLATTN_OK;
}

/* Zeros; NULL when there is no room for them. */
static float *zeros(clattn_runtime *runtime, int64_t count) {
    float *x = attn_layer_floats(runtime, count);
    if (x) {
        memset(x, 0, (size_t)count * sizeof *x);
    }
    return x;
}

static char *copy(clattn_runtime *runtime, const char *text) {
    size_t size = strlen(text) + 1;
    char *made = clattn_allocate(runtime, (int64_t)size);
    return made ? memcpy(made, text, size) : NULL;
}

clattn_status attn_parameters_add(clattn_parameters *parameters, const clattn_parameter *like, bool gradient,
                                  clattn_report *report) {
    if (clattn_parameters_find(parameters, like->name) >= 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "name: %.1000s is there already", like->name);
    }
    ATTN_TRY(grow(parameters));
    clattn_parameter p = *like;
    p.name = copy(parameters->runtime, like->name);
    p.value = zeros(parameters->runtime, p.count);
    p.gradient = gradient ? zeros(parameters->runtime, p.count) : NULL;
    if (!p.name || !p.value || (gradient && !p.gradient)) {
        release(parameters->runtime, &p);
        return CLATTN_OUT_OF_MEMORY;
    }
    parameters->list[parameters->count++] = p;
    return CLATTN_OK;
}

clattn_status clattn_parameters_add(clattn_parameters *parameters, const char *name, int64_t dimensions,
                                    const int64_t *shape, clattn_parameter *added, clattn_report *report) {
    clattn_report_clear(report);
    if (!parameters || !name || dimensions < 0 || dimensions > DIMENSIONS || (dimensions > 0 && !shape)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "parameters, name, shape: NULL, or dimensions are not 0 to 8");
    }
    if (!attn_layer_is_utf8(name) || strcmp(name, "__metadata__") == 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "name: is not UTF-8, or is __metadata__");
    }
    clattn_parameter like = { .name = name, .dimensions = dimensions, .count = 1 };
    int64_t bytes = sizeof(float);
    for (int64_t d = 0; d < dimensions; d++) {
        if (shape[d] < 0) {
            return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "shape[%" PRId64 "]: %" PRId64 " is negative", d,
                                shape[d]);
        }
        if (!attn_multiply(bytes, shape[d], &bytes)) {
            return LAYER_REFUSE(report, CLATTN_OVERFLOW, "shape: does not fit 63 bits");
        }
        like.shape[d] = shape[d];
    }
    like.count = bytes / (int64_t)sizeof(float);
    ATTN_TRY(attn_parameters_add(parameters, &like, true, report));
    if (added) {
        *added = parameters->list[parameters->count - 1];
    }
    return CLATTN_OK;
}

int64_t clattn_parameters_count(const clattn_parameters *parameters) {
    return parameters ? parameters->count : 0;
}

clattn_status clattn_parameters_get(const clattn_parameters *parameters, int64_t index, clattn_parameter *parameter) {
    if (!parameters || !parameter || index < 0 || index >= parameters->count) {
        return CLATTN_INVALID_ARGUMENT;
    }
    *parameter = parameters->list[index];
    return CLATTN_OK;
}

int64_t clattn_parameters_find(const clattn_parameters *parameters, const char *name) {
    for (int64_t k = 0; parameters && name && k < parameters->count; k++) {
        if (strcmp(parameters->list[k].name, name) == 0) {
            return k;
        }
    }
    return -1;
}

/* What is done to one gradient: shares of it by ATTN_ITEM, or of `step` numbers where something is summed. */
typedef struct gradient_work {
    int64_t count, step;
    float *gradient;
    double factor;
    double squares[ATTN_PARTS];
} gradient_work;

static void clear_item(void *user, int64_t item) {
    const gradient_work *w = user;
    int64_t count = attn_min(w->count - item * ATTN_ITEM, ATTN_ITEM);
    memset(w->gradient + item * ATTN_ITEM, 0, (size_t)count * sizeof *w->gradient);
}

static void scale_item(void *user, int64_t item) {
    const gradient_work *w = user;
    int64_t end = attn_min((item + 1) * ATTN_ITEM, w->count);
    double g[ATTN_BLOCK];
    for (int64_t n = item * ATTN_ITEM; n < end; n += ATTN_BLOCK) {
        attn_block_load(end - n, w->gradient + n, 0, g);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            g[k] *= w->factor;
        }
        attn_block_store(end - n, g, w->gradient + n);
    }
}

ATTN_INLINED void square_item_of(void *user, int64_t item) {
    gradient_work *w = user;
    int64_t end = attn_min((item + 1) * w->step, w->count);
    double g[ATTN_BLOCK], lanes[ATTN_LANES] = { 0 };
    for (int64_t n = item * w->step; n < end; n += ATTN_BLOCK) {
        attn_block_load(end - n, w->gradient + n, 0, g);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            g[k] *= g[k];
        }
        attn_lanes_add(g, lanes);
    }
    w->squares[item] = attn_lanes_sum(lanes);
}

ATTN_ITEM_FUNCTION(square_item)

/* Does `run` to the shares of all gradients, one gradient after the other. */
static void share_gradients(const clattn_parameters *parameters, double factor, void (*run)(void *user, int64_t item)) {
    for (int64_t k = 0; k < parameters->count; k++) {
        const clattn_parameter *p = &parameters->list[k];
        gradient_work work = { .count = p->count, .gradient = p->gradient, .factor = factor };
        if (p->gradient) {
            clattn_share(parameters->runtime, attn_divide_up(p->count, ATTN_ITEM), run, &work);
        }
    }
}

void clattn_parameters_clear(clattn_parameters *parameters) {
    if (parameters) {
        share_gradients(parameters, 0, clear_item);
    }
}

static ATTN_NOT_INLINED double norm_of(const clattn_parameters *parameters) {
    double square = 0;
    for (int64_t k = 0; k < parameters->count; k++) {
        const clattn_parameter *p = &parameters->list[k];
        gradient_work work = { .count = p->count, .step = attn_rows_of_part(p->count, 1), .gradient = p->gradient };
        int64_t items = p->gradient ? attn_divide_up(p->count, work.step) : 0;
        clattn_share(parameters->runtime, items, ATTN_ITEM_CHOICE(square_item), &work);
        for (int64_t n = 0; n < items; n++) {
            square += work.squares[n];
        }
    }
    return sqrt(square);
}

clattn_status clattn_parameters_clip(clattn_parameters *parameters, double limit, double *norm) {
    if (!parameters || !(limit > 0)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    double before = norm_of(parameters), factor = limit / (before + 1e-6);
    if (isfinite(before) && factor < 1) {
        share_gradients(parameters, factor, scale_item);
    }
    if (norm) {
        *norm = before;
    }
    attn_visit_end(&visit);
    return CLATTN_OK;
}
