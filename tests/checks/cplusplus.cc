// Every _INIT macro in C++; compiled by cplusplus.sh, never run.
#include "clattn/clattn_inspect.h"
#include "clattn/clattn_learning.h"
#include "clattn/clattn_memory.h"

int main() {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options plan = CLATTN_PLAN_OPTIONS_INIT;
    clattn_tensor tensor = CLATTN_TENSOR_INIT;
    clattn_broadcast broadcast = CLATTN_BROADCAST_INIT;
    clattn_array array = CLATTN_ARRAY_INIT;
    clattn_integers integers = CLATTN_INTEGERS_INIT;
    clattn_tensors tensors = CLATTN_TENSORS_INIT;
    clattn_additive_problem additive = CLATTN_ADDITIVE_PROBLEM_INIT;
    clattn_additive_tensors additive_tensors = CLATTN_ADDITIVE_TENSORS_INIT;
    clattn_linear_problem linear = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_linear_tensors linear_tensors = CLATTN_LINEAR_TENSORS_INIT;
    clattn_attention_layer_io attention = CLATTN_ATTENTION_LAYER_IO_INIT;
    clattn_additive_layer_options additive_options = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    clattn_additive_layer_io additive_io = CLATTN_ADDITIVE_LAYER_IO_INIT;
    clattn_glimpse_options glimpse = CLATTN_GLIMPSE_OPTIONS_INIT;
    clattn_glimpse_io glimpse_io = CLATTN_GLIMPSE_IO_INIT;
    clattn_linear_gradients linear_gradients = CLATTN_LINEAR_GRADIENTS_INIT;
    clattn_cross_entropy_io entropy = CLATTN_CROSS_ENTROPY_IO_INIT;
    clattn_attention_gradients attention_gradients = CLATTN_ATTENTION_GRADIENTS_INIT;
    clattn_additive_gradients additive_gradients = CLATTN_ADDITIVE_GRADIENTS_INIT;
    clattn_glimpse_gradients glimpse_gradients = CLATTN_GLIMPSE_GRADIENTS_INIT;
    clattn_block_options block = CLATTN_BLOCK_OPTIONS_INIT;
    clattn_block_io block_io = CLATTN_BLOCK_IO_INIT;
    clattn_decoder_options decoder = CLATTN_DECODER_OPTIONS_INIT;
    clattn_optimiser_options optimiser = CLATTN_OPTIMISER_OPTIONS_INIT;
    clattn_schedule schedule = CLATTN_SCHEDULE_INIT;
    clattn_neural_memory_options memory = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    clattn_neural_memory_io memory_io = CLATTN_NEURAL_MEMORY_IO_INIT;
    clattn_neural_memory_gradients memory_gradients = CLATTN_NEURAL_MEMORY_GRADIENTS_INIT;
    clattn_memory_layer_options memory_layer = CLATTN_MEMORY_LAYER_OPTIONS_INIT;
    clattn_memory_layer_io memory_layer_io = CLATTN_MEMORY_LAYER_IO_INIT;
    tensors.query = tensor;
    tensors.mask = broadcast;
    tensors.sinks = array;
    tensors.offsets = integers;
    clattn_problem_init(&problem, sizeof problem);
    clattn_report report;
    clattn_report_clear(&report);
    clattn_report_line(&report, "rows: %d", 3);
    return static_cast<int>(options.threads + problem.batch + plan.concurrency + tensors.past_length + additive.batch +
                            additive_tensors.key_length + linear.rows + linear_tensors.rows + attention.keep_memory +
                            additive_options.key_dim + additive_io.additive.key_length + glimpse.rows + glimpse_io.rows +
                            linear_gradients.rows + entropy.rows + optimiser.decay_all + schedule.steps +
                            attention_gradients.grad_sinks.offset + block.batch + block_io.length + decoder.blocks +
                            memory.chunk + memory_io.length + memory_layer.window + memory_layer_io.seen +
                            (memory_gradients.grad_key == glimpse_gradients.grad_context) +
                            (additive_gradients.grad_v == glimpse_gradients.grad_input));
}
