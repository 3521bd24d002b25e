/*
 * The program from outside: exit statuses, one line on stderr that names the word or the file, outputs written whole or not at
 * all, and `run` against the golden numbers of other implementations. Starts the program by the shell, as a user does.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clattn/clattn_inspect.h"
#include "support/array.h"
#include "support/program.h"
#include "support/suite.h"

#define GOLDEN CLATTN_TEST_SOURCE_DIR "/golden/"

static char *const said = program_said, *const complained = program_complained;

static int clattn(const char *arguments) {
    return program_run("", arguments);
}

static void shell(const char *command) {
    ck_assert_int_eq(program_shell(command), 0);
}

/* Refused: the status, one line on stderr with the text, nothing written. */
static void refused(int status, const char *arguments, const char *text) {
    shell("rm -f out.npy lse.npy");
    int got = clattn(arguments);
    ck_assert_msg(got == status, "clattn %s: exit %d, not %d: %s", arguments, got, status, complained);
    ck_assert_msg(strstr(complained, text), "clattn %s: \"%s\" does not name %s", arguments, complained, text);
    ck_assert_msg(status == 3 || program_complained_once(), "clattn %s: not one line: %s", arguments, complained);
    ck_assert_msg(!program_has("out.npy") && !program_has("lse.npy"), "clattn %s: written though refused", arguments);
}

START_TEST(test_help_and_usage) {
    program_begin("cli");
    static const char *const fine[] = { "help", "--help", "--version", "devices", "devices --json", "devices --help", "plan --help",
                                        "run --help", "verify --help", "bench --help", "tune --help" };
    for (size_t n = 0; n < sizeof fine / sizeof *fine; n++) {
        ck_assert_msg(clattn(fine[n]) == 0, "clattn %s: %s", fine[n], complained);
        ck_assert_msg(said[0] != '\0' && complained[0] == '\0', "clattn %s: %s", fine[n], complained);
    }
    ck_assert_int_eq(clattn("devices --device 0"), 0);
    ck_assert_ptr_nonnull(strstr(said, "\n   bodies          cpu: generic"));
    ck_assert_int_eq(clattn("devices --device 0 --json"), 0);
    ck_assert_ptr_nonnull(strstr(said, "\"bodies\": [{ \"engine\": \"cpu\", \"name\": \"generic\", \"what\": \""));
    refused(2, "attend", "attend");
    refused(2, "devices --colour", "--colour");
    refused(2, "plan query_length=3 head_dim=4 --engine", "--engine");
    refused(2, "plan query_length=3 head_dim=4 --engine gpu", "gpu");
    refused(2, "plan query_length=3 head_dim=4 --device 99", "99");
    refused(2, "plan query_length=3 head_dim=4 --device nobody", "nobody");
    refused(2, "plan query_length=3 head_dim=4 --threads 0x", "--threads");
    refused(2, "plan query_length=3 head_dim=4 --threads -1", "--threads");
    refused(2, "plan query_length=3 head_dim=4 --threads 99999", "--threads 99999: 1024 at most");
    program_end();
}
END_TEST

/* Plain TF32 only where it is allowed and an engine has it; the plan says so. */
START_TEST(test_plan_tf32) {
    program_begin("cli");
    ck_assert_int_eq(clattn("plan query_length=16 head_dim=64 allow_tf32=yes --engine cpu --json"), 0);
    ck_assert_ptr_nonnull(strstr(said, "\"products_tf32\": false"));
    refused(2, "plan query_length=3 head_dim=4 allow_tf32=maybe", "allow_tf32");
    if (clattn("plan query_length=16 head_dim=64 --engine opencl-fused --body matrix") == 0) { /* else no OpenCL here */
        ck_assert(strstr(said, ": 3xTF32,") && !strstr(said, "rounded to TF32"));
        ck_assert_int_eq(clattn("plan query_length=16 head_dim=64 allow_tf32=yes --engine opencl-fused --body matrix"), 0);
        ck_assert(strstr(said, ": TF32,") && strstr(said, "rounded to TF32"));
        ck_assert_int_eq(clattn("plan query_length=16 head_dim=64 allow_tf32=yes type=fp16 --json --engine opencl-fused --body matrix"), 0);
        ck_assert_ptr_nonnull(strstr(said, "\"products_tf32\": false"));
    }
    program_end();
}
END_TEST

