/*
 * Choosing an engine for an operation: like plan.c for attention, with a smaller table. Knows engines only by their
 * interface. To add an operation: its engines' tables, and a file beside this one that checks its problem and its
 * tensors.
 */
#include "operations/operation.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/visit.h"
#include "runtime/runtime.h"

/* Whether the wish names the engine: equal, or both begin with "opencl". */
static bool is_wished(const char *wish, const char *name) {
    return !wish || strcmp(wish, name) == 0 || (strncmp(wish, "opencl", 6) == 0 && strcmp(name, "opencl") == 0);
}

static bool is_known(const char *name) {
    return !name || strcmp(name, "opencl") == 0 || attn_engine_find(name) != NULL;
}

static int preference(const attn_operation_engine *engine, const attn_device *device) {
    if (engine->only_when_named) {
        return ATTN_PREFER_NEVER;
    }
    return device->kind == CLATTN_DEVICE_CPU          ? ATTN_PREFER_CPU
           : device->kind == CLATTN_DEVICE_OPENCL_GPU ? ATTN_PREFER_GPU
                                                      : ATTN_PREFER_OPENCL_CPU;
}

static bool supports(const attn_operation_engine *engine, const void *problem, const attn_device *device,
                     clattn_report *report) {
    clattn_report why;
    char prefix[96];
    attn_report_clear(&why);
    if (attn_device_is_lost(device)) {
        attn_report_line(&why, "device: OpenCL does not survive a fork");
    } else if (engine->supports(problem, device, &why)) {
        return true;
    }
    snprintf(prefix, sizeof prefix, "%s on device %lld: ", engine->name, (long long)device->index);
    attn_report_text(report, prefix, why.length > 0 ? why.text : "refused");
    return false;
}

/* An engine on a device, and where the pair stands: the more preferred first, then in the order of the lists. */
typedef struct place {
    const attn_operation_engine *engine; /* NULL = none */
    const attn_device *device;
    int preference;
    int64_t order;
} place;

static bool stands_before(const place *a, const place *b) {
    return a->preference > b->preference || (a->preference == b->preference && a->order < b->order);
}

/* Who is asked to serve what. */
typedef struct search {
    clattn_runtime *runtime;
    const attn_operation_shape *shape;
    const void *problem;
    attn_operation_wish wish;
    int64_t devices;
} search;

/* The next of those that support the problem, after `last` (NULL: the first of all). Says why the others decline. */
static place next_place(const search *s, const place *last, clattn_report *declined) {
    place best = { 0 };
    for (int64_t e = 0; e < s->shape->count; e++) {
        const attn_operation_engine *engine = s->shape->engines[e];
        bool wished = engine && is_wished(s->wish.engine, engine->name) && (s->wish.engine || !engine->only_when_named);
        for (int64_t d = 0; wished && d < s->devices; d++) {
            const attn_device *device = attn_runtime_device(s->runtime, d);
            place here = { engine, device, preference(engine, device), e * s->devices + d };
            bool asked = s->wish.device == CLATTN_ANY_DEVICE || s->wish.device == d;
            if (!asked || (last && !stands_before(last, &here)) || !supports(engine, s->problem, device, declined)) {
                continue;
            }
            if (!best.engine || stands_before(&here, &best)) {
                best = here;
            }
        }
    }
    return best;
}

