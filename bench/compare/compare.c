/*
 * Times two builds of the library on the same problems, turn by turn in one process: what a change bought, or what a feature
 * costs. Engine cpu. Problems are words, as everywhere; results of the two are compared as well. For developers: it is built
 * with the program, and not installed. Usage: below, and in bench/README.md.
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "case/case_data.h"
#include "case/case_help.h"
#include "clattn/clattn_inspect.h"
#include "base/median.h"
#include "case/options.h"
#include "base/progress.h"
#include "base/table.h"
#include "compare_results.h"
#include "gate/gate.h"
#include "verify/random_cases.h"

enum { BUILDS = 2, MOST_ROUNDS = 256 };

#define SLOT 0.02 /* seconds of calls in a turn, at least one call */

static const char usage[] =
    "clattn_compare A.so B.so [--threads N] [--rounds N] [--bodies A,B] [--plain] [--bits] [--cases N --seed S] [--csv FILE] [--suite FILE] [PROBLEM...]\n"
    "Times build A and build B of libclattn.so, engine cpu, in changing order. Last columns: median over the rounds of A's time\n"
    "divided by B's (above 1: B is faster), and the largest difference of their results.\n"
    "--bodies: the body of each (`clattn devices` lists them; both builds must know them by name); --plain: A computes without mask, bias, ALiBi, softcap and dropout.\n"
    "--bits: no times: one call of each must write the same bytes, logsumexp and weights too. Exit status 1 where some do not.\n"
    "--cases, --seed: so many random problems of that seed, as `clattn verify` draws them, after those that are named.\n";

/** The calls of one build, its runtime, and what it has for the present problem. */
typedef struct build {
    void *library;
    clattn_status (*runtime_create)(const clattn_runtime_options *options, clattn_runtime **runtime);
    void (*runtime_destroy)(clattn_runtime *runtime);
    clattn_status (*plan_create)(clattn_runtime *runtime, const clattn_problem *problem, const clattn_plan_options *options,
                                 clattn_plan **plan, clattn_report *report);
    void (*options_init)(clattn_plan_options *options, size_t size); /* NULL: a build from before there were options */
    void (*plan_destroy)(clattn_plan *plan);
    clattn_status (*plan_get_info)(const clattn_plan *plan, clattn_plan_info *info);
    clattn_status (*execute)(clattn_plan *plan, const clattn_tensors *tensors);
    clattn_runtime *runtime;
    clattn_plan *plan;
    double seconds[MOST_ROUNDS];
    char *output; /* a copy */
} build;

typedef struct comparison {
    build builds[BUILDS];
    attn_options options;
    int64_t rounds;
    char bodies[BUILDS][64]; /* "" = the build's own choice */
    bool plain, bits;
    int64_t random, seed;                 /* --cases, --seed */
    int64_t compared, refused, different; /* --bits: problems */
    clattn_runtime *forward;              /* of the program's own library: it makes the inputs of a backward that is timed */
    attn_table table;
} comparison;

enum { PROBLEM, A_MS, B_MS, A_RATE, B_RATE, RATIO, DIFFERENCE, COLUMNS };
static const attn_column columns[COLUMNS] = {
    { "problem", "problem", false },      { "a_ms", "A ms", true },        { "b_ms", "B ms", true },
    { "a_gflops", "GFLOP/s", true },      { "b_gflops", "GFLOP/s", true }, { "a_by_b", "A / B", true },
    { "difference", "difference", true },
};

static int find(build *b, const char *path, const char *name, void *call, attn_error *error) {
    void *found = dlsym(b->library, name);
    memcpy(call, &found, sizeof found);
    return found ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "%.500s: has no %s", path, name);
}

static int open_build(build *b, const char *path, const clattn_runtime_options *options, attn_error *error) {
    b->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!b->library) {
        return attn_fail(error, ATTN_USAGE, "%.900s", dlerror());
    }
    if (find(b, path, "clattn_runtime_create", &b->runtime_create, error) != ATTN_DONE ||
        find(b, path, "clattn_runtime_destroy", &b->runtime_destroy, error) != ATTN_DONE ||
        find(b, path, "clattn_plan_create", &b->plan_create, error) != ATTN_DONE ||
        find(b, path, "clattn_plan_destroy", &b->plan_destroy, error) != ATTN_DONE ||
        find(b, path, "clattn_plan_get_info", &b->plan_get_info, error) != ATTN_DONE ||
        find(b, path, "clattn_execute", &b->execute, error) != ATTN_DONE) {
        return error->status;
    }
    void *options_init = dlsym(b->library, "clattn_plan_options_init");
    memcpy(&b->options_init, &options_init, sizeof options_init);
    clattn_status status = b->runtime_create(options, &b->runtime);
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, NULL);
}

