/*
 * What a backward case needs beside a forward one: the forward plan that makes its inputs, the judge of gradients, the plain
 * loops.
 */
#include "bench/bench.h"

clattn_plan *attn_bench_plan_forward(clattn_runtime *runtime, const clattn_problem *backward,
                                     const clattn_plan_options *options) {
    clattn_plan *plan = NULL;
    clattn_problem forward = *backward;
    forward.direction = CLATTN_FORWARD;
    forward.logsumexp = true;
    return clattn_plan_create(runtime, &forward, options, &plan, NULL) == CLATTN_OK ? plan : NULL;
}

void attn_bench_judge_gradients(attn_bench *bench, const attn_case_data *data, const attn_gradient_gold *gold,
                                attn_bench_row *row) {
    row->gate.passed = true;
    attn_gate_gradients_check(data, gold, &row->gate);
    row->verified = row->gate.passed;
    if (!row->gate.passed) {
        bench->wrong = true;
        row->note[0] = '\0';
        attn_text_add(row->note, sizeof row->note, "WRONG: %s", row->gate.failure);
    }
}

int attn_bench_plain_backward(const attn_bench *bench, const attn_case_data *data, attn_bench_row *rows, int count,
                              attn_error *error) {
    int64_t plain_rows = 0;
    double seconds = 0;
    int status = attn_gate_plain_backward(data, &bench->gate, &plain_rows, &seconds, error);
    for (int t = 0; t < count; t++) {
        rows[t].gate.plain_rows = plain_rows;
        rows[t].gate.plain_seconds = seconds;
    }
    return status;
}
