/*
 * Opens the runtime a command works with and turns --engine and --device into targets. Knows engines by the library's
 * list of names alone, so a new engine needs nothing here.
 */
#define _POSIX_C_SOURCE 200809L
#include "case/session.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/hint.h"
#include "base/input_file.h"
#include "base/tuning_file.h"

static bool is_opencl(const char *engine) {
    return strncmp(engine, "opencl", 6) == 0;
}

static bool kind_fits(const char *engine, clattn_device_kind kind) {
    return is_opencl(engine) == (kind != CLATTN_DEVICE_CPU);
}

int64_t attn_session_device_for(const attn_session *session, const char *engine) {
    int64_t found = -1;
    for (int64_t d = 0; d < clattn_runtime_device_count(session->runtime); d++) {
        clattn_device_info info;
        if ((session->device != CLATTN_ANY_DEVICE && session->device != d) ||
            clattn_runtime_get_device(session->runtime, d, &info) != CLATTN_OK || !kind_fits(engine, info.kind)) {
            continue;
        }
        if (info.kind == CLATTN_DEVICE_OPENCL_GPU) {
            return d;
        }
        found = found < 0 ? d : found;
    }
    return found;
}

static bool name_contains(const char *name, const char *part) {
    for (; *name != '\0'; name++) {
        size_t n = 0;
        while (part[n] != '\0' && tolower((unsigned char)name[n]) == tolower((unsigned char)part[n])) {
            n++;
        }
        if (part[n] == '\0') {
            return true;
        }
    }
    return false;
}

static int select_device(attn_session *session, const char *selector, attn_error *error) {
    int64_t count = clattn_runtime_device_count(session->runtime);
    session->device = CLATTN_ANY_DEVICE;
    if (!selector) {
        return ATTN_DONE;
    }
    int64_t number = 0;
    int status = attn_text_integer(selector, &number);
    if (status != 1) {
        session->device = number;
        return status == 0 && number >= 0 && number < count
                   ? ATTN_DONE
                   : attn_fail(error, ATTN_USAGE, "--device %s: there are devices 0 to %" PRId64, selector, count - 1);
    }
    for (int64_t d = 0; d < count; d++) {
        clattn_device_info info;
        if (clattn_runtime_get_device(session->runtime, d, &info) == CLATTN_OK &&
            (name_contains(info.name, selector) || name_contains(info.platform, selector) ||
             name_contains(info.version, selector))) {
            session->device = d;
            return ATTN_DONE;
        }
    }
    return attn_fail(error, ATTN_USAGE, "--device %s: no device here has that in its name", selector);
}

static int refuse_engine(const char *name, attn_error *error) {
    attn_hint hint;
    attn_hint_begin(&hint, name, strlen(name));
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        attn_hint_try(&hint, clattn_engine_name(e));
    }
    attn_hint_try(&hint, "opencl");
    return attn_fail(error, ATTN_USAGE, "--engine %s: no such engine%s", name, attn_hint_text(&hint));
}

static int add_target(attn_session *session, const char *engine, int64_t device, attn_error *error) {
    for (int t = 0; t < session->target_count; t++) {
        if (strcmp(session->targets[t].engine, engine) == 0) {
            return ATTN_DONE;
        }
    }
    if (session->target_count == ATTN_TARGETS_MAX) {
        return attn_fail(error, ATTN_USAGE, "--engine: more than %d engines", ATTN_TARGETS_MAX);
    }
    session->targets[session->target_count++] = (attn_target){ engine, device };
    return ATTN_DONE;
}

