/* The misuse fuzzer on neural memory and on layers with one. Only in builds with layers. */
#include "clattn/clattn_memory.h"
#include "misuse.h"

static float *wanted(wide count) {
    return draw_one_in(3) ? NULL : memory_results(count);
}

typedef struct call_of_memory {
    clattn_neural_memory_options o;
    clattn_neural_memory *memory;
    clattn_neural_memory_io io;
    int64_t rows, states, chunks; /* tokens of all heads; numbers of all states */
} call_of_memory;

static void draw_call(call_of_memory *c) {
    const clattn_neural_memory_options *o = &c->o;
    int64_t length = draw_between(0, o->length), heads = o->batch * o->heads;
    c->rows = heads * length;
    c->states = heads * clattn_neural_memory_get_state_size(c->memory);
    c->chunks = (length + o->chunk - 1) / o->chunk;
    c->io = (clattn_neural_memory_io)CLATTN_NEURAL_MEMORY_IO_INIT;
    c->io.length = length;
    c->io.key = memory_floats(c->rows * o->key_dim), c->io.value = memory_floats(c->rows * o->value_dim);
    c->io.alpha = memory_floats(c->rows), c->io.theta = memory_floats(c->rows), c->io.eta = memory_floats(c->rows);
    c->io.state_in = memory_floats(c->states), c->io.state_out = wanted(c->states);
    if (draw_one_in(4) == false) {
        c->io.query = memory_floats(c->rows * o->key_dim), c->io.output = memory_results(c->rows * o->value_dim);
    }
}

static void misuse_forward(call_of_memory *c) {
    int64_t fault = draw_below(12);
    bool some = c->rows > 0, right = fault > 6 || (fault < 4 && !some);
    clattn_neural_memory_io *io = &c->io;
    io->kept = wanted((wide)c->states * c->chunks);
    switch (fault) {
        case 0: io->key = NULL; break;
        case 1: io->eta = NULL; break;
        case 2: io->value = NULL; break;
        case 3: /* reads without a place to read into, or into where the values are */
            right = right || !io->output;
            io->output = draw_one_in(2) || !io->output ? NULL : (float *)(uintptr_t)io->value;
            break;
        case 4: io->length = draw_one_in(2) ? c->o.length + 1 : -2; break;
        case 5: io->struct_size -= 8; break;
        case 6: /* a linear memory begins with 0 */
            io->state_in = NULL;
            right = c->o.depth == CLATTN_MEMORY_LINEAR || c->states == 0;
            break;
        default: break;
    }
    memory_paint();
    misuse_expect("clattn_neural_memory_forward", clattn_neural_memory_forward(c->memory, io), right);
}

static void misuse_backward(call_of_memory *c) {
    clattn_neural_memory_gradients g = CLATTN_NEURAL_MEMORY_GRADIENTS_INIT;
    const clattn_neural_memory_options *o = &c->o;
    int64_t fault = draw_below(9), learns = draw_one_in(8) ? 0 : 1;
    bool some = c->rows > 0;
    if (learns && misuse_refused("clattn_neural_memory_learn", clattn_neural_memory_learn(c->memory, NULL))) {
        misuse_fail("a memory that learns is refused");
    }
    c->io.kept = memory_floats((wide)c->states * c->chunks);
    g.grad_output = c->io.query ? memory_floats(c->rows * o->value_dim) : NULL;
    g.grad_state_out = draw_one_in(2) ? memory_floats(c->states) : NULL;
    g.grad_key = wanted(c->rows * o->key_dim), g.grad_value = wanted(c->rows * o->value_dim);
    g.grad_query = wanted(c->rows * o->key_dim), g.grad_state_in = wanted(c->states);
    g.grad_alpha = wanted(c->rows), g.grad_theta = wanted(c->rows), g.grad_eta = wanted(c->rows);
    switch (fault) {
        case 0: c->io.kept = NULL; break;
        case 1: c->io.theta = NULL; break;
        case 2: g.struct_size = 0; break;
        case 3: c->io.length = o->length + 1; break;
        default: break;
    }
    memory_paint();
    misuse_expect("clattn_neural_memory_backward", clattn_neural_memory_backward(c->memory, &c->io, &g),
                  learns && (fault > 3 || (fault < 2 && !some)));
}

static void misuse_read(call_of_memory *c) {
    int64_t rows = draw_between(0, 9), all = c->o.batch * c->o.heads * rows, fault = draw_below(6);
    const float *state = memory_floats(c->states), *query = memory_floats(all * c->o.key_dim);
    float *output = memory_results(all * c->o.value_dim);
    bool right = fault > 3 || (fault < 3 && all == 0), backward = draw_one_in(2), learns = !draw_one_in(8);
    state = fault == 0 ? NULL : state, query = fault == 1 ? NULL : query, output = fault == 2 ? NULL : output;
    rows = fault == 3 ? -1 - rows : rows;
    if (!backward) {
        memory_paint();
        misuse_expect("clattn_neural_memory_read",
                      clattn_neural_memory_read(c->memory, rows, state, query, output, NULL), right);
        return;
    }
    if (learns && misuse_refused("clattn_neural_memory_learn", clattn_neural_memory_learn(c->memory, NULL))) {
        misuse_fail("a memory that learns is refused");
    }
    float *grad_query = wanted(all * c->o.key_dim), *grad_state = wanted(c->states);
    memory_paint();
    misuse_expect(
        "clattn_neural_memory_read_backward",
        clattn_neural_memory_read_backward(c->memory, rows, state, query, output, grad_query, grad_state, NULL),
        right && learns);
}

