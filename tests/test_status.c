/* Statuses: one list makes enum, names and sentences; the version; names of types and engines. */
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/suite.h"

START_TEST(test_names_and_sentences) {
    static const struct {
        clattn_status status;
        int number;
        const char *name, *message;
    } list[] = {
#define ROW(name, number, message) { CLATTN_##name, number, #name, message },
        CLATTN_STATUS_LIST(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        ck_assert_int_eq((int)list[i].status, list[i].number);
        ck_assert_int_eq(list[i].number, (int)i); /* numbers never change, and leave no gap */
        ck_assert_str_eq(clattn_status_name(list[i].status), list[i].name);
        ck_assert_str_eq(clattn_status_message(list[i].status), list[i].message);
    }
    ck_assert_int_eq(CLATTN_OK, 0);
}
END_TEST

START_TEST(test_unknown_numbers) {
    static const int numbers[] = { -1, 14, 1000, -2147483647 };
    for (size_t i = 0; i < 4; i++) {
        ck_assert_ptr_nonnull(clattn_status_name((clattn_status)numbers[i]));
        ck_assert_ptr_nonnull(clattn_status_message((clattn_status)numbers[i]));
        ck_assert_str_ne(clattn_status_name((clattn_status)numbers[i]), "OK");
    }
}
END_TEST

START_TEST(test_version) {
    ck_assert_int_eq(clattn_version(), CLATTN_VERSION);
}
END_TEST

START_TEST(test_types) {
    ck_assert_int_eq(clattn_type_size(CLATTN_FP32), 4);
    ck_assert_int_eq(clattn_type_size(CLATTN_FP16), 2);
    ck_assert_int_eq(clattn_type_size(CLATTN_BF16), 2);
    ck_assert_int_eq(clattn_type_size(CLATTN_FP64), 8);
    ck_assert_str_eq(clattn_type_name(CLATTN_BF16), "bf16");
    ck_assert_ptr_nonnull(clattn_type_name((clattn_type)99));
}
END_TEST

START_TEST(test_engines) {
    bool reference = false, cpu = false;
    for (int64_t i = 0; i < clattn_engine_count(); i++) {
        const char *name = clattn_engine_name(i);
        ck_assert_ptr_nonnull(name);
        reference = reference || strcmp(name, "reference") == 0;
        cpu = cpu || strcmp(name, "cpu") == 0;
    }
    ck_assert(reference && cpu);
    ck_assert_ptr_null(clattn_engine_name(clattn_engine_count()));
    ck_assert_ptr_null(clattn_engine_name(-1));
    ck_assert(clattn_engine_built("reference") && clattn_engine_built("cpu"));
    ck_assert(!clattn_engine_built("nothing of that name"));
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_names_and_sentences, test_unknown_numbers, test_version, test_types, test_engines };
    return suite_run(SUITE_OF("status", tests, 10), SUITE_FORK);
}
