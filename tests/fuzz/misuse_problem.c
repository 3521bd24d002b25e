/* The misuse fuzzer's problems of attention: right, or with a field or two that are not. */
#include <string.h>

#include "misuse.h"

enum { MOST_ELEMENTS = 100000 };

static void spoil_problem(clattn_problem *p) {
    int64_t *const numbers[] = { &p->batch,
                                 &p->query_heads,
                                 &p->kv_heads,
                                 &p->query_length,
                                 &p->key_length,
                                 &p->head_dim,
                                 &p->value_dim,
                                 &p->past_length,
                                 &p->window_left,
                                 &p->window_right,
                                 &p->offset,
                                 &p->weights_first_head,
                                 &p->weights_heads,
                                 &p->weights_first_row,
                                 &p->weights_rows,
                                 &p->mask_shape[draw_below(4)],
                                 &p->bias_shape[draw_below(4)] };
    static const double doubles[] = { 0, -1, 1e-300, 1e300, 1e39, -1e39, 5e-324 };
    int64_t count = (int64_t)(sizeof numbers / sizeof *numbers), which = draw_below(count + 12),
            value = draw_between(-2, 7);
    switch (which - count) {
        case 0: p->type = (clattn_type)value; break;
        case 1: p->alignment = (clattn_alignment)value; break;
        case 2: p->mask = (clattn_mask_kind)value; break;
        case 3: p->weights = (clattn_weights_stage)value; break;
        case 4:
            p->has_scale = true, p->scale = draw_one_in(3) ? (double)INT64_MAX / 0.0 : doubles[draw_below(7)];
            break;
        case 5: p->softcap = doubles[draw_below(7)]; break;
        case 6: p->struct_size = (size_t)(draw_one_in(2) ? draw_odd() : draw_between(0, sizeof *p + 16)); break;
        case 7: p->memory = (clattn_memory)value; break;
        case 8: p->gradients = (uint32_t)draw_odd(); break;
        case 9:
            p->output_type = (clattn_result_type)value, p->gradient_type = (clattn_result_type)draw_between(0, 1);
            break;
        case 10: p->dropout = draw_one_in(3) ? (double)INT64_MAX / 0.0 : doubles[draw_below(7)]; break;
        case 11: p->prefix = draw_odd(), p->delta = p->grad_logsumexp = draw_one_in(2); break;
        default: *numbers[which] = draw_odd(); break;
    }
}

static void draw_shape(int64_t shape[4]) {
    for (int k = 0; k < 4; k++) {
        shape[k] = draw_one_in(2) ? 1 : CLATTN_SAME;
    }
}

/* What the reference alone serves. */
static void draw_training(clattn_problem *p) {
    bool narrow = p->type == CLATTN_FP16 || p->type == CLATTN_BF16;
    p->direction = (clattn_direction)draw_below(2);
    p->dropout = draw_one_in(2) ? 0.5 : 0;
    p->prefix = draw_one_in(3) ? draw_between(0, 9) : 0;
    p->output_type = (clattn_result_type)(narrow && draw_one_in(3)),
    p->gradient_type = (clattn_result_type)(narrow && draw_one_in(3));
    p->dropout_mask = p->direction == CLATTN_FORWARD && draw_one_in(3);
    if (p->direction == CLATTN_BACKWARD) {
        p->weights = draw_one_in(20) ? p->weights : CLATTN_WEIGHTS_NONE;
        p->gradients = (uint32_t)draw_between(1, 7);
        p->gradients |= p->bias != CLATTN_BIAS_NONE && draw_one_in(2) ? CLATTN_GRADIENT_BIAS : 0;
        p->gradients |= p->alibi && draw_one_in(2) ? CLATTN_GRADIENT_ALIBI_SLOPES : 0;
        p->gradients |= p->sinks && draw_one_in(2) ? CLATTN_GRADIENT_SINKS : 0;
        p->delta = draw_one_in(4), p->grad_logsumexp = !p->delta && draw_one_in(2);
    }
}

