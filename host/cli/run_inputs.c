/*
 * From .npy files to a problem and its tensors: element types, shapes, past keys before new ones. Everything is
 * checked here or by clattn_tensors_check before anything is computed or written; errors name the file.
 */
#include "run_inputs.h"

#include <inttypes.h>
#include <string.h>

const char *const attn_run_input_flags[ATTN_RUN_INPUTS] = {
    "--query",        "--key",   "--value",       "--past-key",       "--past-value",
    "--mask",         "--bias",  "--key-lengths", "--query-lengths",  "--offsets",
    "--alibi-slopes", "--sinks", "--grad-output", "--grad-logsumexp",
};
const char *const attn_run_output_flags[ATTN_RUN_OUTPUTS] = {
    "--output",     "--logsumexp", "--weights",    "--present-key", "--present-value",     "--dropout-mask",
    "--grad-query", "--grad-key",  "--grad-value", "--grad-bias",   "--grad-alibi-slopes", "--grad-sinks",
};

int attn_run_refuse_input(const attn_run *run, int which, const char *wants, attn_error *error) {
    char shape[256];
    const attn_npy *array = &run->input[which];
    return attn_fail(error, ATTN_USAGE, "%s %s: %s %s, but %s", attn_run_input_flags[which], run->input_path[which],
                     attn_npy_type_name(array->type), attn_npy_shape_text(array, shape), wants);
}

static int read_files(attn_run *run, attn_error *error) {
    for (int i = 0; i < ATTN_RUN_INPUTS; i++) {
        if (!run->input_path[i]) {
            if (i <= ATTN_RUN_VALUE) {
                return attn_fail(error, ATTN_USAGE, "%s is missing", attn_run_input_flags[i]);
            }
        } else if (attn_npy_read(&run->input[i], run->input_path[i], error) != ATTN_DONE) {
            return error->status;
        }
    }
    for (int i = 0; i < 2; i++) {
        if ((!run->input_path[ATTN_RUN_PAST_KEY + i]) != (!run->input_path[ATTN_RUN_PAST_KEY])) {
            return attn_fail(error, ATTN_USAGE, "--past-key and --past-value come together");
        }
    }
    return ATTN_DONE;
}

/* The storage type is that of the queries; keys, values and past are of the same. */
static int find_storage_type(attn_run *run, attn_error *error) {
    const attn_npy *query = &run->input[ATTN_RUN_QUERY];
    bool bf16 = run->c.has_type && run->c.problem.type == CLATTN_BF16;
    switch (query->type) {
        case ATTN_NPY_FLOAT32: run->problem.type = CLATTN_FP32; break;
        case ATTN_NPY_FLOAT16: run->problem.type = CLATTN_FP16; break;
        case ATTN_NPY_FLOAT64: run->problem.type = CLATTN_FP64; break;
        case ATTN_NPY_UINT16:
            if (!bf16) {
                return attn_run_refuse_input(run, ATTN_RUN_QUERY, "uint16 is bf16 only where type=bf16 is said", error);
            }
            run->problem.type = CLATTN_BF16;
            break;
        default:
            return attn_run_refuse_input(run, ATTN_RUN_QUERY, "float32, float16, float64 or uint16 (bf16) is expected",
                                         error);
    }
    if (run->c.has_type && run->c.problem.type != run->problem.type) {
        return attn_fail(error, ATTN_USAGE, "type=%s: %s holds %s", clattn_type_name(run->c.problem.type),
                         run->input_path[ATTN_RUN_QUERY], attn_npy_type_name(query->type));
    }
    for (int i = ATTN_RUN_KEY; i <= ATTN_RUN_PAST_VALUE; i++) {
        if (run->input[i].data && run->input[i].type != query->type) {
            return attn_run_refuse_input(run, i, "the type of --query is expected", error);
        }
    }
    return ATTN_DONE;
}

