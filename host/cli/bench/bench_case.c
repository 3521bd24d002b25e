/*
 * Measures one case: every engine is planned, run once and checked against the reference on sampled rows; then all of
 * them are timed in interleaved rounds, so that what else the machine does hits all alike. What would take too long is
 * said, not run.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/progress.h"
#include "bench/bench.h"
#include "bench/bench_device.h"

/* A target at work on the case. */
typedef struct case_runner {
    clattn_plan *plan;
    clattn_plan *forward;     /* of a backward case: what makes its inputs; NULL = the engine has none */
    attn_guarded copy;        /* of the output, for the check */
    double first;             /* seconds of the first execution */
    attn_device_data *device; /* NULL = the tensors lie in the host's memory */
} case_runner;

static void add_note(attn_bench_row *row, const char *text) {
    attn_text_copy(row->note, sizeof row->note, text, strcspn(text, "\n"));
}

static bool is_time_over(const attn_bench *bench) {
    return attn_seconds() - bench->limits.began > bench->limits.seconds;
}

static void add_time_over(attn_bench_row *row) {
    add_note(row, "not run: the time for this command (--seconds) is used up");
}

/* Whether the row would take too long or too much memory, judged by what the engine did before. */
static bool is_too_much(const attn_bench *bench, int t, const clattn_problem *problem, attn_bench_row *row) {
    clattn_device_info device;
    char text[32];
    double scores = (double)problem->batch * (double)problem->query_heads * (double)problem->query_length *
                    (double)problem->key_length;
    double rate = bench->rate[attn_case_is_decode(problem)][t];
    double seconds = rate > 0 ? row->flops / rate : 0;
    if (is_time_over(bench)) {
        add_time_over(row);
        return true;
    }
    if (seconds > bench->limits.run_seconds) {
        snprintf(row->note, sizeof row->note, "not run: would take about %s a run", attn_text_seconds(seconds, text));
        return true;
    }
    double bytes = bench->score_bytes[t] * scores;
    if (clattn_runtime_get_device(bench->session.runtime, row->device, &device) == CLATTN_OK &&
        bytes > 0.8 * (double)device.memory && bench->score_bytes[t] >= 2) {
        snprintf(row->note, sizeof row->note, "not run: would need about %s of memory", attn_text_bytes(bytes, text));
        return true;
    }
    return false;
}

static int64_t bytes_held(clattn_runtime *runtime, bool peak) {
    clattn_memory_use use;
    clattn_inspect_memory(runtime, &use);
    return peak ? use.peak : use.host + use.device;
}

static clattn_status execute_timed(const case_runner *runner, clattn_plan *plan, const attn_case_data *data,
                                   clattn_timing *timing, double *seconds, clattn_report *report) {
    clattn_tensors tensors = data->tensors;
    tensors.timing = timing;
    tensors.report = report;
    double start = attn_seconds();
    clattn_status status = runner->device ? attn_device_data_execute(plan, runner->device, timing, report)
                                          : clattn_execute(plan, &tensors);
    *seconds = attn_seconds() - start;
    return status;
}

/* A GPU is timed on its own memory; --memory says otherwise. */
static bool wants_device_memory(const attn_bench *bench, const attn_bench_row *row) {
    clattn_device_info info;
    if (clattn_runtime_get_device(bench->session.runtime, row->device, &info) != CLATTN_OK ||
        info.kind == CLATTN_DEVICE_CPU || bench->memory == ATTN_BENCH_MEMORY_HOST) {
        return false;
    }
    return info.kind == CLATTN_DEVICE_OPENCL_GPU || bench->memory == ATTN_BENCH_MEMORY_DEVICE;
}

static bool is_backward(const attn_case_data *data) {
    return data->problem.direction == CLATTN_BACKWARD;
}

/* The first execution, into results of nothing but NaN. */
static clattn_status execute_first(case_runner *runner, attn_case_data *data, clattn_report *report) {
    if (is_backward(data)) {
        attn_case_gradients_fill(data, 0xff);
    } else {
        attn_case_data_fill_outputs(data, 0xff);
    }
    if (runner->device && !attn_device_data_write_results(runner->device)) {
        return CLATTN_OPENCL_ERROR;
    }
    clattn_status status = execute_timed(runner, runner->plan, data, NULL, &runner->first, report);
    if (status == CLATTN_OK && runner->device && !attn_device_data_read_results(runner->device)) {
        return CLATTN_OPENCL_ERROR;
    }
    return status;
}

