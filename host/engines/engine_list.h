/* The ordered table of engines. */
#ifndef ATTN_ENGINES_ENGINE_LIST_H
#define ATTN_ENGINES_ENGINE_LIST_H

#include "engines/engine.h"

/** A name, and its engine when this build has it. */
typedef struct attn_engine_entry {
    const char *name;
    const attn_engine *engine; /* NULL = known, not in this build */
} attn_engine_entry;

extern const attn_engine_entry attn_engine_list[];
extern const int64_t attn_engine_list_count;

/** The entry of that name, or NULL. */
const attn_engine_entry *attn_engine_find(const char *name);

/** Whether `name` asks for `engine`: equal, or name "opencl" and the engine's begins with it. NULL asks for all. */
bool attn_engine_matches(const char *name, const char *engine);

#endif