static void close_build(build *b) {
    if (b->runtime) {
        b->runtime_destroy(b->runtime);
    }
    if (b->library) {
        dlclose(b->library);
    }
}

static clattn_status execute(const build *b, const clattn_tensors *tensors) {
    clattn_tensors own = *tensors;
    own.struct_size = b->options_init ? sizeof own : offsetof(clattn_tensors, grad_output); /* as old builds know it */
    return b->execute(b->plan, &own);
}

/** Seconds of one call, on average of `count`. */
static double time_calls(const build *b, const clattn_tensors *tensors, int count, clattn_status *status) {
    double start = attn_seconds();
    for (int i = 0; i < count && *status == CLATTN_OK; i++) {
        *status = execute(b, tensors);
    }
    return (attn_seconds() - start) / count;
}

/* A problem of builds from before there were options: these were its last members. */
typedef struct old_problem {
    char problem[offsetof(clattn_problem, dropout)]; /* what came after was not there either */
    const char *engine;
    int64_t device, concurrency;
    bool caller_workspace, batch_invariant, allow_tf32;
} old_problem;

static clattn_status make_old_plan(build *b, const clattn_problem *problem, const clattn_plan_options *options,
                                   clattn_report *report) {
    clattn_status (*create)(clattn_runtime *, const old_problem *, clattn_plan **, clattn_report *);
    clattn_status (*override)(clattn_runtime *, const clattn_block_override *, clattn_report *);
    void *found = dlsym(b->library, "clattn_inspect_override_blocks");
    const size_t size = sizeof(old_problem);
    old_problem old = { .engine = options->engine, CLATTN_ANY_DEVICE, 1, false, false, options->allow_tf32 };
    memcpy(old.problem, problem, sizeof old.problem);
    memcpy(old.problem + offsetof(clattn_problem, struct_size), &size, sizeof size);
    memcpy(&create, &b->plan_create, sizeof create);
    memcpy(&override, &found, sizeof override);
    clattn_status status = found && options->blocks ? override(b->runtime, options->blocks, report) : CLATTN_OK;
    return status == CLATTN_OK ? create(b->runtime, &old, &b->plan, report) : status;
}

/* A plan of the cpu engine; body "" = the build's own choice. */
static clattn_status make_plan(build *b, const char *body, const attn_case_data *data, const clattn_problem *problem,
                               clattn_report *report) {
    const clattn_block_override blocks = { .body = body };
    clattn_plan_options options = data->options;
    options.engine = "cpu";
    options.blocks = body[0] ? &blocks : NULL;
    return b->options_init ? b->plan_create(b->runtime, problem, &options, &b->plan, report)
                           : make_old_plan(b, problem, &options, report);
}

static int make_plans(comparison *c, const attn_case_data *data, attn_error *error) {
    for (int i = 0; i < BUILDS; i++) {
        clattn_problem problem = data->problem;
        clattn_report report = { 0 };
        if (c->plain && i == 0) {
            problem.mask = CLATTN_MASK_NONE;
            problem.bias = CLATTN_BIAS_NONE;
            problem.alibi = false;
            problem.softcap = problem.dropout = 0;
        }
        clattn_status status = make_plan(&c->builds[i], c->bodies[i], data, &problem, &report);
        if (status != CLATTN_OK) {
            return attn_fail_status(error, status, &report);
        }
    }
    return ATTN_DONE;
}

/** A call of each that is not timed keeps its results; then the rounds, the order changing from each to the next. */
static clattn_status run_rounds(comparison *c, attn_case_data *data) {
    clattn_status status = CLATTN_OK;
    double each = 0;
    for (int i = 0; i < BUILDS; i++) {
        attn_results_fill(data);
        each = time_calls(&c->builds[i], &data->tensors, 1, &status);
        attn_results_copy(data, c->builds[i].output);
    }
    int count = each < SLOT ? (int)(SLOT / (each > 1e-7 ? each : 1e-7)) + 1 : 1;
    for (int64_t round = 0; round < c->rounds && status == CLATTN_OK; round++) {
        for (int turn = 0; turn < BUILDS; turn++) {
            build *b = &c->builds[(round + turn) % BUILDS];
            time_calls(b, &data->tensors, 1, &status);
            b->seconds[round] = time_calls(b, &data->tensors, count, &status);
        }
    }
    return status;
}

