/* Results of two builds side by side, forward or backward. */
#include "compare_results.h"

#include <math.h>
#include <string.h>

/* What a call writes: gradients, or output, logsumexp and weights. */
static int list_results(const attn_case_data *data, const attn_guarded *results[ATTN_GRADIENTS], clattn_type types[]) {
    const clattn_problem *p = &data->problem;
    bool backward = p->direction == CLATTN_BACKWARD;
    for (int g = 0; g < ATTN_GRADIENTS && backward; g++) {
        results[g] = &data->gradients[g].memory;
        types[g] = data->gradients[g].type;
    }
    if (!backward) {
        results[0] = &data->output, types[0] = attn_case_output_type(p);
        results[1] = &data->logsumexp, types[1] = attn_case_logsumexp_type(p);
        results[2] = &data->weights, types[2] = attn_case_weights_type(p);
    }
    return backward ? ATTN_GRADIENTS : 3;
}

int64_t attn_results_copy(const attn_case_data *data, char *to) {
    const attn_guarded *results[ATTN_GRADIENTS];
    clattn_type types[ATTN_GRADIENTS];
    int count = list_results(data, results, types);
    int64_t bytes = 0;
    for (int i = 0; i < count; bytes += results[i++]->bytes) {
        if (to && results[i]->bytes > 0)
            memcpy(to + bytes, results[i]->data, (size_t)results[i]->bytes);
    }
    return bytes;
}

void attn_results_fill(attn_case_data *data) {
    (data->problem.direction == CLATTN_BACKWARD ? attn_case_gradients_fill : attn_case_data_fill_outputs)(data, 0xff);
}

double attn_results_differ(const attn_case_data *data, const char *a, const char *b) {
    const attn_guarded *results[ATTN_GRADIENTS];
    clattn_type types[ATTN_GRADIENTS];
    int count = list_results(data, results, types);
    double most = 0;
    for (int r = 0; r < count; a += results[r]->bytes, b += results[r++]->bytes) {
        for (int64_t i = 0; i < results[r]->bytes / clattn_type_size(types[r]); i++) {
            double x = clattn_get_element(types[r], a, i), y = clattn_get_element(types[r], b, i);
            double difference = isnan(x) || isnan(y) ? (isnan(x) && isnan(y) ? 0 : INFINITY) : x == y ? 0 : fabs(x - y);
            most = difference > most ? difference : most;
        }
    }
    return most;
}
