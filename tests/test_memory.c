/* Host memory: alignment, counts and peaks, the caller's allocator, products that do not fit. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support/suite.h"

static attn_memory with_default(void) {
    attn_memory memory;
    attn_memory_init(&memory, &(clattn_allocator){ NULL, NULL, NULL });
    return memory;
}

START_TEST(test_alignment) {
    attn_memory memory = with_default();
    static const int64_t sizes[] = { 0, 1, 63, 64, 65, 65535, 65536, 1000003 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *block = attn_allocate_zeroed(&memory, sizes[i]);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % (sizes[i] >= 65536 ? 4096 : 64), 0);
        for (int64_t n = 0; n < sizes[i]; n++) {
            ck_assert_uint_eq(block[n], 0);
        }
        memset(block, 0xa5, (size_t)sizes[i]);
        attn_release(&memory, block);
    }
    ck_assert_int_eq(atomic_load(&memory.host), 0);
}
END_TEST

START_TEST(test_counts_and_peaks) {
    attn_memory memory = with_default();
    void *a = attn_allocate(&memory, 1000), *b = attn_allocate(&memory, 200);
    attn_memory_count_device(&memory, 5000);
    attn_release(&memory, a);
    attn_memory_count_device(&memory, -5000);
    void *c = attn_allocate(&memory, 100);
    ck_assert_int_eq(atomic_load(&memory.host), 300);
    ck_assert_int_eq(atomic_load(&memory.host_peak), 1200);
    ck_assert_int_eq(atomic_load(&memory.device), 0);
    ck_assert_int_eq(atomic_load(&memory.device_peak), 5000);
    ck_assert_int_eq(atomic_load(&memory.peak), 6200);
    attn_release(&memory, b);
    attn_release(&memory, c);
    attn_release(&memory, NULL);
    ck_assert_int_eq(atomic_load(&memory.host), 0);
}
END_TEST

START_TEST(test_impossible_sizes) {
    attn_memory memory = with_default();
    ck_assert_ptr_null(attn_allocate(&memory, -1));
    ck_assert_ptr_null(attn_allocate(&memory, INT64_MAX));
    ck_assert_ptr_null(attn_allocate(&memory, INT64_MAX - 64));
    ck_assert_int_eq(atomic_load(&memory.host), 0);
}
END_TEST

typedef struct ledger {
    int taken, given, refuse;
} ledger;

static void *take(void *user, size_t size, size_t alignment) {
    ledger *l = user;
    ck_assert(alignment >= 64 && (alignment & (alignment - 1)) == 0);
    if (l->refuse) {
        return NULL;
    }
    l->taken++;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void give(void *user, void *block) {
    ck_assert_ptr_nonnull(block);
    ((ledger *)user)->given++;
    free(block);
}

START_TEST(test_callers_allocator) {
    ledger l = { 0, 0, 0 };
    attn_memory memory;
    attn_memory_init(&memory, &(clattn_allocator){ take, give, &l });
    void *block = attn_allocate(&memory, 10);
    ck_assert_ptr_nonnull(block);
    l.refuse = 1;
    ck_assert_ptr_null(attn_allocate(&memory, 10));
    ck_assert_int_eq(atomic_load(&memory.host), 10);
    attn_release(&memory, block);
    ck_assert_int_eq(l.taken, 1);
    ck_assert_int_eq(l.given, 1);
}
END_TEST

START_TEST(test_checked_arithmetic) {
    int64_t x;
    ck_assert(attn_multiply(INT64_C(3037000499), INT64_C(3037000499), &x) && x == INT64_C(9223372030926249001));
    ck_assert(!attn_multiply(INT64_C(3037000500), INT64_C(3037000500), &x));
    ck_assert(!attn_multiply(-1, 2, &x));
    ck_assert(!attn_multiply(2, -1, &x));
    ck_assert(attn_multiply(0, INT64_MAX, &x) && x == 0);
    ck_assert(attn_add(INT64_MAX - 1, 1, &x) && x == INT64_MAX);
    ck_assert(!attn_add(INT64_MAX, 1, &x));
    ck_assert(!attn_add(-1, 1, &x));
    ck_assert_int_eq(attn_min(-1, 1), -1);
    ck_assert_int_eq(attn_max(-1, 1), 1);
}
END_TEST

START_TEST(test_rounding) {
    ck_assert_int_eq(attn_round_up(0, 8), 0);
    ck_assert_int_eq(attn_round_up(1, 8), 8);
    ck_assert_int_eq(attn_round_up(8, 8), 8);
    ck_assert_int_eq(attn_round_up(INT64_MAX - 8, 8), INT64_MAX - 7);
    ck_assert_int_eq(attn_round_up(-7, 8), 0);
    ck_assert_int_eq(attn_divide_up(0, 3), 0);
    ck_assert_int_eq(attn_divide_up(1, 3), 1);
    ck_assert_int_eq(attn_divide_up(3, 3), 1);
    ck_assert_int_eq(attn_divide_up(4, 3), 2);
    ck_assert_int_eq(attn_divide_up(-4, 3), -1);
    ck_assert_int_eq(attn_divide_up(-3, 3), -1);
    ck_assert_int_eq(attn_divide_up(INT64_MAX, 2), INT64_C(1) << 62);
    ck_assert_int_eq(attn_divide_up(INT64_MAX, INT64_MAX), 1);
    ck_assert_int_eq(attn_divide_up(INT64_MIN, INT64_MAX), -1);
}
END_TEST

START_TEST(test_clamp) {
    const int64_t wide = INT64_C(1) << 40;
    ck_assert_int_eq(attn_clamp(-1, 0, wide), 0);
    ck_assert_int_eq(attn_clamp(0, 0, wide), 0);
    ck_assert_int_eq(attn_clamp(5, 0, wide), 5);
    ck_assert_int_eq(attn_clamp(wide, 0, wide), wide);
    ck_assert_int_eq(attn_clamp(wide + 1, 0, wide), wide);
    ck_assert_int_eq(attn_clamp(5, 3, 2), 3); /* limits that cross: the lower one */
    ck_assert_int_eq(attn_clamp(1, 3, 2), 3);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_alignment, test_counts_and_peaks, test_impossible_sizes, test_callers_allocator,
                                   test_checked_arithmetic, test_rounding, test_clamp };
    return suite_run(SUITE_OF("memory", tests, 10), SUITE_FORK);
}
