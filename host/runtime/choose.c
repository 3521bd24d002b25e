/*
 * Choosing engines: asks all of an operation's engines in order, keeps why they decline, ranks those that do not. Knows
 * engines only by their interface, and no operation.
 */
#include "runtime/choose.h"

#include <inttypes.h>
#include <stdio.h>

#include "engines/engine_body.h"
#include "runtime/runtime.h"

/* Who is asked to serve what. */
typedef struct search {
    const attn_engine_list *engines;
    const void *problem;
    const attn_plan_options *options;
    const attn_device *devices;
    int64_t device_count;
} search;

bool attn_choice_goes_on(clattn_status status) {
    return status == CLATTN_UNSUPPORTED || status == CLATTN_BUILD_FAILED || status == CLATTN_DEVICE_OUT_OF_MEMORY ||
           status == CLATTN_OUT_OF_MEMORY || status == CLATTN_OVERFLOW || status == CLATTN_OPENCL_ERROR;
}

static void consider(const search *s, const attn_engine *engine, const attn_device *device, attn_choice *choice,
                     clattn_report *declined) {
    clattn_report why;
    char prefix[96];
    attn_report_clear(&why);
    snprintf(prefix, sizeof prefix, "%s on device %" PRId64 ": ", engine->name, device->index);
    if (!attn_engine_supports(engine, s->problem, device, &why)) {
        attn_report_text(declined, prefix, why.length ? why.text : "refused");
        return;
    }
    int preference = engine->preference(s->problem, device);
    if (preference == ATTN_PREFER_NEVER && !s->options->engine) {
        attn_report_text(declined, prefix, "serves only where it is named");
        return;
    }
    int64_t place = choice->count++;
    for (; place > 0 && choice->candidates[place - 1].preference < preference; place--) {
        choice->candidates[place] = choice->candidates[place - 1];
    }
    choice->candidates[place] = (attn_candidate){ engine, *device, preference };
}

/* Fills the candidates, best first. The array has room for every pair of engine and device. */
static void find_candidates(const search *s, attn_choice *choice, clattn_report *declined) {
    for (int64_t e = 0; e < s->engines->count; e++) {
        const attn_engine_entry *entry = &s->engines->entries[e];
        if (!attn_engine_matches(s->options->engine, entry->name)) {
            continue;
        }
        choice->named_known = true;
        if (!entry->engine) {
            attn_report_line(declined, "%s: not in this build", entry->name);
            continue;
        }
        choice->named_built = true;
        for (int64_t d = 0; d < s->device_count; d++) {
            if (s->options->device != CLATTN_ANY_DEVICE && s->options->device != d) {
                continue;
            }
            choice->device_known = true;
            if (attn_device_is_lost(&s->devices[d])) {
                choice->device_lost = true;
                attn_report_line(declined, "%s on device %" PRId64 ": device: OpenCL does not survive a fork",
                                 entry->name, d);
                continue;
            }
            consider(s, entry->engine, &s->devices[d], choice, declined);
        }
    }
}

/* Adds the devices that cannot be used: one of those may be the device that was meant. */
static void add_left_out(clattn_runtime *runtime, clattn_report *declined) {
    clattn_report left_out;
    if (clattn_runtime_get_left_out(runtime, &left_out) == CLATTN_OK) {
        attn_report_text(declined, "", left_out.text);
    }
}

static clattn_status no_candidate(const attn_plan_options *options, const attn_choice *choice, clattn_report *report) {
    if (!choice->named_known) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "engine: \"%s\" is not known", options->engine);
    }
    if (choice->named_built && !choice->device_known) {
        return attn_refuse(report, CLATTN_NO_DEVICE, "device: %" PRId64 " is not here", options->device);
    }
    return choice->device_lost ? CLATTN_NO_DEVICE : CLATTN_UNSUPPORTED;
}

/*
 * The devices of now with what is set for them, copied: the caller's allocator and the engines are asked without the
 * runtime's lock. Device i stays device i, whatever is adopted meanwhile.
 */
static attn_device *copy_devices(clattn_runtime *runtime, const attn_plan_options *options, int64_t *count) {
    *count = clattn_runtime_device_count(runtime);
    attn_device *devices = attn_allocate(&runtime->memory, *count * (int64_t)sizeof *devices);
    if (devices) {
        pthread_mutex_lock(&runtime->lock);
        for (int64_t i = 0; i < *count; i++) {
            devices[i] = *runtime->devices[i];
            attn_plan_options_set(options, &devices[i]);
            devices[i].tuning = runtime->tuning;
        }
        pthread_mutex_unlock(&runtime->lock);
    }
    return devices;
}

clattn_status attn_choice_make(clattn_runtime *runtime, const attn_engine_list *engines, const void *problem,
                               const attn_plan_options *options, attn_choice *choice, clattn_report *declined,
                               clattn_report *report) {
    search s = { .engines = engines, .problem = problem, .options = options };
    *choice = (attn_choice){ .candidates = NULL };
    attn_device *devices = copy_devices(runtime, options, &s.device_count);
    s.devices = devices;
    if (devices) {
        choice->candidates =
            attn_allocate(&runtime->memory, engines->count * s.device_count * (int64_t)sizeof *choice->candidates);
    }
    if (choice->candidates) {
        find_candidates(&s, choice, declined);
    }
    attn_release(&runtime->memory, devices);
    if (!choice->candidates) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if (choice->count == 0) {
        add_left_out(runtime, declined);
        return no_candidate(options, choice, report);
    }
    return CLATTN_OK;
}

void attn_choice_release(clattn_runtime *runtime, attn_choice *choice) {
    attn_release(&runtime->memory, choice->candidates);
    choice->candidates = NULL;
}