static void end_runner(case_runner *runner) {
    clattn_plan_destroy(runner->plan);
    clattn_plan_destroy(runner->forward);
    attn_device_data_free(runner->device);
    free(runner->copy.block);
    *runner = (case_runner){ .plan = NULL };
}

static int copy_output(const attn_case_data *data, case_runner *runner, attn_error *error) {
    runner->copy.block = malloc((size_t)data->output.bytes + 1);
    if (!runner->copy.block) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for a copy of the result");
    }
    memcpy(runner->copy.block, data->output.data, (size_t)data->output.bytes);
    return ATTN_DONE;
}

/* Plans, runs once, keeps the output or judges gradients. Refusals and failures become the row's note. */
static int start_runner(attn_bench *bench, int t, attn_case_data *data, const attn_gradient_gold *gold,
                        case_runner *runner, attn_bench_row *row, attn_error *error) {
    clattn_runtime *runtime = bench->session.runtime;
    clattn_problem problem = data->problem;
    clattn_plan_options options = data->options;
    clattn_report report = { 0 };
    options.engine = row->engine;
    options.device = row->device;
    if (wants_device_memory(bench, row)) {
        attn_error full = { 0 };
        runner->device = attn_device_data_create(runtime, row->device, data, &full);
        if (!runner->device) {
            add_note(row, full.text);
            return ATTN_DONE;
        }
        problem.memory = CLATTN_MEMORY_OPENCL;
    }
    clattn_inspect_memory_reset(runtime);
    int64_t before = bytes_held(runtime, false);
    clattn_status status = clattn_plan_create(runtime, &problem, &options, &runner->plan, &report);
    if (status == CLATTN_OK) {
        status = clattn_plan_get_info(runner->plan, &row->gate.info);
    }
    if (status == CLATTN_OK) {
        status = execute_first(runner, data, &report);
    }
    if (status != CLATTN_OK) {
        add_note(row, report.text[0] != '\0' ? report.text : clattn_status_message(status));
        end_runner(runner);
        return ATTN_DONE;
    }
    row->ran = true;
    if (strcmp(row->engine, row->gate.info.engine) != 0) {
        snprintf(row->note, sizeof row->note, "by %.60s", row->gate.info.engine);
    }
    row->memory = bytes_held(runtime, true) - before;
    double scores =
        (double)problem.batch * (double)problem.query_heads * (double)problem.query_length * (double)problem.key_length;
    bench->score_bytes[t] = scores > 0 ? (double)row->memory / scores : 0;
    if (is_backward(data)) {
        runner->forward = attn_bench_plan_forward(runtime, &problem, &options);
        attn_bench_judge_gradients(bench, data, gold, row);
        return ATTN_DONE;
    }
    return copy_output(data, runner, error);
}

/* Checks all outputs in one walk of the reference; the walk also times the plain loops. */
static int verify_runners(attn_bench *bench, attn_case_data *data, case_runner *runners, attn_bench_row *rows,
                          int count, attn_error *error) {
    attn_gate_subject subjects[ATTN_TARGETS_MAX];
    int subject_count = 0;
    for (int t = 0; t < count; t++) {
        if (rows[t].ran) {
            subjects[subject_count++] = (attn_gate_subject){ runners[t].copy.block, NULL, NULL, &rows[t].gate };
        }
    }
    if (attn_gate_check(data, &bench->gate, subjects, subject_count, error) != ATTN_DONE) {
        return error->status;
    }
    for (int t = 0; t < count; t++) {
        free(runners[t].copy.block);
        runners[t].copy.block = NULL;
        rows[t].verified = rows[t].ran && rows[t].gate.passed;
        if (rows[t].ran && !rows[t].gate.passed) {
            bench->wrong = true;
            rows[t].note[0] = '\0';
            attn_text_add(rows[t].note, sizeof rows[t].note, "WRONG: %s", rows[t].gate.failure);
        }
    }
    return ATTN_DONE;
}