static clattn_status ready(const search *s, const place *at, attn_operation *made, clattn_report *report) {
    *made = (attn_operation){ .runtime = s->runtime, .engine = at->engine };
    made->info = (clattn_operation_info){ .engine = at->engine->name, .device = at->device->index };
    made->lost_with_fork = at->device->opencl != NULL;
    made->process = at->device->opencl ? at->device->process : getpid();
    if (!attn_lock_init_checked(&made->lock)) {
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = at->engine->prepare(s->problem, at->device, &made->state, &made->info, report);
    if (status != CLATTN_OK) {
        pthread_mutex_destroy(&made->lock);
        attn_report_line(report, "%s on device %lld: %s", at->engine->name, (long long)at->device->index,
                         clattn_status_message(status));
    }
    return status;
}

/*
 * Prepares the problem with the best engine that can be made ready; else answers why the very best could not. `made` is
 * to be released unless this fails.
 */
static clattn_status prepare(const search *s, attn_operation *made, clattn_report *report) {
    clattn_report declined; /* told only when nobody serves */
    attn_report_clear(&declined);
    if (!is_known(s->wish.engine)) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "engine: \"%s\" is not known", s->wish.engine);
    }
    if (s->wish.device != CLATTN_ANY_DEVICE && (s->wish.device < 0 || s->wish.device >= s->devices)) {
        return attn_refuse(report, CLATTN_NO_DEVICE, "device: %lld is not here", (long long)s->wish.device);
    }
    clattn_status first = CLATTN_OK;
    for (place at = next_place(s, NULL, &declined); at.engine; at = next_place(s, &at, NULL)) {
        clattn_status status = ready(s, &at, made, report);
        if (status == CLATTN_OK) {
            return CLATTN_OK;
        }
        if (!attn_try_next(status)) {
            first = status;
            break;
        }
        first = first == CLATTN_OK ? status : first;
    }
    if (first == CLATTN_OK) {
        first = attn_refuse(report, CLATTN_UNSUPPORTED, "engine: %s serves here",
                            s->wish.engine ? "none of that name" : "none");
    }
    attn_report_append(report, &declined);
    return first;
}

static bool is_lost(const attn_operation *operation) {
    return operation->lost_with_fork && operation->process != getpid();
}

clattn_status attn_operation_run(attn_operation *operation, const void *call, clattn_report *report) {
    if (is_lost(operation)) {
        return attn_refuse(report, CLATTN_NO_DEVICE, "device: OpenCL does not survive a fork");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status;
    if (pthread_mutex_lock(&operation->lock) == 0) {
        status = operation->engine->execute(operation->state, call);
        pthread_mutex_unlock(&operation->lock);
    } else {
        status = attn_refuse(report, CLATTN_DEADLOCK, "plan: called from inside a call of the same plan");
    }
    attn_visit_end(&visit);
    return status;
}

static clattn_status create(clattn_runtime *runtime, const attn_operation_shape *shape, const void *problem,
                                    attn_operation_wish wish, void **plan, clattn_report *report) {
    char *made = attn_allocate_zeroed(&runtime->memory, shape->plan_size);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    memcpy(made + shape->problem_at, problem, (size_t)shape->problem_size);
    const search asked = { runtime, shape, made + shape->problem_at, wish, clattn_runtime_device_count(runtime) };
    clattn_status status = prepare(&asked, (attn_operation *)(void *)made, report);
    if (status != CLATTN_OK) {
        attn_release(&runtime->memory, made);
        return status;
    }
    *plan = made;
    return CLATTN_OK;
}

clattn_status attn_operation_create(clattn_runtime *runtime, const attn_operation_shape *shape, const void *problem,
                                    attn_operation_wish wish, void **plan, clattn_report *report) {
    attn_visit visit = attn_visit_begin();
    clattn_status status = create(runtime, shape, problem, wish, plan, report);
    attn_visit_end(&visit);
    return status;
}

void attn_operation_destroy(void *plan) {
    attn_operation *operation = plan;
    if (operation) {
        attn_memory *memory = &operation->runtime->memory;
        attn_visit visit = attn_visit_begin();
        if (!is_lost(operation)) { /* else what the engine made is left to the process that made it */
            operation->engine->release(operation->state);
        }
        pthread_mutex_destroy(&operation->lock);
        attn_release(memory, plan);
        attn_visit_end(&visit);
    }
}

clattn_status attn_operation_get_info(const void *plan, clattn_operation_info *info) {
    const attn_operation *operation = plan;
    if (!operation || !info) {
        return CLATTN_INVALID_ARGUMENT;
    }
    *info = operation->info;
    return CLATTN_OK;
}

clattn_status attn_operation_check_memory(const attn_operation_memory *list, size_t count, clattn_report *report) {
    for (size_t k = 0; k < count; k++) {
        if (list[k].data && !attn_fits_address(list[k].data, list[k].bytes)) {
            return attn_refuse(report, CLATTN_OVERFLOW, "%s: its last element lies beyond the address space", list[k].name);
        }
    }
    for (size_t k = 0; k < count && list[k].written; k++) {
        for (size_t n = k + 1; n < count; n++) {
            if (attn_ranges_meet(list[k].data, list[k].bytes, list[n].data, list[n].bytes)) {
                return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s: overlaps %s", list[k].name, list[n].name);
            }
        }
    }
    return CLATTN_OK;
}
