/*
 * Times training steps of a character decoder on drawn ids, and says which part of them takes how long. Usage: below,
 * and in bench/learning/README.md. torch_step.py speaks with it through --serve.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/median.h"
#include "clattn/clattn_learning.h"
#include "parts.h"

static const char usage[] =
    "clattn_learning_bench [--steps N] [--threads N] [--blocks N] [--dim N] [--heads N] [--length N] [--batch N]\n"
    "                      [--words N] [--write FILE] [--serve]\n"
    "Trains a decoder on drawn ids: tokens a second, and the share of each part. --write: first its parameters, as a\n"
    ".safetensors file. --serve: says ready, takes a number of steps from each line of stdin, and answers\n"
    "\"loss seconds\" for each step.\n";

typedef struct bench {
    int64_t steps, threads;
    clattn_decoder_options model;
    const char *write;
    bool serve;
    clattn_runtime *runtime;
    clattn_decoder *decoder;
    clattn_optimiser *optimiser;
    clattn_report report;
    int64_t *ids, *labels;
    float *drawn;
    int64_t done; /* steps */
} bench;

enum { WARM = 2, MOST_STEPS = 100000, SEED = 1000 };
#define RATE 3e-4

static bool read_number(const char *text, int64_t least, int64_t *number) {
    char *end;
    errno = 0;
    long long read = strtoll(text, &end, 10);
    *number = read;
    return errno == 0 && end != text && *end == '\0' && read >= least && read <= 1 << 20;
}

static bool read_options(int argc, char **argv, bench *b) {
    clattn_decoder_options *m = &b->model;
    const struct {
        const char *name;
        int64_t *number, least;
    } numbers[] = { { "--steps", &b->steps, 1 }, { "--threads", &b->threads, 0 }, { "--blocks", &m->blocks, 0 },
                    { "--dim", &m->dim, 1 },     { "--heads", &m->heads, 1 },     { "--length", &m->length, 1 },
                    { "--batch", &m->batch, 1 }, { "--words", &m->words, 1 } };
    for (int n = 1; n < argc; n++) {
        bool known = false, value = n + 1 < argc;
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers && !known; k++) {
            known = strcmp(argv[n], numbers[k].name) == 0;
            if (known && (!value || !read_number(argv[++n], numbers[k].least, numbers[k].number))) {
                return false;
            }
        }
        if (known) {
            continue;
        }
        if (strcmp(argv[n], "--serve") == 0) {
            b->serve = true;
        } else if (strcmp(argv[n], "--write") == 0 && value) {
            b->write = argv[++n];
        } else {
            return false;
        }
    }
    return b->steps <= MOST_STEPS;
}

static bool failed(bench *b, const char *what, clattn_status status) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, clattn_status_message(status), b->report.text);
    }
    return status != CLATTN_OK;
}

static bool make(bench *b) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = b->threads, options.without_opencl = true, options.report = &b->report;
    b->model.learn = true;
    b->model.plan.engine = b->model.backward.engine = "cpu";
    if (failed(b, "runtime", clattn_runtime_create(&options, &b->runtime)) ||
        failed(b, "decoder", clattn_decoder_create(b->runtime, &b->model, &b->decoder, &b->report))) {
        return false;
    }
    clattn_parameters *parameters = clattn_decoder_get_parameters(b->decoder);
    int64_t rows = b->model.batch * (b->model.length + 1);
    b->ids = clattn_allocate(b->runtime, rows * (int64_t)sizeof *b->ids);
    b->labels = clattn_allocate(b->runtime, rows * (int64_t)sizeof *b->labels);
    b->drawn = clattn_allocate(b->runtime, rows * (int64_t)sizeof *b->drawn);
    if (!b->ids || !b->labels || !b->drawn) {
        return !failed(b, "ids", CLATTN_OUT_OF_MEMORY);
    }
    return !failed(b, "optimiser", clattn_optimiser_create(parameters, NULL, &b->optimiser, &b->report)) &&
           !(b->write && failed(b, b->write, clattn_parameters_write(parameters, b->write, NULL, 0, &b->report)));
}

static void end(bench *b) {
    clattn_optimiser_destroy(b->optimiser);
    clattn_decoder_destroy(b->decoder);
    clattn_release(b->runtime, b->ids);
    clattn_release(b->runtime, b->labels);
    clattn_release(b->runtime, b->drawn);
    clattn_runtime_destroy(b->runtime);
}

