/* What each engine must serve. */
#ifndef ATTN_CLI_VERIFY_MUST_SERVE_H
#define ATTN_CLI_VERIFY_MUST_SERVE_H

#include "clattn/clattn.h"

/** Whether a refusal of the resolved problem by the engine is a failure. */
bool attn_must_serve(const char *engine, const clattn_problem *problem);

#endif
