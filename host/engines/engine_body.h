/* Bodies of engines by name: finding one, and whether the one that was asked for can run. */
#ifndef ATTN_ENGINES_ENGINE_BODY_H
#define ATTN_ENGINES_ENGINE_BODY_H

#include "engines/engine.h"

/** Where the body of that name stands in an engine's list (which may be NULL); -1 = nowhere, or name is NULL. */
int attn_body_find(const attn_body *bodies, const char *name);

/**
 * Whether the engine has the body that device->blocks asks for, whether this body can run there, and whether the engine
 * serves the problem; else one line in why_not (may be NULL).
 */
bool attn_engine_supports(const attn_engine *engine, const clattn_problem *problem, const attn_device *device,
                          clattn_report *why_not);

#endif
