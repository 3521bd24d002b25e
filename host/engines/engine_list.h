/* The ordered tables of engines, one an operation. */
#ifndef ATTN_ENGINES_ENGINE_LIST_H
#define ATTN_ENGINES_ENGINE_LIST_H

#include "engines/engine.h"

/** A name, and its engine when this build has it. */
typedef struct attn_engine_entry {
    const char *name;
    const attn_engine *engine; /* NULL = known, not in this build */
} attn_engine_entry;

/** The engines of one operation. */
typedef struct attn_engine_list {
    const attn_engine_entry *entries;
    int64_t count;
} attn_engine_list;

extern const attn_engine_list attn_attention_engines, attn_additive_engines, attn_linear_engines;

/** The entry of that name, or NULL. */
const attn_engine_entry *attn_engine_find(const attn_engine_list *list, const char *name);

/**
 * Whether `name` asks for `engine`. NULL asks for all. Else they are equal; or name is "opencl" and the engine's begins so;
 * or the engine is "opencl", the only one of its operation, and name is one of attention's that begin so.
 */
bool attn_engine_matches(const char *name, const char *engine);

/** The string of a list of bodies that equals name; NULL = no engine of this operation and build has such a body. */
const char *attn_engine_list_body(const attn_engine_list *list, const char *name);

#endif
