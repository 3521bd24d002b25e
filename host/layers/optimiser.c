/*
 * Optimisers: each number of a parameter follows its gradient by itself, in double. To add one: its kind, its states'
 * names, its rule in step_item_of(). And the schedule of learning rates.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers/blocks.h"
#include "layers/parameters.h"

struct clattn_optimiser {
    clattn_parameters *parameters, *state; /* of parameter k: states k * states_of(), ... */
    clattn_optimiser_options options;
    int64_t count, steps;
};

static const struct {
    int states;
    const char *names[2];
} kinds[] = { [CLATTN_SGD] = { 1, { "momentum" } }, [CLATTN_ADAMW] = { 2, { "first", "second" } } };

void clattn_optimiser_destroy(clattn_optimiser *optimiser) {
    if (optimiser) {
        clattn_runtime *runtime = optimiser->parameters->runtime;
        clattn_parameters_destroy(optimiser->state);
        clattn_release(runtime, optimiser);
    }
}

static bool below_one(double x) {
    return x >= 0 && x < 1;
}

static clattn_status check(const clattn_optimiser_options *o, clattn_report *report) {
    const char *wrong = o->kind != CLATTN_SGD && o->kind != CLATTN_ADAMW ? "kind"
                        : !below_one(o->momentum)                        ? "momentum"
                        : !below_one(o->beta1)                           ? "beta1"
                        : !below_one(o->beta2)                           ? "beta2"
                        : !(o->epsilon >= 0) || isinf(o->epsilon)        ? "epsilon"
                        : !(o->decay >= 0) || isinf(o->decay)            ? "decay"
                                                                         : NULL;
    return wrong ? LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%s: is outside what it may be", wrong) : CLATTN_OK;
}

static clattn_status add_state(clattn_optimiser *o, const clattn_parameter *p, const char *name,
                               clattn_report *report) {
    clattn_runtime *runtime = o->parameters->runtime;
    size_t size = strlen(p->name) + strlen(name) + 2;
    char *whole = clattn_allocate(runtime, (int64_t)size);
    if (!whole) {
        return CLATTN_OUT_OF_MEMORY;
    }
    (void)snprintf(whole, size, "%s.%s", p->name, name);
    clattn_parameter like = *p;
    like.name = whole;
    clattn_status status = attn_parameters_add(o->state, &like, false, report);
    clattn_release(runtime, whole);
    return status;
}

static clattn_status make_state(clattn_optimiser *o, clattn_report *report) {
    ATTN_TRY(clattn_parameters_create(o->parameters->runtime, &o->state));
    for (int64_t k = 0; k < o->count; k++) {
        if (!o->parameters->list[k].gradient) {
            return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "parameters: a list without gradients");
        }
        for (int n = 0; n < kinds[o->options.kind].states; n++) {
            ATTN_TRY(add_state(o, &o->parameters->list[k], kinds[o->options.kind].names[n], report));
        }
    }
    return CLATTN_OK;
}

clattn_status clattn_optimiser_create(clattn_parameters *parameters, const clattn_optimiser_options *options,
                                      clattn_optimiser **optimiser, clattn_report *report) {
    static const clattn_optimiser_options start = CLATTN_OPTIMISER_OPTIONS_INIT;
    clattn_report_clear(report);
    if (optimiser) {
        *optimiser = NULL;
    }
    options = options ? options : &start;
    if (!parameters || !optimiser || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "parameters, optimiser: NULL, or options.struct_size is not clattn_optimiser_options'");
    }
    ATTN_TRY(check(options, report));
    clattn_optimiser *made = clattn_allocate(parameters->runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_optimiser){ .parameters = parameters, .options = *options, .count = parameters->count };
    clattn_status status = make_state(made, report);
    if (status != CLATTN_OK) {
        clattn_optimiser_destroy(made);
        return status;
    }
    *optimiser = made;
    return CLATTN_OK;
}

/* One parameter's step. */
typedef struct step_work {
    const clattn_optimiser_options *options;
    const clattn_parameter *parameter;
    double decay, rate, bias[2];
    float *first, *second; /* the state; SGD has one */
} step_work;

ATTN_INLINED void step_sgd(const step_work *w, int64_t count, int64_t at) {
    double value[ATTN_BLOCK], g[ATTN_BLOCK], m[ATTN_BLOCK];
    attn_block_load(count, w->parameter->value + at, 0, value);
    attn_block_load(count, w->parameter->gradient + at, 0, g);
    attn_block_load(count, w->first + at, 0, m);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        m[k] = w->options->momentum * m[k] + (g[k] + w->decay * value[k]);
        value[k] -= w->rate * m[k];
    }
    attn_block_store(count, m, w->first + at);
    attn_block_store(count, value, w->parameter->value + at);
}

