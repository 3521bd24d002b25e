/*
 * Additive attention: checks problem and tensors, fills in defaults, hands over to an engine. Knows no device. Its engines
 * stand in engines/engine_list.c.
 */
#include "clattn/clattn_additive.h"

#include <stddef.h>

#include "engines/additive/additive_engines.h"
#include "operations/dense_memory.h"
#include "runtime/runtime.h"

struct clattn_additive_plan {
    attn_plan core;
    clattn_additive_problem problem; /* resolved */
};

static clattn_status check_sizes(const clattn_additive_problem *p, clattn_report *report) {
    const struct {
        const char *name;
        int64_t size, least;
    } sizes[] = { { "batch", p->batch, 0 },
                  { "query_length", p->query_length, 0 },
                  { "key_length", p->key_length, 0 },
                  { "hidden", p->hidden, 1 },
                  { "value_dim", p->value_dim, 1 } };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        if (sizes[k].size < sizes[k].least) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "%s: %lld, must be at least %lld", sizes[k].name,
                               (long long)sizes[k].size, (long long)sizes[k].least);
        }
    }
    return CLATTN_OK;
}

/* Every tensor's bytes fit 63 bits; an empty dimension hides nothing: it counts as one. */
static clattn_status check_bytes(const clattn_additive_problem *p, clattn_report *report) {
    bool mask = p->mask == CLATTN_MASK_BYTES;
    const struct {
        const char *name;
        int64_t shape[3];
    } tensors[] = { { "query", { p->batch, p->query_length, p->hidden } },
                    { "key", { p->batch, p->key_length, p->hidden } },
                    { "value", { p->batch, p->key_length, p->value_dim } },
                    { "output", { p->batch, p->query_length, p->value_dim } },
                    { "weights", { p->weights ? p->batch : 1, p->query_length, p->weights ? p->key_length : 1 } },
                    { "mask", { mask ? p->mask_shape[0] : 1, mask ? p->mask_shape[1] : 1, mask ? p->mask_shape[2] : 1 } } };
    for (size_t k = 0; k < sizeof tensors / sizeof *tensors; k++) {
        int64_t bytes = (int64_t)sizeof(double); /* the reference's scores */
        for (int d = 0; d < 3; d++) {
            if (!attn_multiply(bytes, attn_max(tensors[k].shape[d], 1), &bytes)) {
                return attn_refuse(report, CLATTN_OVERFLOW, "%s: [%lld, %lld, %lld] has more than 2^63 - 1 bytes",
                                   tensors[k].name, (long long)tensors[k].shape[0], (long long)tensors[k].shape[1],
                                   (long long)tensors[k].shape[2]);
            }
        }
    }
    return CLATTN_OK;
}

static clattn_status check_mask(clattn_additive_problem *p, clattn_report *report) {
    const int64_t full[3] = { p->batch, p->query_length, p->key_length };
    if (p->mask != CLATTN_MASK_NONE && p->mask != CLATTN_MASK_BYTES) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "mask: CLATTN_MASK_NONE or CLATTN_MASK_BYTES here");
    }
    for (int d = 0; d < 3 && p->mask == CLATTN_MASK_BYTES; d++) {
        if (p->mask_shape[d] == CLATTN_SAME) {
            p->mask_shape[d] = full[d];
        }
        if (p->mask_shape[d] != 1 && p->mask_shape[d] != full[d]) {
            return attn_refuse(report, CLATTN_INVALID_PROBLEM, "mask_shape[%d]: %lld, must be 1 or %lld", d,
                               (long long)p->mask_shape[d], (long long)full[d]);
        }
    }
    return CLATTN_OK;
}

static clattn_status resolve(const clattn_additive_problem *problem, clattn_additive_problem *resolved,
                             clattn_report *report) {
    if (!problem) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "problem: is NULL");
    }
    if (problem->struct_size != sizeof *problem) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT,
                           "struct_size: %zu, no clattn_additive_problem has that size (%zu); start from "
                           "CLATTN_ADDITIVE_PROBLEM_INIT",
                           problem->struct_size, sizeof *problem);
    }
    *resolved = *problem;
    ATTN_TRY(check_sizes(resolved, report));
    ATTN_TRY(check_mask(resolved, report));
    return check_bytes(resolved, report);
}

