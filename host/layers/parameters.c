/* Parameters by name: their memory, and what is done to all gradients at once. parameter_files.c has their files. */
#include "layers/parameters.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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

void clattn_parameters_clear(clattn_parameters *parameters) {
    for (int64_t k = 0; parameters && k < parameters->count; k++) {
        const clattn_parameter *p = &parameters->list[k];
        if (p->gradient) {
            memset(p->gradient, 0, (size_t)p->count * sizeof *p->gradient);
        }
    }
}

static ATTN_NOT_INLINED double norm_of(const clattn_parameters *parameters) {
    double square = 0;
    for (int64_t k = 0; k < parameters->count; k++) {
        const clattn_parameter *p = &parameters->list[k];
        for (int64_t n = 0; n < p->count && p->gradient; n++) {
            square += (double)p->gradient[n] * (double)p->gradient[n];
        }
    }
    return sqrt(square);
}

static ATTN_NOT_INLINED void scale(const clattn_parameters *parameters, double factor) {
    for (int64_t k = 0; k < parameters->count; k++) {
        const clattn_parameter *p = &parameters->list[k];
        for (int64_t n = 0; n < p->count && p->gradient; n++) {
            p->gradient[n] = (float)((double)p->gradient[n] * factor);
        }
    }
}

clattn_status clattn_parameters_clip(clattn_parameters *parameters, double limit, double *norm) {
    if (!parameters || !(limit > 0)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    double before = norm_of(parameters), factor = limit / (before + 1e-6);
    if (isfinite(before) && factor < 1) {
        scale(parameters, factor);
    }
    if (norm) {
        *norm = before;
    }
    attn_visit_end(&visit);
    return CLATTN_OK;
}
