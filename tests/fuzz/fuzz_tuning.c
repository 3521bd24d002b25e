/* The library's reader of block sizes, and looking rows up in what it took. */
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "fuzz.h"
#include "tuning/tuning_user.h"

static void look_up(const attn_tuning_user *user) {
    static const attn_tuning_key keys[] = { { "", "", "", "fp32", 64 },
                                            { "NVIDIA Corporation", "sm_90", "NVIDIA H200", "bf16", 128 } };
    static const char *const columns[] = { "block_key", "head_dim_max", "note" };
    for (size_t t = 0; t < attn_tuning_table_count; t++) {
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            attn_tuning_row rows[2];
            int64_t count = attn_tuning_find_rows(user, attn_tuning_tables[t].name, &keys[k], rows, 2);
            FUZZ_CHECK(count >= 0 && count <= 2);
            for (int64_t r = 0; r < count; r++) {
                FUZZ_CHECK(rows[r].head_dim_max >= keys[k].head_dim);
                for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
                    FUZZ_CHECK(attn_tuning_get(&rows[r], columns[c]) >= 0);
                }
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static attn_memory memory;
    static bool begun;
    if (!begun) {
        attn_memory_init(&memory, &(clattn_allocator){ 0 });
        begun = true;
    }
    char *text = fuzz_text(data, size);
    clattn_report report = { 0 };
    attn_tuning_user *user = NULL;
    clattn_status status = attn_tuning_parse(&memory, "text", text, &user, &report);
    FUZZ_CHECK(status == CLATTN_OK ? user != NULL : !user && report.length > 0);
    if (user) {
        look_up(user);
    }
    attn_release(&memory, user);
    /* as a file: the same answer, where it has no NUL */
    clattn_status by_file = clattn_runtime_load_tuning(fuzz_runtime(), fuzz_file(data, size), &report);
    FUZZ_CHECK(by_file == (strlen(text) == size ? status : CLATTN_INVALID_ARGUMENT));
    FUZZ_CHECK(clattn_runtime_load_tuning(fuzz_runtime(), NULL, NULL) == CLATTN_OK);
    free(text);
    return 0;
}
