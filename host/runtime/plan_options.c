/*
 * Options of plans: defaults and checks. Knows no operation; what an operation cannot do it refuses itself.
 */
#include <inttypes.h>
#include <string.h>

#include "base/visit.h"
#include "runtime/choose.h"

enum { MOST_CONCURRENCY = 65536 };

/* Sizes that the structure has had, one a version, as sizes_known in problem/problem.c. */
static const size_t sizes[] = { sizeof(clattn_plan_options) };

/* The string of an engine of any operation that equals name; NULL = no engine of this build has it. */
static const char *find_body(const char *name) {
    const char *body = attn_engine_list_body(&attn_attention_engines, name);
    body = body ? body : attn_engine_list_body(&attn_additive_engines, name);
    return body ? body : attn_engine_list_body(&attn_linear_engines, name);
}

static clattn_status resolve_blocks(const clattn_block_override *asked, clattn_block_override *blocks, clattn_report *report) {
    *blocks = asked ? *asked : (clattn_block_override){ 0 };
    if (blocks->body) {
        blocks->body = find_body(asked->body);
        if (!blocks->body) {
            return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "body: no engine of this build has \"%s\"", asked->body);
        }
    }
    return CLATTN_OK;
}

clattn_status attn_plan_options_resolve(const clattn_plan_options *options, attn_plan_options *resolved, clattn_report *report) {
    clattn_plan_options filled = CLATTN_PLAN_OPTIONS_INIT;
    size_t version = 0, versions = sizeof sizes / sizeof *sizes;
    while (options && version < versions && sizes[version] != options->struct_size) {
        version++;
    }
    if (version == versions) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT,
                           "struct_size: %zu, no clattn_plan_options has that size (%zu); start from CLATTN_PLAN_OPTIONS_INIT",
                           options->struct_size, sizeof *options);
    }
    if (options) {
        memcpy(&filled, options, options->struct_size);
    }
    if (filled.concurrency < 1 || filled.concurrency > MOST_CONCURRENCY) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "concurrency: %" PRId64 ", must be 1 to %d", filled.concurrency,
                           (int)MOST_CONCURRENCY);
    }
    *resolved = (attn_plan_options){ .engine = filled.engine,
                                     .device = filled.device,
                                     .concurrency = filled.concurrency,
                                     .caller_workspace = filled.caller_workspace,
                                     .batch_invariant = filled.batch_invariant,
                                     .allow_tf32 = filled.allow_tf32 };
    return resolve_blocks(filled.blocks, &resolved->blocks, report);
}

void attn_plan_options_set(const attn_plan_options *options, attn_device *device) {
    device->blocks = options->blocks;
    device->caller_workspace = options->caller_workspace;
    device->batch_invariant = options->batch_invariant;
    device->allow_tf32 = options->allow_tf32;
}

void clattn_plan_options_init(clattn_plan_options *options, size_t size) {
    static const clattn_plan_options start = CLATTN_PLAN_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}
