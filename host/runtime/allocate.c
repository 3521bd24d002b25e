/*
 * The runtime's memory, lent to those who see the public headers alone: layers, programs. Knows nothing of what it is
 * for.
 */
#include "runtime/runtime.h"

void *clattn_allocate(clattn_runtime *runtime, int64_t size) {
    return runtime && size >= 0 ? attn_allocate(&runtime->memory, size) : NULL;
}

void clattn_release(clattn_runtime *runtime, void *memory) {
    if (runtime) {
        attn_release(&runtime->memory, memory);
    }
}