static clattn_plan_options draw_options(bool opencl) {
    static const char *const engines[] = { "cpu", "cpu", "reference", NULL, "opencl", "nobody" };
    static const char *const devices[] = { "opencl-unfused", "opencl-fused", "opencl-decode" };
    clattn_plan_options o = CLATTN_PLAN_OPTIONS_INIT;
    o.caller_workspace = draw_one_in(8), o.batch_invariant = draw_one_in(8);
    o.engine = opencl ? devices[draw_below(3)] : engines[draw_below(draw_one_in(8) ? 6 : 3)];
    switch (draw_below(40)) {
        case 0: o.device = draw_odd(); break;
        case 1: o.concurrency = draw_odd(); break;
        case 2: o.struct_size = (size_t)(draw_one_in(2) ? draw_odd() : draw_between(0, sizeof o + 16)); break;
        default: break;
    }
    return o;
}

clattn_problem misuse_draw_problem(bool opencl, clattn_plan_options *options) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.type = (clattn_type)draw_below(4);
    p.batch = draw_between(draw_one_in(8) ? 0 : 1, 3);
    p.kv_heads = draw_between(1, 2);
    p.query_heads = p.kv_heads * draw_between(1, 3);
    p.query_length = draw_between(draw_one_in(8) ? 0 : 1, draw_one_in(5) ? 40 : 6);
    p.key_length = draw_between(draw_one_in(8) ? 0 : 1, draw_one_in(5) ? 90 : 20);
    p.head_dim = draw_between(1, draw_one_in(5) ? 70 : 20);
    p.value_dim = draw_one_in(2) ? CLATTN_SAME : draw_between(1, 20);
    p.past_length = draw_one_in(3) ? draw_between(0, p.key_length) : 0;
    p.softcap = draw_one_in(4) ? 2 : 0;
    p.causal = draw_one_in(3);
    p.window_left = draw_one_in(4) ? draw_between(0, 9) : CLATTN_OPEN;
    p.window_right = draw_one_in(5) ? draw_between(0, 9) : CLATTN_OPEN;
    p.alignment = (clattn_alignment)draw_between(draw_one_in(5) ? 0 : 1, 5);
    p.offset = draw_between(-20, 20);
    p.mask = (clattn_mask_kind)(draw_one_in(2) ? draw_below(3) : 0);
    p.bias = (clattn_bias_kind)(draw_one_in(3) ? draw_below(3) : 0);
    draw_shape(p.mask_shape);
    draw_shape(p.bias_shape);
    p.alibi = draw_one_in(4), p.sinks = draw_one_in(4);
    p.query_lengths = draw_one_in(4), p.key_lengths = draw_one_in(3);
    p.logsumexp = draw_one_in(2);
    p.weights = (clattn_weights_stage)(draw_one_in(2) ? draw_below(5) : 0);
    p.weights_first_row = draw_one_in(3) ? draw_between(0, p.query_length) : 0;
    *options = draw_options(opencl);
    if (options->engine && strcmp(options->engine, "reference") == 0) {
        draw_training(&p);
    }
    for (int64_t n = draw_one_in(3) ? draw_between(1, 2) : 0; n > 0; n--) {
        spoil_problem(&p);
    }
    return p;
}

bool misuse_is_small(const clattn_problem *p) {
    wide rows = (wide)p->batch * p->query_heads * (p->query_length + 1), keys = (wide)p->batch * p->kv_heads * (p->key_length + 1);
    wide dims = (wide)p->head_dim + p->value_dim, square = (wide)(p->query_length + 1) * (p->key_length + 1);
    return p->batch < MOST_ELEMENTS && square < MOST_ELEMENTS && square * p->batch * p->query_heads < MOST_ELEMENTS && p->query_heads < MOST_ELEMENTS && dims < MOST_ELEMENTS && rows < MOST_ELEMENTS &&
           keys < MOST_ELEMENTS && rows * dims < MOST_ELEMENTS && keys * dims < MOST_ELEMENTS;
}