/* The time of each step, by an execution of its own that waits between steps. */
static void time_steps(const attn_case_data *data, case_runner *runner, attn_bench_row *row) {
    double seconds;
    if (strcmp(row->engine, "opencl-unfused") == 0) {
        clattn_status status = execute_timed(runner, runner->plan, data, &row->steps, &seconds, NULL);
        row->steps.count = status == CLATTN_OK ? row->steps.count : 0;
    }
}

/* How many rounds a runner takes part in: enough for a second, at least 2, at most 50. */
static int64_t rounds_wanted(const attn_bench *bench, const case_runner *runner) {
    int64_t wanted = bench->limits.rounds > 0 ? bench->limits.rounds : (int64_t)(1.0 / (runner->first + 1e-9));
    int64_t least = bench->limits.rounds > 0 ? bench->limits.rounds : runner->first > 5 ? 1 : 3;
    int64_t most = bench->limits.rounds > 0 ? ATTN_BENCH_RUNS : 50;
    return wanted < least ? least : wanted > most ? most : wanted;
}

static void show_progress(const attn_bench *bench, const attn_case_data *data) {
    char text[160] = "";
    if (bench->case_count > 1) {
        snprintf(text, sizeof text, "%" PRId64 " of %" PRId64 ": ", bench->case_number, bench->case_count);
    }
    attn_text_add(text, sizeof text, "%s", data->c.text);
    attn_progress(attn_seconds() - bench->limits.began, bench->limits.seconds, text);
}

static void time_rounds(attn_bench *bench, const attn_case_data *data, case_runner *runners, attn_bench_row *rows,
                        int count) {
    bool more = true;
    attn_load began;
    attn_load_now(&began);
    for (int round = 0; more && round < ATTN_BENCH_RUNS; round++) {
        more = false;
        for (int t = 0; t < count && attn_interrupted() == 0; t++) {
            clattn_report report = { 0 };
            double seconds, forward = 0;
            clattn_status status = CLATTN_OK;
            if (!runners[t].plan || !rows[t].ran || round >= rounds_wanted(bench, &runners[t])) {
                continue;
            }
            show_progress(bench, data);
            if (runners[t].forward) {
                status = execute_timed(&runners[t], runners[t].forward, data, NULL, &forward, &report);
            }
            if (status != CLATTN_OK ||
                execute_timed(&runners[t], runners[t].plan, data, NULL, &seconds, &report) != CLATTN_OK) {
                add_note(&rows[t], report.text);
                rows[t].ran = false;
                continue;
            }
            rows[t].training[rows[t].runs] = runners[t].forward ? forward + seconds : 0;
            rows[t].seconds[rows[t].runs++] = seconds;
            more = true;
        }
    }
    attn_bench_note_load(bench, &began, rows, count);
}

/* The plain loops' row, from the rows that the check has timed. */
static bool plain_loops(attn_bench *bench, const attn_case_data *data, const attn_bench_row *rows, int count,
                        attn_bench_row *plain) {
    const clattn_problem *p = &data->problem;
    double all = (double)p->batch * (double)p->query_heads * (double)p->query_length;
    *plain = (attn_bench_row){ .engine = "plain", .memory = -1, .spread = -1, .taken = -1 };
    for (int t = 0; t < count; t++) {
        const attn_gate_result *gate = &rows[t].gate;
        if (rows[t].ran && gate->plain_rows > 0 && plain->runs == 0) {
            plain->ran = plain->verified = true;
            plain->scaled = (double)gate->plain_rows < all;
            plain->seconds[plain->runs++] = gate->plain_seconds * all / (double)gate->plain_rows;
            plain->flops = rows[t].flops;
            plain->bytes = rows[t].bytes;
            snprintf(plain->note, sizeof plain->note, "one thread, -O2%s", plain->scaled ? ", scaled from " : "");
            if (plain->scaled) {
                attn_text_add(plain->note, sizeof plain->note, "%" PRId64 " rows", gate->plain_rows);
            }
        }
    }
    attn_bench_finish_row(bench, p, -1, plain);
    return plain->ran;
}

