/*
 * `clattn tune` from outside, with small problems and a few seconds: what it stores is read back and used, rows of other
 * devices stay, a malformed file is refused by line and column, and nothing is left half written. The GPU-shaped body
 * with 16 rows stands for a device whose own choice is bad: its first row makes blocks of 64 rows.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/program.h"
#include "support/suite.h"

#define PROBLEM "query_length=16 query_heads=2 head_dim=64 --engine opencl-fused --body gpu-shaped"
#define TABLE "attention_fused_gpu"
#define HEADER "vendor,architecture,device,type,head_dim_max,block_query,block_key,threads_x,threads_y,slice," \
               "keep_query,value_vectors,note\n"
#define OTHER "*,*,Some Other Device,fp32,64,64,32,16,16,32,0,1,kept\n"

static char *const said = program_said, *const complained = program_complained;

/* Runs the program with a configuration folder of the test's own. */
static int clattn(const char *arguments) {
    char settings[300];
    snprintf(settings, sizeof settings, "XDG_CONFIG_HOME='%s/config'", program_folder);
    return program_run(settings, arguments);
}

START_TEST(test_winners_are_stored_and_used) {
    char first[4096], plan[600], blocks[64];
    program_begin("tune");
    ck_assert_msg(clattn("tune " PROBLEM " --seconds 90") == 0, "%s%s", said, complained);
    ck_assert_msg(strstr(said, "timed, ") && strstr(said, "noise"), "%s", said);
    ck_assert_msg(strstr(said, "1 of 1 problems gained"), "nothing gained on blocks of 64 for 16 rows: %s", said);
    program_read("config/clattn/tuning.csv", first, sizeof first);
    const char *row = strstr(first, "\n*,*,");
    long long rows, keys;
    ck_assert_msg(strncmp(first, "[" TABLE "]\n" HEADER, strlen("[" TABLE "]\n" HEADER)) == 0 && row, "%s", first);
    ck_assert_int_eq(sscanf(strstr(row, ",fp32,64,"), ",fp32,64,%lld,%lld,", &rows, &keys), 2);
    ck_assert_msg(strstr(said, row), "the rows printed are not those stored: %s", said);
    snprintf(blocks, sizeof blocks, "%lld rows, %lld keys\n", rows, keys);
    snprintf(plan, sizeof plan, "plan " PROBLEM);
    ck_assert_msg(clattn(plan) == 0 && strstr(said, blocks), "not %s: %s%s", blocks, said, complained);
    ck_assert_ptr_nonnull(strstr(said, "tuning file"));
    ck_assert_int_eq(clattn("plan " PROBLEM " --tuning none"), 0);
    ck_assert_msg(strstr(said, "64 rows, 64 keys") && !strstr(said, "tuning file"), "%s", said);
    ck_assert_int_eq(clattn("verify --cases 2 --seed 3 --engine opencl-fused --body gpu-shaped --dims 64"), 0);
    ck_assert_int_eq(program_shell("test $(ls config/clattn | wc -l) -eq 1"), 0); /* no temporary file is left */
    program_end();
}
END_TEST

/* A signal ends the search; what it has found by then is decided upon, stored and printed. */
START_TEST(test_interrupted_search_keeps_what_it_found) {
    char command[1200];
    program_begin("tune");
    snprintf(command, sizeof command,
             "{ XDG_CONFIG_HOME='%s/config' '%s' tune " PROBLEM " --seconds 600 >said 2>complained & p=$!; n=0; "
             "while ! grep -Eqs '^ +(1[.][2-9]|[2-9]).*best so far' said && test $n -lt 900; do sleep 0.1; n=$((n + "
             "1)); done; "
             "kill -TERM $p; wait $p; }",
             program_folder, CLATTN_PROGRAM);
    ck_assert_int_eq(program_shell(command), 128 + 15);
    program_read("said", said, sizeof program_said);
    program_read("complained", complained, sizeof program_complained);
    ck_assert_msg(strstr(complained, "interrupted by SIGTERM: what was found until then is kept"), "%s", complained);
    ck_assert_msg(strstr(said, "own choice") && strstr(said, "1 problems gained"), "%s", said);
    const char *kept = strstr(said, "kept: ");
    ck_assert_msg((kept != NULL) == program_has("config/clattn/tuning.csv"), "%s", said);
    ck_assert_msg(kept, "half the rows were for nothing, and yet nothing gained: %s", said);
    program_end();
}
END_TEST

/* Words that are given go before those of the default problems, which fill in the rest. */
START_TEST(test_words_override_the_default_problems) {
    program_begin("tune");
    ck_assert_int_eq(clattn("tune type=fp32 query_length=64 --engine cpu"),
                     3); /* it has nothing to tune, but names the problems */
    ck_assert_msg(strstr(said, "query_heads=16 head_dim=64 type=fp32 query_length=64\n"), "%s", said);
    ck_assert_msg(strstr(said, "query_heads=16 head_dim=128 type=fp32 query_length=64\n"), "%s", said);
    ck_assert_msg(!strstr(said, "key_length=8192") && !strstr(said, "fp16"), "%s", said);
    program_end();
}
END_TEST

