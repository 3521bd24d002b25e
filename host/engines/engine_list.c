/*
 * The tables of engines, one an operation. To add an engine: write it in a folder of engines/ with a `const attn_engine`,
 * name the file in CMakeLists.txt, and add a line here. Order decides between equals. Tests, bench and command line loop
 * over these lists.
 */
#include "engines/engine_list.h"

#include <string.h>

#include "engines/engine_body.h"

extern const attn_engine attn_engine_reference, attn_engine_cpu;
extern const attn_engine attn_additive_reference, attn_additive_cpu;
extern const attn_engine attn_linear_reference, attn_linear_cpu;
#if CLATTN_HAVE_OPENCL
extern const attn_engine attn_engine_opencl_fused, attn_engine_opencl_decode, attn_additive_opencl;
#define OPENCL_ENGINE(engine) &engine
#else
#define OPENCL_ENGINE(engine) NULL
#endif
#if CLATTN_HAVE_CLBLAST
extern const attn_engine attn_engine_opencl_unfused, attn_linear_opencl;
#define CLBLAST_ENGINE(engine) &engine
#else
#define CLBLAST_ENGINE(engine) NULL
#endif

static const attn_engine_entry attention[] = {
    {"reference", &attn_engine_reference},
    {"cpu", &attn_engine_cpu},
    {"opencl-unfused", CLBLAST_ENGINE(attn_engine_opencl_unfused)},
    {"opencl-fused", OPENCL_ENGINE(attn_engine_opencl_fused)},
    {"opencl-decode", OPENCL_ENGINE(attn_engine_opencl_decode)},
};

static const attn_engine_entry additive[] = {
    {"reference", &attn_additive_reference},
    {"cpu", &attn_additive_cpu},
    {"opencl", OPENCL_ENGINE(attn_additive_opencl)},
};

static const attn_engine_entry linear[] = {
    {"reference", &attn_linear_reference},
    {"cpu", &attn_linear_cpu},
    {"opencl", CLBLAST_ENGINE(attn_linear_opencl)},
};

#define LIST(entries) { entries, sizeof entries / sizeof *entries }
const attn_engine_list attn_attention_engines = LIST(attention), attn_additive_engines = LIST(additive),
                       attn_linear_engines = LIST(linear);

const attn_engine_entry *attn_engine_find(const attn_engine_list *list, const char *name) {
    for (int64_t i = 0; name && i < list->count; i++) {
        if (strcmp(list->entries[i].name, name) == 0) {
            return &list->entries[i];
        }
    }
    return NULL;
}

static bool begins_opencl(const char *name) {
    return strncmp(name, "opencl-", 7) == 0;
}

bool attn_engine_matches(const char *name, const char *engine) {
    if (!name || strcmp(name, engine) == 0) {
        return true;
    }
    return strcmp(name, "opencl") == 0 ? begins_opencl(engine)
                                       : strcmp(engine, "opencl") == 0 && begins_opencl(name) &&
                                             attn_engine_find(&attn_attention_engines, name);
}

const char *attn_engine_list_body(const attn_engine_list *list, const char *name) {
    for (int64_t e = 0; e < list->count; e++) {
        const attn_engine *engine = list->entries[e].engine;
        int at = engine ? attn_body_find(engine->bodies, name) : -1;
        if (at >= 0) {
            return engine->bodies[at].name;
        }
    }
    return NULL;
}
