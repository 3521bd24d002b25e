/*
 * The known name that is nearest to a mistyped one: by the letters that must be put in, taken out, changed, or swapped
 * with their neighbour. Knows no names.
 */
#include "base/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Case and the kind of joining stroke do not count. */
static int is_same(char a, char b) {
    a = a == '_' ? '-' : (char)tolower((unsigned char)a);
    b = b == '_' ? '-' : (char)tolower((unsigned char)b);
    return a == b;
}

static int count_edits(const char *a, const char *b) {
    int rows[3][ATTN_HINT_MAX];
    int length = (int)strlen(b);
    for (int j = 0; j <= length; j++) {
        rows[0][j] = j;
    }
    for (int i = 1; a[i - 1] != '\0'; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int change = above[j - 1] + !is_same(a[i - 1], b[j - 1]);
            row[j] = least(change, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1])) {
                row[j] = least(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[strlen(a) % 3][length];
}

void attn_hint_begin(attn_hint *hint, const char *typed, size_t length) {
    *hint = (attn_hint){ .distance = 1000 };
    if (length < sizeof hint->typed) {
        memcpy(hint->typed, typed, length);
        hint->typed[length] = '\0';
    }
}

void attn_hint_try(attn_hint *hint, const char *name) {
    size_t typed = strlen(hint->typed), length = strlen(name);
    if (typed < 2 || length >= ATTN_HINT_MAX) {
        return;
    }
    int distance = count_edits(hint->typed, name);
    int bearable = typed < 5 ? 1 : typed < 9 ? 2 : 3;
    if (typed >= 4 && strncmp(hint->typed, name, typed) == 0) { /* a beginning of it */
        distance = least(distance, bearable);
    }
    if (distance <= bearable && distance < hint->distance) {
        hint->distance = distance;
        snprintf(hint->text, sizeof hint->text, "; did you mean %s?", name);
    }
}

const char *attn_hint_text(const attn_hint *hint) {
    return hint->text;
}