START_TEST(test_other_rows_stay) {
    char text[8192];
    program_begin("tune");
    program_write("my.csv", "# mine\n[attention_decode_gpu]\n"
                         "vendor,architecture,device,type,head_dim_max,threads,lanes,keys,rows,warp,note\n"
                         "*,*,Some Other Device,*,64,64,32,4,4,0,stays too\n[" TABLE "]\n" HEADER OTHER);
    ck_assert_msg(clattn("tune " PROBLEM " --seconds 3 --tuning my.csv --json") == 0, "%s", complained);
    ck_assert_int_eq(program_shell("! command -v python3 >/dev/null || python3 '" CLATTN_TEST_SOURCE_DIR "/support/strict_json.py' said"), 0);
    bool kept = strstr(said, "\"kept\": true");
    program_read("my.csv", text, sizeof text);
    ck_assert_msg(strncmp(text, "# mine\n", 7) == 0 && strstr(text, OTHER) && strstr(text, "stays too"),
                  "%s", text);
    ck_assert_msg(!strstr(text, "tuned ") == !kept, "%s", text);
    ck_assert_int_eq(program_shell("test -e config"), 1); /* the default file is not touched */
    ck_assert_int_eq(clattn("plan " PROBLEM " --tuning my.csv"), 0);
    program_end();
}
END_TEST

START_TEST(test_nothing_is_stored_when_not_asked) {
    program_begin("tune");
    ck_assert_msg(clattn("tune " PROBLEM " --seconds 2 --tuning none") == 0, "%s", complained);
    ck_assert_int_eq(program_shell("test -e config"), 1);
    ck_assert_int_eq(clattn("tune query_length=4 head_dim=8 --engine cpu"), 3);
    ck_assert_ptr_nonnull(strstr(complained, "cpu"));
    ck_assert_int_eq(clattn("tune query_length=4 head_dim=8 --seconds none"), 2);
    ck_assert_int_eq(clattn("tune query_length=4 head_dim=600 --engine opencl-fused"), 3);
    ck_assert_ptr_nonnull(strstr(complained, "head_dim"));
    program_end();
}
END_TEST

START_TEST(test_malformed_files_are_refused_by_line) {
    static const struct {
        const char *text, *where;
    } bad[] = {
        { "[nothing]\n", "bad.csv:1:2: no such table" },
        { "*,*,*,*,64\n", "bad.csv:1:1: a line before" },
        { "[" TABLE "]\n", "bad.csv:1:1: a table without its header" },
        { "[" TABLE "]\nvendor,architect\n", "bad.csv:2:17: not the columns" },
        { "[" TABLE "]\n" HEADER "# fine\n*,*,*,*,64,64,32,16,16,x,\n", "bad.csv:4:24: not a size" },
        { "[" TABLE "]\n" HEADER "*,*,*,*,64,64,0,16,16,32,\n", "bad.csv:3:15: not a size" },
        { "[" TABLE "]\n" HEADER "*,*,*,*,64,64,32,16,16,32\n", "bad.csv:3:26: fewer fields" },
        { "[" TABLE "]\n" HEADER "*,*,*,*,64,64,32,16,16,32,0,1,a,b\n", "bad.csv:3:32: more fields" },
        { "[" TABLE "]\n" HEADER ",*,*,*,64,64,32,16,16,32,a\n", "bad.csv:3:1: an empty field" },
        { "[" TABLE "]\n" HEADER "[" TABLE "]\n", "bad.csv:3:2: a table given twice" },
        { "[" TABLE "]\n" HEADER "\n[" TABLE "\n", "bad.csv:4:1: not a [table]" },
    };
    char after[4096];
    program_begin("tune");
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        program_write("bad.csv", bad[n].text);
        ck_assert_msg(clattn("plan query_length=4 head_dim=8 --tuning bad.csv") == 2, "%s: %s", bad[n].text, said);
        ck_assert_msg(strstr(complained, bad[n].where), "\"%s\" is not where: %s", bad[n].where, complained);
        ck_assert_int_eq(clattn("tune query_length=4 head_dim=8 --tuning bad.csv --seconds 1"), 2);
        program_read("bad.csv", after, sizeof after);
        ck_assert_str_eq(after, bad[n].text);
    }
    ck_assert_int_eq(clattn("plan query_length=4 head_dim=8 --tuning nowhere.csv"), 2);
    ck_assert_ptr_nonnull(strstr(complained, "nowhere.csv"));
    ck_assert_int_eq(clattn("plan query_length=4 head_dim=8"), 0); /* no file of the user's is no error */
    program_end();
}
END_TEST

