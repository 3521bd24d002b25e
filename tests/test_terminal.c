/*
 * The program on a terminal, and interrupted: what it draws fits, what it has measured is on the disk, whole; outputs that
 * cannot be written are refused before anything is measured; and a machine that is busy with other things is noticed.
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case/case_default.h"
#include "base/load.h"
#include "base/terminal.h"
#include "support/program.h"
#include "support/suite.h"
#include "support/terminal.h"

#define LONG_WAIT 100.0 /* seconds; for a machine that is busy, or a build that is slow */
/* More problems than any machine gets through before it is interrupted, each of them short. */
#define MANY                                                                                                           \
    "softcap=1,2,3,4,5,6,7,8,9,10,11,12 scale=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9 query_length=64 query_heads=2 "      \
    "head_dim=32 "                                                                                                     \
    "seed=1,2,3,4,5,6,7,8,9 --engine cpu --rounds 512 --seconds 600 "

static char *const said = program_said, *const complained = program_complained;
static terminal screen;

static int clattn(const char *arguments) {
    return program_run("", arguments);
}

/* The end of what was shown: messages of a test have little room. */
static const char *seen(void) {
    return screen.text + (screen.length > 1500 ? screen.length - 1500 : 0);
}

static void shell(const char *command) {
    ck_assert_msg(program_shell(command) == 0, "%s", command);
}

/* Nothing was measured: not even the machine is printed. */
static void refused_at_once(const char *arguments, const char *text) {
    int status = clattn(arguments);
    ck_assert_msg(status == 2, "clattn %s: exit %d: %s", arguments, status, complained);
    ck_assert_msg(said[0] == '\0', "clattn %s: refused after it had begun: %s", arguments, said);
    ck_assert_msg(strstr(complained, text), "clattn %s: \"%s\" does not name %s", arguments, complained, text);
}

/* ------------------------------------------------------------------------------------ what is drawn */

/* Every bar is followed by its removal, not by the end of a line; none reaches that column. */
static int bars_within(int columns) {
    int count = 0;
    for (const char *bar = screen.text; (bar = strstr(bar, "\033[K[")); count++) {
        size_t length = strcspn(bar + 3, "\r\n");
        ck_assert_msg((int)length < columns, "wider than %d: %s", columns, seen());
        bar += 3 + length;
        ck_assert_msg(strncmp(bar, "\r\033[K", 4) == 0, "a bar was left: %s", seen());
    }
    return count;
}

START_TEST(test_progress_fits) {
    program_begin("terminal");
    terminal_start(&screen, "COLUMNS=60", "verify --cases 40 --engine cpu", 80);
    ck_assert_int_eq(terminal_finish(&screen, 0, LONG_WAIT), 0);
    ck_assert_int_ge(bars_within(60), 1);
    terminal_start(&screen, "TERM=dumb", "verify --cases 10 --engine cpu", 80); /* cannot rewrite a line */
    ck_assert_int_eq(terminal_finish(&screen, 0, LONG_WAIT), 0);
    ck_assert(!strchr(screen.text, '\033'));
    ck_assert_int_eq(clattn("verify --cases 10 --engine cpu"), 0); /* no terminal */
    ck_assert_msg(complained[0] == '\0', "%s", complained);
    program_end();
}
END_TEST