/* What fits a cache is read faster than memory is: the limit of decoding is measured at the case's own size. */
static void measure_case_reading(attn_bench *bench, const clattn_problem *problem, double bytes) {
    clattn_device_info cpu = { .compute_units = 1 };
    bench->read_gbytes = attn_limit_gbytes(&bench->machine);
    if (attn_case_is_decode(problem) && clattn_runtime_get_device(bench->session.runtime, 0, &cpu) == CLATTN_OK) {
        double rate = attn_measure_reading(cpu.compute_units, bytes);
        bench->read_gbytes = rate > bench->read_gbytes ? rate : bench->read_gbytes;
    }
}

static int bench_data(attn_bench *bench, attn_case_data *data, attn_bench_row *rows, int *count, attn_error *error) {
    case_runner runners[ATTN_TARGETS_MAX];
    attn_gradient_gold *gold = NULL;
    int targets = bench->session.target_count, status = ATTN_DONE;
    memset(runners, 0, sizeof runners);
    if (is_backward(data)) {
        show_progress(bench, data);
        status = attn_gate_forward(bench->session.runtime, data, error);
        status = status != ATTN_DONE ? status : attn_gate_gradients_create(&gold, data, &bench->gate, error);
    }
    attn_bench_count_work(data, bench->session.runtime, rows, targets);
    measure_case_reading(bench, &data->problem, targets > 0 ? rows[0].bytes : 0);
    for (int t = 0; t < targets && status == ATTN_DONE && attn_interrupted() == 0; t++) {
        show_progress(bench, data);
        if (!is_too_much(bench, t, &data->problem, &rows[t])) {
            status = start_runner(bench, t, data, gold, &runners[t], &rows[t], error);
        }
    }
    attn_gate_gradients_free(gold);
    if (status == ATTN_DONE) {
        status = is_backward(data) ? attn_bench_plain_backward(bench, data, rows, targets, error)
                                   : verify_runners(bench, data, runners, rows, targets, error);
    }
    for (int t = 0; t < targets && status == ATTN_DONE; t++) {
        if (rows[t].ran && attn_interrupted() == 0) {
            time_steps(data, &runners[t], &rows[t]);
        }
    }
    if (status == ATTN_DONE) {
        time_rounds(bench, data, runners, rows, targets);
    }
    for (int t = 0; t < targets; t++) {
        attn_bench_finish_row(bench, &data->problem, t, &rows[t]);
        if (rows[t].ran && rows[t].median > 0) {
            bench->rate[attn_case_is_decode(&data->problem)][t] = rows[t].flops / rows[t].median;
        }
        end_runner(&runners[t]);
    }
    *count = targets + (plain_loops(bench, data, rows, targets, &rows[targets]) ? 1 : 0);
    attn_bench_compare_rows(rows, *count);
    return status;
}

int attn_bench_case(attn_bench *bench, const attn_case *c, attn_bench_row *rows, int *count, attn_error *error) {
    memset(rows, 0, (ATTN_TARGETS_MAX + 1) * sizeof *rows);
    for (int t = 0; t < bench->session.target_count; t++) {
        rows[t].engine = bench->session.targets[t].engine;
        rows[t].device = bench->session.targets[t].device;
        rows[t].memory = -1;
        rows[t].per_cent = rows[t].spread = rows[t].taken = -1;
    }
    if (is_time_over(bench)) { /* before tensors are made: those of a long list's last problems take minutes */
        for (int t = 0; t < bench->session.target_count; t++) {
            add_time_over(&rows[t]);
        }
        *count = bench->session.target_count;
        return ATTN_DONE;
    }
    attn_case_data *data = malloc(sizeof *data);
    if (!data) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    attn_case timed = *c;
    timed.timed = true;
    int status = attn_case_data_create(data, &timed, false, error);
    if (status == ATTN_DONE) {
        data->options.blocks = &bench->session.blocks;
        status = bench_data(bench, data, rows, count, error);
        attn_case_data_free(data);
    }
    attn_progress_end();
    free(data);
    return status;
}
