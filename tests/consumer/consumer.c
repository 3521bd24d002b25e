/* A user of the installed package: one attention call through the public headers alone. The query is zero, so every
 * weight is the same and the output is the mean of the values. */
#include <clattn/clattn.h>
#include <clattn/clattn_inspect.h>
#ifdef CLATTN_HAVE_OPENCL
#include <clattn/clattn_opencl.h>
#endif
#include <stdio.h>

static clattn_status attend(clattn_runtime *runtime, float output[2], clattn_report *report) {
    float query[2] = {0, 0};
    float key[6] = {1, 2, 3, 4, 5, 6};
    float value[6] = {1, 10, 2, 20, 6, 60};
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    problem.query_length = 1;
    problem.key_length = 3;
    problem.head_dim = 2;
    options.engine = "cpu";
    clattn_tensors tensors = CLATTN_TENSORS_INIT;
    tensors.query.data = query;
    tensors.key.data = key;
    tensors.value.data = value;
    tensors.output.data = output;
    return clattn_attention(runtime, &problem, &options, &tensors, report);
}

int main(void) {
    static clattn_report report;
    clattn_runtime *runtime = NULL;
    float output[2] = {0, 0};
    if (clattn_version() != CLATTN_VERSION) {
        return 1;
    }
    clattn_status status = clattn_runtime_create(NULL, &runtime);
    if (status == CLATTN_OK) {
        status = attend(runtime, output, &report);
    }
    clattn_runtime_destroy(runtime);
    printf("clattn %d, %d engines, %s: %g %g\n%s", clattn_version(), (int)clattn_engine_count(),
           clattn_status_message(status), output[0], output[1], report.text);
    return status == CLATTN_OK && output[0] > 2.999f && output[0] < 3.001f && output[1] > 29.99f && output[1] < 30.01f ? 0 : 1;
}
