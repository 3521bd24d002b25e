/*
 * What a call changes of the thread that makes it, and puts back before it returns: the floating-point environment and
 * whether the thread may be cancelled. Inline functions of registers and of the C library, so that layers use them too.
 *
 * Between begin and end arithmetic rounds to nearest, keeps denormals and traps nothing, whatever the caller has set;
 * the caller finds rounding, masks and exception flags as they were. What computes stands in a function of its own that
 * is not inlined (ATTN_NOT_INLINED): a compiler may move arithmetic on registers across a change of the environment.
 */
#ifndef ATTN_BASE_VISIT_H
#define ATTN_BASE_VISIT_H

#include <pthread.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#else
#include <fenv.h>
#endif

#if defined(__GNUC__)
#define ATTN_NOT_INLINED __attribute__((noinline))
#define ATTN_MEMORY_FENCE() __asm__ volatile("" ::: "memory")
#else
#define ATTN_NOT_INLINED
#define ATTN_MEMORY_FENCE() ((void)0)
#endif

#if defined(__SSE2__)

/* Of the register mxcsr: exception flags; the rest at its default. Of the x87's control word: masks, precision,
   rounding; their default. Of its status word: exception flags, with that of the stack. */
enum {
    ATTN_SSE_FLAGS = 0x3f,
    ATTN_SSE_DEFAULT = 0x1f80,
    ATTN_X87_CONTROL = 0x0f3f,
    ATTN_X87_DEFAULT = 0x037f,
    ATTN_X87_FLAGS = 0x7f
};

typedef struct attn_floats {
    uint32_t sse;
    uint16_t control, status; /* of the x87, which computes long double */
} attn_floats;

/** As fnstenv writes it. */
typedef struct attn_x87 {
    uint32_t control, status, tags, address[4];
} attn_x87;

static inline void attn_x87_read(uint16_t *control, uint16_t *status) {
    __asm__ volatile("fnstcw %0\n\tfnstsw %1" : "=m"(*control), "=m"(*status) : : "memory");
}

/* Flags and control at once: a flag that is set while its trap is open would trap at the next instruction. */
static inline void attn_x87_write(uint16_t control, uint16_t flags) {
    attn_x87 state;
    __asm__ volatile("fnstenv %0" : "=m"(state) : : "memory");
    state.control = (state.control & 0xffff0000u) | control;
    state.status = (state.status & ~(uint32_t)ATTN_X87_FLAGS) | (flags & ATTN_X87_FLAGS);
    __asm__ volatile("fldenv %0" : : "m"(state) : "memory");
}

static inline attn_floats attn_floats_begin(void) {
    attn_floats before = { .sse = _mm_getcsr() };
    attn_x87_read(&before.control, &before.status);
    if ((before.sse & ~(uint32_t)ATTN_SSE_FLAGS) != ATTN_SSE_DEFAULT) {
        _mm_setcsr(ATTN_SSE_DEFAULT);
    }
    if ((before.control & ATTN_X87_CONTROL) != (ATTN_X87_DEFAULT & ATTN_X87_CONTROL)) {
        attn_x87_write(ATTN_X87_DEFAULT, 0);
    }
    ATTN_MEMORY_FENCE();
    return before;
}

static inline void attn_floats_end(const attn_floats *before) {
    uint16_t control, status;
    ATTN_MEMORY_FENCE();
    if (_mm_getcsr() != before->sse) {
        _mm_setcsr(before->sse);
    }
    attn_x87_read(&control, &status);
    if (control != before->control || ((status ^ before->status) & ATTN_X87_FLAGS) != 0) {
        attn_x87_write(before->control, before->status);
    }
}

#else

typedef struct attn_floats {
    fenv_t environment;
} attn_floats;

static inline attn_floats attn_floats_begin(void) {
    attn_floats before;
    fegetenv(&before.environment);
    fesetenv(FE_DFL_ENV);
    ATTN_MEMORY_FENCE();
    return before;
}

static inline void attn_floats_end(const attn_floats *before) {
    ATTN_MEMORY_FENCE();
    fesetenv(&before->environment);
}

#endif

/** One call's stay in the thread of its caller. */
typedef struct attn_visit {
    attn_floats floats;
    int cancel_state;
} attn_visit;

/**
 * At the beginning of a public call that computes, takes locks or memory, or opens files. A request to cancel the
 * thread waits until the end: a thread that ended within would leave locks taken and other threads at work on its
 * stack.
 */
static inline attn_visit attn_visit_begin(void) {
    attn_visit visit;
#if defined(PTHREAD_CANCEL_DISABLE)
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &visit.cancel_state);
#endif
    visit.floats = attn_floats_begin();
    return visit;
}

static inline void attn_visit_end(const attn_visit *visit) {
    attn_floats_end(&visit->floats);
#if defined(PTHREAD_CANCEL_DISABLE)
    int ignored;
    pthread_setcancelstate(visit->cancel_state, &ignored);
#endif
}

#endif