/* Every engine that is here, with the reference or without. */
static int add_all(attn_session *session, bool with_reference, attn_error *error) {
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *name = clattn_engine_name(e);
        int64_t device = attn_session_device_for(session, name);
        bool wanted = with_reference || strcmp(name, "reference") != 0;
        if (wanted && device >= 0 && clattn_engine_built(name) &&
            add_target(session, name, device, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return ATTN_DONE;
}

static const char *known_engine(const char *name) {
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        if (strcmp(clattn_engine_name(e), name) == 0) {
            return clattn_engine_name(e);
        }
    }
    return NULL;
}

/* The best of the OpenCL engines is chosen by the library, a problem at a time. */
static int add_opencl(attn_session *session, attn_error *error) {
    int64_t device = attn_session_device_for(session, "opencl");
    for (int64_t e = 0; e < clattn_engine_count() && device >= 0; e++) {
        if (is_opencl(clattn_engine_name(e)) && clattn_engine_built(clattn_engine_name(e))) {
            return add_target(session, "opencl", device, error);
        }
    }
    return attn_fail(error, ATTN_UNSERVED, "--engine opencl: no OpenCL engine with a device for it is here");
}

static int add_named(attn_session *session, const char *name, attn_error *error) {
    if (strcmp(name, "all") == 0) {
        return add_all(session, true, error);
    }
    if (strcmp(name, "opencl") == 0) {
        return add_opencl(session, error);
    }
    const char *known = known_engine(name);
    if (!known) {
        return refuse_engine(name, error);
    }
    if (!clattn_engine_built(known)) {
        return attn_fail(error, ATTN_UNSERVED, "--engine %s: not in this build", known);
    }
    int64_t device = attn_session_device_for(session, known);
    if (device < 0) {
        return attn_fail(error, ATTN_UNSERVED, "--engine %s: no device for it is here%s", known,
                         session->device == CLATTN_ANY_DEVICE ? "" : " (--device names another kind)");
    }
    return add_target(session, known, device, error);
}

static int select_engines(attn_session *session, const char *engines, attn_error *error) {
    char names[ATTN_TARGETS_MAX][64];
    if (!engines) {
        return add_all(session, false, error);
    }
    int count = attn_text_split(engines, names, ATTN_TARGETS_MAX);
    if (count < 0) {
        return attn_fail(error, ATTN_USAGE, "--engine %s: a list of engine names is expected", engines);
    }
    for (int n = 0; n < count; n++) { /* unknown names first: they are bad whatever is here */
        if (!known_engine(names[n]) && strcmp(names[n], "all") != 0 && strcmp(names[n], "opencl") != 0) {
            return refuse_engine(names[n], error);
        }
    }
    for (int n = 0; n < count; n++) {
        if (add_named(session, names[n], error) != ATTN_DONE) {
            return error->status;
        }
    }
    session->listed = count > 1 || strcmp(names[0], "all") == 0;
    session->engine = session->listed ? NULL : session->targets[0].engine;
    return ATTN_DONE;
}

/* --blocks query=32,key=64 */
static int read_blocks(const char *text, clattn_block_override *blocks, attn_error *error) {
    const struct {
        const char *name;
        int64_t *value;
    } known[] = { { "query=", &blocks->block_query }, { "key=", &blocks->block_key }, { "splits=", &blocks->splits } };
    char parts[4][64];
    int count = !text ? 0 : attn_text_split(text, parts, 4);
    for (int n = 0; n < count; n++) {
        bool read = false;
        if (strncmp(parts[n], "variant=", 8) == 0) {
            return attn_fail(error, ATTN_USAGE,
                             "--blocks %s: bodies have names: --body NAME (`clattn devices` lists them)", text);
        }
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            size_t length = strlen(known[k].name);
            read = read || (strncmp(parts[n], known[k].name, length) == 0 &&
                            attn_text_integer(parts[n] + length, known[k].value) == 0 && *known[k].value > 0);
        }
        count = read ? count : -1;
    }
    if (count < 0) {
        return attn_fail(error, ATTN_USAGE, "--blocks %s: query=N, key=N or splits=N is expected", text);
    }
    return ATTN_DONE;
}

clattn_status attn_session_body(const attn_session *session, const char *engine, int64_t device, int64_t index,
                                clattn_body_info *info) {
    return clattn_inspect_body(session->runtime, CLATTN_OPERATION_ATTENTION, engine, device, index, info);
}

