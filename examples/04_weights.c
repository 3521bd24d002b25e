/*
 * What attention looks at, as a picture of characters: weights written out, a row a query, a column a key. Words are
 * vectors here; equal words have equal vectors, so each word finds itself and its repetitions.
 */
#include <stdio.h>

#include "clattn/clattn.h"

enum { WORDS = 9, DIM = 16 };

static const char *const words[WORDS] = { "the", "cat", "saw", "the", "dog", "and", "the", "dog", "ran" };

/* A fixed vector for each spelling. */
static void embed(const char *word, float *vector) {
    unsigned seed = 2166136261u;
    for (const char *at = word; *at != '\0'; at++) {
        seed = (seed ^ (unsigned char)*at) * 16777619u;
    }
    for (int d = 0; d < DIM; d++) {
        seed = seed * 1664525u + 1013904223u;
        vector[d] = (float)(seed >> 8) / 8388608.0F - 1;
    }
}

int main(void) {
    static float vectors[WORDS * DIM], output[WORDS * DIM], weights[WORDS * WORDS];
    static clattn_report report;
    static const char shades[] = " .:-=+*#%@";
    clattn_runtime *runtime;
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    for (int i = 0; i < WORDS; i++) {
        embed(words[i], vectors + i * DIM);
    }
    p.query_length = WORDS, p.head_dim = DIM;
    p.has_scale = true, p.scale = 0.7;
    p.causal = true; /* a word sees itself and those before it */
    p.weights = CLATTN_WEIGHTS_SOFTMAX;
    t.query.data = t.key.data = t.value.data = vectors;
    t.output.data = output;
    t.weights.data = weights;
    clattn_status status = clattn_runtime_create(NULL, &runtime);
    if (status == CLATTN_OK) {
        status = clattn_attention(runtime, &p, NULL, &t, &report);
        clattn_runtime_destroy(runtime);
    }
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n", clattn_status_message(status), report.text);
        return 1;
    }
    int found = 0;
    for (int i = 0; i < WORDS; i++) {
        printf("%4s |", words[i]);
        for (int j = 0; j < WORDS; j++) {
            printf("%c%c", shades[(int)(weights[i * WORDS + j] * 9.99F)], j < WORDS - 1 ? ' ' : '|');
        }
        printf("\n");
        found += weights[i * WORDS + i] > 0.3F && (i == WORDS - 1 || weights[i * WORDS + i + 1] == 0);
    }
    return found < WORDS - 2; /* most words look at themselves, none at the future */
}
