/* Texts that layers read and write. */
#include "layers/layer_text.h"

/* Bytes of the UTF-8 character at text, 0 when there is none. */
static int utf8_length(const unsigned char *text) {
    int more = text[0] < 0x80   ? 0
               : text[0] < 0xc2 ? -1
               : text[0] < 0xe0 ? 1
               : text[0] < 0xf0 ? 2
               : text[0] < 0xf5 ? 3
                                : -1;
    for (int k = 1; k <= more; k++) {
        if ((text[k] & 0xc0) != 0x80) {
            return 0; /* an ending NUL too */
        }
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool beyond = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || beyond ? 0 : more + 1;
}

bool attn_layer_is_utf8(const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0';) {
        int length = utf8_length(at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}
