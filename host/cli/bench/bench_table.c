/*
 * What bench writes: a row of cells for each that is measured, JSON, and the machine. Units stand in the column's key,
 * so CSV and JSON need no other explanation. Tables for people are in bench_show.c.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "bench/bench.h"

const attn_column attn_bench_columns[ATTN_BENCH_COLUMNS] = {
    { "name", "name", false },
    { "query_length", "queries", true },
    { "key_length", "keys", true },
    { "heads", "heads", ATTN_CELL_SHOWN },
    { "dim", "dim", ATTN_CELL_SHOWN },
    { "type", "type", false },
    { "engine", "engine", false },
    { "median_ms", "median ms", true },
    { "minimum_ms", "min ms", true },
    { "gflops", "GFLOP/s", true },
    { "per_cent_of_limit", "% limit", true },
    { "peak_memory_bytes", "memory MiB", true },
    { "speed_up_over_plain", "x plain", true },
    { "verified", "verified", ATTN_CELL_BOOL },
    { "note", "note", false },
    { "limit", NULL, false },
    { "device", NULL, true },
    { "runs", NULL, true },
    { "scaled", NULL, ATTN_CELL_BOOL },
    { "step_names", NULL, ATTN_CELL_TEXTS },
    { "step_ms", NULL, ATTN_CELL_NUMBERS },
    { "flops", NULL, true },
    { "batch", NULL, true },
    { "query_heads", NULL, true },
    { "kv_heads", NULL, true },
    { "head_dim", NULL, true },
    { "value_dim", NULL, true },
    { "problem", NULL, false },
    { "maximum_ms", "max ms", true },
    { "spread_per_cent", "spread", true },
    { "others_per_cent", "others", true },
    { "disturbed", "disturbed", false },
    { "fastest", "fastest", ATTN_CELL_BOOL },
    { "direction", NULL, false },
    { "forward_and_backward_ms", NULL, true },
};

static void set_steps(attn_table *table, const attn_bench_row *row) {
    char names[512] = "", times[512] = "", note[1024] = "", text[32];
    for (int64_t s = 0; s < row->steps.count; s++) {
        const char *gap = s > 0 ? ";" : "";
        attn_text_add(names, sizeof names, "%s%s", gap, row->steps.steps[s].name);
        attn_text_add(times, sizeof times, "%s%.6g", gap, 1e3 * row->steps.steps[s].seconds);
        attn_text_add(note, sizeof note, "%s%s %s", s > 0 ? ", " : "", row->steps.steps[s].name,
                      attn_text_seconds(row->steps.steps[s].seconds, text));
    }
    attn_table_set(table, ATTN_BENCH_STEP_NAMES, "%s", names);
    attn_table_set(table, ATTN_BENCH_STEP_MS, "%s", times);
    if (row->training_median > 0) {
        attn_table_set(table, ATTN_BENCH_TRAINING, "%.6g", 1e3 * row->training_median);
        attn_text_add(note, sizeof note, "%s%s with its forward", note[0] != '\0' ? "; " : "",
                      attn_text_seconds(row->training_median, text));
    }
    attn_table_set(table, ATTN_BENCH_NOTE, "%s%s%s", note, note[0] != '\0' && row->note[0] != '\0' ? "; " : "",
                   row->note);
}

static void set_times(attn_table *table, const attn_bench_row *row) {
    if (row->runs == 0) {
        return;
    }
    attn_table_set(table, ATTN_BENCH_MEDIAN, "%.6g", 1e3 * row->median);
    attn_table_set(table, ATTN_BENCH_MINIMUM, "%.6g", 1e3 * row->minimum);
    attn_table_set(table, ATTN_BENCH_MAXIMUM, "%.6g", 1e3 * row->maximum);
    attn_table_set(table, ATTN_BENCH_RATE, "%.4g", row->gflops);
    if (row->per_cent >= 0) {
        attn_table_set(table, ATTN_BENCH_PER_CENT, "%.1f", row->per_cent);
    }
    if (row->memory >= 0) {
        attn_table_set(table, ATTN_BENCH_MEMORY, "%" PRId64, row->memory);
    }
    if (row->speed_up > 0) {
        attn_table_set(table, ATTN_BENCH_SPEED_UP, "%.4g", row->speed_up);
    }
    attn_table_set(table, ATTN_BENCH_VERIFIED, "%s",
                   strcmp(row->engine, "plain") == 0 ? ""
                   : row->verified                   ? "yes"
                                                     : "WRONG");
    attn_table_set(table, ATTN_BENCH_LIMIT, "%s", row->limit);
    attn_table_set(table, ATTN_BENCH_RUNS_TIMED, "%d", row->runs);
    attn_table_set(table, ATTN_BENCH_SCALED, "%s", row->scaled ? "yes" : "no");
}

/* How far the times can be trusted. */
static void set_doubts(attn_table *table, const attn_bench_row *row) {
    if (row->runs == 0) {
        return;
    }
    if (row->spread >= 0) {
        attn_table_set(table, ATTN_BENCH_SPREAD, "%.1f", 100 * row->spread);
    }
    if (row->taken >= 0) {
        attn_table_set(table, ATTN_BENCH_TAKEN, "%.1f", 100 * row->taken);
    }
    attn_table_set(table, ATTN_BENCH_DISTURBED, "%s", attn_bench_disturbance(row));
    if (strcmp(row->engine, "plain") != 0) {
        attn_table_set(table, ATTN_BENCH_FASTEST, "%s", row->fastest ? "yes" : "no");
    }
}

