/*
 * What the program says of itself: help within 80 columns in which every option has its line, hints for slips, and that
 * what a later release will take is refused by name.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>

#include "support/program.h"
#include "support/suite.h"

static char *const said = program_said, *const complained = program_complained;

static int clattn(const char *arguments) {
    return program_run("OCL_ICD_VENDORS=/nowhere timeout 60", arguments); /* devices take their time to be found */
}

static void tells(const char *arguments) {
    int status = clattn(arguments);
    ck_assert_msg(status == 0 && complained[0] == '\0' && said[0] != '\0', "clattn %s: exit %d: %s", arguments, status, complained);
}

static void refused(int status, const char *arguments, const char *text) {
    int got = clattn(arguments);
    ck_assert_msg(got == status && said[0] == '\0', "clattn %s: exit %d, not %d: %s", arguments, got, status, said);
    ck_assert_msg(strstr(complained, text) && program_complained_once(), "clattn %s: \"%s\" does not say %s", arguments, complained, text);
}

static void expect_narrow(const char *command) {
    int line = 1;
    for (const char *at = said; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n', line++) {
        int width = (int)strcspn(at, "\n");
        ck_assert_msg(width <= 80, "help %s: line %d has %d columns: %.*s", command, line, width, width, at);
    }
}

#define COMMON "--engine --device --threads --tuning --blocks --body --help -- "

static const struct {
    const char *command, *options;
} helps[] = {
    { "devices", COMMON "--json" },
    { "plan", COMMON "--json query_length= key_length= head_dim= causal= window= align= offsets= weights_rows= direction= "
              "output_type= gradient_type= add= dropout= prefix=" },
    { "run", COMMON "--query --key --value --past-key --past-value --mask --bias --key-lengths --query-lengths --offsets "
             "--alibi-slopes --sinks --output --logsumexp --weights --weights-stage --present-key --present-value --json "
             "--grad-output --grad-logsumexp --dropout-mask --grad-query --grad-key --grad-value --grad-bias "
             "--grad-alibi-slopes --grad-sinks output_type= gradient_type=" },
    { "verify", COMMON "--cases --seed --dims --suite --full --csv --json" },
    { "bench", COMMON "--suite --rounds --seconds --memory --scaling --csv --json --plot" },
    { "tune", COMMON "--seconds --json" },
    { "words count", COMMON "--text --sentence --tokens --subword-model --sentences --json" },
    { "words weights", COMMON "--model --text --sentence --tokens --json --embedding --dim --seed --vectors --heads --self causal= scale=" },
    { "words show", COMMON "--model --text --sentence --json --embedding --dim --seed --vectors --heads --map --plot --positions --project" },
    { "words train", COMMON "--model --resume --steps --context --dim --heads --blocks --batch --optimizer --rate --seed --validate "
                            "--plot --text --tokens --subword-model --sentences --json" },
    { "words predict", COMMON "--model --top --json" },
    { "words generate", COMMON "--model --prompt --stop --max --temperature --top-k --seed --json" },
    { "words neighbours", COMMON "--model --top --json" },
    { "words probe", COMMON "--text --sentence --json --embedding --vectors --heads --word --remove --add --at --plot --positions" },
};

START_TEST(test_helps) {
    static char first[sizeof program_said];
    program_begin("help");
    for (size_t h = 0; h < sizeof helps / sizeof *helps; h++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "help %s", helps[h].command);
        if (!CLATTN_TEST_LAYERS && strncmp(helps[h].command, "words", 5) == 0) {
            continue;
        }
        tells(arguments);
        expect_narrow(helps[h].command);
        for (const char *at = helps[h].options; *at != '\0'; at += strcspn(at, " "), at += *at == ' ') {
            char line[64];
            int length = (int)strcspn(at, " ");
            snprintf(line, sizeof line, at[length - 1] == '=' ? "\n  %.*s" : "\n  %.*s ", length, at);
            bool there = strstr(said, line);
            snprintf(line, sizeof line, "\n  %.*s,", length, at); /* --help, -h */
            ck_assert_msg(there || strstr(said, line), "help %s: no line for %.*s", helps[h].command, length, at);
        }
        memcpy(first, said, sizeof first);
        snprintf(arguments, sizeof arguments, "%s --help", helps[h].command);
        tells(arguments);
        ck_assert_str_eq(first, said);
    }
    program_end();
}
END_TEST

