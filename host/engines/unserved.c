/*
 * What only the reference serves so far. An engine that learns one of these says so itself and asks here no more.
 */
#include "engines/unserved.h"

#include "base/report.h"

bool attn_is_unserved(const clattn_problem *p, clattn_report *why_not) {
    const struct {
        bool asked;
        const char *line;
    } features[] = {
        { p->direction != CLATTN_FORWARD, "direction: backward is not served by this engine" },
        { p->dropout > 0, "dropout: is not served by this engine" },
        { p->dropout_mask, "dropout_mask: is not served by this engine" },
        { p->prefix > 0, "prefix: is not served by this engine" },
        { p->output_type != CLATTN_RESULT_STORAGE, "output_type: this engine writes the storage type alone" },
    };
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (features[i].asked) {
            attn_report_line(why_not, "%s", features[i].line);
            return true;
        }
    }
    return false;
}
