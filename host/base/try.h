/* Forwarding of errors. Macros of a public type alone, so that the layers use them too. */
#ifndef ATTN_BASE_TRY_H
#define ATTN_BASE_TRY_H

#include "clattn/clattn.h"

/** Forwards an error: `ATTN_TRY(call());` returns the status when it is not OK. Only where nothing is held. */
#define ATTN_TRY(call)                                                                                                 \
    do {                                                                                                               \
        clattn_status attn_try_ = (call);                                                                              \
        if (attn_try_ != CLATTN_OK) {                                                                                  \
            return attn_try_;                                                                                          \
        }                                                                                                              \
    } while (0)

/** Forwards an error to a clean-up label; needs a variable `status`. */
#define ATTN_TRY_TO(call, label)                                                                                       \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != CLATTN_OK) {                                                                                     \
            goto label;                                                                                                \
        }                                                                                                              \
    } while (0)

#endif
