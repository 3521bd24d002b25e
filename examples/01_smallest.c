/* The smallest program: attention of 4 queries over 6 keys, one call. */
#include <stdio.h>

#include "clattn/clattn.h"

int main(void) {
    float query[4 * 8] = { 1, 2, 3 }, key[6 * 8] = { 3, 2, 1 }, value[6 * 8] = { 1 }, output[4 * 8];
    clattn_runtime *runtime;
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_tensors tensors = CLATTN_TENSORS_INIT;
    problem.query_length = 4, problem.key_length = 6, problem.head_dim = 8;
    tensors.query.data = query, tensors.key.data = key, tensors.value.data = value, tensors.output.data = output;
    clattn_status status = clattn_runtime_create(NULL, &runtime);
    if (status == CLATTN_OK) {
        status = clattn_attention(runtime, &problem, NULL, &tensors, NULL);
        clattn_runtime_destroy(runtime);
    }
    printf("%s: output[0] = %g\n", clattn_status_message(status), status == CLATTN_OK ? (double)output[0] : 0.0);
    return status != CLATTN_OK;
}
