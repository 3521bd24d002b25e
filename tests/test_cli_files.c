/*
 * The files of the program from outside: what it refuses to read, what it does with files that are there when it writes,
 * JSON by the letter whatever names hold, standard output as a file, a full disk, pipes that close.
 */
#define _POSIX_C_SOURCE 200809L
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/program.h"
#include "support/suite.h"
#include "base/table.h"

#define GOLDEN CLATTN_TEST_SOURCE_DIR "/golden/"
#define ALL "--query " GOLDEN "a_query.npy --key " GOLDEN "a_key.npy --value " GOLDEN "a_value.npy "
#define SMALL "query_length=4 head_dim=8 --engine cpu "

static char *const said = program_said, *const complained = program_complained;

/* What hangs fails. Without OpenCL, which these tests do not need and whose devices take their time to be found. */
static int clattn(const char *arguments) {
    return program_run("OCL_ICD_VENDORS=/nowhere timeout 60", arguments);
}

static void works(const char *arguments) {
    int status = clattn(arguments);
    ck_assert_msg(status == 0, "clattn %s: exit %d: %s", arguments, status, complained);
}

static void shell(const char *command) {
    ck_assert_msg(program_shell(command) == 0, "%s", command);
}

/* Bad input: one line on stderr that has the text. */
static void refused(const char *arguments, const char *text) {
    int status = clattn(arguments);
    ck_assert_msg(status == 2, "clattn %s: exit %d: %s", arguments, status, complained);
    ck_assert_msg(strstr(complained, text) && program_complained_once(), "clattn %s: \"%s\" does not say %s", arguments, complained, text);
}

/* A command that this build has not; `clattn words` needs the layers. */
static bool left_out(const char *command) {
    return !CLATTN_TEST_LAYERS && strncmp(command, "words", 5) == 0;
}

static void strict_json(const char *files) {
    char command[1024];
    snprintf(command, sizeof command, "! command -v python3 >/dev/null || python3 '" CLATTN_TEST_SOURCE_DIR "/support/strict_json.py' %s",
             files);
    shell(command);
}

/* ------------------------------------------------------------------------------------ what is read */

START_TEST(test_reads_files_alone) {
    static const char *const readers[] = {
        "bench --engine cpu --rounds 1 --suite ", "verify --engine cpu --suite ", "words count --text ", "words show --vectors ",
        "plan " SMALL "--tuning ",                "run " ALL "--output out.npy --mask ",
        "run --output out.npy --key k.npy --value v.npy --query ",
    };
    static const struct {
        const char *path, *text;
    } bad[] = { { "/dev/zero", "/dev/zero: is a device" }, { "folder", "folder: is a folder" }, { "pipe", "pipe: is a named pipe" },
                { "loop", "loop: cannot be read" } };
    program_begin("cli_files");
    shell("mkdir folder && mkfifo pipe && ln -s loop loop");
    for (size_t r = 0; r < sizeof readers / sizeof *readers; r++) {
        for (size_t b = 0; b < sizeof bad / sizeof *bad && !left_out(readers[r]); b++) {
            char arguments[2048];
            snprintf(arguments, sizeof arguments, "%s%s", readers[r], bad[b].path);
            refused(arguments, bad[b].text);
        }
    }
    ck_assert(!program_has("out.npy"));
    if (clattn("words count --tokens subwords --subword-model /dev/zero") != 3) { /* a build without SentencePiece or layers */
        ck_assert_msg(strstr(complained, "/dev/zero: is a device"), "%s", complained);
    }
    shell(": >empty");
    refused("verify --engine cpu --suite empty", "empty: no problems");
    refused("run " ALL "--output out.npy --mask empty", "empty: it is empty");
    if (CLATTN_TEST_LAYERS) {
        refused("words count --text empty", "empty: empty");
    }
    shell("echo query_length=4 head_dim=8 | timeout 60 '" CLATTN_PROGRAM "' verify --engine cpu --suite /dev/stdin >said"); /* pipes end */
    program_end();
}
END_TEST