START_TEST(test_plan) {
    program_begin("cli");
    ck_assert_int_eq(clattn("plan query_heads=8 kv_heads=2 query_length=16 head_dim=64 causal=yes"), 0);
    ck_assert_ptr_nonnull(strstr(said, "cpu"));
    ck_assert_int_eq(clattn("plan query_length=16 head_dim=64 --engine reference --json"), 0);
    ck_assert_ptr_nonnull(strstr(said, "\"reference\""));
    refused(2, "plan query_length=3", "head_dim");
    refused(2, "plan query_length=three head_dim=4", "query_length");
    refused(2, "plan query_length=3 head_dim=4 head_dims=5", "head_dims");
    refused(2, "plan query_length=3 key_length=5 head_dim=4 causal=yes", "align");
    refused(2, "plan query_length=9223372036854775808 head_dim=4", "query_length");
    refused(2, "plan query_length=9223372036854775807 head_dim=4", "query");
    program_end();
}
END_TEST

#define QUERY "--query " GOLDEN "a_query.npy "
#define KEY "--key " GOLDEN "a_key.npy "
#define VALUE "--value " GOLDEN "a_value.npy "
#define ALL QUERY KEY VALUE
#define OUT "--output out.npy "

START_TEST(test_run_refuses) {
    static const struct {
        int status;
        const char *arguments, *text;
    } bad[] = {
        { 2, "run " ALL, "--output" },
        { 2, "run " KEY VALUE OUT, "--query" },
        { 2, "run " QUERY VALUE OUT, "--key" },
        { 2, "run " QUERY KEY OUT, "--value" },
        { 2, "run --query nowhere.npy " KEY VALUE OUT, "nowhere.npy" },
        { 2, "run " QUERY KEY "--value " GOLDEN "g_value.npy " OUT, "value" },
        { 2, "run " QUERY "--key " GOLDEN "g_key.npy " VALUE OUT, "key" },
        { 2, "run " QUERY KEY "--value " GOLDEN "fp16_value.npy " OUT, "value" },
        { 2, "run " ALL OUT "type=fp16", "type" },
        { 2, "run " ALL OUT "type=bf16", "type" },
        { 2, "run " ALL OUT "head_dim=9", "head_dim" },
        { 2, "run " ALL OUT "query_length=6", "query_length" },
        { 2, "run " ALL OUT "query_heads=2", "query_heads" },
        { 2, "run " ALL OUT "causal=yes", "align" },
        { 2, "run " ALL OUT "mask=q,k", "mask" },
        { 2, "run " ALL OUT "scale=big", "scale" },
        { 2, "run " ALL OUT "softcap=-1", "softcap" },
        { 2, "run " ALL OUT "window=1,0", "align" },
        { 2, "run " ALL OUT "--mask " GOLDEN "bias_heads_bias.npy", "mask" },
        { 2, "run " ALL OUT "--mask " GOLDEN "onnx24_mask_causal_mask.npy", "mask" },
        { 2, "run " ALL OUT "--bias " GOLDEN "mask_mask.npy", "bias" },
        { 2, "run " ALL OUT "--sinks " GOLDEN "alibi_alibi_slopes.npy", "sinks" },
        { 2, "run " ALL OUT "--key-lengths " GOLDEN "sinks_sinks.npy", "key-lengths" },
        { 2, "run " ALL OUT "--key-lengths " GOLDEN "encoder_layer_key_lengths.npy", "key_lengths" }, /* 16 of 7 keys */
        { 2, "run " ALL OUT "--past-key " GOLDEN "p_past_key.npy", "past" },
        { 2, "run " ALL OUT "--offsets " GOLDEN "offsets_offsets.npy align=top_left", "offsets" },
        { 2, "run " ALL OUT "--weights w.npy --weights-stage last", "last" },
        { 2, "run " ALL OUT "--weights-stage raw", "--weights" },
        { 2, "run " ALL OUT "--logsumexp out.npy", "out.npy" },
        { 2, "run " ALL OUT "--logsumexp ./out.npy", "out.npy" },
        { 2, "run " QUERY KEY "--value " GOLDEN "g_value.npy " OUT, "a_key.npy: (" }, /* both shapes */
        { 2, "run " ALL OUT OUT, "--output" },
        { 2, "run " ALL "--output no/such/folder/out.npy", "no/such/folder" },
        { 2, "run " ALL OUT "--logsumexp no/such/folder/lse.npy", "no/such/folder" },
        { 2, "run " ALL OUT "--engine all", "engine" },
        { 3, "run " ALL OUT "--query-starts x.npy", "--query-starts" },
        { 3, "run " ALL OUT "--rotary-cos m.npy", "--rotary-cos" },
    };
    program_begin("cli");
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        refused(bad[n].status, bad[n].arguments, bad[n].text);
    }
    program_end();
}
END_TEST

