/*
 * The program's words for what the library's reports name: fields of structs and values of enums. What is called the same
 * in both needs nothing here. To add one: its row.
 */
#include "base/speech.h"

#include <ctype.h>
#include <string.h>

static const struct {
    const char *field, *word;
} names[] = {
    { "past_length", "past" },
    { "window_left", "window" },
    { "window_right", "window" },
    { "alignment", "align" },
    { "offset", "align" },
    { "mask_shape", "mask" },
    { "bias_shape", "bias" },
    { "weights_first_head", "weights_heads" },
    { "weights_first_row", "weights_rows" },
    { "any clattn_alignment but CLATTN_ALIGN_UNSET", "top_left, bottom_right, past, a number, or offsets" },
    { "gradients_add", "add" },
    { "gradient_type CLATTN_RESULT_FP32", "gradient_type=fp32" },
    { "CLATTN_RESULT_FP32", "fp32" },
    { "CLATTN_OPEN", "open" },
    { "CLATTN_ALIGN_TOP_LEFT", "top_left" },
    { "CLATTN_ALIGN_BOTTOM_RIGHT", "bottom_right" },
    { "CLATTN_ALIGN_PAST", "past" },
    { "CLATTN_ALIGN_OFFSETS", "offsets" },
};
enum { NAMES = sizeof names / sizeof names[0] };

static int is_letter(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* The row whose field stands here as a whole word; -1 = none. */
static int find_name(const char *at) {
    for (int n = 0; n < NAMES; n++) {
        size_t length = strlen(names[n].field);
        if (strncmp(at, names[n].field, length) == 0 && !is_letter(at[length])) {
            return n;
        }
    }
    return -1;
}

void attn_speak(const char *report, char *spoken, size_t size) {
    size_t used = 0;
    for (const char *at = report; *at != '\0';) {
        int name = at == report || !is_letter(at[-1]) ? find_name(at) : -1;
        const char *from = name >= 0 ? names[name].word : at;
        size_t length = name >= 0 ? strlen(from) : 1;
        if (used + length >= size) {
            break;
        }
        memcpy(spoken + used, from, length);
        used += length;
        at += name >= 0 ? strlen(names[name].field) : 1;
    }
    spoken[used] = '\0';
}