static const attn_plan_kind kind = {
    .engines = &attn_additive_engines,
    .plan_size = sizeof(clattn_additive_plan),
    .problem_at = offsetof(clattn_additive_plan, problem),
    .problem_size = sizeof(clattn_additive_problem),
};

/* Options that have no meaning here. */
static clattn_status check_options(const attn_plan_options *options, clattn_report *report) {
    if (options->caller_workspace) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "caller_workspace: only calls of attention bring one");
    }
    return CLATTN_OK;
}

clattn_status clattn_additive_plan_create(clattn_runtime *runtime, const clattn_additive_problem *problem,
                                          const clattn_plan_options *options, clattn_additive_plan **plan, clattn_report *report) {
    clattn_additive_problem resolved;
    attn_plan_options how;
    void *made = NULL;
    attn_report_clear(report);
    if (plan) {
        *plan = NULL;
    }
    if (!runtime || !plan) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "%s: is NULL", runtime ? "plan" : "runtime");
    }
    ATTN_TRY(resolve(problem, &resolved, report));
    ATTN_TRY(attn_plan_options_resolve(options, &how, report));
    ATTN_TRY(check_options(&how, report));
    ATTN_TRY(attn_plan_create(runtime, &kind, &resolved, &how, &made, report));
    *plan = made;
    return CLATTN_OK;
}

void clattn_additive_plan_destroy(clattn_additive_plan *plan) {
    attn_plan_destroy(plan);
}

clattn_status clattn_additive_plan_get_info(const clattn_additive_plan *plan, clattn_operation_info *info) {
    return attn_plan_get_operation_info(plan, info);
}

static clattn_status check_lengths(const clattn_additive_problem *p, bool wanted, const clattn_integers *lengths,
                                   int64_t most, const char *name, clattn_integers *used, clattn_report *report) {
    *used = (clattn_integers){ NULL, 0, CLATTN_INT32 };
    if (!wanted) {
        return CLATTN_OK;
    }
    if (!lengths->data && p->batch > 0) {
        return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s: missing", name);
    }
    if (lengths->type != CLATTN_INT32 && lengths->type != CLATTN_INT64) {
        return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s: type is not one of its values", name);
    }
    int64_t end, bytes, size = lengths->type == CLATTN_INT32 ? 4 : 8;
    if (lengths->offset < 0) {
        return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s: offset is negative", name);
    }
    if (!attn_add(lengths->offset, p->batch, &end) || !attn_multiply(end, size, &bytes) ||
        !attn_fits_address(lengths->data, bytes)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "%s: its last element lies beyond the address space", name);
    }
    for (int64_t b = 0; b < p->batch; b++) {
        int64_t length = attn_integer(lengths, b);
        if (length < 0 || length > most) {
            return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s[%lld]: %lld is not within 0 and %lld", name,
                               (long long)b, (long long)length, (long long)most);
        }
    }
    *used = *lengths;
    return CLATTN_OK;
}

static clattn_status check_pointers(const clattn_additive_problem *p, const clattn_additive_tensors *t,
                                    const attn_additive_call *call) {
    bool rows = p->batch > 0 && call->query_length > 0, keys = p->batch > 0 && call->key_length > 0;
    const struct {
        const char *name;
        bool needed;
        const void *data;
    } all[] = { { "query", rows, t->query },
                { "key", keys, t->key },
                { "v", rows, t->v },
                { "value", keys, t->value },
                { "mask", p->mask == CLATTN_MASK_BYTES && rows && keys, t->mask },
                { "output", rows, t->output },
                { "weights", p->weights && rows && keys, t->weights },
                { "logsumexp", p->logsumexp && rows, t->logsumexp } };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (all[k].needed && !all[k].data) {
            return attn_refuse(t->report, CLATTN_INVALID_TENSORS, "%s: missing", all[k].name);
        }
    }
    return CLATTN_OK;
}

static attn_dense_memory lengths_of(const char *name, const clattn_additive_problem *p, const clattn_integers *list) {
    int64_t size = list->type == CLATTN_INT32 ? 4 : 8;
    return (attn_dense_memory){ name, list->data ? (const char *)list->data + list->offset * size : NULL,
                                    p->batch * size, false };
}

