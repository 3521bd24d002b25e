/* The misuse fuzzer on the operations beside attention: merge, additive attention, linear maps. */
#include <string.h>

#include "clattn/clattn_layers.h"
#include "misuse.h"

/* A dense walk of up to three dimensions. */
static walk dense(const void *data, int64_t a, int64_t b, int64_t c, int64_t size) {
    return (walk){ data, 0, { 1, a, b, c }, { 0, b * c, c, 1 }, size };
}

/* ------------------------------------------------------------------------------------------------ merge */

static clattn_merge_part draw_part(int64_t rows, int64_t dim, bool result) {
    clattn_merge_part part = { (clattn_type)draw_below(4), NULL, dim + draw_between(0, 3), NULL };
    int64_t size = clattn_type_size(part.type), wide_size = part.type == CLATTN_FP64 ? 8 : 4;
    wide bytes = rows == 0 ? 0 : (wide)((rows - 1) * part.row_stride + dim) * size;
    part.output = result ? memory_output(bytes, size) : memory_numbers(bytes, part.type);
    part.logsumexp = result ? memory_output(rows * wide_size, wide_size)
                            : memory_numbers(rows * wide_size, wide_size == 8 ? CLATTN_FP64 : CLATTN_FP32);
    return part;
}

static void misuse_merge(void) {
    clattn_merge_part parts[3];
    int64_t count = draw_between(0, 3), rows = draw_between(0, 5), dim = draw_between(0, 6), odd = draw_odd();
    for (int64_t k = 0; k < count; k++) {
        parts[k] = draw_part(rows, dim, false);
    }
    clattn_merge_part result = draw_part(rows, dim, true);
    clattn_merge_part *one = count > 0 && draw_one_in(2) ? &parts[draw_below(count)] : &result;
    switch (draw_below(12)) {
        case 0: one->type = (clattn_type)draw_between(-1, 5); break;
        case 1: one->output = NULL; break;
        case 2: one->logsumexp = NULL; break;
        case 3: one->row_stride = odd < dim ? odd : dim - 1; break;
        case 4: one->row_stride = INT64_MAX / draw_between(1, 3); break;
        case 5: result.output = count > 0 ? parts[0].output : result.output; break;
        default: break;
    }
    bool honest = true;
    for (int64_t k = 0; k <= count && honest; k++) { /* a wrong type or a wide stride makes more memory of it than there is */
        const clattn_merge_part *part = k < count ? &parts[k] : &result;
        bool known = (int)part->type >= 0 && (int)part->type <= 3;
        int64_t size = known ? clattn_type_size(part->type) : 1, sum_size = part->type == CLATTN_FP64 ? 8 : 4;
        walk w = { part->output, 0, { 1, 1, rows, dim }, { 0, 0, part->row_stride, 1 }, size };
        walk sums = dense(part->logsumexp, 1, 1, rows, sum_size);
        honest = !known || (walk_judge(&w) != WALK_LIE && walk_judge(&sums) != WALK_LIE);
    }
    if (!honest) {
        return;
    }
    memory_paint();
    if (misuse_refused("clattn_merge", clattn_merge(parts, count, rows, dim, &result))) {
        memory_unwritten("clattn_merge");
        return;
    }
    if (memory_is_input(result.output)) {
        return; /* merged in place, into what is an input's block here */
    }
    const walk outputs[] = { { result.output, 0, { 1, 1, rows, dim }, { 0, 0, result.row_stride, 1 }, clattn_type_size(result.type) },
                             dense(result.logsumexp, 1, 1, result.logsumexp ? rows : 0, result.type == CLATTN_FP64 ? 8 : 4) };
    memory_written("clattn_merge", outputs, 2);
}

/* ------------------------------------------------------------------------------------------------ additive */

static void spoil_additive(clattn_additive_problem *p) {
    int64_t *const numbers[] = { &p->batch, &p->query_length, &p->key_length, &p->hidden, &p->value_dim,
                                 &p->mask_shape[draw_below(3)] };
    int64_t which = draw_below(8);
    if (which == 6) {
        p->mask = (clattn_mask_kind)draw_between(-1, 4);
    } else if (which == 7) {
        p->struct_size = (size_t)draw_between(0, 200);
    } else {
        *numbers[which] = draw_odd();
    }
}

static clattn_additive_problem draw_additive(void) {
    clattn_additive_problem p = CLATTN_ADDITIVE_PROBLEM_INIT;
    p.batch = draw_between(0, 3), p.query_length = draw_between(0, 6), p.key_length = draw_between(0, 20);
    p.hidden = draw_between(1, 20), p.value_dim = draw_between(1, 20);
    p.mask = (clattn_mask_kind)draw_below(2);
    for (int k = 0; k < 3; k++) {
        p.mask_shape[k] = draw_one_in(2) ? 1 : CLATTN_SAME;
    }
    p.query_lengths = draw_one_in(3), p.key_lengths = draw_one_in(3), p.logsumexp = draw_one_in(2), p.weights = draw_one_in(2);
    if (draw_one_in(3)) {
        spoil_additive(&p);
    }
    return p;
}

static clattn_integers draw_lengths(int64_t count, int64_t most) {
    int64_t offset = draw_between(0, 2), *data = memory_bits((count + offset) * 8, 8);
    for (int64_t n = 0; n < count; n++) {
        data[offset + n] = draw_between(0, most);
    }
    return (clattn_integers){ data, offset, CLATTN_INT64 };
}

