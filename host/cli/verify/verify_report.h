/* What `clattn verify` counts and prints. */
#ifndef ATTN_CLI_VERIFY_VERIFY_REPORT_H
#define ATTN_CLI_VERIFY_VERIFY_REPORT_H

#include "base/rows_file.h"
#include "case/session.h"
#include "gate/gate.h"

enum { ATTN_TALLIES = 32, ATTN_REASONS = 16 };

/** One engine's numbers. */
typedef struct attn_verify_engine {
    int64_t passed, failed, refused, beyond_512, beyond_4096;
    double worst, worst_max, worst_mean; /* largest part of a bound; of rule 2's ratios */
    int reason_count;
    struct {
        char text[512];
        int64_t count;
    } reasons[ATTN_REASONS];
} attn_verify_engine;

typedef struct attn_verify_report {
    const attn_session *session;
    attn_table table;
    int64_t cases, beyond_512, beyond_4096, empty, served, refused;
    int64_t tallies[ATTN_TALLIES]; /* by place */
    attn_verify_engine engines[ATTN_TARGETS_MAX];
} attn_verify_report;

void attn_verify_report_init(attn_verify_report *report, const attn_session *session);
void attn_verify_report_free(attn_verify_report *report);

/** Counts how the case was drawn. */
void attn_verify_report_count(attn_verify_report *report, const attn_case *c, const clattn_problem *problem);

/** Adds a result of target number t. */
void attn_verify_report_add(attn_verify_report *report, const attn_case *c, const clattn_problem *problem, int t,
                            const attn_gate_result *result);

/** Prints how cases were drawn and what each engine did. */
void attn_verify_report_print(const attn_verify_report *report, int64_t random_count, int64_t seed);

/** The rows as a JSON file; user is not used. */
void attn_verify_report_json(const void *user, const attn_table *table, bool complete, FILE *file);

#endif
