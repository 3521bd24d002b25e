/*
 * Checks of dense memory: it ends inside the address space, and what is written overlaps nothing else.
 */
#include "operations/dense_memory.h"

#include "base/memory.h"

clattn_status attn_check_dense(const attn_dense_memory *list, size_t count, clattn_report *report) {
    for (size_t k = 0; k < count; k++) {
        if (list[k].data && !attn_fits_address(list[k].data, list[k].bytes)) {
            return attn_refuse(report, CLATTN_OVERFLOW, "%s: its last element lies beyond the address space",
                               list[k].name);
        }
    }
    for (size_t k = 0; k < count && list[k].written; k++) {
        for (size_t n = k + 1; n < count; n++) {
            if (attn_ranges_meet(list[k].data, list[k].bytes, list[n].data, list[n].bytes)) {
                return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s: overlaps %s", list[k].name, list[n].name);
            }
        }
    }
    return CLATTN_OK;
}
