/*
 * What training asks for and an engine may not serve yet. An engine that learns one of these names its bit.
 */
#include "engines/unserved.h"

#include "base/report.h"

bool attn_is_unserved(const clattn_problem *p, unsigned serves, clattn_report *why_not) {
    const struct {
        bool asked;
        unsigned bit;
        const char *line;
    } features[] = {
        { p->direction != CLATTN_FORWARD, ATTN_SERVES_BACKWARD, "direction: backward is not served by this engine" },
        { p->dropout > 0, ATTN_SERVES_DROPOUT, "dropout: is not served by this engine" },
        { p->dropout_mask, ATTN_SERVES_DROPOUT, "dropout_mask: is not served by this engine" },
        { p->prefix > 0, ATTN_SERVES_PREFIX, "prefix: is not served by this engine" },
        { p->output_type != CLATTN_RESULT_STORAGE, ATTN_SERVES_OUTPUT_TYPE,
          "output_type: this engine writes the storage type alone" },
    };
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (features[i].asked && !(features[i].bit & serves)) {
            attn_report_line(why_not, "%s", features[i].line);
            return true;
        }
    }
    return false;
}
