/*
 * What every fuzz harness shares. A harness is a function from bytes to nothing that may refuse its input but not crash,
 * hang, or break a promise; FUZZ_CHECK says which promise. With libFuzzer that fuzzer calls it, else fuzz_driver.c does.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "clattn/clattn.h"

/** The harness. Answers 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Stops the program with a line that names what is broken. */
#define FUZZ_CHECK(what) ((what) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #what))
_Noreturn void fuzz_fail(const char *file, int line, const char *what);

/** The path of a file that holds these bytes until the next call. */
const char *fuzz_file(const void *data, size_t size);

/** The bytes with a NUL behind them, in a block of just that size, so that a reader that goes past it is seen. */
char *fuzz_text(const void *data, size_t size);

/** Options of a runtime without OpenCL, of one thread, whose allocator gives at most FUZZ_MEMORY bytes at once. */
enum { FUZZ_MEMORY = 16 << 20 };
clattn_runtime_options fuzz_runtime_options(void);

/** A runtime with these options, made once. */
clattn_runtime *fuzz_runtime(void);

#endif
