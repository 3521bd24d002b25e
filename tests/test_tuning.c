/*
 * Choosing rows of a tuning table: what matches, what comes first, what a column holds; and that the tables of the library
 * have a row for every device and head_dim up to 576.
 */
#include <string.h>

#include "support/suite.h"
#include "tuning/tuning_user.h"

static const char table[] = "vendor,architecture,device,type,head_dim_max,size,note\n"
                            "*,*,*,*,128,1,any\n"
                            "*,*,*,*,64,2,any small\n"
                            "acme,*,*,*,64,3,by vendor\n"
                            "*,x9,*,*,64,4,by architecture\n"
                            "*,*,Rocket 7,*,64,5,by device\n"
                            "acme,*,*,fp16,64,6,by vendor and type\n"
                            "*,*,*,*,64,7,the same again\n";

static int64_t first_size(const char *vendor, const char *architecture, const char *device, const char *type,
                          int64_t dim) {
    const attn_tuning_key key = { vendor, architecture, device, type, dim };
    attn_tuning_row rows[16];
    return attn_tuning_find(table, &key, rows, 16) > 0 ? attn_tuning_get(&rows[0], "size") : 0;
}

START_TEST(test_the_most_specific_row_wins) {
    ck_assert_int_eq(first_size("other", "", "thing", "fp32", 64), 2);
    ck_assert_int_eq(first_size("other", "", "thing", "fp32", 65), 1);
    ck_assert_int_eq(first_size("other", "", "thing", "fp32", 129), 0);
    ck_assert_int_eq(first_size("ACME Inc.", "", "thing", "fp32", 40), 3);
    ck_assert_int_eq(first_size("ACME Inc.", "", "thing", "fp16", 40), 6);
    ck_assert_int_eq(first_size("ACME Inc.", "x9", "thing", "fp16", 40), 4);
    ck_assert_int_eq(first_size("ACME Inc.", "x9", "the rocket 7b", "fp16", 40), 5);
    ck_assert_int_eq(first_size("ACM", "x", "Rocket", "fp16", 40), 2);
}
END_TEST

START_TEST(test_order_and_room) {
    const attn_tuning_key key = { "acme", "x9", "Rocket 7", "fp16", 1 };
    const int64_t order[] = { 5, 4, 6, 3, 2, 7, 1 }; /* 1 is for wider heads, so last */
    attn_tuning_row rows[8];
    ck_assert_int_eq(attn_tuning_find(table, &key, rows, 8), 7);
    for (int k = 0; k < 7; k++) {
        ck_assert_int_eq(attn_tuning_get(&rows[k], "size"), order[k]);
    }
    ck_assert_int_eq(attn_tuning_find(table, &key, rows, 2), 2);
    ck_assert_int_eq(attn_tuning_get(&rows[1], "size"), 4);
    ck_assert_int_eq(attn_tuning_get(&rows[0], "no such column"), 0);
    ck_assert_int_eq(attn_tuning_get(&rows[0], "note"), 0);
}
END_TEST

START_TEST(test_every_device_has_a_row) {
    const int64_t dims[] = { 1, 64, 65, 128, 256, 257, 576 };
    ck_assert_uint_gt(attn_tuning_table_count, 0);
    for (size_t t = 0; t < attn_tuning_table_count; t++) {
        const char *name = attn_tuning_tables[t].name;
        const bool matrix = strstr(name, "_mma") || strstr(name, "_tf32");
        const int count = matrix ? 4 : 7; /* dims up to 128 */
        for (int k = 0; k < count; k++) {
            const attn_tuning_key key = { "nobody", "", "nothing", "bf16", dims[k] };
            attn_tuning_row row;
            ck_assert_int_eq(attn_tuning_find(attn_tuning_tables[t].text, &key, &row, 1), 1);
            ck_assert_int_ge(row.head_dim_max, dims[k]);
        }
    }
    ck_assert_ptr_nonnull(attn_tuning_get_table("attention_fused_cpu"));
    ck_assert_ptr_null(attn_tuning_get_table("no such table"));
}
END_TEST

/* Rows tuned for wide heads do not displace those for narrow ones, however specific they are. */
START_TEST(test_narrow_rows_come_first) {
    static const char two[] = "vendor,architecture,device,type,head_dim_max,size,note\n"
                              "*,*,Rocket,fp32,128,1,\n"
                              "*,*,*,*,64,2,\n";
    const attn_tuning_key key = { "", "", "Rocket", "fp32", 64 }, wide = { "", "", "Rocket", "fp32", 65 };
    attn_tuning_row rows[2];
    ck_assert_int_eq(attn_tuning_find(two, &key, rows, 2), 2);
    ck_assert_int_eq(attn_tuning_get(&rows[0], "size"), 2);
    ck_assert_int_eq(attn_tuning_find(two, &wide, rows, 2), 1);
    ck_assert_int_eq(attn_tuning_get(&rows[0], "size"), 1);
}
END_TEST

START_TEST(test_user_rows_come_before_equals) {
    static const char text[] = "[attention_decode_gpu]\n"
                               "vendor,architecture,device,type,head_dim_max,threads,lanes,keys,rows,warp,note\n"
                               "*,*,*,*,64,77,1,1,1,0,\n";
    const attn_tuning_key key = { "", "", "Rocket", "fp32", 64 };
    attn_tuning_row rows[8];
    attn_tuning_user *user = NULL;
    attn_memory memory;
    attn_memory_init(&memory, &(clattn_allocator){ 0 });
    ck_assert_int_eq(attn_tuning_parse(&memory, "text", text, &user, NULL), CLATTN_OK);
    ck_assert_int_gt(attn_tuning_find_rows(user, "attention_decode_gpu", &key, rows, 8), 1);
    ck_assert_int_eq(attn_tuning_get(&rows[0], "threads"), 77);
    ck_assert_int_eq(attn_tuning_find_rows(NULL, "attention_decode_gpu", &key, rows, 1), 1);
    ck_assert_int_ne(attn_tuning_get(&rows[0], "threads"), 77);
    ck_assert_int_ge(attn_tuning_find_rows(user, "attention_decode_cpu", &key, rows, 8), 1);
    user->only = true;
    ck_assert_int_eq(attn_tuning_find_rows(user, "attention_decode_gpu", &key, rows, 8), 1);
    ck_assert_int_eq(attn_tuning_find_rows(user, "attention_decode_cpu", &key, rows, 8), 0);
    attn_release(&memory, user);
    ck_assert_int_eq(atomic_load(&memory.host), 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_the_most_specific_row_wins, test_order_and_room, test_narrow_rows_come_first,
                                   test_user_rows_come_before_equals, test_every_device_has_a_row };
    return suite_run(SUITE_OF("tuning", tests, 10), SUITE_FORK);
}
