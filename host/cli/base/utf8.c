/*
 * UTF-8 by its definition: no overlong forms, no surrogates, nothing above U+10FFFF. Knows nothing of tokens. What is a
 * letter is the C library's business (words_tokens.c).
 */
#include "base/utf8.h"

#include <string.h>

int attn_utf8_next(const char *text, int64_t left, uint32_t *code) {
    static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = left > 0 ? (unsigned char)text[0] : 0xff;
    int length = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
    if (length == 0 || length > left) {
        return 0;
    }
    *code = length == 1 ? first : first & (0xffu >> (length + 1));
    for (int k = 1; k < length; k++) {
        unsigned char next = (unsigned char)text[k];
        if ((next & 0xc0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (next & 0x3fu);
    }
    bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return *code < smallest[length] || surrogate || *code > 0x10ffff ? 0 : length;
}

int attn_utf8_put(char *text, uint32_t code) {
    if (code < 0x80) {
        text[0] = (char)code;
        return 1;
    }
    int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int k = length - 1; k > 0; k--, code >>= 6) {
        text[k] = (char)(0x80 | (code & 0x3f));
    }
    text[0] = (char)((0xf00u >> length & 0xf0u) | code);
    return length;
}

bool attn_utf8_is_space(uint32_t code) {
    return code == ' ' || (code >= '\t' && code <= '\r') || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
           code == 0x3000;
}

bool attn_utf8_is_mark(uint32_t code) {
    return code >= 0x300 && code <= 0x36f;
}

int attn_utf8_width(const char *text) {
    int width = 0;
    uint32_t code;
    int64_t left = (int64_t)strlen(text);
    for (int length; left > 0; text += length, left -= length) {
        length = attn_utf8_next(text, left, &code);
        width += length == 0 || !attn_utf8_is_mark(code);
        length = length == 0 ? 1 : length;
    }
    return width;
}
