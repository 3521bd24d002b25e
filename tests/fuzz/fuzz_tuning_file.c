/* The program's editing of the file of block sizes: a row put into a file that the library takes leaves one it takes. */
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "fuzz.h"
#include "base/tuning_file.h"

static bool is_taken(const char *text) {
    return clattn_runtime_load_tuning(fuzz_runtime(), fuzz_file(text, strlen(text)), NULL) == CLATTN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static attn_error error;
    static const char key[] = "A,B,C,fp32,64,";
    const char *rows;
    char header[256], row[256], *text = NULL;
    const char *table = clattn_inspect_tuning_table(1, &rows);
    snprintf(header, sizeof header, "%.*s", (int)strcspn(rows, "\n"), rows);
    snprintf(row, sizeof row, "%s", key);
    for (const char *comma = strstr(header, "head_dim_max,"); comma && strncmp(comma, "note", 4) != 0;) {
        comma = strchr(comma, ',') + 1;
        strncat(row, strncmp(comma, "note", 4) == 0 ? "a note" : "8,", sizeof row - strlen(row) - 1);
    }
    if (attn_tuning_read(fuzz_file(data, size), &text, &error) != ATTN_DONE) {
        return 0;
    }
    bool taken = is_taken(text);
    char *with = attn_tuning_replace(text, table, header, key, row);
    char *again = attn_tuning_replace(with, table, header, key, row);
    char *without = attn_tuning_replace(with, table, header, key, NULL);
    FUZZ_CHECK(with && again && without);
    FUZZ_CHECK(!taken || (is_taken(with) && is_taken(without)));
    FUZZ_CHECK(!taken || (strstr(with, row) && strcmp(with, again) == 0));
    free(text);
    free(with);
    free(again);
    free(without);
    return 0;
}