/* An entry is length + 1 ids, drawn from the step's seed: all but the last are read, all but the first are labels. */
static bool draw_ids(bench *b) {
    int64_t batch = b->model.batch, length = b->model.length;
    clattn_status status = clattn_fill(CLATTN_FILL_UNIFORM, SEED + (uint64_t)b->done, batch, length + 1, b->drawn);
    for (int64_t e = 0; e < batch && status == CLATTN_OK; e++) {
        for (int64_t i = 0; i < length; i++) {
            const float *at = b->drawn + e * (length + 1) + i;
            b->ids[e * length + i] = (int64_t)((double)at[0] * (double)b->model.words);
            b->labels[e * length + i] = (int64_t)((double)at[1] * (double)b->model.words);
        }
    }
    return !failed(b, "ids", status);
}

/* One step; its loss, and the seconds that it took. */
static bool step(bench *b, double *loss, double *seconds) {
    clattn_parameters *parameters = clattn_decoder_get_parameters(b->decoder);
    if (!draw_ids(b)) {
        return false;
    }
    int64_t start = part_now();
    part before = part_enter(PART_OPTIMISER);
    clattn_parameters_clear(parameters);
    part_leave(before);
    if (failed(b, "step", clattn_decoder_learn(b->decoder, b->ids, b->labels, CLATTN_SAME, 1, loss, &b->report))) {
        return false;
    }
    before = part_enter(PART_OPTIMISER);
    clattn_status status = clattn_parameters_clip(parameters, 1.0, NULL);
    status = status == CLATTN_OK ? clattn_optimiser_step(b->optimiser, RATE, &b->report) : status;
    part_leave(before);
    *seconds = (double)(part_now() - start) * 1e-9;
    b->done++;
    return !failed(b, "optimiser", status);
}

static void print_parts(const bench *b) {
    double whole = 0;
    for (int k = 0; k < PARTS; k++) {
        whole += (double)part_nanoseconds((part)k);
    }
    printf("%-24s %10s %8s\n", "part", "ms a step", "share");
    for (int k = 0; k < PARTS; k++) {
        double time = (double)part_nanoseconds((part)k);
        printf("%-24s %10.2f %7.1f%%\n", part_names[k], time * 1e-6 / (double)b->steps, 100 * time / whole);
    }
}

static bool measure(bench *b) {
    const clattn_decoder_options *m = &b->model;
    double loss = 0, seconds, *times = malloc((size_t)b->steps * sizeof *times);
    bool done = times;
    for (int64_t n = -WARM; n < b->steps && done; n++) {
        if (n == 0) {
            part_clear();
        }
        done = step(b, &loss, &seconds);
        if (n >= 0) {
            times[n] = seconds;
        }
    }
    if (done) {
        double median = attn_median(times, b->steps);
        clattn_device_info cpu;
        if (clattn_runtime_get_device(b->runtime, 0, &cpu) == CLATTN_OK) {
            printf("%s, %" PRId64 " threads\n", cpu.name, cpu.compute_units);
        }
        printf("%" PRId64 " blocks, dim %" PRId64 ", %" PRId64 " heads, length %" PRId64 ", batch %" PRId64 ", %" PRId64
               " words\n",
               m->blocks, m->dim, m->heads, m->length, m->batch, m->words);
        printf("%" PRId64 " steps, median %.1f ms, %.0f tokens a second; loss %.6f\n\n", b->steps, 1e3 * median,
               (double)(m->batch * m->length) / median, loss);
        print_parts(b);
    }
    free(times);
    return done;
}

static bool serve(bench *b) {
    char line[64];
    puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int64_t steps;
        line[strcspn(line, "\n")] = '\0';
        if (!read_number(line, 0, &steps)) {
            fprintf(stderr, "stdin: %s is no number of steps\n", line);
            return false;
        }
        for (; steps > 0; steps--) {
            double loss, seconds;
            if (!step(b, &loss, &seconds)) {
                return false;
            }
            printf("%.9g %.9g\n", loss, seconds);
        }
        (void)fflush(stdout);
    }
    return true;
}

int main(int argc, char **argv) {
    bench b = { .steps = 10, .model = CLATTN_DECODER_OPTIONS_INIT };
    clattn_decoder_options *m = &b.model;
    m->words = 96, m->batch = 8, m->length = 256, m->dim = 256, m->heads = 4, m->blocks = 4;
    if (!read_options(argc, argv, &b)) {
        fputs(usage, stderr);
        return 2;
    }
    part_begin(b.threads == 1);
    bool done = make(&b) && (b.serve ? serve(&b) : measure(&b));
    end(&b);
    return done ? 0 : 1;
}