/* Whether an engine of attention has the body; else the nearest name. */
static int check_body(const attn_session *session, const char *name, attn_error *error) {
    clattn_body_info body;
    attn_hint hint;
    attn_hint_begin(&hint, name, strlen(name));
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        for (int64_t n = 0; attn_session_body(session, clattn_engine_name(e), 0, n, &body) == CLATTN_OK; n++) {
            if (strcmp(body.name, name) == 0) {
                return ATTN_DONE;
            }
            attn_hint_try(&hint, body.name);
        }
    }
    const char *text = attn_hint_text(&hint);
    return attn_fail(error, ATTN_USAGE, "--body %s: no engine has such a body%s", name,
                     text[0] != '\0' ? text : " (`clattn devices` lists them)");
}

/* --blocks, --body: choices taken from the engines, for tuning and for tests of what a device would not choose. */
static int select_blocks(attn_session *session, const attn_options *options, attn_error *error) {
    session->blocks = (clattn_block_override){ .body = options->body };
    if (read_blocks(options->blocks, &session->blocks, error) != ATTN_DONE) {
        return error->status;
    }
    return !options->body ? ATTN_DONE : check_body(session, options->body, error);
}

/* --tuning FILE|none; without it the user's own file, where there is one. */
static int load_tuning(attn_session *session, const char *named, attn_error *error) {
    clattn_report report = { 0 };
    char path[sizeof session->tuning];
    if (!named) {
        attn_tuning_path(path, sizeof path);
    } else if (strlen(named) < sizeof path) {
        strcpy(path, named);
    } else {
        return attn_fail(error, ATTN_USAGE, "--tuning %s: the path is too long", named);
    }
    if (path[0] == '\0' || (!named && access(path, F_OK) != 0) || (named && strcmp(named, "none") == 0)) {
        return ATTN_DONE;
    }
    if (attn_input_check(path, error) != ATTN_DONE) {
        return error->status;
    }
    clattn_status status = clattn_runtime_load_tuning(session->runtime, path, &report);
    if (status != CLATTN_OK) {
        return attn_fail(error, attn_exit_status(status), "%.*s", (int)strcspn(report.text, "\n"), report.text);
    }
    strcpy(session->tuning, path);
    return ATTN_DONE;
}

int attn_session_open(attn_session *session, const attn_options *options, attn_error *error) {
    clattn_runtime_options runtime = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_report report = { 0 };
    *session = (attn_session){ 0 };
    runtime.threads = options->threads;
    runtime.report = &report;
    runtime.without_opencl = options->without_opencl;
    clattn_status status = clattn_runtime_create(&runtime, &session->runtime);
    if (status != CLATTN_OK) {
        return attn_fail(error, attn_exit_status(status), "the runtime does not start: %.*s",
                         report.length > 0 ? (int)strcspn(report.text, "\n") : 200,
                         report.length > 0 ? report.text : clattn_status_message(status));
    }
    if (load_tuning(session, options->tuning, error) != ATTN_DONE ||
        select_device(session, options->device, error) != ATTN_DONE ||
        select_engines(session, options->engine, error) != ATTN_DONE ||
        select_blocks(session, options, error) != ATTN_DONE) {
        attn_session_close(session);
        return error->status;
    }
    return ATTN_DONE;
}

void attn_session_close(attn_session *session) {
    clattn_runtime_destroy(session->runtime);
    *session = (attn_session){ 0 };
}

void attn_session_device_name(const attn_session *session, int64_t device, char *text, size_t size) {
    clattn_device_info info;
    if (clattn_runtime_get_device(session->runtime, device, &info) != CLATTN_OK) {
        snprintf(text, size, "device %" PRId64, device);
        return;
    }
    snprintf(text, size, "%s%s%s%s", info.name, info.driver[0] != '\0' ? " (" : "", info.driver,
             info.driver[0] != '\0' ? ")" : "");
}

const char *attn_device_kind_name(clattn_device_kind kind) {
    switch (kind) {
        case CLATTN_DEVICE_CPU: return "cpu";
        case CLATTN_DEVICE_OPENCL_GPU: return "opencl-gpu";
        default: return "opencl-cpu";
    }
}
