/*
 * Plans: ask the engines in order, let the best make the problem ready, keep what its calls need. Knows engines only by
 * their interface.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/visit.h"
#include "engines/engine_body.h"
#include "runtime/runtime.h"

/** An engine that says yes, on a device. */
typedef struct candidate {
    const attn_engine *engine;
    attn_device device;
    int preference;
} candidate;

typedef struct choice {
    candidate *candidates;
    int64_t count;
    bool named_known, named_built, device_known, device_lost;
} choice;

static void consider(choice *choice, const clattn_problem *problem, const attn_engine *engine, const attn_device *device,
                     clattn_report *report) {
    clattn_report why;
    char prefix[96];
    attn_report_clear(&why);
    snprintf(prefix, sizeof prefix, "%s on device %lld: ", engine->name, (long long)device->index);
    bool yes = attn_engine_supports(engine, problem, device, &why);
    if (yes && problem->memory == CLATTN_MEMORY_OPENCL && !device->opencl) {
        attn_report_line(&why, "memory: OpenCL tensors need an OpenCL device");
        yes = false;
    }
    if (!yes) {
        attn_report_text(report, prefix, why.length ? why.text : "refused");
        return;
    }
    int preference = engine->preference(problem, device);
    if (preference == ATTN_PREFER_NEVER && !problem->engine) {
        return;
    }
    int64_t place = choice->count++;
    for (; place > 0 && choice->candidates[place - 1].preference < preference; place--) {
        choice->candidates[place] = choice->candidates[place - 1];
    }
    choice->candidates[place] = (candidate){engine, *device, preference};
}

/** Fills the candidates, best first. The array has room for every pair of engine and device. */
static void find_candidates(const attn_device *devices, int64_t device_count, const clattn_problem *problem, choice *choice,
                            clattn_report *report) {
    for (int64_t e = 0; e < attn_engine_list_count; e++) {
        const attn_engine_entry *entry = &attn_engine_list[e];
        if (!attn_engine_matches(problem->engine, entry->name)) {
            continue;
        }
        choice->named_known = true;
        if (!entry->engine) {
            attn_report_line(report, "%s: not in this build", entry->name);
            continue;
        }
        choice->named_built = true;
        for (int64_t d = 0; d < device_count; d++) {
            if (problem->device != CLATTN_ANY_DEVICE && problem->device != d) {
                continue;
            }
            choice->device_known = true;
            if (attn_device_is_lost(&devices[d])) {
                choice->device_lost = true;
                attn_report_line(report, "%s on device %" PRId64 ": device: OpenCL does not survive a fork", entry->name, d);
                continue;
            }
            consider(choice, problem, entry->engine, &devices[d], report);
        }
    }
}

/** Adds the devices that cannot be used: one of those may be the device that was meant. */
static void add_left_out(clattn_runtime *runtime, clattn_report *report) {
    clattn_report left_out;
    if (clattn_runtime_get_left_out(runtime, &left_out) == CLATTN_OK) {
        attn_report_text(report, "", left_out.text);
    }
}

static clattn_status no_candidate(const clattn_problem *problem, const choice *choice, clattn_report *report) {
    if (!choice->named_known) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "engine: \"%s\" is not known", problem->engine);
    }
    if (choice->named_built && !choice->device_known) {
        return attn_refuse(report, CLATTN_NO_DEVICE, "device: %lld is not here", (long long)problem->device);
    }
    return choice->device_lost ? CLATTN_NO_DEVICE : CLATTN_UNSUPPORTED;
}

static clattn_status open_slots(clattn_plan *plan, clattn_report *report) {
    attn_memory *memory = &plan->runtime->memory;
    plan->slots = attn_allocate_zeroed(memory, plan->problem.concurrency * (int64_t)sizeof *plan->slots);
    if (!plan->slots) {
        return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "concurrency: no memory for %lld calls at once", (long long)plan->problem.concurrency);
    }
    for (; plan->slot_count < plan->problem.concurrency; plan->slot_count++) {
        attn_slot *slot = &plan->slots[plan->slot_count];
        if (plan->engine->slot_open) {
            ATTN_TRY(plan->engine->slot_open(plan->state, &slot->engine_slot, report));
        }
        if (!plan->device.opencl && !plan->problem.caller_workspace) {
            slot->workspace = attn_allocate(memory, plan->info.workspace_size);
            if (!slot->workspace) {
                if (plan->engine->slot_close) {
                    plan->engine->slot_close(plan->state, slot->engine_slot);
                }
                return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "workspace: no memory for %lld bytes", (long long)plan->info.workspace_size);
            }
        }
    }
    return CLATTN_OK;
}

static void close_plan(clattn_plan *plan) {
    bool lost = attn_device_is_lost(&plan->device); /* then what the engine made is left to the process that made it */
    for (int64_t i = 0; i < plan->slot_count; i++) {
        attn_release(&plan->runtime->memory, plan->slots[i].workspace);
        if (plan->engine->slot_close && !lost) {
            plan->engine->slot_close(plan->state, plan->slots[i].engine_slot);
        }
    }
    attn_release(&plan->runtime->memory, plan->slots);
    plan->slots = NULL;
    plan->slot_count = 0;
    if (plan->state && !lost) {
        plan->engine->release(plan->state);
    }
    plan->state = NULL;
}