static int compare_bits(comparison *c, const attn_case *problem, attn_case_data *data, attn_error *error) {
    const int64_t bytes = attn_results_copy(data, NULL);
    clattn_status status[BUILDS];
    for (int i = 0; i < BUILDS; i++) {
        build *b = &c->builds[i];
        attn_results_fill(data);
        b->output = malloc((size_t)bytes + 1);
        if (!b->output)
            return attn_fail(error, ATTN_UNSERVED, "out of memory for a copy of the result");
        status[i] = make_plan(b, c->bodies[i], data, &data->problem, NULL);
        if (status[i] == CLATTN_OK)
            status[i] = execute(b, &data->tensors);
        attn_results_copy(data, b->output);
    }
    bool same = status[0] == status[1] && memcmp(c->builds[0].output, c->builds[1].output, (size_t)bytes) == 0;
    c->compared++;
    c->refused += status[0] != CLATTN_OK;
    c->different += !same;
    if (!same)
        printf("differs: %s\n", problem->text);
    return ATTN_DONE;
}

static void close_case(comparison *c) {
    for (int i = 0; i < BUILDS; i++) {
        c->builds[i].plan_destroy(c->builds[i].plan);
        c->builds[i].plan = NULL;
        free(c->builds[i].output);
        c->builds[i].output = NULL;
    }
}

static void add_row(comparison *c, const attn_case *problem, const attn_case_data *data) {
    double ratios[MOST_ROUNDS];
    clattn_plan_info info = { 0 };
    bool known = c->builds[0].plan_get_info(c->builds[0].plan, &info) == CLATTN_OK;
    for (int64_t i = 0; i < c->rounds; i++) {
        ratios[i] = c->builds[0].seconds[i] / c->builds[1].seconds[i];
    }
    attn_table_row(&c->table);
    attn_table_set(&c->table, PROBLEM, "%s", problem->text);
    for (int i = 0; i < BUILDS; i++) {
        double seconds = attn_median(c->builds[i].seconds, c->rounds);
        attn_table_set(&c->table, A_MS + i, "%.4g", seconds * 1e3);
        if (known) {
            attn_table_set(&c->table, A_RATE + i, "%.1f", info.flops / seconds * 1e-9);
        }
    }
    attn_table_set(&c->table, RATIO, "%.3f", attn_median(ratios, c->rounds));
    attn_table_set(&c->table, DIFFERENCE, "%.2g", attn_results_differ(data, c->builds[0].output, c->builds[1].output));
}

static int compare_case(comparison *c, const attn_case *problem, attn_case_data *data, attn_error *error) {
    int status = make_plans(c, data, error);
    for (int i = 0; i < BUILDS; i++) {
        c->builds[i].output = malloc((size_t)attn_results_copy(data, NULL) + 1);
        if (!c->builds[i].output) {
            status = attn_fail(error, ATTN_UNSERVED, "out of memory for a copy of the result");
        }
    }
    if (status == ATTN_DONE) {
        clattn_status ran = run_rounds(c, data);
        status = ran == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, ran, NULL);
    }
    if (status == ATTN_DONE)
        add_row(c, problem, data);
    return status;
}

static int compare_drawn(comparison *c, const attn_case *problem, attn_case_data *data, attn_error *error) {
    attn_case timed = *problem;
    timed.timed = !c->bits;
    int status = attn_case_data_create(data, &timed, c->bits, error);
    if (status == ATTN_DONE && timed.timed && data->problem.direction == CLATTN_BACKWARD)
        status = attn_gate_forward(c->forward, data, error);
    if (status == ATTN_DONE) {
        status = (c->bits ? compare_bits : compare_case)(c, problem, data, error);
        close_case(c);
        attn_case_data_free(data);
    }
    return status;
}

/** The given cases, then those of the seed. */
static int compare_cases(comparison *c, const attn_cases *cases, attn_error *error) {
    attn_case_data *data = malloc(sizeof *data);
    static attn_case drawn;
    int status = data ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    for (int64_t n = 0; n < cases->count + c->random && status == ATTN_DONE; n++) {
        const attn_case *problem = n < cases->count ? &cases->items[n] : &drawn;
        if (n >= cases->count)
            status = attn_random_case(&drawn, (uint64_t)c->seed, (uint64_t)(n - cases->count), NULL, "", error);
        if (status == ATTN_DONE) {
            attn_progress((double)n, (double)(cases->count + c->random), problem->text);
            status = compare_drawn(c, problem, data, error);
        }
    }
    attn_progress_end();
    free(data);
    return status;
}

