/*
 * Gradients of `clattn run direction=backward`: which options belong to it, the arrays that are given, and the arrays to
 * write.
 */
#include <string.h>

#include "run_inputs.h"

int attn_run_check_direction(attn_run *run, attn_error *error) {
    run->backward = run->c.problem.direction == CLATTN_BACKWARD;
    for (int i = ATTN_RUN_GRAD_OUTPUT; i <= ATTN_RUN_GRAD_LOGSUMEXP; i++) {
        if (run->input_path[i] && !run->backward) {
            return attn_fail(error, ATTN_USAGE, "%s: gradients need direction=backward", attn_run_input_flags[i]);
        }
    }
    bool any = false;
    for (int o = ATTN_RUN_GRAD_QUERY; o < ATTN_RUN_OUTPUTS; o++) {
        any = any || run->output_path[o];
        if (run->output_path[o] && !run->backward) {
            return attn_fail(error, ATTN_USAGE, "%s: gradients need direction=backward", attn_run_output_flags[o]);
        }
    }
    if (any && !run->input_path[ATTN_RUN_GRAD_OUTPUT]) {
        return attn_fail(error, ATTN_USAGE, "--grad-output is missing: gradients need it");
    }
    run->backward = any; /* else the forward alone, which runs first anyway, has something to write */
    return ATTN_DONE;
}

static int check_shape(const attn_run *run, int which, attn_npy_type type, int dims, const int64_t *shape,
                       attn_error *error) {
    const attn_npy *array = &run->input[which];
    attn_npy expected = { .type = type, .dims = dims };
    char text[256], wants[320];
    memcpy(expected.shape, shape, (size_t)dims * sizeof *shape);
    if (array->type == type && array->dims == dims && memcmp(array->shape, shape, (size_t)dims * sizeof *shape) == 0) {
        return ATTN_DONE;
    }
    snprintf(wants, sizeof wants, "%s %s is expected", attn_npy_type_name(type), attn_npy_shape_text(&expected, text));
    return attn_run_refuse_input(run, which, wants, error);
}

/* [batch, heads, length, dim] in the layout of the words. */
static void put_shape(const attn_run *run, int64_t heads, int64_t length, int64_t dim, int64_t shape[4]) {
    shape[0] = run->problem.batch;
    shape[1] = run->c.bshd ? length : heads;
    shape[2] = run->c.bshd ? heads : length;
    shape[3] = dim;
}

/* Gradients of what is not there cannot be asked for. */
static int ask_gradients(attn_run *run, attn_error *error) {
    static const struct {
        int output, input;
        uint32_t bit;
    } all[] = {
        { ATTN_RUN_GRAD_QUERY, ATTN_RUN_QUERY, CLATTN_GRADIENT_QUERY },
        { ATTN_RUN_GRAD_KEY, ATTN_RUN_KEY, CLATTN_GRADIENT_KEY },
        { ATTN_RUN_GRAD_VALUE, ATTN_RUN_VALUE, CLATTN_GRADIENT_VALUE },
        { ATTN_RUN_GRAD_BIAS, ATTN_RUN_BIAS, CLATTN_GRADIENT_BIAS },
        { ATTN_RUN_GRAD_SLOPES, ATTN_RUN_SLOPES, CLATTN_GRADIENT_ALIBI_SLOPES },
        { ATTN_RUN_GRAD_SINKS, ATTN_RUN_SINKS, CLATTN_GRADIENT_SINKS },
    };
    run->gradients.gradients = 0;
    for (size_t n = 0; n < sizeof all / sizeof all[0]; n++) {
        if (run->output_path[all[n].output] && !run->input_path[all[n].input]) {
            return attn_fail(error, ATTN_USAGE, "%s: there is no %s", attn_run_output_flags[all[n].output],
                             attn_run_input_flags[all[n].input]);
        }
        run->gradients.gradients |= run->output_path[all[n].output] ? all[n].bit : 0;
    }
    return ATTN_DONE;
}