void attn_bench_add_row(attn_table *table, const attn_case *c, const clattn_problem *problem,
                        const attn_bench_row *row) {
    attn_table_row(table);
    attn_table_set(table, ATTN_BENCH_NAME, "%s", c->name);
    attn_table_set(table, ATTN_BENCH_QUERY_LENGTH, "%" PRId64, problem->query_length);
    attn_table_set(table, ATTN_BENCH_KEY_LENGTH, "%" PRId64, problem->key_length);
    char batch[32] = "", kv_heads[32] = "", value_dim[32] = "";
    if (problem->batch != 1) {
        snprintf(batch, sizeof batch, "%" PRId64 "x", problem->batch);
    }
    if (problem->kv_heads != problem->query_heads) {
        snprintf(kv_heads, sizeof kv_heads, "/%" PRId64, problem->kv_heads);
    }
    if (problem->value_dim != problem->head_dim) {
        snprintf(value_dim, sizeof value_dim, "/%" PRId64, problem->value_dim);
    }
    attn_table_set(table, ATTN_BENCH_HEADS, "%s%" PRId64 "%s", batch, problem->query_heads, kv_heads);
    attn_table_set(table, ATTN_BENCH_DIM, "%" PRId64 "%s", problem->head_dim, value_dim);
    attn_table_set(table, ATTN_BENCH_TYPE, "%s", clattn_type_name(problem->type));
    attn_table_set(table, ATTN_BENCH_ENGINE, "%s", row->engine);
    attn_table_set(table, ATTN_BENCH_DEVICE, "%" PRId64, row->device);
    attn_table_set(table, ATTN_BENCH_FLOPS, "%.17g", row->flops);
    const int64_t sizes[] = { problem->batch, problem->query_heads, problem->kv_heads, problem->head_dim,
                              problem->value_dim };
    for (int s = 0; s < 5; s++) {
        attn_table_set(table, ATTN_BENCH_BATCH + s, "%" PRId64, sizes[s]);
    }
    attn_table_set(table, ATTN_BENCH_PROBLEM, "%s", c->text);
    attn_table_set(table, ATTN_BENCH_DIRECTION, "%s",
                   problem->direction == CLATTN_BACKWARD ? "backward" : "forward");
    set_times(table, row);
    set_steps(table, row);
    set_doubts(table, row);
}

static void write_date(char text[32]) {
    time_t now = time(NULL);
    struct tm broken;
    strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &broken));
}