static clattn_status ready(clattn_plan *plan, const candidate *candidate, clattn_report *report) {
    plan->engine = candidate->engine;
    plan->device = candidate->device;
    plan->info = (clattn_plan_info){.engine = candidate->engine->name,
                                    .device = candidate->device.index,
                                    .accumulate = "fp32",
                                    .private_memory = -1,
                                    .local_memory = -1};
    clattn_status status = plan->engine->prepare(&plan->problem, &plan->device, &plan->state, &plan->info, report);
    if (status == CLATTN_OK) {
        status = open_slots(plan, report);
    }
    if (status != CLATTN_OK) {
        attn_report_line(report, "%s on device %lld: %s", candidate->engine->name, (long long)candidate->device.index,
                         clattn_status_message(status));
        close_plan(plan);
    }
    return status;
}

/** Makes the plan with the best candidate that can be made ready; else answers why the very best could not. */
static clattn_status ready_first(clattn_plan *plan, const choice *choice, clattn_report *report) {
    clattn_status first = CLATTN_UNSUPPORTED;
    for (int64_t i = 0; i < choice->count; i++) {
        clattn_status status = ready(plan, &choice->candidates[i], report);
        if (status == CLATTN_OK || !attn_try_next(status)) {
            return status;
        }
        first = i == 0 ? status : first;
    }
    return first;
}

static void count_work(clattn_plan *plan) {
    const clattn_problem *p = &plan->problem;
    double size = (double)clattn_type_size(p->type), batch = (double)p->batch;
    double query = (double)p->query_heads * (double)p->query_length, key = (double)p->kv_heads * (double)p->key_length;
    plan->info.flops = 2 * (double)(p->head_dim + p->value_dim) * attn_problem_scores(p);
    plan->info.bytes = size * batch * (query + key) * (double)(p->head_dim + p->value_dim);
}

/**
 * The devices of now with what is set for them, copied: the caller's allocator and the engines are asked without the
 * runtime's lock. Device i stays device i, whatever is adopted meanwhile.
 */
static attn_device *copy_devices(clattn_runtime *runtime, int64_t *count) {
    *count = clattn_runtime_device_count(runtime);
    attn_device *devices = attn_allocate(&runtime->memory, *count * (int64_t)sizeof *devices);
    if (devices) {
        pthread_mutex_lock(&runtime->lock);
        for (int64_t i = 0; i < *count; i++) {
            devices[i] = *runtime->devices[i];
            devices[i].blocks = runtime->blocks;
            devices[i].tuning = runtime->tuning;
        }
        pthread_mutex_unlock(&runtime->lock);
    }
    return devices;
}

static clattn_status choose(clattn_plan *plan, clattn_report *report) {
    clattn_runtime *runtime = plan->runtime;
    choice choice = {NULL, 0, false, false, false, false};
    int64_t count;
    clattn_report declined; /* told only when nobody serves */
    attn_report_clear(&declined);
    attn_device *devices = copy_devices(runtime, &count);
    if (devices) {
        choice.candidates = attn_allocate(&runtime->memory, attn_engine_list_count * count * (int64_t)sizeof(candidate));
    }
    if (choice.candidates) {
        find_candidates(devices, count, &plan->problem, &choice, &declined);
    }
    attn_release(&runtime->memory, devices);
    if (!choice.candidates) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if (choice.count == 0) {
        add_left_out(runtime, &declined);
    }
    clattn_status status = choice.count > 0 ? ready_first(plan, &choice, report) : no_candidate(&plan->problem, &choice, report);
    if (status != CLATTN_OK) {
        attn_report_append(report, &declined);
    }
    attn_release(&runtime->memory, choice.candidates);
    plan->problem.engine = NULL; /* the caller's string is not kept */
    return status;
}

static clattn_status create(clattn_runtime *runtime, const clattn_problem *problem, clattn_plan **plan, clattn_report *report) {
    clattn_plan *made = attn_allocate_zeroed(&runtime->memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    made->runtime = runtime;
    clattn_status status = attn_problem_resolve(problem, &made->problem, report);
    if (status == CLATTN_OK) {
        status = choose(made, report);
    }
    if (status != CLATTN_OK) {
        attn_release(&runtime->memory, made);
        return status;
    }
    count_work(made);
    made->process = getpid();
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->returned, NULL);
    *plan = made;
    return CLATTN_OK;
}

clattn_status clattn_plan_create(clattn_runtime *runtime, const clattn_problem *problem, clattn_plan **plan, clattn_report *report) {
    attn_report_clear(report);
    if (plan) {
        *plan = NULL;
    }
    if (!runtime || !plan) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "%s: is NULL", runtime ? "plan" : "runtime");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = create(runtime, problem, plan, report);
    attn_visit_end(&visit);
    return status;
}

void clattn_plan_destroy(clattn_plan *plan) {
    if (plan) {
        attn_visit visit = attn_visit_begin();
        close_plan(plan);
        if (plan->process == getpid()) { /* else threads of another process may stand in them as waiting */
            pthread_cond_destroy(&plan->returned);
            pthread_mutex_destroy(&plan->lock);
        }
        attn_release(&plan->runtime->memory, plan);
        attn_visit_end(&visit);
    }
}

clattn_status clattn_plan_get_info(const clattn_plan *plan, clattn_plan_info *info) {
    if (!plan || !info) {
        return CLATTN_INVALID_ARGUMENT;
    }
    *info = plan->info;
    return CLATTN_OK;
}
