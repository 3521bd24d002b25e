/* Bodies of engines by name: finding one, whether the one that was asked for can run, and which runs when none was. */
#ifndef ATTN_ENGINES_ENGINE_BODY_H
#define ATTN_ENGINES_ENGINE_BODY_H

#include "engines/engine.h"

/** Where the body of that name stands in an engine's list (which may be NULL); -1 = nowhere, or name is NULL. */
int attn_body_find(const attn_body *bodies, const char *name);

/**
 * For lists in which the last is the best: where the body stands that device->blocks asks for, or else the last one that
 * can run on the device; -1 = none.
 */
int attn_body_choose(const attn_body *bodies, const attn_device *device);

/** Refuses block sizes and splits that were asked for, for engines that know bodies alone. */
bool attn_body_alone(const attn_device *device, clattn_report *why_not);

/**
 * Whether the engine has the body that device->blocks asks for, whether this body can run there, and whether the engine
 * serves the problem; else one line in why_not (may be NULL).
 */
bool attn_engine_supports(const attn_engine *engine, const void *problem, const attn_device *device,
                          clattn_report *why_not);

#endif
