/* A reader of JSON that trusts it: tests/support/strict_json.py looks at how it is written. */
#include "support/json_values.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

/* A JSON string without its last quote and its backslashes; *at moves behind it. */
static void read_string(const char **at, char *value, size_t size) {
    size_t used = 0;
    do {
        *at += **at == '\\';
        value[used++] = *(*at)++;
    } while (**at != '"' && **at != '\0' && used + 1 < size);
    value[used] = '\0';
    *at += **at == '"';
}

/* The next value: a string with its leading quote, or a number. */
static bool next_value(const char **at, char *value, size_t size) {
    for (;;) {
        *at += strcspn(*at, "\"-0123456789");
        if (**at == '\0') {
            return false;
        }
        if (**at != '"') {
            size_t length = strspn(*at, "+-.0123456789e");
            snprintf(value, size, "%.*s", (int)length, *at);
            *at += length;
            return true;
        }
        read_string(at, value, size);
        if (**at != ':') {
            return true;
        }
    }
}

void json_expect(const char *json, const char *expected, const char *what) {
    char value[256], golden[256];
    int count = 0;
    for (; next_value(&json, value, sizeof value); count++) {
        expected += strspn(expected, " ");
        size_t length = strcspn(expected, " \n");
        ck_assert_msg(length > 0, "%s: more values than %d", what, count);
        snprintf(golden, sizeof golden, "%.*s", (int)length, expected);
        expected += length;
        if (golden[0] == '"') {
            ck_assert_msg(strcmp(golden, value) == 0, "%s: value %d is %s, not %s", what, count, value, golden);
            continue;
        }
        double x = strtod(value, NULL), y = strtod(golden, NULL);
        ck_assert_msg(value[0] != '"' && fabs(x - y) <= 4e-6 * (1 + fabs(y)), "%s: value %d is %s, not %s", what, count,
                      value, golden);
    }
    ck_assert_msg(expected[strspn(expected, " \n")] == '\0' && count > 0, "%s: only %d values", what, count);
}