START_TEST(test_run_damaged_files) {
    program_begin("cli");
    shell("head -c 400 '" GOLDEN "a_key.npy' >cut.npy");
    refused(2, "run " QUERY "--key cut.npy " VALUE OUT, "cut.npy");
    shell("echo hello >text.npy");
    refused(2, "run " QUERY "--key text.npy " VALUE OUT, "text.npy");
    shell("sed 's/False/True /' '" GOLDEN "a_key.npy' >fortran.npy");
    refused(2, "run " QUERY "--key fortran.npy " VALUE OUT, "Fortran");
    shell("sed 's/<f4/>f4/' '" GOLDEN "a_key.npy' >big.npy");
    refused(2, "run " QUERY "--key big.npy " VALUE OUT, "big-endian");
    shell(": >empty.npy");
    refused(2, "run " QUERY "--key empty.npy " VALUE OUT, "empty.npy");
    refused(2, "run " QUERY "--key . " VALUE OUT, ".");
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------ golden numbers */

/* A line of problems.txt as arguments of `clattn run`. */
static void make_arguments(char *line, const char *engine, char *arguments, size_t size, char *name, size_t name_size) {
    char *rest, *word = strtok_r(line, " \n", &rest);
    snprintf(name, name_size, "%s", word);
    snprintf(arguments, size, "run --engine %s", engine);
    while ((word = strtok_r(NULL, " \n", &rest))) {
        char *value = strchr(word, '=');
        size_t used = strlen(arguments);
        *value++ = '\0';
        if (strcmp(word, "output") == 0 || strcmp(word, "logsumexp") == 0 || strcmp(word, "weights") == 0) {
            snprintf(arguments + used, size - used, " --%s %s.npy", word, word);
        } else if (strcmp(word, "stage") == 0) {
            snprintf(arguments + used, size - used, " --weights-stage %s", value);
        } else if (strstr(" type causal align window scale softcap past ", word)) {
            snprintf(arguments + used, size - used, " %s=%s", word, value);
        } else {
            for (char *at = word; *at != '\0'; at++) {
                *at = *at == '_' ? '-' : *at;
            }
            snprintf(arguments + used, size - used, " --%s " GOLDEN "%s.npy", word, value);
        }
    }
}

static double got_element(const test_array *got, int64_t index) {
    return got->kind == 'u' ? clattn_get_element(CLATTN_BF16, got->data, index) : test_array_get(got, index);
}

static void compare_file(const char *name, const char *engine, const char *what) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s_%s.npy", name, what);
    if (access(path, F_OK) != 0) {
        return;
    }
    test_array expected = test_array_read(path);
    snprintf(path, sizeof path, "%s/%s.npy", program_folder, what);
    test_array got = test_array_read(path);
    double unit = got.kind == 'u' ? 0x1p-8 : got.item == 2 ? 0x1p-11 : 0x1p-24;
    double slack = 4e-6 + (unit > 0x1p-24 ? unit : 0); /* of 16 bits, weights may be rounded too */
    ck_assert_int_eq(got.count, expected.count);
    ck_assert_int_eq(got.dimensions, expected.dimensions);
    for (int64_t n = 0; n < got.count; n++) {
        double x = got_element(&got, n), w = test_array_get(&expected, n);
        ck_assert_msg(isfinite(w) ? fabs(x - w) <= unit * fabs(w) + slack : x == w, "%s by %s: %s[%" PRId64 "] is %.9g, not %.9g", name, engine,
                      what, n, x, w);
    }
    test_array_free(&got);
    test_array_free(&expected);
}