static void misuse_memory(clattn_runtime *runtime) {
    call_of_memory c = { .o = CLATTN_NEURAL_MEMORY_OPTIONS_INIT };
    clattn_neural_memory_options *o = &c.o;
    o->batch = draw_small_or_odd(0, 2), o->heads = draw_small_or_odd(1, 3), o->length = draw_small_or_odd(0, 12);
    o->chunk = draw_small_or_odd(1, 5), o->key_dim = draw_small_or_odd(1, 20), o->value_dim = draw_small_or_odd(1, 20);
    o->depth = draw_one_in(2) ? CLATTN_MEMORY_LINEAR : CLATTN_MEMORY_TWO_LAYERS, o->hidden = draw_small_or_odd(1, 20);
    o->read_before = draw_one_in(2), o->bend = draw_one_in(2) ? CLATTN_MEMORY_SILU : CLATTN_MEMORY_GELU;
    o->plan.engine = draw_one_in(2) ? "cpu" : "reference";
    if (misuse_refused("clattn_neural_memory_create", clattn_neural_memory_create(runtime, o, &c.memory, NULL))) {
        return;
    }
    o->value_dim = o->value_dim == CLATTN_SAME ? o->key_dim : o->value_dim;
    bool hidden = o->depth == CLATTN_MEMORY_LINEAR || o->hidden < 100;
    if (o->batch < 100 && o->heads < 100 && o->length < 100 && o->chunk < 100 && o->key_dim < 100 &&
        o->value_dim < 100 && hidden) {
        draw_call(&c);
        switch (draw_below(3)) {
            case 0: misuse_read(&c); break;
            case 1: misuse_backward(&c); break;
            default: misuse_forward(&c); break;
        }
    }
    clattn_neural_memory_destroy(c.memory);
}

static void misuse_layer_call(const clattn_memory_layer_options *o, clattn_memory_layer *layer) {
    int64_t length = draw_between(0, o->length), rows = o->batch * length * o->dim, square = o->dim * o->dim;
    int64_t fault = draw_below(12), states = o->batch * clattn_memory_layer_get_state_size(layer);
    bool attends = o->form != CLATTN_MEMORY_ALONE;
    clattn_memory_layer_io io = CLATTN_MEMORY_LAYER_IO_INIT;
    clattn_memory_layer_weights w = { .w_memory_query = memory_floats(square),
                                      .w_memory_key = memory_floats(square),
                                      .w_memory_value = memory_floats(square),
                                      .w_gates = memory_floats(3 * o->memory_heads * o->dim),
                                      .persistent = memory_floats(o->persistent * o->dim) };
    w.attention = (clattn_attention_weights){
        memory_floats(square), memory_floats(square), memory_floats(square), memory_floats(square), 0, 0, 0, 0
    };
    io.length = length, io.seen = draw_one_in(2) ? 0 : draw_between(1, 30);
    io.input = memory_floats(rows), io.output = memory_results(rows), io.state = memory_results(states);
    if (misuse_refused("clattn_memory_layer_start", clattn_memory_layer_start(layer, 3, io.state)) && states > 0) {
        misuse_fail("a state is refused");
    }
    switch (fault) {
        case 0: io.input = NULL; break;
        case 1: io.output = NULL; break;
        case 2: io.state = NULL; break;
        case 3: w.w_gates = NULL; break;
        case 4: w.attention.w_value = NULL; break;
        case 5: w.persistent = NULL; break;
        case 6: io.seen = -1; break;
        case 7: io.length = o->length + 1; break;
        case 8: io.struct_size++; break;
        default: break;
    }
    bool right = fault > 8 || (fault < 2 && rows == 0) || (fault == 2 && states == 0) || (fault == 4 && !attends) ||
                 (fault == 5 && o->persistent == 0);
    memory_paint();
    misuse_expect("clattn_memory_layer_forward", clattn_memory_layer_forward(layer, &w, &io), right);
}

static void misuse_layer(clattn_runtime *runtime) {
    clattn_memory_layer_options o = CLATTN_MEMORY_LAYER_OPTIONS_INIT;
    clattn_memory_layer *layer = NULL;
    o.form = (clattn_memory_form)draw_below(4);
    o.batch = draw_small_or_odd(0, 2), o.length = draw_small_or_odd(0, 9), o.heads = draw_small_or_odd(1, 3);
    o.memory_heads = draw_small_or_odd(1, 2), o.window = draw_small_or_odd(1, 6), o.chunk = draw_small_or_odd(1, 4);
    o.dim = draw_one_in(25) ? draw_odd() : 6 * draw_between(1, 2);
    o.persistent = o.form == CLATTN_MEMORY_ALONE ? 0 : draw_small_or_odd(0, 3);
    o.depth = draw_one_in(2) ? CLATTN_MEMORY_LINEAR : CLATTN_MEMORY_TWO_LAYERS, o.hidden = draw_small_or_odd(1, 9);
    o.plan.engine = draw_one_in(2) ? "cpu" : "reference";
    if (misuse_refused("clattn_memory_layer_create", clattn_memory_layer_create(runtime, &o, &layer, NULL))) {
        return;
    }
    bool hidden = o.depth == CLATTN_MEMORY_LINEAR || o.hidden < 100;
    if (o.batch < 100 && o.length < 100 && o.dim < 100 && o.persistent < 100 && hidden &&
        (o.form == CLATTN_MEMORY_ALONE || o.window < 100)) {
        misuse_layer_call(&o, layer);
    }
    clattn_memory_layer_destroy(layer);
}

void misuse_neural_memory(clattn_runtime *runtime) {
    if (draw_one_in(3)) {
        misuse_layer(runtime);
    } else {
        misuse_memory(runtime);
    }
}
