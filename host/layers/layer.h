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

/** An array of floats of one call; NULL where it is not given. */
typedef struct attn_layer_array {
    const char *name;
    const float *data;
    int64_t count;
    bool needed, written;
} attn_layer_array;

/** Refuses by name what is needed and missing, what ends beyond the address space, and what is written and overlaps. */
clattn_status attn_layer_check(const attn_layer_array *all, size_t count, clattn_report *report);

/** The rows of a call, of which only some are used: the first `used` of each `pitch`, `groups` times. */
typedef struct attn_layer_rows {
    int64_t groups, used, pitch;
} attn_layer_rows;

/** clattn_linear_backward_execute() on rows with gaps, without checks. Rows in the gaps get gradient 0. */
clattn_status attn_layer_backward(clattn_linear_backward *backward, const attn_layer_rows *rows,
                                  const clattn_linear_gradients *gradients);

/** sum += x, number by number, which are different memory. */
void attn_layer_sum(clattn_runtime *runtime, int64_t count, const float *x, float *sum);

/** The options of a linear plan on the same engine and device as another part of a layer. */
clattn_plan_options attn_layer_beside(const char *engine, int64_t device);

clattn_status attn_layer_linear(clattn_runtime *runtime, int64_t rows, int64_t in_dim, int64_t out_dim,
                                const clattn_plan_options *options, clattn_linear_plan **plan, clattn_report *report);

/** output (+)= w input + b, for `rows` rows. */
clattn_status attn_layer_apply(clattn_linear_plan *plan, int64_t rows, const float *input, const float *w,
                               const float *b, bool add, float *output, clattn_report *report);

#endif