ATTN_INLINED void step_adamw(const step_work *w, int64_t count, int64_t at) {
    double value[ATTN_BLOCK], g[ATTN_BLOCK], m[ATTN_BLOCK], v[ATTN_BLOCK];
    const double beta1 = w->options->beta1, beta2 = w->options->beta2, epsilon = w->options->epsilon;
    attn_block_load(count, w->parameter->value + at, 0, value);
    attn_block_load(count, w->parameter->gradient + at, 0, g);
    attn_block_load(count, w->first + at, 0, m);
    attn_block_load(count, w->second + at, 0, v);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        m[k] = beta1 * m[k] + (1 - beta1) * g[k];
        v[k] = beta2 * v[k] + (1 - beta2) * g[k] * g[k];
        g[k] = m[k] / w->bias[0] / (sqrt(v[k] / w->bias[1]) + epsilon);
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        g[k] = m[k] == 0 ? 0 : g[k]; /* epsilon may be 0 */
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        value[k] = value[k] - w->rate * w->decay * value[k] - w->rate * g[k];
    }
    attn_block_store(count, m, w->first + at);
    attn_block_store(count, v, w->second + at);
    attn_block_store(count, value, w->parameter->value + at);
}

ATTN_INLINED void step_item_of(void *user, int64_t item) {
    const step_work *w = user;
    int64_t end = attn_min((item + 1) * ATTN_ITEM, w->parameter->count);
    for (int64_t at = item * ATTN_ITEM; at < end; at += ATTN_BLOCK) {
        if (w->options->kind == CLATTN_SGD) {
            step_sgd(w, end - at, at);
        } else {
            step_adamw(w, end - at, at);
        }
    }
}

ATTN_ITEM_FUNCTION(step_item)

static ATTN_NOT_INLINED void step_all(clattn_optimiser *o, double rate) {
    const clattn_optimiser_options *options = &o->options;
    const double t = (double)o->steps;
    step_work work = { .options = options, .rate = rate };
    work.bias[0] = 1 - pow(options->beta1, t), work.bias[1] = 1 - pow(options->beta2, t);
    for (int64_t k = 0; k < o->count; k++) {
        const clattn_parameter *state = &o->state->list[k * kinds[options->kind].states];
        work.parameter = &o->parameters->list[k];
        work.decay = options->decay_all || work.parameter->dimensions > 1 ? options->decay : 0;
        work.first = state[0].value;
        work.second = options->kind == CLATTN_ADAMW ? state[1].value : NULL;
        int64_t items = attn_divide_up(work.parameter->count, ATTN_ITEM);
        clattn_share(o->parameters->runtime, items, ATTN_ITEM_CHOICE(step_item), &work);
    }
}

clattn_status clattn_optimiser_step(clattn_optimiser *optimiser, double rate, clattn_report *report) {
    clattn_report_clear(report);
    if (!optimiser || !isfinite(rate) || rate < 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            optimiser ? "rate: is negative or not finite" : "optimiser: NULL");
    }
    if (optimiser->parameters->count != optimiser->count) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "parameters: %" PRId64 " now, %" PRId64 " at the beginning", optimiser->parameters->count,
                            optimiser->count);
    }
    attn_visit visit = attn_visit_begin();
    optimiser->steps++;
    step_all(optimiser, rate);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

clattn_parameters *clattn_optimiser_get_state(clattn_optimiser *optimiser) {
    return optimiser ? optimiser->state : NULL;
}

int64_t clattn_optimiser_get_steps(const clattn_optimiser *optimiser) {
    return optimiser ? optimiser->steps : 0;
}

clattn_status clattn_optimiser_set_steps(clattn_optimiser *optimiser, int64_t steps) {
    if (!optimiser || steps < 0 || steps == INT64_MAX) {
        return CLATTN_INVALID_ARGUMENT;
    }
    optimiser->steps = steps;
    return CLATTN_OK;
}

void clattn_optimiser_options_init(clattn_optimiser_options *options, size_t size) {
    static const clattn_optimiser_options start = CLATTN_OPTIMISER_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}

/* ------------------------------------------------------------------------------------------------ schedule */

static ATTN_NOT_INLINED double rate_of(const clattn_schedule *s, int64_t step) {
    if (step < s->warm_up) {
        return s->peak * ((double)step + 1) / (double)s->warm_up;
    }
    if (s->steps <= 0) {
        return s->peak;
    }
    if (step >= s->steps) {
        return s->floor;
    }
    double part = (double)(step - s->warm_up) / (double)(s->steps - s->warm_up);
    return s->floor + (s->peak - s->floor) * (1 + cos(3.14159265358979323846 * part)) / 2;
}

double clattn_schedule_rate(const clattn_schedule *schedule, int64_t step) {
    if (!schedule || schedule->struct_size != sizeof *schedule) {
        return 0;
    }
    attn_visit visit = attn_visit_begin();
    double rate = rate_of(schedule, attn_max(step, 0));
    attn_visit_end(&visit);
    return rate;
}

void clattn_schedule_init(clattn_schedule *schedule, size_t size) {
    static const clattn_schedule start = CLATTN_SCHEDULE_INIT;
    attn_init_structure(schedule, size, &start, sizeof start);
}
