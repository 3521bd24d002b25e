#include "gate_gradient_case.h"

#include "support/suite.h"

void gate_gradient_begin(const char *line, clattn_runtime **runtime, attn_case_data *data, attn_gradient_gold **gold) {
    attn_error error = { 0 };
    attn_cases cases = { 0 };
    *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 2, true, { 0 } });
    ck_assert_msg(attn_cases_line(&cases, line, &error) == 0, "%s", error.text);
    ck_assert_msg(attn_case_data_create(data, &cases.items[0], true, &error) == 0, "%s", error.text);
    ck_assert_msg(attn_gate_gradients_create(gold, data, NULL, &error) == 0, "%s", error.text);
    attn_cases_free(&cases);
}

void gate_gradient_end(clattn_runtime *runtime, attn_case_data *data, attn_gradient_gold *gold) {
    attn_gate_gradients_free(gold);
    attn_case_data_free(data);
    clattn_runtime_destroy(runtime);
}