START_TEST(test_table_fits) {
    program_begin("terminal");
    program_write("suite.txt", "# a name that is by far too long to stand beside anything else in eighty columns\n"
                               "query_length=64 query_heads=4 kv_heads=2 head_dim=32 causal=no,yes\n");
    terminal_start(&screen, "", "bench --suite suite.txt --engine cpu,reference --rounds 3", 80);
    ck_assert_int_eq(terminal_finish(&screen, 0, LONG_WAIT), 0);
    ck_assert_msg(screen.wraps == 0 && screen.widest < 80, "%s", seen());
    ck_assert_msg(screen.lines < 40, "%d lines: %s", screen.lines, seen());
    ck_assert_int_ge(bars_within(80), 1);
    ck_assert_msg(strstr(screen.text, "median ms") && strstr(screen.text, "spread"), "%s", seen());
    ck_assert_msg(strstr(screen.text, "64 queries, 64 keys"), "the problem is not printed: %s", seen());
    ck_assert_msg(strstr(screen.text, "\n*"), "the fastest is not marked: %s", seen());
    /* elsewhere: every column, whatever COLUMNS says */
    ck_assert_int_eq(program_run("COLUMNS=40", "bench --suite suite.txt --engine cpu,reference --rounds 3 --csv t.csv"),
                     0);
    ck_assert_msg(
        strstr(said, "queries    keys  heads   dim    type  engine           median ms      min ms      max ms"), "%s",
        said);
    ck_assert(!strchr(said, '\033') && !strchr(said, '\r') && complained[0] == '\0');
    shell("head -1 t.csv | grep -q "
          "'^name,query_length,.*,problem,maximum_ms,spread_per_cent,others_per_cent,disturbed,"
          "fastest,direction,forward_and_backward_ms$'");
    shell("test $(grep -c ',yes,forward,$' t.csv) -eq 2"); /* one of the engines is the fastest of each problem */
    program_end();
}
END_TEST

