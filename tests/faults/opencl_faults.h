/*
 * Between the library and OpenCL, for suites that are linked with --wrap (OPENCL_FAULTS in CMakeLists.txt): every call is
 * counted, one can be made to fail, answers about the device can be replaced, objects and commands are watched.
 */
#ifndef TESTS_OPENCL_FAULTS_H
#define TESTS_OPENCL_FAULTS_H

#include "support/opencl.h"

#ifdef CLATTN_HAVE_OPENCL

/** Who hears of a failure of the function. */
typedef enum faults_told {
    FAULTS_NOBODY, /* it only asks: other numbers, or none, may do */
    FAULTS_REPORT, /* another configuration may serve; the plan's report says so */
    FAULTS_CALLER  /* the call fails */
} faults_told;

enum { FAULTS_MOST_FUNCTIONS = 64, FAULTS_MOST_REGIONS = 64, FAULTS_MOST_ANSWERS = 4 };

/** What the device is to answer instead of the truth; data NULL = CL_OUT_OF_HOST_MEMORY. */
typedef struct faults_answer {
    cl_device_info question; /* 0 = unused */
    const void *data;
    size_t size;
} faults_answer;

/** Set what is wished after faults_reset(). */
typedef struct faults_state {
    int function, nth; /* call `nth` (from 1) of this function fails, or of all together (-1); nth 0 = none */
    bool late;         /* CLBlast's failing call submits its kernels first */
    bool slow;         /* the next command starts a little later than it could, and so do those that follow it */
    bool no_programs;  /* what is built is no OpenCL C */
    size_t kernel_group; /* the most that a kernel allows a work-group; 0 = the truth */
    faults_answer answers[FAULTS_MOST_ANSWERS];

    int count, calls[FAULTS_MOST_FUNCTIONS]; /* calls of all functions, of each one */
    int failed;                              /* the function whose call failed; -1 = none did */
    int live;                                /* objects made and not released */
    struct {
        const unsigned char *begin, *end;
    } regions[FAULTS_MOST_REGIONS]; /* host memory that became a buffer in place */
    int region_count;
} faults_state;

extern faults_state faults;

/** Counts from 0 again; nothing fails, nothing is replaced. `live` stays. */
void faults_reset(void);

int faults_function_count(void);
const char *faults_name(int function);
faults_told faults_who_is_told(int function);

/** Commands submitted since the last faults_forget() that have not ended. */
int faults_under_way(void);
void faults_forget(void);

#endif
#endif