static int read_bodies(comparison *c, const char *text, attn_error *error) {
    return !text || attn_text_split(text, c->bodies, BUILDS) == BUILDS
               ? ATTN_DONE
               : attn_fail(error, ATTN_USAGE, "--bodies %.100s: two names are expected, such as avx512,avx512-bf16",
                           text);
}

static int compare(comparison *c, attn_cases *cases, const char *suite, const char *csv, attn_error *error) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = c->options.threads;
    options.without_opencl = true;
    if (c->options.engine || c->options.device || c->options.blocks || c->options.body || c->options.tuning) {
        return attn_fail(error, ATTN_USAGE, "--engine, --device, --blocks, --body and --tuning have no effect here");
    }
    if (c->options.word_count < BUILDS) {
        return attn_fail(error, ATTN_USAGE, "two libraries are expected (see --help)");
    }
    int status = suite ? attn_cases_file(cases, suite, error) : ATTN_DONE;
    if (status == ATTN_DONE && c->options.word_count > BUILDS) {
        status = attn_cases_expand(cases, c->options.word_count - BUILDS, c->options.words + BUILDS, error);
    }
    if (status == ATTN_DONE && cases->count + c->random == 0)
        status = attn_fail(error, ATTN_USAGE, "no problem is given");
    for (int i = 0; i < BUILDS && status == ATTN_DONE; i++) {
        status = open_build(&c->builds[i], c->options.words[i], &options, error);
    }
    if (status == ATTN_DONE && clattn_runtime_create(&options, &c->forward) != CLATTN_OK)
        status = attn_fail(error, ATTN_UNSERVED, "out of memory");
    attn_table_init(&c->table, columns, COLUMNS);
    if (status == ATTN_DONE)
        status = compare_cases(c, cases, error);
    if (status == ATTN_DONE && c->bits) {
        printf("%" PRId64 " problems, %" PRId64 " refused by the first, %" PRId64 " differ\n", c->compared, c->refused,
               c->different);
        status = c->different > 0 ? attn_fail(error, ATTN_MISMATCH, "the two write different bits") : ATTN_DONE;
    } else if (status == ATTN_DONE) {
        attn_table_print(&c->table, stdout);
        status = attn_table_write_csv(&c->table, csv, error);
    }
    attn_table_free(&c->table);
    clattn_runtime_destroy(c->forward);
    for (int i = 0; i < BUILDS; i++) {
        close_build(&c->builds[i]);
    }
    return status;
}

int main(int argc, char **argv) {
    static attn_error error;
    static comparison c = { .rounds = 15 };
    attn_cases cases = { 0 };
    const char *random = NULL, *seed = NULL, *rounds = NULL, *bodies = NULL, *csv = NULL, *suite = NULL;
    const attn_flag flags[] = { { "--rounds", &rounds, NULL }, { "--bodies", &bodies, NULL },
                                { "--csv", &csv, NULL },       { "--suite", &suite, NULL },
                                { "--plain", NULL, &c.plain }, { "--bits", NULL, &c.bits },
                                { "--cases", &random, NULL },  { "--seed", &seed, NULL } };
    int status = attn_options_read(&c.options, flags, (int)(sizeof flags / sizeof *flags), argc - 1, argv + 1, &error);
    if (status == ATTN_DONE && c.options.help) {
        fputs(usage, stdout);
        attn_help_print_problem(ATTN_HELP_PROBLEM | ATTN_HELP_DRAWN | ATTN_HELP_LISTS);
        return ATTN_DONE;
    }
    if (status == ATTN_DONE)
        status = attn_options_number("--rounds", rounds, 1, &c.rounds, &error);
    if (status == ATTN_DONE)
        status = attn_options_number("--cases", random, 0, &c.random, &error);
    if (status == ATTN_DONE)
        status = attn_options_number("--seed", seed, 0, &c.seed, &error);
    if (status == ATTN_DONE && c.rounds > MOST_ROUNDS) {
        status = attn_fail(&error, ATTN_USAGE, "--rounds %s: %d at most", rounds, (int)MOST_ROUNDS);
    }
    if (status == ATTN_DONE) {
        status = read_bodies(&c, bodies, &error);
    }
    if (status == ATTN_DONE) {
        status = compare(&c, &cases, suite, csv, &error);
    }
    attn_cases_free(&cases);
    if (status != ATTN_DONE) {
        fprintf(stderr, "clattn_compare: %s\n", error.text);
    }
    return status;
}