/* Runs the golden problems whose names are in the list (NULL = all) on the engine; answers how many were served. */
static int run_golden(const char *engine, const char *list, int device) {
    char line[2048], arguments[8192], name[64], with_device[8300];
    int served = 0;
    FILE *file = fopen(GOLDEN "problems.txt", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#') {
            continue;
        }
        make_arguments(line, engine, arguments, sizeof arguments, name, sizeof name);
        if (list && !strstr(list, name)) {
            continue;
        }
        snprintf(with_device, sizeof with_device, "%s --device %d", arguments, device);
        int status = clattn(with_device);
        ck_assert_msg(status == 0, "clattn %s: exit %d: %s", with_device, status, complained);
        compare_file(name, engine, "output");
        compare_file(name, engine, "logsumexp");
        compare_file(name, engine, "weights");
        served++;
    }
    fclose(file);
    return served;
}

START_TEST(test_run_golden_on_the_cpu) {
    program_begin("cli");
    ck_assert_int_ge(run_golden("cpu", NULL, 0), 30);
    ck_assert_int_ge(run_golden("reference", "encoder_layer onnx24_past", 0), 2);
    program_end();
}
END_TEST

START_TEST(test_run_golden_on_opencl) {
    static const char *const list = "encoder_layer onnx25_window_nonpad onnx25_past_window gqa_softcap fp16_causal bf16_plain";
    program_begin("cli");
    clattn_runtime *runtime = suite_runtime(NULL);
    int64_t device = suite_opencl_device(runtime);
    clattn_runtime_destroy(runtime);
    for (int64_t e = 0; device >= 0 && e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        if (strncmp(engine, "opencl", 6) == 0 && clattn_engine_built(engine)) {
            ck_assert_int_ge(run_golden(engine, list, (int)device), 6);
        }
    }
    program_end();
}
END_TEST

START_TEST(test_run_writes_present_keys) {
    program_begin("cli");
    ck_assert_int_eq(clattn("run --query " GOLDEN "p_query.npy --key " GOLDEN "p_key.npy --value " GOLDEN "p_value.npy --past-key " GOLDEN
                            "p_past_key.npy --past-value " GOLDEN "p_past_value.npy --output out.npy --present-key k.npy"),
                     0);
    char path[512];
    snprintf(path, sizeof path, "%s/k.npy", program_folder);
    test_array present = test_array_read(path), past = test_array_read(GOLDEN "p_past_key.npy");
    ck_assert(present.shape[2] == 10 && past.shape[2] == 6);
    ck_assert(memcmp(present.data, past.data, (size_t)(6 * 8 * 4)) == 0); /* the first head begins with the past */
    test_array_free(&present);
    test_array_free(&past);
    program_end();
}
END_TEST