/* Sizes [batch, heads, length, dim] of an array in the layout of the words. */
static int read_sizes(const attn_run *run, int which, int64_t sizes[4], attn_error *error) {
    const attn_npy *array = &run->input[which];
    if (array->dims != 4) {
        return attn_run_refuse_input(run, which, "4 dimensions are expected", error);
    }
    memcpy(sizes, array->shape, 4 * sizeof *sizes);
    if (run->c.bshd) {
        sizes[1] = array->shape[2];
        sizes[2] = array->shape[1];
    }
    return ATTN_DONE;
}

/* What differs between two files, with the shapes of both. */
static int refuse_pair(const attn_run *run, int which, int other, const char *what, attn_error *error) {
    char shape[256], other_shape[256];
    return attn_fail(error, ATTN_USAGE, "%s %s: %s, %s %s: %s: %s", attn_run_input_flags[which], run->input_path[which],
                     attn_npy_shape_text(&run->input[which], shape), attn_run_input_flags[other],
                     run->input_path[other], attn_npy_shape_text(&run->input[other], other_shape), what);
}

/* Keys, values or past of either. Each of the four sizes must be that of another input; -1 = may be any. */
static int check_sizes(const attn_run *run, int which, const int others[4], int64_t sizes[4], attn_error *error) {
    static const char *const differ[] = { "their batch differs", "their heads differ", "their lengths differ",
                                          "their dims differ" };
    if (read_sizes(run, which, sizes, error) != ATTN_DONE) {
        return error->status;
    }
    for (int d = 0; d < 4; d++) {
        int64_t other[4];
        if (others[d] < 0) {
            continue;
        }
        if (read_sizes(run, others[d], other, error) != ATTN_DONE) {
            return error->status;
        }
        if (sizes[d] != other[d]) {
            return refuse_pair(run, which, others[d], differ[d], error);
        }
    }
    return ATTN_DONE;
}

static int find_sizes(attn_run *run, attn_error *error) {
    int64_t query[4], key[4], value[4], past[4] = { 0 }, past_value[4];
    clattn_problem *problem = &run->problem;
    const int of_key[4] = { ATTN_RUN_QUERY, -1, -1, ATTN_RUN_QUERY };
    const int of_value[4] = { ATTN_RUN_QUERY, ATTN_RUN_KEY, ATTN_RUN_KEY, -1 };
    const int of_past_key[4] = { ATTN_RUN_QUERY, ATTN_RUN_KEY, -1, ATTN_RUN_QUERY };
    const int of_past_value[4] = { ATTN_RUN_QUERY, ATTN_RUN_KEY, ATTN_RUN_PAST_KEY, ATTN_RUN_VALUE };
    if (read_sizes(run, ATTN_RUN_QUERY, query, error) != ATTN_DONE ||
        check_sizes(run, ATTN_RUN_KEY, of_key, key, error) != ATTN_DONE ||
        check_sizes(run, ATTN_RUN_VALUE, of_value, value, error) != ATTN_DONE) {
        return error->status;
    }
    if (run->input[ATTN_RUN_PAST_KEY].data &&
        (check_sizes(run, ATTN_RUN_PAST_KEY, of_past_key, past, error) != ATTN_DONE ||
         check_sizes(run, ATTN_RUN_PAST_VALUE, of_past_value, past_value, error) != ATTN_DONE)) {
        return error->status;
    }
    if (key[1] > 0 && query[1] % key[1] != 0) {
        return refuse_pair(run, ATTN_RUN_QUERY, ATTN_RUN_KEY, "query_heads is not a multiple of kv_heads", error);
    }
    problem->batch = query[0];
    problem->query_heads = query[1];
    problem->kv_heads = key[1];
    problem->query_length = query[2];
    problem->key_length = past[2] + key[2];
    problem->head_dim = query[3];
    problem->value_dim = value[3];
    problem->past_length = run->input[ATTN_RUN_PAST_KEY].data ? past[2] : run->c.problem.past_length;
    return ATTN_DONE;
}

