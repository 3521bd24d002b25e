/*
 * The arithmetic of the reference's formulas: double, or long double where ATTN_REFERENCE_WIDE is 1. reference_score.h includes
 * it. Has no guard: a file that compiles the formulas twice defines ATTN_REFERENCE_WIDE anew before each.
 */
#undef REAL
#undef NAME
#undef EXP
#undef LOG
#undef TANH
#undef FABS
#undef ISNAN
#undef ISINF
#define ISNAN isnan
#define ISINF isinf
#if ATTN_REFERENCE_WIDE
#define REAL long double
#define NAME(x) long_##x
#define EXP expl
#define LOG logl
#define TANH tanhl
#define FABS fabsl
#else
#define REAL double
#define NAME(x) double_##x
#define EXP exp
#define LOG log
#define TANH tanh
#define FABS fabs
#endif