START_TEST(test_run_keeps_what_it_cannot_replace) {
    program_begin("cli");
    shell("echo precious >out.npy");
    int status = clattn("run " ALL "--output out.npy head_dim=9");
    ck_assert_int_eq(status, 2);
    program_read("out.npy", said, sizeof program_said);
    ck_assert_str_eq(said, "precious\n");
    ck_assert_int_eq(clattn("run " ALL "--output out.npy"), 0);
    shell("test $(ls | wc -l) -eq 3"); /* said, complained, out.npy: no temporary file is left */
    program_end();
}
END_TEST

/* ------------------------------------------------------------------------------------ verify and bench */

START_TEST(test_verify) {
    program_begin("cli");
    ck_assert_msg(clattn("verify query_heads=2 query_length=9 key_length=33 head_dim=16 causal=yes align=bottom_right") == 0, "%s%s",
                  said, complained);
    ck_assert_msg(clattn("verify --cases 12 --seed 4 --engine cpu") == 0, "%s%s", said, complained);
    ck_assert_msg(strstr(said, "512") && strstr(said, "4096"), "how cases were drawn is not printed: %s", said);
    refused(2, "verify query_length=3", "head_dim");
    refused(2, "verify --cases many", "--cases");
    refused(2, "verify --cases -3", "--cases");
    refused(2, "verify query_length=3 head_dim=4 --engine nothing", "nothing");
    refused(3, "verify query_length=3 head_dim=4 --engine reference --body portable-tiles", "nothing here serves it");
    program_end();
}
END_TEST

START_TEST(test_bench) {
    program_begin("cli");
    ck_assert_msg(clattn("bench query_length=16,32 head_dim=16 --engine cpu --csv table.csv --json table.json") == 0, "%s", complained);
    ck_assert_ptr_nonnull(strstr(said, "cpu"));
    shell("test $(wc -l <table.csv) -ge 3 && grep -q cpu table.csv && grep -q '\"engine\"' table.json");
    shell("python3 -m json.tool <table.json >/dev/null || ! command -v python3");
    /* work is counted on the used lengths (2 * 32 dims * 16 * 8 scores), plain loops are timed whatever the scores are */
    ck_assert_int_eq(clattn("bench batch=2 query_length=16 key_length=32 head_dim=16 key_lengths=8,0 query_lengths=16,3 spread=9 "
                            "bias=1,1,q,k --rounds 1 --engine cpu --csv used.csv"), 0);
    shell("grep -q ',cpu,.*,8192,' used.csv && grep -q ',plain,.*,8192,' used.csv");
    refused(2, "bench query_length=16 head_dim=16 --engine cpu --memory card", "card");
    /* the last problems are larger than any memory: when the time is used up, nothing is made for them */
    int status = clattn("bench query_length=1..5000000000000 query_heads=1 head_dim=1 --engine cpu --seconds 1");
    ck_assert_msg(status == 0 || (status == 3 && strstr(complained, "--seconds")), "%d: %s", status, complained);
    ck_assert(strstr(said, "4398046511104") && strstr(said, "is used up"));
    refused(2, "bench query_length=16 head_dim=16 --engine cpu --suite nowhere.txt", "nowhere.txt");
    refused(2, "bench query_length=0..4 head_dim=16 --engine cpu", "query_length");
    refused(2, "bench query_length=16 head_dim=16 --engine cpu --csv no/such/folder/x.csv", "no/such/folder");
    program_end();
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_help_and_usage,
                                   test_plan, test_plan_tf32,
                                   test_run_refuses,
                                   test_run_damaged_files,
                                   test_run_golden_on_the_cpu,
                                   test_run_golden_on_opencl,
                                   test_run_writes_present_keys,
                                   test_run_keeps_what_it_cannot_replace,
                                   test_verify,
                                   test_bench };
    return suite_run(SUITE_OF("cli", tests, 0), SUITE_NO_FORK);
}