static bool word_given(const attn_case *c, const char *name) {
    size_t length = strlen(name);
    for (const char *at = c->text; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " ")) {
        if (strncmp(at, name, length) == 0 && at[length] == '=') {
            return true;
        }
    }
    return false;
}

/* Sizes that the words say must be those of the files. */
static int check_words(const attn_run *run, attn_error *error) {
    const clattn_problem *words = &run->c.problem, *files = &run->problem;
    const struct {
        const char *name;
        int64_t said, held;
    } sizes[] = {
        { "batch", words->batch, files->batch },
        { "query_heads", words->query_heads, files->query_heads },
        { "kv_heads", words->kv_heads, files->kv_heads },
        { "query_length", words->query_length, files->query_length },
        { "key_length", words->key_length, files->key_length },
        { "head_dim", words->head_dim, files->head_dim },
        { "value_dim", words->value_dim, files->value_dim },
        { "past", words->past_length, files->past_length },
    };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        if (word_given(&run->c, sizes[s].name) && sizes[s].said != sizes[s].held) {
            return attn_fail(error, ATTN_USAGE, "%s=%" PRId64 ": the files hold %" PRId64, sizes[s].name, sizes[s].said,
                             sizes[s].held);
        }
    }
    return ATTN_DONE;
}

/* A mask or bias: broadcast from the right to [batch, query_heads, query_length, key_length]. */
static int find_broadcast(attn_run *run, int which, int64_t shape[4], clattn_broadcast *broadcast, attn_error *error) {
    const clattn_problem *problem = &run->problem;
    const int64_t full[4] = { problem->batch, problem->query_heads, problem->query_length, problem->key_length };
    const attn_npy *array = &run->input[which];
    char wants[160];
    snprintf(wants, sizeof wants,
             "1 to 4 dimensions that broadcast to (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ") are expected",
             full[0], full[1], full[2], full[3]);
    if (array->dims < 1 || array->dims > 4) {
        return attn_run_refuse_input(run, which, wants, error);
    }
    for (int d = 0; d < 4; d++) {
        int at = d - (4 - array->dims);
        shape[d] = at < 0 ? 1 : array->shape[at];
        if (shape[d] != 1 && shape[d] != full[d]) {
            return attn_run_refuse_input(run, which, wants, error);
        }
    }
    broadcast->data = array->data;
    return ATTN_DONE;
}

static int find_mask_and_bias(attn_run *run, attn_error *error) {
    const attn_npy *mask = &run->input[ATTN_RUN_MASK], *bias = &run->input[ATTN_RUN_BIAS];
    if (mask->data) {
        if (mask->type != ATTN_NPY_BOOL) {
            return attn_run_refuse_input(run, ATTN_RUN_MASK,
                                         "bool is expected (true = attend; --bias is what is added)", error);
        }
        run->problem.mask = CLATTN_MASK_BYTES;
        if (find_broadcast(run, ATTN_RUN_MASK, run->problem.mask_shape, &run->tensors.mask, error) != ATTN_DONE) {
            return error->status;
        }
    }
    if (bias->data) {
        if (bias->type != ATTN_NPY_FLOAT32 && bias->type != run->input[ATTN_RUN_QUERY].type) {
            return attn_run_refuse_input(run, ATTN_RUN_BIAS, "float32 or the type of --query is expected", error);
        }
        run->problem.bias = bias->type == ATTN_NPY_FLOAT32 ? CLATTN_BIAS_FP32 : CLATTN_BIAS_STORAGE;
        return find_broadcast(run, ATTN_RUN_BIAS, run->problem.bias_shape, &run->tensors.bias, error);
    }
    return ATTN_DONE;
}

/* One number a batch entry (integers) or query head (float32). */
static int check_vector(const attn_run *run, int which, int64_t count, bool integers, attn_error *error) {
    const attn_npy *array = &run->input[which];
    char wants[96];
    snprintf(wants, sizeof wants, "%s of shape (%" PRId64 ",) is expected", integers ? "int32 or int64" : "float32",
             count);
    bool type_fits =
        integers ? array->type == ATTN_NPY_INT32 || array->type == ATTN_NPY_INT64 : array->type == ATTN_NPY_FLOAT32;
    return type_fits && array->dims == 1 && array->shape[0] == count ? ATTN_DONE
                                                                     : attn_run_refuse_input(run, which, wants, error);
}