void attn_bench_print_machine(const attn_bench *bench, FILE *file) {
    struct utsname name;
    char date[32];
    const attn_limits *limits = &bench->machine;
    write_date(date);
    fprintf(file, "clattn %d.%d.%d", clattn_version() / 10000, clattn_version() / 100 % 100, clattn_version() % 100);
    if (uname(&name) == 0) {
        fprintf(file, " on %s %s %s", name.sysname, name.release, name.machine);
    }
    fprintf(file, ", %s\n", date);
    for (int64_t d = 0; d < clattn_runtime_device_count(bench->session.runtime); d++) {
        clattn_device_info info;
        if (clattn_runtime_get_device(bench->session.runtime, d, &info) == CLATTN_OK) {
            fprintf(file, "device %" PRId64 ": %s, %s, driver %s, %" PRId64 " %s\n", d, info.name,
                    attn_device_kind_name(info.kind), info.driver, info.compute_units,
                    info.kind == CLATTN_DEVICE_CPU ? "threads" : "compute units");
        }
    }
    fprintf(
        file,
        "measured limits of the processors: %.1f GFLOP/s fp32 (%s probe%s), %.1f fp64, copy %.1f GB/s, read %.1f GB/s",
        attn_limit_gflops(limits, CLATTN_FP32), limits->instructions,
        limits->product_gflops > limits->fma_gflops ? "; the matrix product is above it and counts" : "",
        limits->fma_gflops_fp64, limits->copy_gbytes, limits->read_gbytes);
    if (limits->product_gflops > 0) {
        fprintf(file, "; the library's own matrix product reaches %.1f GFLOP/s", limits->product_gflops);
    }
    for (int t = 0; t < bench->session.target_count; t++) {
        int64_t device = bench->session.targets[t].device;
        if (bench->gpu_gflops[t] > 0 && (t == 0 || bench->session.targets[t - 1].device != device)) {
            fprintf(file, "\nmeasured limits of device %" PRId64 ": %.0f GFLOP/s fp32, copy %.0f GB/s", device,
                    bench->gpu_gflops[t], bench->gpu_gbytes[t]);
        }
    }
    if (bench->limits_taken > 0.1) {
        fprintf(file, "\n! others took %.0f %% of the processors meanwhile: these limits may be too low",
                100 * bench->limits_taken);
    }
    fprintf(file, "\n%% limit: of the multiply-adds, or, where at most 16 query rows share a key, of reading memory of "
                  "the problem's size\n");
}

void attn_bench_write_json(const void *user, const attn_table *table, bool complete, FILE *file) {
    const attn_bench *bench = user;
    struct utsname name;
    char date[32];
    const attn_limits *limits = &bench->machine;
    write_date(date);
    fprintf(file, "{\n  \"clattn\": %d,\n  \"date\": \"%s\",\n  \"system\": ", clattn_version(), date);
    attn_json_write_string(file, uname(&name) == 0 ? name.sysname : "");
    fprintf(file, ",\n  \"machine\": ");
    attn_json_write_string(file, uname(&name) == 0 ? name.machine : "");
    fprintf(file, ",\n  \"devices\": [");
    for (int64_t d = 0; d < clattn_runtime_device_count(bench->session.runtime); d++) {
        char text[300];
        attn_session_device_name(&bench->session, d, text, sizeof text);
        fputs(d > 0 ? ", " : " ", file);
        attn_json_write_string(file, text);
    }
    const struct {
        const char *key;
        double value;
    } numbers[] = { { "fma_gflops", limits->fma_gflops },
                    { "fma_gflops_fp64", limits->fma_gflops_fp64 },
                    { "product_gflops", limits->product_gflops },
                    { "copy_gbytes", limits->copy_gbytes },
                    { "read_gbytes", limits->read_gbytes },
                    { "others_per_cent", bench->limits_taken < 0 ? NAN : 100 * bench->limits_taken } };
    fputs(" ],\n  \"limits\": {", file);
    for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
        fprintf(file, "%s \"%s\": ", n > 0 ? "," : "", numbers[n].key);
        attn_json_write_number(file, numbers[n].value, 6);
    }
    fprintf(file, " },\n  \"complete\": %s,\n  \"rows\": ", complete ? "true" : "false");
    attn_table_json(table, file, "  ");
    fprintf(file, "\n}\n");
}
