/*
 * Words of problems that a later release will serve. To add one, write what its values may be and add its row; when it
 * is served its row goes and the table in case.c gets one.
 */
#include "case/case_later.h"

#include <string.h>

#include "base/text.h"

static attn_later read_dropout(const char *value) {
    double p = 0;
    if (attn_text_number(value, &p) != 0 || !(p >= 0 && p < 1)) {
        return ATTN_LATER_BAD;
    }
    return p > 0 ? ATTN_LATER_ON : ATTN_LATER_OFF;
}

static attn_later read_direction(const char *value) {
    return strcmp(value, "forward") == 0    ? ATTN_LATER_OFF
           : strcmp(value, "backward") == 0 ? ATTN_LATER_ON
                                            : ATTN_LATER_BAD;
}

static attn_later read_yes(const char *value) {
    return strcmp(value, "no") == 0 ? ATTN_LATER_OFF : strcmp(value, "yes") == 0 ? ATTN_LATER_ON : ATTN_LATER_BAD;
}

static attn_later read_size(const char *value) {
    int64_t size = 0;
    return attn_text_integer(value, &size) == 0 && size >= 1 ? ATTN_LATER_ON : ATTN_LATER_BAD;
}

static attn_later read_prefix(const char *value) {
    int64_t size = 0;
    if (attn_text_integer(value, &size) != 0 || size < 0) {
        return ATTN_LATER_BAD;
    }
    return size > 0 ? ATTN_LATER_ON : ATTN_LATER_OFF;
}

static attn_later read_ring(const char *value) {
    char parts[2][64];
    int64_t sizes[2] = { 0, 0 };
    int count = attn_text_split(value, parts, 2);
    for (int p = 0; p < count; p++) {
        if (attn_text_integer(parts[p], &sizes[p]) != 0 || sizes[p] < 1 - p) {
            count = -1;
        }
    }
    return count >= 1 ? ATTN_LATER_ON : ATTN_LATER_BAD;
}

static attn_later read_rotary(const char *value) {
    char parts[2][64];
    int64_t dims = 0;
    bool right = attn_text_split(value, parts, 2) == 2 && attn_text_integer(parts[1], &dims) == 0 && dims >= 2 &&
                 dims % 2 == 0 && (strcmp(parts[0], "interleaved") == 0 || strcmp(parts[0], "halves") == 0);
    return right ? ATTN_LATER_ON : ATTN_LATER_BAD;
}

static attn_later read_base(const char *value) {
    double base = 0;
    return attn_text_number(value, &base) == 0 && base > 0 ? ATTN_LATER_ON : ATTN_LATER_BAD;
}

static attn_later read_cache(const char *value) {
    return strcmp(value, "int8") == 0 ? ATTN_LATER_ON : ATTN_LATER_BAD;
}

static const struct {
    const char *name;
    attn_later (*read)(const char *value);
    const char *wants;
} words[] = {
    { "dropout", read_dropout, "a probability of at least 0 and below 1 is wanted" },
    { "direction", read_direction, "forward or backward is wanted" },
    { "packed", read_yes, "yes or no is wanted" },
    { "page", read_size, "a whole number of at least 1 is wanted" },
    { "ring", read_ring, "C,K is wanted, whole numbers" },
    { "cache", read_cache, "int8 is wanted" },
    { "prefix", read_prefix, "a whole number of 0 or more is wanted" },
    { "rotary", read_rotary, "interleaved,R or halves,R with an even R is wanted" },
    { "rotary_base", read_base, "a number above 0 is wanted" },
};
enum { WORDS = sizeof words / sizeof words[0] };

attn_later attn_case_later(const char *name, size_t length, const char *value, const char **wants) {
    for (int w = 0; w < WORDS; w++) {
        if (strlen(words[w].name) == length && strncmp(words[w].name, name, length) == 0) {
            *wants = words[w].wants;
            return words[w].read(value);
        }
    }
    return ATTN_LATER_NO;
}

const char *attn_case_later_name(int n) {
    return n < WORDS ? words[n].name : NULL;
}