/* What the call walks, from the first element to the last: entries lie at the largest length. */
static clattn_status check_memory(const clattn_additive_problem *p, const attn_additive_call *call) {
    int64_t last = attn_max(p->batch - 1, 0), number = (int64_t)sizeof(float);
    bool none = p->batch == 0;
    int64_t rows = none ? 0 : last * p->query_length + call->query_length,
            keys = none ? 0 : last * p->key_length + call->key_length;
    int64_t mask = call->mask ? p->mask_shape[0] * p->mask_shape[1] * p->mask_shape[2] : 0;
    const attn_dense_memory list[] = {
        { "output", call->output, rows * p->value_dim * number, true },
        { "weights", call->weights, call->weights ? rows * p->key_length * number : 0, true },
        { "logsumexp", call->logsumexp, rows * number, true },
        { "query", call->query, rows * p->hidden * number, false },
        { "key", call->key, keys * p->hidden * number, false },
        { "v", call->v, p->hidden * number, false },
        { "value", call->value, keys * p->value_dim * number, false },
        { "mask", call->mask, mask, false },
        lengths_of("query_lengths", p, &call->query_lengths),
        lengths_of("key_lengths", p, &call->key_lengths),
    };
    return attn_check_dense(list, sizeof list / sizeof *list, call->report);
}

static clattn_status call_length(int64_t asked, int64_t largest, const char *name, int64_t *length,
                                 clattn_report *report) {
    *length = asked == CLATTN_SAME ? largest : asked;
    if (*length < 0 || *length > largest) {
        return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s: %lld is not within 0 and %lld", name, (long long)asked,
                           (long long)largest);
    }
    return CLATTN_OK;
}

clattn_status clattn_additive_execute(clattn_additive_plan *plan, const clattn_additive_tensors *tensors) {
    if (!plan || !tensors || tensors->struct_size != sizeof *tensors) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_additive_problem *p = &plan->problem;
    const clattn_additive_tensors *t = tensors;
    attn_report_clear(t->report);
    attn_additive_call call = { .query = t->query,
                                .key = t->key,
                                .v = t->v,
                                .value = t->value,
                                .output = t->output,
                                .weights = p->weights ? t->weights : NULL,
                                .logsumexp = p->logsumexp ? t->logsumexp : NULL,
                                .report = t->report };
    ATTN_TRY(call_length(t->query_length, p->query_length, "query_length", &call.query_length, t->report));
    ATTN_TRY(call_length(t->key_length, p->key_length, "key_length", &call.key_length, t->report));
    ATTN_TRY(check_pointers(p, t, &call));
    ATTN_TRY(check_lengths(p, p->query_lengths, &t->query_lengths, call.query_length, "query_lengths",
                           &call.query_lengths, t->report));
    ATTN_TRY(check_lengths(p, p->key_lengths, &t->key_lengths, call.key_length, "key_lengths", &call.key_lengths,
                           t->report));
    if (p->mask == CLATTN_MASK_BYTES) {
        call.mask = t->mask;
        call.mask_stride[0] = p->mask_shape[0] == 1 ? 0 : p->mask_shape[1] * p->mask_shape[2];
        call.mask_stride[1] = p->mask_shape[1] == 1 ? 0 : p->mask_shape[2];
        call.mask_stride[2] = p->mask_shape[2] == 1 ? 0 : 1;
    }
    ATTN_TRY(check_memory(p, &call));
    if (p->batch == 0 || call.query_length == 0) {
        return CLATTN_OK; /* no row, however many entries */
    }
    const attn_plan_call under_way = { .call = &call, .report = t->report };
    return attn_plan_run(&plan->core, &under_way);
}

void clattn_additive_problem_init(clattn_additive_problem *problem, size_t size) {
    static const clattn_additive_problem start = CLATTN_ADDITIVE_PROBLEM_INIT;
    attn_init_structure(problem, size, &start, sizeof start);
}

void clattn_additive_tensors_init(clattn_additive_tensors *tensors, size_t size) {
    static const clattn_additive_tensors start = CLATTN_ADDITIVE_TENSORS_INIT;
    attn_init_structure(tensors, size, &start, sizeof start);
}
