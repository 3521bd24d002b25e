/* Memory of a call that is dense, for operations without strides: what is checked before anything is written. */
#ifndef ATTN_OPERATIONS_DENSE_MEMORY_H
#define ATTN_OPERATIONS_DENSE_MEMORY_H

#include "base/report.h"

/** Dense memory of a call; data NULL or bytes 0 = none. Outputs come first in a list of them. */
typedef struct attn_dense_memory {
    const char *name;
    const void *data;
    int64_t bytes;
    bool written;
} attn_dense_memory;

/** Refuses memory that reaches beyond the address space, and outputs that overlap anything else of the list. */
clattn_status attn_check_dense(const attn_dense_memory *list, size_t count, clattn_report *report);

#endif
