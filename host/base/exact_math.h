/*
 * Arithmetic must mean what the source says. The build puts this header before every file (cmake/CompileFlags.cmake), so that
 * flags of a distribution, or a compiler's defaults, do not quietly make other numbers: infinities stand for forbidden keys, NaN
 * is passed on, and (x + c) - c rounds.
 */
#ifndef ATTN_BASE_EXACT_MATH_H
#define ATTN_BASE_EXACT_MATH_H

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0) || defined(_M_FP_FAST)
#error                                                                                                                 \
    "clattn needs exact arithmetic: take -ffast-math, -Ofast, -ffinite-math-only, /fp:fast out of the compiler's flags"
#endif
#if defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error "clattn needs exact arithmetic: take -funsafe-math-optimizations and its parts out of the compiler's flags"
#endif

#endif
