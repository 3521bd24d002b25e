/*
 * JSON as the program writes it. Everything that a user can name (files, words, comments) passes through here, so that
 * no byte of theirs makes a file that a strict reader refuses. Knows nothing of what is written.
 */
#include "base/json_write.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"

void attn_json_write_part(FILE *file, const char *text, size_t length) {
    fputc('"', file);
    for (size_t at = 0, step; at < length; at += step) {
        unsigned char letter = (unsigned char)text[at];
        uint32_t code;
        step = (size_t)attn_utf8_next(text + at, (int64_t)(length - at), &code);
        if (step == 0) {
            fputs("\\ufffd", file);
            step = 1;
        } else if (letter == '"' || letter == '\\') {
            fprintf(file, "\\%c", letter);
        } else if (letter == '\n') {
            fputs("\\n", file);
        } else if (letter < 0x20) {
            fprintf(file, "\\u%04x", letter);
        } else {
            fwrite(text + at, 1, step, file);
        }
    }
    fputc('"', file);
}

void attn_json_write_string(FILE *file, const char *text) {
    attn_json_write_part(file, text, strlen(text));
}

void attn_json_write_number(FILE *file, double value, int digits) {
    if (isfinite(value)) {
        fprintf(file, "%.*g", digits, value);
    } else {
        fputs("null", file);
    }
}

void attn_json_write_bool(FILE *file, bool value) {
    fputs(value ? "true" : "false", file);
}

/* A number as printf wrote it, which is how JSON spells numbers too; null for what is none. */
static void write_number_text(FILE *file, const char *text, size_t length) {
    char number[64] = "";
    double value;
    if (length < sizeof number) {
        memcpy(number, text, length);
        number[length] = '\0';
    }
    fputs(attn_text_number(number, &value) == 0 ? number : "null", file);
}

void attn_json_write_list(FILE *file, const char *text, char separator, bool numbers) {
    fputc('[', file);
    for (const char *at = text; *at != '\0';) {
        const char *end = strchr(at, separator);
        size_t length = end ? (size_t)(end - at) : strlen(at);
        fputs(at > text ? ", " : "", file);
        if (numbers) {
            write_number_text(file, at, length);
        } else {
            attn_json_write_part(file, at, length);
        }
        at += length + (end ? 1 : 0);
    }
    fputc(']', file);
}
