/*
 * Reads rows of block sizes from a user's text, and puts them before the library's. Strict: what is not understood is an
 * error with its line and column, since a row that is passed over in silence looks like a slow device. Knows no file.
 */
#include "tuning/tuning_user.h"

#include <inttypes.h>
#include <string.h>

enum { MOST_DIGITS = 9 };

typedef struct reader {
    attn_tuning_user *user;
    const char *name;   /* of the text, for errors */
    const char *header; /* of the present table, in the library; NULL before the first one */
    bool header_read;
    char *end; /* where the next line is copied to */
    int64_t line;
    clattn_report *report;
} reader;

static clattn_status refuse(const reader *r, int64_t column, const char *what, const char *text, size_t length) {
    return attn_refuse(r->report, CLATTN_INVALID_ARGUMENT, "%s:%" PRId64 ":%" PRId64 ": %s: \"%.*s\"", r->name, r->line,
                       column + 1, what, (int)(length < 80 ? length : 80), text);
}

static void copy(reader *r, const char *text, size_t length) {
    memcpy(r->end, text, length);
    r->end += length;
}

/* "[table]": what follows is its header and rows. */
static clattn_status begin_table(reader *r, const char *line, size_t length) {
    attn_tuning_user *user = r->user;
    char name[64] = "";
    if (length < 3 || line[length - 1] != ']' || length - 2 >= sizeof name) {
        return refuse(r, 0, "not a [table]", line, length);
    }
    memcpy(name, line + 1, length - 2);
    r->header = attn_tuning_get_table(name);
    r->header_read = false;
    if (!r->header) {
        return refuse(r, 1, "no such table", name, length - 2);
    }
    for (int64_t t = 0; t < user->count; t++) {
        if (strcmp(user->tables[t].name, name) == 0) {
            return refuse(r, 1, "a table given twice", name, length - 2);
        }
    }
    if (user->count == ATTN_TUNING_SECTIONS) {
        return refuse(r, 0, "too many tables", name, length - 2);
    }
    attn_tuning_table *table = &user->tables[user->count++];
    if (user->count > 1) { /* the line before ended the table before */
        *r->end++ = '\0';
    }
    table->name = r->end;
    copy(r, name, length - 1); /* with the NUL */
    table->text = r->end;
    return CLATTN_OK;
}

/* The library's header, so that a file of another version is seen. */
static clattn_status read_header(reader *r, const char *line, size_t length) {
    size_t wanted = strcspn(r->header, "\n"), same = 0;
    while (same < length && same < wanted && line[same] == r->header[same]) {
        same++;
    }
    if (same < length || same < wanted) {
        return refuse(r, (int64_t)same, "not the columns of this version's table", line + same, length - same);
    }
    r->header_read = true;
    return CLATTN_OK;
}

static bool is_text_column(const char *column, size_t length) {
    static const char *const columns[] = { "vendor", "architecture", "device", "type", "note" };
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) {
        if (strlen(columns[c]) == length && strncmp(columns[c], column, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_size(const char *text, size_t length) {
    return length > 0 && length <= MOST_DIGITS && strspn(text, "0123456789") >= length && text[0] != '0';
}

/* Whether the library's own table has a 0 in that column: only there it means something (a switch that is off). */
static bool may_be_zero(const reader *r, const char *column, size_t length) {
    char name[64];
    if (length >= sizeof name) {
        return false;
    }
    memcpy(name, column, length);
    name[length] = '\0';
    for (const char *line = strchr(r->header, '\n'); line && line[1] != '\0'; line = strchr(line + 1, '\n')) {
        const attn_tuning_row row = { r->header, line + 1, 0, 0 };
        if (attn_tuning_get(&row, name) == 0) {
            return true;
        }
    }
    return false;
}

static clattn_status read_row(reader *r, const char *line, size_t length) {
    const char *column = r->header;
    size_t at = 0;
    for (bool more = true; more; column += column[0] == ',') {
        size_t name = strcspn(column, ",\n"), end = at;
        while (end < length && line[end] != ',') {
            end++;
        }
        const bool last = column[name] != ',', is_note = name == 4 && strncmp(column, "note", 4) == 0;
        if (last != (end == length)) {
            return refuse(r, (int64_t)end, last ? "more fields than columns" : "fewer fields than columns", line,
                          length);
        }
        const bool zero = end - at == 1 && line[at] == '0' && may_be_zero(r, column, name);
        if (is_text_column(column, name) ? end == at && !is_note : !zero && !is_size(line + at, end - at)) {
            return refuse(r, (int64_t)at, is_text_column(column, name) ? "an empty field" : "not a size", line + at,
                          end - at);
        }
        more = !last;
        column += name;
        at = end + 1;
    }
    return CLATTN_OK;
}

static clattn_status read_line(reader *r, const char *line, size_t length) {
    if (length > 0 && line[length - 1] == '\r') {
        length--;
    }
    if (length == 0 || line[0] == '#') {
        return CLATTN_OK;
    }
    if (line[0] == '[') {
        return begin_table(r, line, length);
    }
    if (!r->header) {
        return refuse(r, 0, "a line before the first [table]", line, length);
    }
    ATTN_TRY(r->header_read ? read_row(r, line, length) : read_header(r, line, length));
    copy(r, line, length);
    *r->end++ = '\n';
    return CLATTN_OK;
}

clattn_status attn_tuning_parse(attn_memory *memory, const char *name, const char *text, attn_tuning_user **user,
                                clattn_report *report) {
    /* each line is copied with at most two characters more than it has */
    int64_t length = (int64_t)strlen(text), size = (int64_t)sizeof **user + 2 * length + 2;
    *user = attn_allocate_zeroed(memory, size);
    if (!*user) {
        return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "%s: no memory for it", name);
    }
    reader r = { .user = *user, .name = name, .end = (char *)(*user + 1), .report = report };
    clattn_status status = CLATTN_OK;
    text += strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark */
    while (*text != '\0' && status == CLATTN_OK) {
        size_t end = strcspn(text, "\n");
        r.line++;
        status = read_line(&r, text, end);
        text += end + (text[end] == '\n');
    }
    if (status == CLATTN_OK && r.header && !r.header_read) {
        status = refuse(&r, 0, "a table without its header", "", 0);
    }
    if (status != CLATTN_OK) {
        attn_release(memory, *user);
        *user = NULL;
    }
    return status;
}

int64_t attn_tuning_find_rows(const attn_tuning_user *user, const char *table, const attn_tuning_key *key,
                              attn_tuning_row *rows, int64_t room) {
    const char *own = attn_tuning_get_table(table);
    int64_t count = 0;
    for (int64_t t = 0; user && t < user->count; t++) {
        if (strcmp(user->tables[t].name, table) == 0) {
            count = attn_tuning_add(user->tables[t].text, key, rows, count, room);
        }
    }
    return own && (!user || !user->only) ? attn_tuning_add(own, key, rows, count, room) : count;
}