START_TEST(test_text_is_wrapped) {
    static const struct {
        const char *text, *wrapped;
        int used, indent, width;
    } cases[] = {
        { "one two three four", "one two\n  three\n  four\n", 0, 2, 8 },
        { "one two", "one\n two\n", 4, 1, 8 },
        { "abcdefghijklmnop q", "abcdefgh\n  ijklmn\n  op q\n", 0, 2, 8 }, /* longer than a line */
        { "", "\n", 0, 2, 8 },
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        ck_assert_ptr_nonnull(file);
        attn_terminal_wrap(file, cases[n].text, cases[n].used, cases[n].indent, cases[n].width);
        fclose(file);
        ck_assert_str_eq(text, cases[n].wrapped);
        free(text);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------ interrupted */

/* Lines of the same number of cells, each ended. Cells of this file hold commas within quotes alone. */
static int whole_rows(const char *name) {
    static char text[1 << 20];
    int rows = 0, cells = 0, expected = 0;
    bool quoted = false;
    program_read(name, text, sizeof text);
    for (const char *at = text; *at != '\0'; at++) {
        quoted = quoted != (*at == '"');
        cells += *at == ',' && !quoted;
        if (*at == '\n') {
            expected = rows == 0 ? cells : expected;
            ck_assert_msg(cells == expected, "%s: row %d has %d commas, not %d: %s", name, rows, cells, expected, text);
            rows++;
            cells = 0;
        }
    }
    ck_assert_msg(cells == 0 && !quoted, "%s: the last row is cut: %s", name, text);
    return rows - 1;
}

/* At 80 columns, at 50 after a resize in the middle; then ended by a signal. */
START_TEST(test_interrupted_bench_keeps_its_rows) {
    program_begin("terminal");
    terminal_start(&screen, "", "bench " MANY "--csv t.csv --json t.json --plot t.svg", 80);
    ck_assert_msg(terminal_wait(&screen, "%  ", 0, LONG_WAIT), "no progress is shown: %s", seen());
    ck_assert_msg(terminal_wait(&screen, "scale=0.2", 0, LONG_WAIT), "%s", seen());
    ck_assert_msg(screen.wraps == 0 && screen.widest < 80, "%d lines are too long: %s", screen.wraps, seen());
    terminal_resize(&screen, 50);
    terminal_read(&screen, 0.3); /* what was drawn just before */
    screen.wraps = screen.widest = 0;
    long from = screen.length;
    ck_assert(terminal_wait(&screen, "%  ", from, LONG_WAIT) &&
              terminal_wait(&screen, "cpu ", screen.length, LONG_WAIT));
    ck_assert_msg(screen.wraps == 0 && screen.widest < 50, "%d lines are too long after a resize: %s", screen.wraps,
                  seen());
    ck_assert_int_eq(terminal_finish(&screen, SIGINT, LONG_WAIT), 128 + SIGINT);
    ck_assert_msg(strstr(screen.text, "interrupted by SIGINT"), "%s", seen());
    ck_assert_msg(whole_rows("t.csv") >= 4, "rows were lost");
    shell("grep -q '\"complete\": false' t.json && tail -1 t.json | grep -q '^}$' && tail -1 t.svg | grep -q '</svg>'");
    shell("! command -v python3 >/dev/null || python3 -m json.tool <t.json >/dev/null");
    shell("test $(ls | wc -l) -eq 3"); /* no temporary file is left */
    program_end();
}
END_TEST

START_TEST(test_killed_bench_keeps_its_rows) {
    program_begin("terminal");
    terminal_start(&screen, "", "bench " MANY "--csv t.csv --json t.json", 80);
    ck_assert_msg(terminal_wait(&screen, "softcap=1 scale=0.3", 0, LONG_WAIT), "%s", seen());
    ck_assert_int_eq(terminal_finish(&screen, SIGKILL, LONG_WAIT), 1000 + SIGKILL);
    ck_assert_msg(whole_rows("t.csv") >= 1, "rows were lost");
    shell("! command -v python3 >/dev/null || python3 -m json.tool <t.json >/dev/null");
    program_end();
}
END_TEST

START_TEST(test_interrupted_verify_keeps_its_rows) {
    program_begin("terminal");
    terminal_start(&screen, "", "verify --cases 1000000 --engine cpu --csv t.csv --json t.json", 80);
    ck_assert_msg(terminal_wait(&screen, "%  ", 0, LONG_WAIT), "%s", seen());
    terminal_read(&screen, 1);
    ck_assert_int_eq(terminal_finish(&screen, SIGTERM, LONG_WAIT), 128 + SIGTERM);
    ck_assert_msg(strstr(screen.text, "interrupted by SIGTERM") && strstr(screen.text, " passed"), "%s", seen());
    ck_assert_msg(whole_rows("t.csv") >= 1, "rows were lost");
    shell("! command -v python3 >/dev/null || python3 -m json.tool <t.json >/dev/null");
    shell("test $(ls | wc -l) -eq 2");
    program_end();
}
END_TEST

START_TEST(test_outputs_are_tried_first) {
    program_begin("terminal");
    shell("mkdir folder && echo old >old.csv");
    refused_at_once("bench query_length=16 head_dim=16 --engine cpu --csv no/such/folder/x.csv", "no/such/folder");
    refused_at_once("bench query_length=16 head_dim=16 --engine cpu --json folder", "folder");
    refused_at_once("bench query_length=16 head_dim=16 --engine cpu --plot no/x.svg", "no/x.svg");
    refused_at_once("bench --scaling --csv old.csv/x.csv", "old.csv/x.csv");
    refused_at_once("bench query_length=16 head_dim=16 --csv x --json ./x", "--json");
    refused_at_once("verify --cases 100 --engine cpu --csv no/such/folder/x.csv", "no/such/folder");
    refused_at_once("verify --cases 100 --engine cpu --json folder", "folder");
    refused_at_once("run --query nowhere.npy --key nowhere.npy --value nowhere.npy --output no/such/out.npy",
                    "no/such/out.npy");
    refused_at_once("tune query_length=16 --tuning old.csv/tuning.csv", "old.csv");
    refused_at_once("bench query_length=16 head_dim=16 --engine nothing --csv old.csv", "nothing");
    shell("grep -q old old.csv && test $(ls | wc -l) -eq 4"); /* said, complained, folder, old.csv */
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------ words, scaling, pictures */

static void expect_line(const char *line, const char *defaults, int64_t count, const char *first) {
    attn_cases cases = { 0 };
    attn_error error = { 0 };
    ck_assert_msg(attn_cases_default(&cases, line, defaults, &error) == 0, "%s", error.text);
    ck_assert_int_eq(cases.count, count);
    ck_assert_str_eq(cases.items[0].text, first);
    attn_cases_free(&cases);
}

START_TEST(test_given_words_override) {
    attn_cases cases = { 0 };
    attn_error error = { 0 };
    const char *defaults = "query_length=128..512 query_heads=12 head_dim=64";
    expect_line("", defaults, 3, "query_length=128 query_heads=12 head_dim=64");
    expect_line("query_length=16,32", defaults, 2, "query_heads=12 head_dim=64 query_length=16");
    expect_line("causal=yes head_dim=32 query_heads=3", defaults, 3,
                "query_length=128 causal=yes head_dim=32 query_heads=3");
    expect_line("query_length=16 head_dim=8", defaults, 1,
                "query_length=16 head_dim=8"); /* a whole line stands for itself */
    ck_assert_int_eq(attn_cases_default(&cases, "head_dims=3", defaults, &error), 2);
    attn_cases_free(&cases);
}
END_TEST

START_TEST(test_scaling_writes_all) {
    program_begin("terminal");
    ck_assert_msg(clattn("bench --scaling query_length=256 query_heads=2 head_dim=16 --rounds 2 --csv t.csv --json "
                         "t.json --plot t.svg") == 0,
                  "%s", complained);
    ck_assert_int_ge(whole_rows("t.csv"), 5);
    shell("grep -q '\"varied\": \"threads\"' t.json && grep -q '\"complete\": true' t.json");
    shell("! command -v python3 >/dev/null || python3 -m json.tool <t.json >/dev/null");
    shell("grep -q '>speed-up over threads<' t.svg && test $(grep -c '<circle' t.svg) -ge 5");
    program_end();
}
END_TEST

/* Every text of the picture lies within it, were its letters 7 wide. Answers how many texts there are. */
static int texts_within(const char *name) {
    static char text[1 << 20];
    int width = 0, count = 0;
    program_read(name, text, sizeof text);
    ck_assert_int_eq(sscanf(text, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\"", &width), 1);
    for (const char *at = text; (at = strstr(at, "<text x=\"")) != NULL; at++, count++) {
        double x = 0;
        char anchor[16];
        ck_assert_int_eq(sscanf(at, "<text x=\"%lf\" y=\"%*f\" text-anchor=\"%15[a-z]\"", &x, anchor), 2);
        const char *begin = strchr(at, '>') + 1;
        double length = 7.0 * (double)strcspn(begin, "<");
        double left = strcmp(anchor, "start") == 0 ? x : strcmp(anchor, "middle") == 0 ? x - length / 2 : x - length;
        ck_assert_msg(left >= 0 && left + length <= width, "cut: %.*s", (int)strcspn(begin, "<"), begin);
    }
    return count;
}

START_TEST(test_pictures) {
    program_begin("terminal");
    program_write("suite.txt", "# encoder\nquery_length=64 query_heads=4 head_dim=32\n"
                               "# decoder with a name that does not fit one line of the label beside its bars at all\n"
                               "query_length=1 key_length=128 query_heads=8 kv_heads=2 head_dim=64\n"
                               "# vision\nquery_length=50 batch=3 query_heads=2 head_dim=48 type=fp16\n");
    ck_assert_msg(clattn("bench --suite suite.txt --engine cpu,reference --rounds 2 --plot t.svg --csv t.csv") == 0,
                  "%s", complained);
    ck_assert_int_ge(texts_within("t.svg"), 3 * 3 + 3 * 2 * 2);
    shell("grep -q '>encoder<' t.svg && grep -q '>decoder with a name' t.svg && grep -q '>its bars at all<' t.svg");
    shell(
        "test $(grep -c '<rect' t.svg) -gt 20 && grep -q '>reference<' t.svg && grep -q '>64 on 64, 4x32 fp32<' t.svg");
    /* over lengths: lines; a legend of long names stays whole */
    ck_assert_msg(clattn("bench query_length=16,32 query_heads=2 head_dim=16 causal=no,yes softcap=3,4 type=fp32,fp16 "
                         "scale=0.5,0.25 "
                         "spread=1,2 poison=no --engine cpu --rounds 1 --plot t.svg") == 0,
                  "%s", complained);
    ck_assert_int_ge(texts_within("t.svg"), 32);
    shell("test $(grep -c '<circle' t.svg) -gt 60");
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------ others on the processors */

static bool second_alone(int processor) {
    return processor == 1;
}

static bool all_of_them(int processor) {
    return processor >= 0;
}

START_TEST(test_load_is_read) {
    static const char text[] = "cpu  60 0 0 60 0 0 0 0 0 0\ncpu0 10 1 2 999 50 3 4 5 0 0\ncpu1 20 0 0 7 7 0 0 5 0 "
                               "0\nintr 77\ncpu2 9 9 9 9 9 9 9 9\n";
    double busy = -1;
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    rewind(file);
    ck_assert_int_eq(attn_load_read(file, all_of_them, 100, &busy), 2);
    ck_assert_double_eq_tol(busy, 0.5, 1e-9);
    rewind(file);
    ck_assert_int_eq(attn_load_read(file, second_alone, 100, &busy), 1);
    ck_assert_double_eq_tol(busy, 0.25, 1e-9);
    fclose(file);
    attn_load from = { true, 10, 100, 50, 4 },
              to = { true, 12, 106, 52, 4 }; /* 2 s, 4 of work by others: 2 processors */
    ck_assert_double_eq_tol(attn_load_taken(&from, &to, 4), 0.5, 1e-9);
    ck_assert_double_eq_tol(attn_load_taken(&from, &to, 100), 0.5, 1e-9);
    ck_assert_double_eq_tol(attn_load_taken(&from, &to, 2), 0, 1e-9); /* they found room beside two threads */
    ck_assert_double_eq_tol(attn_load_taken(&from, &to, 3), 1.0 / 3, 1e-9);
    to.known = false;
    ck_assert(attn_load_taken(&from, &to, 4) < 0);
}
END_TEST

START_TEST(test_a_busy_machine_is_noticed) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    pid_t busy[512];
    processors = processors > 512 ? 512 : processors;
    attn_load now;
    attn_load_now(&now);
    if (!now.known) {
        return; /* the system does not say */
    }
    program_begin("terminal");
    for (long n = 0; n < processors; n++) {
        busy[n] = fork();
        ck_assert_int_ge(busy[n], 0);
        if (busy[n] == 0) {
            alarm(200); /* whatever becomes of the test */
        }
        for (volatile long spin = 0; busy[n] == 0; spin++) {
        }
    }
    int status = clattn("bench query_length=512 --engine cpu --rounds 60 --csv t.csv");
    for (long n = 0; n < processors; n++) {
        kill(busy[n], SIGKILL);
        waitpid(busy[n], NULL, 0);
    }
    ck_assert_msg(status == 0, "%s", complained);
    ck_assert_msg(strstr(said, "rows were disturbed: others took up to"), "%s", said);
    ck_assert_msg(strstr(said, "these limits may be too low"), "%s", said);
    shell("grep -q 'cpu,.*query_heads=12 head_dim=64 query_length=512,.*,others' t.csv");
    program_end();
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_progress_fits,
                                   test_table_fits,
                                   test_text_is_wrapped,
                                   test_interrupted_bench_keeps_its_rows,
                                   test_killed_bench_keeps_its_rows,
                                   test_interrupted_verify_keeps_its_rows,
                                   test_outputs_are_tried_first,
                                   test_given_words_override,
                                   test_scaling_writes_all,
                                   test_pictures,
                                   test_load_is_read,
                                   test_a_busy_machine_is_noticed };
    return suite_run(SUITE_OF("terminal", tests, 0), SUITE_NO_FORK);
}