START_TEST(test_the_interface) {
    clattn_report report;
    clattn_runtime *runtime = suite_runtime(NULL);
    const char *text = NULL;
    program_begin("tune");
    char path[512];
    snprintf(path, sizeof path, "%s/good.csv", program_folder);
    program_write("good.csv", "[" TABLE "]\r\n" HEADER OTHER "\n# no end of line\n*,*,*,*,64,32,16,8,8,16,0,1,");
    ck_assert_int_eq(clattn_runtime_load_tuning(runtime, path, &report), CLATTN_OK);
    ck_assert_int_eq(clattn_runtime_load_tuning(runtime, NULL, &report), CLATTN_OK);
    ck_assert_int_eq(clattn_runtime_load_tuning(NULL, path, &report), CLATTN_INVALID_ARGUMENT);
    ck_assert_int_eq(clattn_runtime_load_tuning(runtime, program_folder, &report), CLATTN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(report.text, program_folder));
    ck_assert_ptr_nonnull(strstr(report.text, "is a folder"));
    program_write("good.csv", "\xef\xbb\xbf[" TABLE "]\n" HEADER OTHER "\n"); /* a byte order mark */
    ck_assert_int_eq(clattn_runtime_load_tuning(runtime, path, &report), CLATTN_OK);
    ck_assert_int_eq(clattn_inspect_tuning(runtime, "[x", true, &report), CLATTN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(report.text, ":1:1:"));
    ck_assert_int_eq(clattn_inspect_tuning(runtime, "", false, NULL), CLATTN_OK);
    ck_assert_ptr_nonnull(clattn_inspect_tuning_table(0, &text));
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_null(clattn_inspect_tuning_table(-1, NULL));
    ck_assert_ptr_null(clattn_inspect_tuning_table(1000, NULL));
    clattn_runtime_destroy(runtime);
    program_end();
}
END_TEST

/* Before a candidate is tried the library says whether its program could be built so at all. */
START_TEST(test_rows_are_judged_alone) {
    static clattn_report report;
    const char *name, *text;
    int rows = 0;
    for (int64_t k = 0; (name = clattn_inspect_tuning_table(k, &text)) != NULL; k++) {
        for (const char *line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n'), rows++) {
            ck_assert_msg(clattn_inspect_tuning_row(name, line + 1, &report) == CLATTN_OK, "%s", report.text);
        }
    }
    ck_assert_int_gt(rows, 20);
    static const struct {
        const char *table, *row, *reason;
    } bad[] = {
        { TABLE, "*,*,*,*,577,32,32,8,8,16,0,1,", "head_dim_max: 577 is not a multiple of 1 from 1 to 576" },
        { TABLE, "*,*,*,*,64,36,32,8,8,16,0,1,", "block_query: 36 is not a multiple of 8 up to 64, for threads_y of 8" },
        { TABLE, "*,*,*,*,64,128,32,8,8,16,0,1,", "block_query: 128 is not a multiple of 8 up to 64" },
        { TABLE, "*,*,*,*,64,32,32,8,8,16,0,", "value_vectors: 0 is not" },
        { "attention_decode_gpu", "*,*,*,*,64,96,32,4,4,0,", "threads: 96 is not a power of two" },
        { "attention_decode_gpu", "*,*,*,*,64,128,8,4,16,0,", "lanes: 8 is not a multiple of 16, for rows of 16" },
        { "attention_decode_cpu", "*,*,*,*,64,2,4,48,", "block_key: 48 is not a multiple of 32, for tile_vectors of 2" },
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        EXPECT_STATUS(clattn_inspect_tuning_row(bad[k].table, bad[k].row, &report), CLATTN_UNSUPPORTED, &report);
        ck_assert_msg(strstr(report.text, bad[k].reason) != NULL, "%s: %s", bad[k].reason, report.text);
    }
    ck_assert_int_eq(clattn_inspect_tuning_row("nothing", "*", NULL), CLATTN_INVALID_ARGUMENT);
    ck_assert_int_eq(clattn_inspect_tuning_row(NULL, "*", NULL), CLATTN_INVALID_ARGUMENT);
    ck_assert_int_eq(clattn_inspect_tuning_row(TABLE, NULL, NULL), CLATTN_INVALID_ARGUMENT);
}
END_TEST

int main(void) {
    const TTest *const everywhere[] = { test_malformed_files_are_refused_by_line, test_the_interface,
                                        test_rows_are_judged_alone };
    const TTest *const on_a_device[] = { test_winners_are_stored_and_used,
                                         test_interrupted_search_keeps_what_it_found,
                                         test_words_override_the_default_problems,
                                         test_other_rows_stay,
                                         test_nothing_is_stored_when_not_asked,
                                         test_malformed_files_are_refused_by_line,
                                         test_the_interface };
    return suite_has_opencl() ? suite_run(SUITE_OF("tune", on_a_device, 0), SUITE_NO_FORK)
                        : suite_run(SUITE_OF("tune", everywhere, 0), SUITE_NO_FORK);
}
