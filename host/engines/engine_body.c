/*
 * Bodies of engines by name, and what engines share that have no order of their own. Knows no engine: the lists are the
 * engines' own.
 */
#include "engines/engine_body.h"

#include <stdio.h>
#include <string.h>

int attn_body_find(const attn_body *bodies, const char *name) {
    for (int n = 0; bodies && name && bodies[n].name; n++) {
        if (strcmp(bodies[n].name, name) == 0) {
            return n;
        }
    }
    return -1;
}

int attn_body_choose(const attn_body *bodies, const attn_device *device) {
    int best = -1;
    if (device->blocks.body) {
        return attn_body_find(bodies, device->blocks.body);
    }
    for (int n = 0; bodies[n].name; n++) {
        best = bodies[n].why_not(device) ? best : n;
    }
    return best;
}

bool attn_body_alone(const attn_device *device, clattn_report *why_not) {
    const clattn_block_override *asked = &device->blocks;
    const char *field = asked->block_query != 0 ? "block_query"
                        : asked->block_key != 0 ? "block_key"
                        : asked->splits != 0    ? "splits"
                                                : NULL;
    if (field) {
        attn_report_line(why_not, "blocks.%s: this engine has no such size", field);
    }
    return !field;
}

int attn_prefer_by_kind(const void *problem, const attn_device *device) {
    (void)problem;
    return device->kind == CLATTN_DEVICE_CPU          ? ATTN_PREFER_CPU
           : device->kind == CLATTN_DEVICE_OPENCL_GPU ? ATTN_PREFER_GPU
                                                      : ATTN_PREFER_OPENCL_CPU;
}

int attn_prefer_never(const void *problem, const attn_device *device) {
    (void)problem;
    (void)device;
    return ATTN_PREFER_NEVER;
}

/* The names of all bodies, with commas between them. */
static void list_names(const attn_body *bodies, char *text, size_t size) {
    size_t length = 0;
    text[0] = '\0';
    for (int n = 0; bodies && bodies[n].name && length < size; n++) {
        length += (size_t)snprintf(text + length, size - length, "%s%s", n > 0 ? ", " : "", bodies[n].name);
    }
}

static bool has_body(const attn_engine *engine, const attn_device *device, clattn_report *why_not) {
    const char *name = device->blocks.body, *reason = NULL;
    if (!name) {
        return true;
    }
    int at = attn_body_find(engine->bodies, name);
    if (at < 0) {
        char names[256];
        list_names(engine->bodies, names, sizeof names);
        attn_report_line(why_not, "body: %s has no %s, it has %s", engine->name, name, engine->bodies ? names : "one without a name");
        return false;
    }
    reason = engine->bodies[at].why_not(device);
    if (reason) {
        attn_report_line(why_not, "body: %s: %s", name, reason);
    }
    return !reason;
}

bool attn_engine_supports(const attn_engine *engine, const void *problem, const attn_device *device,
                          clattn_report *why_not) {
    return has_body(engine, device, why_not) && engine->supports(problem, device, why_not);
}
