/* The runtime of a command, the devices it may use and the engines it asks for. */
#ifndef ATTN_CLI_CASE_SESSION_H
#define ATTN_CLI_CASE_SESSION_H

#include "base/output_file.h"
#include "case/options.h"
#include "clattn/clattn_inspect.h"

enum { ATTN_TARGETS_MAX = 16 };

/** An engine on a device. */
typedef struct attn_target {
    const char *engine;
    int64_t device;
} attn_target;

typedef struct attn_session {
    clattn_runtime *runtime;
    int64_t device;     /* the one --device names, or CLATTN_ANY_DEVICE */
    const char *engine; /* the one --engine names, NULL = the best here or a list */
    int target_count;   /* engines to loop over: those named, else all that are here but the reference */
    attn_target targets[ATTN_TARGETS_MAX];
    bool listed;       /* --engine names several, or all */
    clattn_block_override blocks; /* --blocks and --body, for the options of plans */
    char tuning[ATTN_PATH_MAX]; /* the file of block sizes that is in force; "" = none */
} attn_session;

/** Makes the runtime, reads --engine, --device, --threads: unknown names are bad, known ones not here cannot serve. */
int attn_session_open(attn_session *session, const attn_options *options, attn_error *error);
void attn_session_close(attn_session *session);

/** The device an engine runs on here: the one asked for, else the first GPU, else the first that fits; -1 = none. */
int64_t attn_session_device_for(const attn_session *session, const char *engine);

/** "Name (driver)" of a device; cut to size. */
void attn_session_device_name(const attn_session *session, int64_t device, char *text, size_t size);

/** clattn_inspect_body() of an engine of attention. */
clattn_status attn_session_body(const attn_session *session, const char *engine, int64_t device, int64_t index,
                                clattn_body_info *info);

const char *attn_device_kind_name(clattn_device_kind kind);

#endif
