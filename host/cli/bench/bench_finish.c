/*
 * What follows from the times of a case: median, spread, throughput, per cent of the limit, which engine is the fastest,
 * and whether something else disturbed them.
 */
#include <string.h>

#include "base/median.h"
#include "bench/bench.h"

static const double LEAST_WINDOW = 0.25; /* seconds; the system counts in hundredths of them */
static const double MUCH_TAKEN = 0.1;    /* of the processors' time */
static const double MUCH_SPREAD = 0.25;  /* of the median */
enum { LEAST_TIMES = 5 };                /* for a spread that means something */

/* The device's measured limit of the work at hand: GFLOP/s, or GB/s for decoding; 0 = not known. A GPU's fp16 units are
 * not what its fp32 probe measures. */
static double limit_of(const attn_bench *bench, const clattn_problem *problem, int t, bool reads) {
    if (t < 0 || (bench->gpu_gflops[t] == 0 && bench->gpu_gbytes[t] == 0)) {
        return reads ? bench->read_gbytes : attn_limit_gflops(&bench->machine, problem->type);
    }
    return reads ? bench->gpu_gbytes[t] : problem->type == CLATTN_FP32 ? bench->gpu_gflops[t] : 0;
}

/* Of sorted times. */
static double quantile(const attn_bench_row *row, double part) {
    double at = part * (row->runs - 1);
    int below = (int)at;
    int above = below + 1 < row->runs ? below + 1 : below;
    return row->seconds[below] + (at - below) * (row->seconds[above] - row->seconds[below]);
}

void attn_bench_finish_row(const attn_bench *bench, const clattn_problem *problem, int t, attn_bench_row *row) {
    bool reads = attn_case_is_decode(problem);
    if (row->runs == 0) {
        return;
    }
    row->median = attn_median(row->seconds, row->runs);
    row->training_median = row->training[0] > 0 ? attn_median(row->training, row->runs) : 0;
    row->minimum = row->seconds[0]; /* the median has sorted them */
    row->maximum = row->seconds[row->runs - 1];
    row->spread = row->runs < 2 ? -1 : (quantile(row, 0.75) - quantile(row, 0.25)) / row->median;
    row->gflops = row->flops / row->median / 1e9;
    row->limit = reads ? "copy" : "fma";
    double limit = limit_of(bench, problem, t, reads);
    row->per_cent = limit > 0 ? 100 * (reads ? row->bytes / row->median / 1e9 : row->gflops) / limit : -1;
}

/* The processors that a row needs; 0 = it runs elsewhere. */
static double processors_of(const attn_bench *bench, const attn_bench_row *row) {
    clattn_device_info device;
    if (clattn_runtime_get_device(bench->session.runtime, row->device, &device) != CLATTN_OK ||
        device.kind == CLATTN_DEVICE_OPENCL_GPU) {
        return 0;
    }
    return device.kind == CLATTN_DEVICE_CPU ? (double)device.compute_units : 1e6; /* an OpenCL CPU device: all */
}

void attn_bench_note_load(attn_bench *bench, const attn_load *began, attn_bench_row *rows, int count) {
    attn_load now;
    attn_load_now(&now);
    const attn_load *from = now.at - began->at >= LEAST_WINDOW ? began : &bench->load_next;
    if (now.at - from->at >= LEAST_WINDOW) { /* else short cases share the window before */
        bench->load_from = *from;
        bench->load_to = bench->load_next = now;
    }
    for (int t = 0; t < count; t++) {
        rows[t].taken = attn_load_taken(&bench->load_from, &bench->load_to, processors_of(bench, &rows[t]));
    }
}

void attn_bench_compare_rows(attn_bench_row *rows, int count) {
    attn_bench_row *fastest = NULL;
    double plain = 0;
    int engines = 0;
    for (int t = 0; t < count; t++) {
        if (strcmp(rows[t].engine, "plain") == 0) {
            plain = rows[t].median;
        } else if (rows[t].ran && rows[t].verified && rows[t].runs > 0) {
            fastest = !fastest || rows[t].median < fastest->median ? &rows[t] : fastest;
            engines++;
        }
    }
    for (int t = 0; t < count; t++) {
        rows[t].speed_up = plain > 0 && rows[t].ran && rows[t].runs > 0 ? plain / rows[t].median : 0;
        rows[t].fastest = engines > 1 && &rows[t] == fastest;
    }
}

const char *attn_bench_disturbance(const attn_bench_row *row) {
    bool others = row->taken > MUCH_TAKEN, uneven = row->runs >= LEAST_TIMES && row->spread > MUCH_SPREAD;
    if (others || uneven) {
        return !uneven ? "others" : others ? "others;uneven" : "uneven";
    }
    return row->taken < 0 && row->runs < LEAST_TIMES ? "" : "no";
}