START_TEST(test_usage) {
    program_begin("help");
    tells("help");
    expect_narrow("");
    ck_assert(strstr(said, "Exit status") && strstr(said, "--threads"));
    tells("help help");
    ck_assert_int_eq(clattn(""), 2); /* no command is bad usage */
    ck_assert(said[0] == '\0' && strstr(complained, "clattn bench") && strstr(complained, "clattn: a command is missing\n"));
    if (CLATTN_TEST_LAYERS) {
        tells("words --help");
        expect_narrow("words");
        ck_assert_int_eq(clattn("words"), 2);
        ck_assert(said[0] == '\0' && strstr(complained, "clattn: words: a sub-command is missing\n"));
    }
    static char first[256];
    tells("--version");
    snprintf(first, sizeof first, "%.200s", said);
    tells("-V");
    ck_assert(strncmp(first, said, strlen(first)) == 0 && strncmp(said, "clattn ", 7) == 0);
    tells("plan --engine cpu -- query_length=4 head_dim=8");
    refused(2, "plan -- --engine cpu query_length=4 head_dim=8", "--engine: not a word");
    refused(2, "help nothing", "nothing: no such command");
    refused(2, "help plan run again", "again: ");
    refused(2, "--version now", "now: ");
    refused(2, "''", "\"\": no such command");
    refused(2, "plan ''", "\"\": not a word");
    refused(2, "verify --dims 64 query_length=4 head_dim=8 --engine cpu", "--dims: no problems are drawn");
    tells("-- plan query_length=4 head_dim=8");
    if (program_shell("command -v script >said && TERM=xterm script -qec \"'" CLATTN_PROGRAM "' plan query_length=4 head_dim=8\" /dev/null >typed") == 0) {
        program_shell("grep -q 'kernels are built' typed") == 0 ? (void)0 : ck_abort_msg("plan shows nothing on a terminal");
    }
    program_end();
}
END_TEST

#define PLAN "plan query_length=4 head_dim=8 "

START_TEST(test_hints) {
    static const struct {
        const char *arguments, *text;
    } slips[] = {
        { "bnech", "bnech: no such command; did you mean bench?" },
        { "verfy", "did you mean verify?" },
        { "words shw", "did you mean show?" },
        { PLAN "--engin cpu", "--engin: no such option; did you mean --engine?" },
        { PLAN "-engine cpu", "did you mean --engine?" },
        { PLAN "--head_dim=8", "did you mean head_dim=8?" },
        { PLAN "query_lenght=4", "query_lenght=4: no such word; did you mean query_length?" },
        { PLAN "Causal=yes", "did you mean causal?" },
        { PLAN "engine=cpu", "did you mean --engine?" },
        { PLAN "--body portable-tile", "--body portable-tile: no engine has such a body; did you mean portable-tiles?" },
        { PLAN "--body nonsense", "--body nonsense: no engine has such a body (`clattn devices` lists them)" },
        { PLAN "--blocks key=8,variant=2", "--blocks key=8,variant=2: bodies have names: --body NAME" },
        { PLAN "--blocks key=x", "--blocks key=x: query=N, key=N or splits=N is expected" },
        { PLAN "--engine opencl-fuse", "--engine opencl-fuse: no such engine; did you mean opencl-fused?" },
    };
    program_begin("help");
    for (size_t n = 0; n < sizeof slips / sizeof *slips; n++) {
        if (!CLATTN_TEST_LAYERS && strncmp(slips[n].arguments, "words", 5) == 0) {
            continue;
        }
        refused(2, slips[n].arguments, slips[n].text);
    }
    refused(2, "frobnicate", "frobnicate: no such command (");
    refused(2, PLAN "frobnicate=1", "frobnicate=1: no such word\n");
    refused(2, "bench --csv --json x", "--csv needs a value");
    ck_assert(!program_has("--json"));
    program_end();
}
END_TEST

