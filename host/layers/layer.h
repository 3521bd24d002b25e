/* What the layers share: sentences in reports. Layers see the public headers alone, so this is their own. */
#ifndef ATTN_LAYERS_LAYER_H
#define ATTN_LAYERS_LAYER_H

#include "base/visit.h"
#include "clattn/clattn_layers.h"

/** Clears a report; NULL does nothing. */
void attn_layer_clear(clattn_report *report);

/** Appends a line, where somebody asked for it, and answers status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
clattn_status
attn_layer_refuse(clattn_report *report, clattn_status status, const char *format, ...);

/** Forwards an error. */
#define LAYER_TRY(call)                                                                                                \
    do {                                                                                                               \
        clattn_status layer_try_ = (call);                                                                             \
        if (layer_try_ != CLATTN_OK) {                                                                                 \
            return layer_try_;                                                                                         \
        }                                                                                                              \
    } while (0)

/** Room for count floats, not cleared; NULL when there is none or the size does not fit. */
float *attn_layer_floats(clattn_runtime *runtime, int64_t count);

/** *product = a * b; false when one is negative or the product does not fit. */
bool attn_layer_multiply(int64_t a, int64_t b, int64_t *product);

/** Whether two arrays of floats have one in common; NULL and empty ones have none. */
bool attn_layer_meet(const float *a, int64_t a_count, const float *b, int64_t b_count);

/** A linear plan on the same engine and device as other parts of a layer. */
clattn_status attn_layer_linear(clattn_runtime *runtime, int64_t rows, int64_t in_dim, int64_t out_dim,
                                const char *engine, int64_t device, clattn_linear_plan **plan, clattn_report *report);

/** output (+)= w input + b, for `rows` rows. */
clattn_status attn_layer_apply(clattn_linear_plan *plan, int64_t rows, const float *input, const float *w,
                               const float *b, bool add, float *output, clattn_report *report);

#endif