static clattn_additive_tensors draw_additive_tensors(const clattn_additive_problem *p, int64_t rows, int64_t keys) {
    clattn_additive_tensors t = CLATTN_ADDITIVE_TENSORS_INIT;
    int64_t last = p->batch > 0 ? p->batch - 1 : 0, some = p->batch > 0, mask = 1;
    int64_t all_rows = some * (last * p->query_length + rows), all_keys = some * (last * p->key_length + keys);
    const int64_t full[3] = { p->batch, p->query_length, p->key_length };
    for (int k = 0; k < 3; k++) {
        mask *= p->mask == CLATTN_MASK_NONE ? 1 : p->mask_shape[k] == CLATTN_SAME ? full[k] : p->mask_shape[k];
    }
    t.query_length = rows, t.key_length = keys;
    t.query = memory_numbers(all_rows * p->hidden * 4, CLATTN_FP32);
    t.key = memory_numbers(all_keys * p->hidden * 4, CLATTN_FP32);
    t.value = memory_numbers(all_keys * p->value_dim * 4, CLATTN_FP32);
    t.v = memory_numbers(p->hidden * 4, CLATTN_FP32);
    t.mask = memory_bits(mask > 0 ? mask : 0, 1);
    t.output = memory_output(all_rows * p->value_dim * 4, 4);
    t.weights = memory_output(all_rows * p->key_length * 4, 4);
    t.logsumexp = memory_output(all_rows * 4, 4);
    t.query_lengths = draw_lengths(p->batch, rows);
    t.key_lengths = draw_lengths(p->batch, keys);
    return t;
}

/* Faults that the library can see. */
static void spoil_additive_tensors(clattn_additive_tensors *t) {
    const float **const inputs[] = { &t->query, &t->key, &t->value, &t->v };
    clattn_integers *list = draw_one_in(2) ? &t->query_lengths : &t->key_lengths;
    switch (draw_below(7)) {
        case 0: *inputs[draw_below(4)] = NULL; break;
        case 1: *inputs[draw_below(4)] = (const float *)(UINTPTR_MAX - 3); break;
        case 2: list->offset = draw_one_in(2) ? -draw_between(1, 9) : INT64_MAX - draw_between(0, 9); break;
        case 3: list->type = (clattn_int_type)draw_between(2, 5); break;
        case 4: t->query_length = -draw_between(2, 9); break;
        case 5: t->output = NULL; break;
        default: t->struct_size = (size_t)draw_between(0, 100); break;
    }
}

static void misuse_additive(clattn_runtime *runtime) {
    clattn_additive_problem p = draw_additive();
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_additive_plan *plan = (clattn_additive_plan *)&p;
    clattn_report report;
    options.engine = draw_one_in(2) ? "cpu" : draw_one_in(4) ? NULL : "reference";
    options.concurrency = draw_one_in(9) ? draw_between(-1, 3) : 1;
    clattn_status status = clattn_additive_plan_create(runtime, &p, &options, &plan, &report);
    if ((status == CLATTN_OK) != (plan != NULL)) {
        misuse_fail("clattn_additive_plan_create: %s, and a plan", clattn_status_name(status));
    }
    if (misuse_refused("clattn_additive_plan_create", status)) {
        return;
    }
    bool small = p.batch < 9 && p.query_length < 99 && p.key_length < 99 && p.hidden < 999 && p.value_dim < 999;
    clattn_additive_tensors t = CLATTN_ADDITIVE_TENSORS_INIT;
    if (!small && !p.query_lengths && !p.key_lengths) { /* nothing to do, and no memory to do it in */
        t.query_length = t.key_length = 0;
        misuse_refused("clattn_additive_execute without rows", clattn_additive_execute(plan, &t));
    } else if (small) {
        int64_t rows = draw_between(0, p.query_length), keys = draw_between(0, p.key_length), last = p.batch - 1;
        t = draw_additive_tensors(&p, rows, keys);
        bool spoilt = draw_one_in(2);
        if (spoilt) {
            spoil_additive_tensors(&t);
        }
        memory_paint();
        status = clattn_additive_execute(plan, &t);
        if (misuse_refused("clattn_additive_execute", status)) {
            memory_unwritten("clattn_additive_execute");
            if (!spoilt) {
                misuse_fail("clattn_additive_execute: %s", clattn_status_name(status));
            }
        } else {
            walk outputs[] = { dense(t.output, last + 1, rows, p.value_dim, 4), dense(t.weights, last + 1, rows, keys, 4),
                               dense(t.logsumexp, last + 1, rows, 1, 4) };
            outputs[0].stride[1] = p.query_length * p.value_dim;
            outputs[1].stride[1] = p.query_length * p.key_length, outputs[1].stride[2] = p.key_length;
            outputs[2].stride[1] = p.query_length;
            memory_written("clattn_additive_execute", outputs, 3);
            uint64_t sum = memory_outputs();
            memory_paint();
            if (clattn_additive_execute(plan, &t) != CLATTN_OK || memory_outputs() != sum) {
                misuse_fail("clattn_additive_execute: the same call twice gives other bits");
            }
        }
    }
    clattn_additive_plan_destroy(plan);
}

void misuse_operations(clattn_runtime *runtime) {
    if (draw_one_in(3)) {
        misuse_merge();
    } else {
        misuse_additive(runtime);
    }
}