START_TEST(test_suites) {
    program_begin("cli_files");
    /* a comment of 20000 letters is no words, whatever stands where a buffer might end */
    shell("(printf '# '; head -c 20000 /dev/zero | tr '\\0' x; printf ' causal=maybe\\nquery_length=4 head_dim=8\\n') >long.txt");
    works("bench --engine cpu --rounds 1 --suite long.txt --csv long.csv");
    shell("test $(wc -l <long.csv) -eq 3 && grep -q '^x*\\.\\.\\.,' long.csv"); /* that a name is cut is shown */
    shell("printf 'query_length=4 head_dim=8\\nquery_length=4 head_dim=8 \\000 head_dims=3\\n' >nul.txt");
    refused("bench --engine cpu --suite nul.txt", "nul.txt:2: a NUL");
    shell("printf 'query_length=4 head_dim=8\\r\\n\\r\\nquery_length=4 head_dim=9\\r\\n' >dos.txt");
    works("verify --engine cpu --suite dos.txt");
    shell("printf '\\357\\273\\277query_length=4 head_dim=8' >mark.txt");
    works("verify --engine cpu --suite mark.txt");
    shell("printf 'query_length=4 head_dim=8\\n\\nquery_length=4\\rhead_dims=8' >return.txt");
    refused("verify --engine cpu --suite return.txt", "return.txt:3: head_dims=8");
    refused("verify --engine cpu \"$(printf 'query_length=4\\nhead_dims=8')\"", "head_dims=8"); /* nothing behind a newline is dropped */
    refused("plan \"$(printf 'query_length=4\\nhead_dims=8')\"", "query_length"); /* and one line is complained */
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------ what is written */

#define LONG "batch=3 query_heads=4 kv_heads=2 query_length=13 key_length=33 head_dim=16 value_dim=24 past=7 type=fp32 " \
    "causal=yes align=bottom_right window=9,open scale=0.25 softcap=30 mask=b,1,q,k bias=1,4,1,33 alibi=yes sinks=yes seed=100092"

START_TEST(test_whole_problems) {
    program_begin("cli_files");
    works("verify --engine cpu --csv v.csv --json v.json " LONG);
    shell("grep -q ' sinks=yes seed=100092\"$' v.csv && grep -q ' sinks=yes seed=100092\" }' v.json");
    program_end();
}
END_TEST

START_TEST(test_existing_files) {
    program_begin("cli_files");
    shell("mkdir far && echo old >old.csv && chmod 600 old.csv && echo old >far/real.csv && ln -s far/real.csv link.csv &&"
          "ln -s ../new.csv far/dangling.csv");
    works("verify " SMALL "--csv old.csv");
    works("verify " SMALL "--csv link.csv");
    works("verify " SMALL "--csv far/dangling.csv");
    shell("test \"$(stat -c %a old.csv)\" = 600 && grep -q engine old.csv");
    shell("test -L link.csv && grep -q engine far/real.csv && test -L far/dangling.csv && grep -q engine new.csv");
    shell("umask 027 && '" CLATTN_PROGRAM "' verify " SMALL "--csv fresh.csv >said && test \"$(stat -c %a fresh.csv)\" = 640");
    refused("run " ALL "--output far/real.csv --logsumexp link.csv", "link.csv"); /* one place by two names */
    char name[256], command[600];
    memset(name, 'n', 255);
    name[255] = '\0';
    snprintf(command, sizeof command, "verify " SMALL "--csv %s", name);
    works(command);
    snprintf(command, sizeof command, "grep -q engine %s", name);
    shell(command);
    shell("mkfifo pipe");
    refused("verify " SMALL "--csv pipe", "nobody reads");
    ck_assert_int_eq(clattn("verify batch=1099511627776 query_length=0 head_dim=4 --engine cpu"), 3); /* no hours over nothing */
    refused("verify " SMALL "--csv far", "far: cannot be written: it is a folder");
    /* a file that its owner has locked stays; the superuser's is never locked */
    shell("mkdir open && chmod 777 open && echo old >open/locked.csv && chmod 444 open/locked.csv");
    int status = program_shell("as=; test $(id -u) != 0 || as='setpriv --reuid 65534 --clear-groups'; $as true 2>/dev/null || exit 9;"
                               "$as '" CLATTN_PROGRAM "' verify " SMALL "--csv open/locked.csv >said 2>complained");
    ck_assert_msg(status == 9 || (status == 2 && program_shell("grep -q 'locked.csv: cannot be written: Permission' complained &&"
                                                               "grep -q old open/locked.csv") == 0), "a locked file: exit %d", status);
    shell("test -z \"$(find . -name '.clattn*')\"");
    program_end();
}
END_TEST

START_TEST(test_full_disk) {
    static const char *const commands[] = {
        "bench --rounds 1 " SMALL "--json ", "verify " SMALL "--csv ", "run " ALL "--output ", "words show --plot ",
    };
    program_begin("cli_files");
    if (program_shell("test -c /dev/full") == 0) {
        shell("ln -s /dev/full full.svg && ln -s /dev/full full.png");
        for (size_t c = 0; c < sizeof commands / sizeof *commands && !left_out(commands[c]); c++) {
            char arguments[1024];
            snprintf(arguments, sizeof arguments, "%sfull.svg", commands[c]);
            refused(arguments, "full.svg: writing failed: No space left");
        }
        if (CLATTN_TEST_LAYERS && clattn("words show --plot x.png") == 0) { /* a build without libpng has none */
            refused("words show --plot full.png", "full.png: writing failed: No space left");
            refused("bench --rounds 1 " SMALL "--plot full.png", "full.png: writing failed: No space left");
        }
        ck_assert_int_eq(program_shell("'" CLATTN_PROGRAM "' devices >/dev/full 2>complained"), 2);
        shell("grep -q 'standard output: writing failed: No space' complained");
    }
    program_end();
}
END_TEST

START_TEST(test_standard_output) {
    program_begin("cli_files");
    works("verify " SMALL "--csv -");
    ck_assert_msg(strncmp(said, "engine,", 7) == 0 && strstr(said, "problem") && !strstr(said, "1 problem"), "%s", said);
    ck_assert_msg(strstr(complained, "1 passed"), "%s", complained);
    works("bench --rounds 1 " SMALL "--json - --csv table.csv");
    ck_assert_msg(said[0] == '{', "%s", said);
    strict_json("said");
    works("verify " SMALL "--json -");
    strict_json("said");
    refused("bench " SMALL "--csv - --json -", "only one");
    refused("verify " SMALL "--csv - --json -", "only one");
    refused("run " ALL "--output -", "-: ");
    refused("tune --tuning - " SMALL, "--tuning -");
    works("verify " SMALL "--csv ./-");
    ck_assert(program_has("-"));
    ck_assert(program_has("table.csv"));
    program_end();
}
END_TEST

START_TEST(test_strict_json) {
    program_begin("cli_files");
    shell("printf '# na\\377me \"of\\\\ a\\tsuite\\303: x\\nquery_length=4 head_dim=8 causal=no,yes\\n' >\"$(printf 'su\\377ite\"')\"");
    works("bench --rounds 1 --engine cpu --suite \"$(printf 'su\\377ite\"')\" --json bench.json --plot bench.svg");
    shell("! command -v python3 >/dev/null || python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse(\"bench.svg\")'");
    works("verify --engine cpu --suite \"$(printf 'su\\377ite\"')\" --json verify.json");
    strict_json("bench.json verify.json");
    shell("grep -q '\"verified\": true' bench.json && grep -q '\"scaled\": false' bench.json && grep -q '\"step_ms\": \\[\\]' bench.json");
    shell("grep -q '\"query_heads\": 1,' bench.json && ! grep -q '\"dim\": \"' bench.json && grep -q 'na.ufffdme' bench.json");
    shell("printf 'a 3e38 -3e38\\nb -3e38 3e38\\nc 3e38 3e38\\n' >vectors; printf 'a b c\\n' >text");
    static const char *const commands[] = {
        "devices --json",
        "plan " SMALL "--json",
        "plan query_length=4 head_dim=8 weights=raw --json",
        "plan query_length=4 head_dim=8 --engine cpu,reference --json",
        "run " ALL "--output \"$(printf 'o\\377\"ut.npy')\" --json",
        "words count --json",
        "words weights a --text text --vectors vectors --json",
        "words show 'a b c' --text text --vectors vectors --json",
        "words probe 'a b c' --text text --vectors vectors --json",
        "words probe 'a b c' --text text --vectors vectors --remove a --json",
    };
    for (size_t c = 0; c < sizeof commands / sizeof *commands && !left_out(commands[c]); c++) {
        works(commands[c]);
        strict_json("said");
    }
    ck_assert_int_eq(program_run("timeout 60", "devices --json"), 0); /* with what drivers say of themselves */
    strict_json("said");
    int status = clattn("tune --json --tuning none --seconds 1 " SMALL); /* the cpu engine has no table */
    ck_assert_int_eq(status, 3);
    strict_json("said");
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------ pipes, locales */

START_TEST(test_closed_pipe) {
    program_begin("cli_files");
    shell("for n in 1 2 3 4 5 6 7 8 9; do echo query_length=1..4 head_dim=1,2,3,4,5,6,7,8,9 seed=1,2,3,4; done >many.txt");
    shell("(trap '' PIPE; timeout 60 '" CLATTN_PROGRAM "' verify --engine cpu --suite many.txt --json - 2>complained; echo $? >status) |"
          " head -1 >said");
    shell("test \"$(cat status)\" = 141 && ! grep -q '^clattn:' complained"); /* by the signal, without an error */
    program_end();
}
END_TEST

START_TEST(test_locale) {
    double value = 0;
    program_begin("cli_files");
    bool made = program_shell("localedef -i de_DE -f UTF-8 ./de_DE.UTF-8 >said 2>&1") == 0;
    setenv("LOCPATH", program_folder, 1);
    if (made && setlocale(LC_ALL, "de_DE.UTF-8")) { /* a system without locales has nothing to test */
        ck_assert_str_eq(localeconv()->decimal_point, ",");
        ck_assert_int_eq(attn_text_number("-0.5e1", &value), 0);
        ck_assert_double_eq(value, -5);
        ck_assert_int_eq(attn_text_number("0,5", &value), 1);
    }
    setlocale(LC_ALL, "C");
    ck_assert_int_eq(attn_text_number("0.25", &value), 0);
    ck_assert_double_eq(value, 0.25);
    program_end();
}
END_TEST

/* Texts that are cut say so, and are still UTF-8. */
START_TEST(test_cut_texts) {
    char text[12];
    attn_error error;
    attn_text_copy(text, sizeof text, "eleven char", 11);
    ck_assert_str_eq(text, "eleven char");
    attn_text_copy(text, sizeof text, "twelve chars", 12);
    ck_assert_str_eq(text, "twelve c...");
    attn_text_copy(text, sizeof text, "1234567\xc3\xa4\xc3\xb6", 11);
    ck_assert_str_eq(text, "1234567\xc3\xa4\xc3\xb6");
    attn_text_copy(text, sizeof text, "1234567\xc3\xa4\xc3\xb6x", 12);
    ck_assert_str_eq(text, "1234567...");
    strcpy(text, "one");
    attn_text_add(text, sizeof text, " %s", "two three");
    ck_assert_str_eq(text, "one two ...");
    attn_fail(&error, ATTN_USAGE, "a\nb\x1b[1m");
    ck_assert_str_eq(error.text, "a?b?[1m");
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_reads_files_alone, test_suites,      test_whole_problems, test_existing_files, test_full_disk,
                                   test_standard_output,   test_strict_json, test_closed_pipe,    test_locale,         test_cut_texts };
    return suite_run(SUITE_OF("cli_files", tests, 120), SUITE_NO_FORK);
}