int attn_run_find_gradients(attn_run *run, attn_error *error) {
    const clattn_problem *p = &run->problem;
    int64_t shape[4];
    const int64_t rows[3] = { p->batch, p->query_heads, p->query_length };
    if (!run->backward) {
        return ATTN_DONE;
    }
    put_shape(run, p->query_heads, p->query_length, p->value_dim, shape);
    attn_npy_type wide = p->type == CLATTN_FP64 ? ATTN_NPY_FLOAT64 : ATTN_NPY_FLOAT32;
    bool has_logsumexp = run->input_path[ATTN_RUN_GRAD_LOGSUMEXP] != NULL;
    attn_npy_type type = attn_run_result_type(run, p->output_type);
    if (check_shape(run, ATTN_RUN_GRAD_OUTPUT, type, 4, shape, error) != ATTN_DONE ||
        (has_logsumexp && check_shape(run, ATTN_RUN_GRAD_LOGSUMEXP, wide, 3, rows, error) != ATTN_DONE)) {
        return error->status;
    }
    run->problem.logsumexp = true; /* the backward reads it */
    run->gradients = run->problem;
    run->gradients.direction = CLATTN_BACKWARD;
    run->gradients.weights = CLATTN_WEIGHTS_NONE;
    run->gradients.dropout_mask = false;
    run->gradients.grad_logsumexp = has_logsumexp;
    clattn_layout layout = run->c.bshd ? CLATTN_BSHD : CLATTN_BHSD;
    run->tensors.grad_output = (clattn_tensor){ .data = run->input[ATTN_RUN_GRAD_OUTPUT].data, .layout = layout };
    run->tensors.grad_logsumexp.data = run->input[ATTN_RUN_GRAD_LOGSUMEXP].data;
    return ask_gradients(run, error);
}

/* One gradient, where it is asked for. */
static int make(attn_run *run, int which, attn_npy_type type, int dims, const int64_t *shape, attn_error *error) {
    return run->output_path[which] ? attn_npy_create(&run->output[which], type, dims, shape, error) : ATTN_DONE;
}

int attn_run_make_gradients(attn_run *run, attn_error *error) {
    const clattn_problem *p = &run->problem;
    const attn_npy *bias = &run->input[ATTN_RUN_BIAS];
    attn_npy_type type = attn_run_result_type(run, p->gradient_type);
    attn_npy_type wide = p->type == CLATTN_FP64 ? ATTN_NPY_FLOAT64 : ATTN_NPY_FLOAT32;
    attn_npy_type grad_bias = p->gradient_type == CLATTN_RESULT_FP32 ? ATTN_NPY_FLOAT32 : bias->type;
    int64_t query[4], key[4], value[4];
    put_shape(run, p->query_heads, p->query_length, p->head_dim, query);
    put_shape(run, p->kv_heads, p->key_length, p->head_dim, key);
    put_shape(run, p->kv_heads, p->key_length, p->value_dim, value);
    if (!run->backward) {
        return ATTN_DONE;
    }
    if (make(run, ATTN_RUN_GRAD_QUERY, type, 4, query, error) != ATTN_DONE ||
        make(run, ATTN_RUN_GRAD_KEY, type, 4, key, error) != ATTN_DONE ||
        make(run, ATTN_RUN_GRAD_VALUE, type, 4, value, error) != ATTN_DONE ||
        make(run, ATTN_RUN_GRAD_BIAS, grad_bias, bias->dims, bias->shape, error) != ATTN_DONE ||
        make(run, ATTN_RUN_GRAD_SLOPES, wide, 1, &p->query_heads, error) != ATTN_DONE ||
        make(run, ATTN_RUN_GRAD_SINKS, wide, 1, &p->query_heads, error) != ATTN_DONE) {
        return error->status;
    }
    clattn_layout layout = run->c.bshd ? CLATTN_BSHD : CLATTN_BHSD;
    clattn_tensor *const tensors[] = { &run->tensors.grad_query, &run->tensors.grad_key, &run->tensors.grad_value };
    for (int n = 0; n < 3; n++) {
        *tensors[n] = (clattn_tensor){ .data = run->output[ATTN_RUN_GRAD_QUERY + n].data, .layout = layout };
    }
    run->tensors.grad_bias.data = run->output[ATTN_RUN_GRAD_BIAS].data;
    run->tensors.grad_alibi_slopes.data = run->output[ATTN_RUN_GRAD_SLOPES].data;
    run->tensors.grad_sinks.data = run->output[ATTN_RUN_GRAD_SINKS].data;
    return ATTN_DONE;
}
