/* An allocator that knows what it gave. */
#include "support/ledger.h"

#include <stdlib.h>

static void *take(void *user, size_t size, size_t alignment) {
    ledger *l = user;
    if (__atomic_add_fetch(&l->requests, 1, __ATOMIC_SEQ_CST) == l->fail_at) {
        return NULL;
    }
    __atomic_add_fetch(&l->live, 1, __ATOMIC_SEQ_CST);
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void give(void *user, void *memory) {
    __atomic_sub_fetch(&((ledger *)user)->live, 1, __ATOMIC_SEQ_CST);
    free(memory);
}

clattn_allocator ledger_allocator(ledger *l) {
    return (clattn_allocator){ take, give, l };
}