static int find_vectors(attn_run *run, attn_error *error) {
    clattn_problem *problem = &run->problem;
    clattn_tensors *tensors = &run->tensors;
    clattn_integers *integers[] = { &tensors->key_lengths, &tensors->query_lengths, &tensors->offsets };
    for (int i = ATTN_RUN_KEY_LENGTHS; i <= ATTN_RUN_SINKS; i++) {
        const attn_npy *array = &run->input[i];
        bool is_integer = i <= ATTN_RUN_OFFSETS;
        if (!array->data) {
            continue;
        }
        if (check_vector(run, i, is_integer ? problem->batch : problem->query_heads, is_integer, error) != ATTN_DONE) {
            return error->status;
        }
        if (is_integer) {
            *integers[i - ATTN_RUN_KEY_LENGTHS] =
                (clattn_integers){ array->data, 0, array->type == ATTN_NPY_INT32 ? CLATTN_INT32 : CLATTN_INT64 };
        }
    }
    problem->key_lengths = tensors->key_lengths.data;
    problem->query_lengths = tensors->query_lengths.data;
    if (tensors->offsets.data) {
        if (run->c.has_align) {
            return attn_fail(error, ATTN_USAGE,
                             "align and --offsets are both given; one of them says where the queries stand");
        }
        problem->alignment = CLATTN_ALIGN_OFFSETS;
    }
    problem->alibi = run->input[ATTN_RUN_SLOPES].data;
    problem->sinks = run->input[ATTN_RUN_SINKS].data;
    tensors->alibi_slopes.data = run->input[ATTN_RUN_SLOPES].data;
    tensors->sinks.data = run->input[ATTN_RUN_SINKS].data;
    return ATTN_DONE;
}

/* Puts the past before the new ones. */
static int join_past(attn_run *run, int which, int past_which, attn_error *error) {
    attn_npy *fresh = &run->input[which], *past = &run->input[past_which], joined;
    int length_at = run->c.bshd ? 1 : 2;
    int64_t shape[4], outer = 1;
    if (!past->data) {
        return ATTN_DONE;
    }
    memcpy(shape, fresh->shape, sizeof shape);
    shape[length_at] += past->shape[length_at];
    if (attn_npy_create(&joined, fresh->type, 4, shape, error) != ATTN_DONE) {
        return error->status;
    }
    for (int d = 0; d < length_at; d++) {
        outer *= shape[d];
    }
    if (outer > 0) {
        size_t size = (size_t)attn_npy_type_size(fresh->type);
        size_t past_part = (size_t)(past->count / outer) * size, fresh_part = (size_t)(fresh->count / outer) * size;
        for (size_t o = 0; o < (size_t)outer; o++) {
            char *at = (char *)joined.data + o * (past_part + fresh_part);
            memcpy(at, (char *)past->data + o * past_part, past_part);
            memcpy(at + past_part, (char *)fresh->data + o * fresh_part, fresh_part);
        }
    }
    attn_npy_free(fresh);
    attn_npy_free(past);
    *fresh = joined;
    return ATTN_DONE;
}

