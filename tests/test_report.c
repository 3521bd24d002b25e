/* Reports: whole lines or nothing, never beyond the text, NULL means that nobody asked. */
#include <string.h>

#include "base/report.h"
#include "support/suite.h"

static clattn_report report;

START_TEST(test_lines) {
    attn_report_clear(&report);
    ck_assert_str_eq(report.text, "");
    attn_report_line(&report, "batch: %d", 3);
    attn_report_line(&report, "%s", "");
    EXPECT_STATUS(attn_refuse(&report, CLATTN_UNSUPPORTED, "type: %s", "fp64"), CLATTN_UNSUPPORTED, NULL);
    ck_assert_str_eq(report.text, "batch: 3\n\ntype: fp64\n");
    ck_assert_uint_eq(report.length, strlen(report.text));
    ck_assert(!report.truncated);
}
END_TEST

START_TEST(test_nobody_asked) {
    attn_report_clear(NULL);
    attn_report_line(NULL, "x %d", 1);
    attn_report_text(NULL, "> ", "a\nb\n");
    EXPECT_STATUS(attn_refuse(NULL, CLATTN_OVERFLOW, "x"), CLATTN_OVERFLOW, NULL);
}
END_TEST

START_TEST(test_whole_lines_only) {
    char line[1000];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    attn_report_clear(&report);
    for (int i = 0; i < 20; i++) {
        attn_report_line(&report, "%s", line);
    }
    ck_assert(report.truncated);
    ck_assert_uint_eq(report.length, strlen(report.text));
    ck_assert_uint_eq(report.length % sizeof line, 0); /* 999 characters and a newline each */
    ck_assert_uint_eq(report.length, 8000);
    attn_report_line(&report, "short"); /* later short lines still fit */
    ck_assert_ptr_nonnull(strstr(report.text, "x\nshort\n"));
    attn_report_clear(&report);
    ck_assert(!report.truncated && report.length == 0);
}
END_TEST

START_TEST(test_exact_fit) {
    static char line[sizeof report.text];
    memset(line, 'y', sizeof line);
    line[sizeof line - 2] = '\0'; /* with the newline and the NUL: all of it */
    attn_report_clear(&report);
    attn_report_line(&report, "%s", line);
    ck_assert(!report.truncated);
    ck_assert_uint_eq(report.length, sizeof report.text - 1);
    attn_report_line(&report, "z");
    ck_assert(report.truncated);
    ck_assert_uint_eq(report.length, strlen(report.text));
    attn_report_clear(&report);
    line[sizeof line - 2] = 'y', line[sizeof line - 1] = '\0'; /* one more */
    attn_report_line(&report, "%s", line);
    ck_assert(report.truncated && report.length == 0 && report.text[0] == '\0');
}
END_TEST

START_TEST(test_foreign_text) {
    attn_report_clear(&report);
    attn_report_text(&report, "log: ", "one\n\ntwo %d %s\nthree");
    ck_assert_str_eq(report.text, "log: one\nlog: two %d %s\nlog: three\n");
    attn_report_text(&report, "log: ", NULL);
    ck_assert_uint_eq(report.length, strlen(report.text));
}
END_TEST

/* Of callers that build upon the library: the same lines, and nothing written where a report makes no sense. */
START_TEST(test_public) {
    static char line[sizeof report.text];
    attn_report_line(&report, "of a call before");
    clattn_report_clear(&report);
    clattn_report_line(&report, "heads: %d", 3);
    attn_report_line(&report, "type: %s", "fp64");
    ck_assert_str_eq(report.text, "heads: 3\ntype: fp64\n");
    ck_assert_uint_eq(report.length, strlen(report.text));
    ck_assert(!report.truncated);
    memset(line, 'x', sizeof line - 1);
    clattn_report_line(&report, "%s", line);
    clattn_report_line(&report, "short");
    ck_assert_str_eq(report.text, "heads: 3\ntype: fp64\nshort\n");
    ck_assert(report.truncated);
    clattn_report_line(NULL, "x");
    clattn_report_clear(NULL);
}
END_TEST

START_TEST(test_public_misused) {
    struct {
        clattn_report report;
        char after[16];
    } t = { .report = { .text = "kept" } };
    t.report.length = sizeof t.report.text;
    clattn_report_line(&t.report, "never cleared");
    ck_assert(t.report.truncated);
    ck_assert_uint_eq(t.report.length, sizeof t.report.text);
    t.report.length = SIZE_MAX;
    clattn_report_line(&t.report, "never cleared");
    ck_assert_str_eq(t.report.text, "kept");
    clattn_report_clear(&t.report);
    clattn_report_line(&t.report, NULL);
    ck_assert(t.report.truncated && t.report.length == 0);
    for (size_t i = 0; i < sizeof t.after; i++) {
        ck_assert_int_eq(t.after[i], 0);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_lines, test_nobody_asked, test_whole_lines_only, test_exact_fit, test_foreign_text,
                                   test_public, test_public_misused };
    return suite_run(SUITE_OF("report", tests, 10), SUITE_FORK);
}
