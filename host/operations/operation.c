/*
 * Choosing an engine for an operation: like plan.c for attention, with a smaller table. Knows engines only by their
 * interface. To add an operation: its engines' tables, and a file beside this one that checks its problem and its
 * tensors.
 */
#include "operations/operation.h"

#include <stdio.h>
#include <string.h>

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
    if (engine->supports(problem, device, &why)) {
        return true;
    }
    snprintf(prefix, sizeof prefix, "%s on device %lld: ", engine->name, (long long)device->index);
    attn_report_text(report, prefix, why.length > 0 ? why.text : "refused");
    return false;
}

/* Prepares the problem with the best engine. `made` is to be released unless this fails. */
static clattn_status prepare(clattn_runtime *runtime, const attn_operation_engine *const *engines, int64_t count,
                             const void *problem, attn_operation_wish wish, attn_operation *made,
                             clattn_report *report) {
    const attn_operation_engine *best = NULL;
    const attn_device *place = NULL;
    int64_t devices = clattn_runtime_device_count(runtime);
    if (!is_known(wish.engine)) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "engine: \"%s\" is not known", wish.engine);
    }
    if (wish.device != CLATTN_ANY_DEVICE && (wish.device < 0 || wish.device >= devices)) {
        return attn_refuse(report, CLATTN_NO_DEVICE, "device: %lld is not here", (long long)wish.device);
    }
    for (int64_t e = 0; e < count; e++) {
        for (int64_t d = 0; engines[e] && is_wished(wish.engine, engines[e]->name) && d < devices; d++) {
            const attn_device *device = attn_runtime_device(runtime, d);
            bool asked = wish.device == CLATTN_ANY_DEVICE || wish.device == d;
            if (!asked || (engines[e]->only_when_named && !wish.engine) ||
                !supports(engines[e], problem, device, report)) {
                continue;
            }
            if (!best || preference(engines[e], device) > preference(best, place)) {
                best = engines[e];
                place = device;
            }
        }
    }
    if (!best) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "engine: %s serves here",
                           wish.engine ? "none of that name" : "none");
    }
    *made = (attn_operation){ .runtime = runtime, .engine = best };
    made->info = (clattn_operation_info){ .engine = best->name, .device = place->index };
    ATTN_TRY(best->prepare(problem, place, &made->state, &made->info, report));
    pthread_mutex_init(&made->lock, NULL);
    return CLATTN_OK;
}

clattn_status attn_operation_run(attn_operation *operation, const void *call) {
    pthread_mutex_lock(&operation->lock);
    clattn_status status = operation->engine->execute(operation->state, call);
    pthread_mutex_unlock(&operation->lock);
    return status;
}

clattn_status attn_operation_create(clattn_runtime *runtime, const attn_operation_shape *shape, const void *problem,
                                    attn_operation_wish wish, void **plan, clattn_report *report) {
    char *made = attn_allocate_zeroed(&runtime->memory, shape->plan_size);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    memcpy(made + shape->problem_at, problem, (size_t)shape->problem_size);
    clattn_status status = prepare(runtime, shape->engines, shape->count, made + shape->problem_at, wish,
                                   (attn_operation *)(void *)made, report);
    if (status != CLATTN_OK) {
        attn_release(&runtime->memory, made);
        return status;
    }
    *plan = made;
    return CLATTN_OK;
}

void attn_operation_destroy(void *plan) {
    attn_operation *operation = plan;
    if (operation) {
        attn_memory *memory = &operation->runtime->memory;
        operation->engine->release(operation->state);
        pthread_mutex_destroy(&operation->lock);
        attn_release(memory, plan);
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
