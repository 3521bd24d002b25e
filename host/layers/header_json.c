/*
 * A strict reader for the small part of JSON that .safetensors headers use; numbers are exact to 63 bits, and no memory
 * is taken. Knows nothing of arrays and files. Anything else in a header is an error with a sentence.
 */
#include "layers/header_json.h"

#include <stddef.h>
#include <string.h>

static bool fail(attn_header_json *json, const char *error) {
    if (!json->error) {
        json->error = error;
    }
    return false;
}

static void skip_space(attn_header_json *json) {
    while (json->at < json->length && strchr(" \t\r\n", json->text[json->at]) && json->text[json->at] != '\0') {
        json->at++;
    }
}

bool attn_header_take(attn_header_json *json, char c) {
    skip_space(json);
    if (json->error || json->at >= json->length || json->text[json->at] != c) {
        return false;
    }
    json->at++;
    return true;
}

bool attn_header_expect(attn_header_json *json, char c, const char *what) {
    return attn_header_take(json, c) || fail(json, what);
}

bool attn_header_at_end(attn_header_json *json) {
    skip_space(json);
    return json->at == json->length;
}

/* Four hexadecimal digits; -1 when they are none. */
static int32_t read_unit(attn_header_json *json) {
    int32_t unit = 0;
    for (int k = 0; k < 4; k++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        char c = json->at < json->length ? json->text[json->at++] : ' ';
        const char *digit = memchr(digits, c, sizeof digits - 1);
        if (!digit) {
            return -1;
        }
        unit = unit * 16 + (int32_t)((digit - digits) % 16);
    }
    return unit;
}

static char *put_utf8(char *to, int32_t code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* After "\u": a character of one unit, or of two (a surrogate pair). Never longer than what it is written in. */
static char *read_code(attn_header_json *json, char *to) {
    int32_t code = read_unit(json);
    if (code >= 0xd800 && code < 0xdc00) {
        bool pair = json->at + 1 < json->length && json->text[json->at] == '\\' && json->text[json->at + 1] == 'u';
        json->at += pair ? 2 : 0;
        int32_t low = pair ? read_unit(json) : -1;
        code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : -1;
    } else if (code >= 0xdc00 && code < 0xe000) {
        code = -1;
    }
    if (code <= 0) {
        fail(json, "a string with a \\u that is no character");
        return NULL;
    }
    return put_utf8(to, code);
}

static char *read_escape(attn_header_json *json, char *to) {
    static const char from[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    char c = json->at < json->length ? json->text[json->at++] : ' ';
    if (c == 'u') {
        return read_code(json, to);
    }
    const char *found = memchr(from, c, sizeof from - 1);
    if (!found) {
        fail(json, "a string with an unknown escape");
        return NULL;
    }
    *to = meaning[found - from];
    return to + 1;
}

char *attn_header_string(attn_header_json *json) {
    if (!attn_header_expect(json, '"', "a string was expected")) {
        return NULL;
    }
    char *begin = json->text + json->at, *to = begin;
    while (json->at < json->length) {
        char c = json->text[json->at++];
        if (c == '"') {
            *to = '\0';
            return begin;
        }
        if ((unsigned char)c < 0x20) {
            break;
        }
        if (c == '\\') {
            to = read_escape(json, to);
            if (!to) {
                return NULL;
            }
        } else {
            *to++ = c;
        }
    }
    fail(json, "a string that does not end, or holds a control character");
    return NULL;
}

int64_t attn_header_integer(attn_header_json *json) {
    skip_space(json);
    int64_t value = 0, begin = json->at;
    for (; json->at < json->length && json->text[json->at] >= '0' && json->text[json->at] <= '9'; json->at++) {
        int digit = json->text[json->at] - '0';
        if (value > (INT64_MAX - digit) / 10) {
            fail(json, "a number that does not fit 63 bits");
            return -1;
        }
        value = value * 10 + digit;
    }
    bool none = json->at == begin, zero_first = json->at - begin > 1 && json->text[begin] == '0';
    if (json->error || none || zero_first ||
        (json->at < json->length && strchr(".eE", json->text[json->at]) && json->text[json->at])) {
        fail(json, "a whole number was expected");
        return -1;
    }
    return value;
}

int64_t attn_header_integers(attn_header_json *json, int64_t *numbers, int64_t most) {
    int64_t count = 0;
    if (!attn_header_expect(json, '[', "an array was expected")) {
        return -1;
    }
    if (attn_header_take(json, ']')) {
        return 0;
    }
    do {
        if (count == most) {
            fail(json, "an array of too many numbers");
            return -1;
        }
        numbers[count] = attn_header_integer(json);
        if (numbers[count++] < 0) {
            return -1;
        }
    } while (attn_header_take(json, ','));
    return attn_header_expect(json, ']', "an array that does not end") ? count : -1;
}
