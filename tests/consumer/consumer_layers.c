/* A user of the installed layers: self-attention over one token, whose output is its value, W_value times the input. */
#include <clattn/clattn_layers.h>
#include <stdio.h>

int main(void) {
    static clattn_report report;
    static const float input[2] = {3, 4}, unit[4] = {1, 0, 0, 1}, turned[4] = {0, 1, 2, 0};
    float output[2] = {0, 0};
    clattn_runtime_options runtime_options = CLATTN_RUNTIME_OPTIONS_INIT;
    runtime_options.without_opencl = true;
    clattn_runtime *runtime = NULL;
    clattn_attention_layer *layer = NULL;
    clattn_attention_layer_options options = clattn_self_attention(1, 2, 2, false);
    clattn_attention_weights weights = {.w_query = unit, .w_key = unit, .w_value = turned};
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = input;
    io.output = output;
    clattn_status status = clattn_runtime_create(&runtime_options, &runtime);
    if (status == CLATTN_OK) {
        status = clattn_attention_layer_create(runtime, &options, &layer, &report);
    }
    if (status == CLATTN_OK) {
        status = clattn_attention_layer_forward(layer, &weights, &io);
    }
    clattn_attention_layer_destroy(layer);
    clattn_runtime_destroy(runtime);
    printf("layers: %s: %g %g\n%s", clattn_status_message(status), output[0], output[1], report.text);
    return status == CLATTN_OK && output[0] > 3.999f && output[0] < 4.001f && output[1] > 5.999f && output[1] < 6.001f ? 0 : 1;
}