int attn_run_read(attn_run *run, attn_error *error) {
    run->problem = run->c.problem;
    run->problem.direction = CLATTN_FORWARD;
    run->problem.dropout_mask = run->output_path[ATTN_RUN_DROPOUT_MASK] && run->problem.dropout > 0;
    run->tensors = (clattn_tensors)CLATTN_TENSORS_INIT;
    run->tensors.dropout_seed = run->c.seed;
    if (read_files(run, error) != ATTN_DONE || find_storage_type(run, error) != ATTN_DONE ||
        find_sizes(run, error) != ATTN_DONE || check_words(run, error) != ATTN_DONE ||
        find_mask_and_bias(run, error) != ATTN_DONE || find_vectors(run, error) != ATTN_DONE ||
        join_past(run, ATTN_RUN_KEY, ATTN_RUN_PAST_KEY, error) != ATTN_DONE ||
        join_past(run, ATTN_RUN_VALUE, ATTN_RUN_PAST_VALUE, error) != ATTN_DONE) {
        return error->status;
    }
    clattn_layout layout = run->c.bshd ? CLATTN_BSHD : CLATTN_BHSD;
    run->tensors.query = (clattn_tensor){ .data = run->input[ATTN_RUN_QUERY].data, .layout = layout };
    run->tensors.key = (clattn_tensor){ .data = run->input[ATTN_RUN_KEY].data, .layout = layout };
    run->tensors.value = (clattn_tensor){ .data = run->input[ATTN_RUN_VALUE].data, .layout = layout };
    return attn_run_find_gradients(run, error);
}

attn_npy_type attn_run_result_type(const attn_run *run, clattn_result_type type) {
    return type == CLATTN_RESULT_FP32 ? ATTN_NPY_FLOAT32 : run->input[ATTN_RUN_QUERY].type;
}

int attn_run_make_outputs(attn_run *run, attn_error *error) {
    const clattn_problem *p = &run->problem;
    attn_npy_type storage = run->input[ATTN_RUN_QUERY].type;
    attn_npy_type wide = p->type == CLATTN_FP64 ? ATTN_NPY_FLOAT64 : ATTN_NPY_FLOAT32;
    int64_t output[4] = { p->batch, p->query_heads, p->query_length, p->value_dim };
    const int64_t rows[4] = { p->batch, p->query_heads, p->query_length, p->key_length };
    if (run->c.bshd) {
        output[1] = p->query_length;
        output[2] = p->query_heads;
    }
    attn_npy_type written = attn_run_result_type(run, p->output_type);
    if (attn_npy_create(&run->output[ATTN_RUN_OUTPUT], written, 4, output, error) != ATTN_DONE ||
        (p->logsumexp && attn_npy_create(&run->output[ATTN_RUN_LOGSUMEXP], wide, 3, rows, error) != ATTN_DONE) ||
        (p->weights != CLATTN_WEIGHTS_NONE &&
         attn_npy_create(&run->output[ATTN_RUN_WEIGHTS], p->weights == CLATTN_WEIGHTS_SOFTMAX ? storage : wide, 4, rows,
                         error) != ATTN_DONE) ||
        (run->output_path[ATTN_RUN_DROPOUT_MASK] &&
         attn_npy_create(&run->output[ATTN_RUN_DROPOUT_MASK], ATTN_NPY_BOOL, 4, rows, error) != ATTN_DONE)) {
        return error->status;
    }
    if (run->output_path[ATTN_RUN_DROPOUT_MASK] && !p->dropout_mask) { /* without dropout all are kept */
        memset(run->output[ATTN_RUN_DROPOUT_MASK].data, 1, (size_t)run->output[ATTN_RUN_DROPOUT_MASK].count);
    }
    run->tensors.output =
        (clattn_tensor){ .data = run->output[ATTN_RUN_OUTPUT].data, .layout = run->c.bshd ? CLATTN_BSHD : CLATTN_BHSD };
    run->tensors.logsumexp.data = run->output[ATTN_RUN_LOGSUMEXP].data;
    run->tensors.weights.data = run->output[ATTN_RUN_WEIGHTS].data;
    run->tensors.dropout_mask.data = run->output[ATTN_RUN_DROPOUT_MASK].data;
    return attn_run_make_gradients(run, error);
}

void attn_run_free(attn_run *run) {
    for (int i = 0; i < ATTN_RUN_INPUTS; i++) {
        attn_npy_free(&run->input[i]);
    }
    for (int o = 0; o < ATTN_RUN_OUTPUTS; o++) {
        attn_npy_free(&run->output[o]);
    }
}
