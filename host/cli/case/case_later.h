/* Words of problems that a later release will serve: read as strictly as others, so that they are refused by name. */
#ifndef ATTN_CLI_CASE_CASE_LATER_H
#define ATTN_CLI_CASE_CASE_LATER_H

#include <stddef.h>

typedef enum attn_later {
    ATTN_LATER_NO,  /* not a word of a later release */
    ATTN_LATER_OFF, /* one whose value asks for nothing (dropout=0) */
    ATTN_LATER_ON,
    ATTN_LATER_BAD /* an impossible value */
} attn_later;

/** What name=value is; name has `length` characters. Of an impossible value *wants tells what is wanted. */
attn_later attn_case_later(const char *name, size_t length, const char *value, const char **wants);

/** Name number n; NULL after the last one. */
const char *attn_case_later_name(int n);

#endif
