/* Read only by the check of headers in C++, which must refuse it: a macro that C++ warns of, nobody uses and no function stands for. */
typedef struct clattn_forgotten {
    int a, b;
} clattn_forgotten;
#define CLATTN_FORGOTTEN_INIT { .b = 1, .a = 2, }
static const clattn_forgotten clattn_one = CLATTN_FORGOTTEN_INIT;
