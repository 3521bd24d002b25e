/* What the layers share. They see the public headers, and of the library what needs no part of it: inline functions and macros. */
#ifndef ATTN_LAYERS_LAYER_H
#define ATTN_LAYERS_LAYER_H

#include "base/sizes.h"
#include "base/try.h"
#include "base/visit.h"
#include "clattn/clattn_layers.h"

/** Adds a line to the report, where somebody asked for one, and answers status. */
#define LAYER_REFUSE(report, status, ...) (clattn_report_line(report, __VA_ARGS__), (status))

/** Room for count floats, not cleared; NULL when there is none or the size does not fit. */
float *attn_layer_floats(clattn_runtime *runtime, int64_t count);

/** Whether two arrays of floats have one in common; NULL and empty ones have none. */
bool attn_layer_meet(const float *a, int64_t a_count, const float *b, int64_t b_count);

/** The options of a linear plan on the same engine and device as another part of a layer. */
clattn_plan_options attn_layer_beside(const char *engine, int64_t device);

clattn_status attn_layer_linear(clattn_runtime *runtime, int64_t rows, int64_t in_dim, int64_t out_dim,
                                const clattn_plan_options *options, clattn_linear_plan **plan, clattn_report *report);

/** output (+)= w input + b, for `rows` rows. */
clattn_status attn_layer_apply(clattn_linear_plan *plan, int64_t rows, const float *input, const float *w,
                               const float *b, bool add, float *output, clattn_report *report);

#endif
