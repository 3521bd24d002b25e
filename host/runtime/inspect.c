/*
 * What tools ask: engines and their bodies, memory, the oracle. See clattn_inspect.h.
 */
#include <inttypes.h>
#include <string.h>

#include "base/visit.h"
#include "engines/engine_body.h"
#include "engines/reference/reference.h"
#include "runtime/runtime.h"

int64_t clattn_engine_count(void) {
    return attn_attention_engines.count;
}

const char *clattn_engine_name(int64_t index) {
    return index >= 0 && index < attn_attention_engines.count ? attn_attention_engines.entries[index].name : NULL;
}

bool clattn_engine_built(const char *name) {
    const attn_engine_entry *entry = attn_engine_find(&attn_attention_engines, name);
    return entry && entry->engine;
}

static clattn_status supports(clattn_runtime *runtime, const clattn_problem *problem, const attn_plan_options *options,
                              clattn_report *report) {
    const attn_engine_entry *entry = attn_engine_find(&attn_attention_engines, options->engine);
    const attn_device *found = attn_runtime_device(runtime, options->device);
    if (!entry) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "engine: \"%s\" is not known",
                           options->engine ? options->engine : "");
    }
    if (options->device == CLATTN_ANY_DEVICE) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "device: none is named");
    }
    if (!entry->engine) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "%s: not in this build", options->engine);
    }
    if (!found) {
        return attn_refuse(report, CLATTN_NO_DEVICE, "device: %" PRId64 " is not here", options->device);
    }
    if (attn_device_is_lost(found)) {
        return attn_refuse(report, CLATTN_NO_DEVICE, "device: OpenCL does not survive a fork");
    }
    attn_device copy = *found;
    attn_plan_options_set(options, &copy);
    return attn_engine_supports(entry->engine, problem, &copy, report) ? CLATTN_OK : CLATTN_UNSUPPORTED;
}

clattn_status clattn_engine_supports(clattn_runtime *runtime, const clattn_problem *problem, const clattn_plan_options *options,
                                     clattn_report *report) {
    clattn_problem resolved;
    attn_plan_options how;
    attn_report_clear(report);
    if (!runtime) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "runtime: is NULL");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = attn_problem_resolve(problem, &resolved, report);
    status = status == CLATTN_OK ? attn_plan_options_resolve(options, &how, report) : status;
    status = status == CLATTN_OK ? supports(runtime, &resolved, &how, report) : status;
    attn_visit_end(&visit);
    return status;
}

void clattn_inspect_memory(clattn_runtime *runtime, clattn_memory_use *use) {
    if (runtime && use) {
        attn_memory *m = &runtime->memory;
        *use = (clattn_memory_use){atomic_load(&m->host), atomic_load(&m->host_peak), atomic_load(&m->device),
                                   atomic_load(&m->device_peak), atomic_load(&m->peak)};
    }
}

void clattn_inspect_memory_reset(clattn_runtime *runtime) {
    if (runtime) {
        attn_memory *m = &runtime->memory;
        int64_t host = atomic_load(&m->host), device = atomic_load(&m->device);
        atomic_store(&m->host_peak, host);
        atomic_store(&m->device_peak, device);
        atomic_store(&m->peak, host + device);
    }
}

clattn_status clattn_inspect_body(clattn_runtime *runtime, clattn_operation operation, const char *engine, int64_t device,
                                  int64_t index, clattn_body_info *info) {
    static const attn_engine_list *const lists[] = {
        [CLATTN_OPERATION_ATTENTION] = &attn_attention_engines,
        [CLATTN_OPERATION_ADDITIVE] = &attn_additive_engines,
        [CLATTN_OPERATION_LINEAR] = &attn_linear_engines,
    };
    if (!runtime || (int)operation < 0 || (size_t)operation >= sizeof lists / sizeof *lists) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const attn_engine_entry *entry = attn_engine_find(lists[operation], engine);
    if (!entry || index < 0 || !info) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const attn_device *found = attn_runtime_device(runtime, device);
    if (!found || attn_device_is_lost(found)) {
        return CLATTN_NO_DEVICE;
    }
    const attn_body *bodies = entry->engine ? entry->engine->bodies : NULL;
    int64_t count = 0;
    while (bodies && bodies[count].name) {
        count++;
    }
    if (index >= count) {
        return CLATTN_UNSUPPORTED;
    }
    *info = (clattn_body_info){ bodies[index].name, bodies[index].what, bodies[index].why_not(found) };
    return CLATTN_OK;
}

clattn_status clattn_tensors_check(const clattn_problem *problem, const clattn_tensors *tensors, clattn_report *report) {
    attn_report_clear(report);
    clattn_problem resolved;
    attn_call call;
    ATTN_TRY(clattn_problem_resolve(problem, &resolved, report));
    if (!tensors || tensors->struct_size != sizeof *tensors) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "tensors: NULL, or struct_size is not clattn_tensors' (%zu)", sizeof *tensors);
    }
    clattn_tensors copy = *tensors;
    copy.report = report;
    return attn_call_resolve(&resolved, &copy, false, &call);
}

static ATTN_NOT_INLINED clattn_status get_row(const clattn_problem *problem, const clattn_tensors *tensors, int64_t b, int64_t h,
                                              int64_t i, clattn_reference_row *row, long double *scratch) {
    clattn_problem p;
    attn_call call;
    ATTN_TRY(attn_problem_resolve(problem, &p, NULL));
    ATTN_TRY(attn_call_resolve(&p, tensors, false, &call));
    if (b < 0 || b >= p.batch || h < 0 || h >= p.query_heads || i < 0 || i >= call.query_length) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_reference_row(&p, &call, b, h, i, row, scratch);
    return CLATTN_OK;
}

clattn_status clattn_reference_get_row(const clattn_problem *problem, const clattn_tensors *tensors, int64_t b, int64_t h, int64_t i,
                                       clattn_reference_row *row, long double *scratch) {
    if (!row || (!scratch && !(row->raw && row->softcap && row->scores && row->weights))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = get_row(problem, tensors, b, h, i, row, scratch);
    attn_visit_end(&visit);
    return status;
}