START_TEST(test_later) {
    static const char *const words[] = { "packed=yes", "page=16",         "ring=4,64",
                                         "cache=int8", "rotary=halves,4", "rotary_base=1e4" };
    static const char *const files[] = { "--query-starts", "--key-starts", "--rotary-cos", "--rotary-sin" };
    static const char *const commands[] = { "ring", "clattn-ring" };
    char arguments[256], name[64];
    program_begin("help");
    for (size_t n = 0; n < sizeof words / sizeof *words; n++) {
        for (int command = 0; command < 3; command++) {
            snprintf(arguments, sizeof arguments, "%s query_length=4 head_dim=8 %s", command == 0 ? "plan" : command == 1 ? "bench" : "verify", words[n]);
            snprintf(name, sizeof name, "%.*s is of a later release", (int)strcspn(words[n], "="), words[n]);
            refused(3, arguments, name);
        }
    }
    for (size_t n = 0; n < sizeof files / sizeof *files; n++) {
        snprintf(arguments, sizeof arguments, "run %s x.npy", files[n]);
        snprintf(name, sizeof name, "%s is of a later release", files[n]);
        refused(3, arguments, name);
    }
    for (size_t n = 0; n < sizeof commands / sizeof *commands; n++) {
        if (CLATTN_TEST_LAYERS || strncmp(commands[n], "words", 5) != 0) {
            refused(3, commands[n], "later release");
        }
    }
    refused(2, PLAN "ring=x", "ring=x");
    refused(2, PLAN "cache=fp4", "cache=fp4");
    refused(2, PLAN "prefix=-1", "prefix=-1");
    refused(2, PLAN "rotary_base=0", "rotary_base=0");
    tells(PLAN "prefix=0 dropout=0 packed=no direction=forward");
    program_end();
}
END_TEST

/* The words of the command line, not the fields of structs. */
START_TEST(test_words_of_the_user) {
    program_begin("help");
    refused(2, PLAN "past=9", "past: 9 is more than key_length 4");
    refused(2, PLAN "causal=yes align=9223372036854775807", "clattn: align: ");
    refused(2, PLAN "mask=7,1,1,1", "clattn: mask[0]: 7");
    refused(2, PLAN "weights=raw weights_heads=3,4", "clattn: weights_heads: ");
    refused(2, PLAN "key_length=5 causal=yes", "clattn: align: ");
    refused(2, PLAN "type=fp64 output_type=fp32", "clattn: output_type: fp32 is for 16-bit types");
    refused(2, PLAN "type=bf16 direction=backward add=yes", "clattn: add: sums in 16 bits lose what is added; gradient_type=fp32 ");
    ck_assert(!strstr(complained, "alignment") && !strstr(complained, "CLATTN_"));
    refused(2, "devices --threads 99999", "--threads 99999: ");
#define GOLDEN CLATTN_TEST_SOURCE_DIR "/golden/"
    refused(2, "run --query " GOLDEN "a_query.npy --key " GOLDEN "a_key.npy --value " GOLDEN "a_value.npy --output o.npy --key-lengths " GOLDEN
               "encoder_layer_key_lengths.npy", "--key-lengths " GOLDEN "encoder_layer_key_lengths.npy: ");
    ck_assert_int_eq(program_run("timeout 60", PLAN), 0); /* what is on a device of another kind is no reason */
    ck_assert_msg(!strstr(said, "not an OpenCL device") && !strstr(said, "runs on the CPU"), "%s", said);
    program_end();
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_helps, test_usage, test_hints, test_later, test_words_of_the_user };
    return suite_run(SUITE_OF("help", tests, 120), SUITE_NO_FORK);
}
