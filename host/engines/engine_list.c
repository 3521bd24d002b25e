/*
 * The table of engines. To add one: write engines/<name>.c with a `const attn_engine attn_engine_<name>`, name the file in
 * CMakeLists.txt, and add a line here. Order decides between equals. Tests, bench and command line loop over this list.
 */
#include "engines/engine_list.h"

#include <string.h>

extern const attn_engine attn_engine_reference, attn_engine_cpu;
#if CLATTN_HAVE_OPENCL
extern const attn_engine attn_engine_opencl_fused, attn_engine_opencl_decode;
#define OPENCL_ENGINE(engine) &engine
#else
#define OPENCL_ENGINE(engine) NULL
#endif
#if CLATTN_HAVE_CLBLAST
extern const attn_engine attn_engine_opencl_unfused;
#define CLBLAST_ENGINE(engine) &engine
#else
#define CLBLAST_ENGINE(engine) NULL
#endif

const attn_engine_entry attn_engine_list[] = {
    {"reference", &attn_engine_reference},
    {"cpu", &attn_engine_cpu},
    {"opencl-unfused", CLBLAST_ENGINE(attn_engine_opencl_unfused)},
    {"opencl-fused", OPENCL_ENGINE(attn_engine_opencl_fused)},
    {"opencl-decode", OPENCL_ENGINE(attn_engine_opencl_decode)},
};
const int64_t attn_engine_list_count = sizeof attn_engine_list / sizeof *attn_engine_list;

const attn_engine_entry *attn_engine_find(const char *name) {
    for (int64_t i = 0; name && i < attn_engine_list_count; i++) {
        if (strcmp(attn_engine_list[i].name, name) == 0) {
            return &attn_engine_list[i];
        }
    }
    return NULL;
}

bool attn_engine_matches(const char *name, const char *engine) {
    return !name || strcmp(name, engine) == 0 || (strcmp(name, "opencl") == 0 && strncmp(engine, "opencl-", 7) == 0);
}
