/*
 * A user's own block sizes: read from a file or from text, kept by the runtime, handed to engines with the device. What
 * was read stays in memory until the runtime ends, because a plan in the making may still look at it.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/visit.h"
#include "runtime/runtime.h"
#include "tuning/block_sizes.h"
#include "tuning/tuning_user.h"

enum { MOST_BYTES = 1 << 20 };

/* The whole file as text, from the runtime's memory. */
static clattn_status read_file(clattn_runtime *runtime, const char *path, char **text, clattn_report *report) {
    struct stat there;
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode)) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "%s: is a folder", path);
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "%s: cannot be read: %s", path, strerror(errno));
    }
    *text = attn_allocate(&runtime->memory, MOST_BYTES + 1);
    size_t length = *text != NULL ? fread(*text, 1, MOST_BYTES + 1, file) : 0;
    const bool failed = ferror(file) != 0;
    fclose(file);
    if (*text == NULL) {
        return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "%s: no memory for it", path);
    }
    if (failed || length > MOST_BYTES || memchr(*text, '\0', length) != NULL) {
        attn_release(&runtime->memory, *text);
        *text = NULL;
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "%s: %s", path,
                           failed ? "cannot be read" : "not a file of tuning rows");
    }
    (*text)[length] = '\0';
    return CLATTN_OK;
}

static clattn_status use_text(clattn_runtime *runtime, const char *name, const char *text, bool only,
                              clattn_report *report) {
    attn_tuning_user *user = NULL;
    if (text != NULL) {
        ATTN_TRY(attn_tuning_parse(&runtime->memory, name, text, &user, report));
        user->only = only;
    }
    pthread_mutex_lock(&runtime->lock);
    if (user != NULL) {
        user->older = runtime->tuning_read;
        runtime->tuning_read = user;
    }
    runtime->tuning = user;
    pthread_mutex_unlock(&runtime->lock);
    return CLATTN_OK;
}

clattn_status clattn_runtime_load_tuning(clattn_runtime *runtime, const char *path, clattn_report *report) {
    attn_report_clear(report);
    char *text = NULL;
    if (runtime == NULL) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "runtime: is NULL");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = path != NULL ? read_file(runtime, path, &text, report) : CLATTN_OK;
    if (status == CLATTN_OK) {
        status = use_text(runtime, path, text, false, report);
    }
    attn_release(&runtime->memory, text);
    attn_visit_end(&visit);
    return status;
}

clattn_status clattn_inspect_tuning(clattn_runtime *runtime, const char *text, bool only, clattn_report *report) {
    attn_report_clear(report);
    if (runtime == NULL) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "runtime: is NULL");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = use_text(runtime, "text", text, only, report);
    attn_visit_end(&visit);
    return status;
}

const char *clattn_inspect_tuning_table(int64_t index, const char **text) {
    if (index < 0 || (size_t)index >= attn_tuning_table_count) {
        return NULL;
    }
    if (text != NULL) {
        *text = attn_tuning_tables[index].text;
    }
    return attn_tuning_tables[index].name;
}

clattn_status clattn_inspect_tuning_row(const char *table, const char *line, clattn_report *report) {
    attn_blocks blocks;
    attn_report_clear(report);
    const char *header = table && line ? attn_tuning_get_table(table) : NULL;
    if (!header) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "no such table of block sizes");
    }
    const attn_tuning_row row = { .header = header, .line = line };
    return attn_blocks_take(table, &row, NULL, ATTN_WIDEST_VECTOR, &blocks, report);
}

void attn_runtime_forget_tuning(clattn_runtime *runtime) {
    while (runtime->tuning_read != NULL) {
        attn_tuning_user *older = runtime->tuning_read->older;
        attn_release(&runtime->memory, runtime->tuning_read);
        runtime->tuning_read = older;
    }
    runtime->tuning = NULL;
}
