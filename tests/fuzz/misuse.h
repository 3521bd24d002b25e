/*
 * The misuse fuzzer's parts: numbers drawn from a seed, memory between pages that may not be touched, and what must hold of
 * that memory after a call. A finding prints the run and the seed, which replay it, and ends the program.
 */
#ifndef TESTS_FUZZ_MISUSE_H
#define TESTS_FUZZ_MISUSE_H

#include "clattn/clattn_inspect.h"

__extension__ typedef __int128 wide; /* sums and products of 64-bit numbers, exact */

void draw_begin(uint64_t seed, int64_t run);
int64_t draw_below(int64_t n);                 /* 0 .. n - 1 */
int64_t draw_between(int64_t low, int64_t high); /* both included */
bool draw_one_in(int64_t n);
int64_t draw_odd(void); /* what sizes, strides and offsets should not be: negative, huge, beside a power of two */
int64_t draw_small_or_odd(int64_t low, int64_t high); /* between the two, now and then odd */

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2), noreturn))
#endif
void misuse_fail(const char *format, ...);

/** What a call walks: elements of `size` bytes. */
typedef struct walk {
    const void *data;
    int64_t offset, extent[4], stride[4], size;
} walk;

/** The bytes from data on that are walked, 0 when there is no element. */
wide walk_bytes(const walk *w);

typedef enum walk_kind {
    WALK_FITS,    /* inside memory of the run */
    WALK_REFUSED, /* the library can see it and must refuse */
    WALK_LIE      /* the library cannot know how much memory there is: nobody may make this call */
} walk_kind;
walk_kind walk_judge(const walk *w);

void memory_begin(void); /* gives back the last run's */

/** Memory of the run for an output, between pages that may not be touched; elements of 1, 2, 4 or 8 bytes. */
void *memory_output(wide bytes, int64_t element);

/** The same for an input: any bits, or numbers of the type (any bits now and then). */
void *memory_bits(wide bytes, int64_t element);
void *memory_numbers(wide bytes, clattn_type type);

/** So many floats: an input's numbers, and an output's memory. */
float *memory_floats(wide count);
float *memory_results(wide count);

/** An address that nobody may read or write. */
void *memory_forbidden(void);

void memory_paint(void);                                 /* before a call: outputs get a pattern, inputs are remembered */
void memory_unwritten(const char *call);                 /* after a refusal: all is as it was */
void memory_written(const char *call, const walk *outputs, int count); /* after success: only what outputs walk has changed */
uint64_t memory_outputs(void);                           /* a sum over what is written */
bool memory_is_input(const void *data);                  /* whether an output was put into an input's block, beside it */

/** Refusals that must leave memory alone; an answer that the header does not know is a finding. */
bool misuse_refused(const char *call, clattn_status status);

/** A call that is done where it is right, and refused without a trace where it is not. */
void misuse_expect(const char *call, clattn_status status, bool right);

/** A problem of attention, and how it is to be planned; with OpenCL devices it may name their engines. */
clattn_problem misuse_draw_problem(bool opencl, clattn_plan_options *options);

/** Whether a resolved problem's tensors fit the fuzzer's memory. */
bool misuse_is_small(const clattn_problem *p);

void misuse_attention(clattn_runtime *runtime);
void misuse_operations(clattn_runtime *runtime);
void misuse_layers(clattn_runtime *runtime);
void misuse_learning(clattn_runtime *runtime);
void misuse_neural_memory(clattn_runtime *runtime);

#endif
