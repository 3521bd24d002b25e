/*
 * clattn: attention in C, on any OpenCL device and on the CPU.
 *
 * The way of a call:
 *
 *     clattn_runtime        the devices of this machine, threads, allocator; make one, keep it
 *     clattn_problem        what is to be computed: types, heads, largest lengths, features
 *     clattn_plan_options   how: which engine, which device, how many calls at once
 *     clattn_plan           a problem made ready on one device by one engine; slow to make, made once
 *     clattn_tensors        the memory of one call: pointers, strides, lengths
 *     clattn_execute()      host memory, returns when the output is there
 *
 * OpenCL memory and queues: clattn_opencl.h. What tools need (time per step, memory, the oracle): clattn_inspect.h.
 *
 * The operation, for batch entry b, query head h, its key-value head g = h / (query_heads / kv_heads), row i and key j:
 *
 *     s       = scale * sum_d query[b,h,i,d] * key[b,g,j,d]
 *     s       = softcap > 0 ? softcap * tanh(s / softcap) : s
 *     s      += bias[b,h,i,j] - alibi_slope[h] * |j - (i + offset[b])|
 *     s       = allowed(b,h,i,j) ? s : -inf
 *     m       = max over j of s, and sink[h] if sinks are given
 *     w       = exp(s - m) / (sum_j exp(s - m) + exp(sink[h] - m))
 *     output  = sum_j keep(b,h,i,j) w[j] * value[b,g,j,:]       keep: dropout's factor, 1 without (clattn_problem.dropout)
 *     logsumexp = m + log(denominator), natural logarithm
 *
 * `allowed` is the AND of: j inside the used key length, i inside the used query length, the causal rule, the window,
 * the mask, and no bias of -inf at (i, j). A row with nothing allowed has output 0, weights 0, logsumexp -inf (or the
 * sink, whatever it holds). NaN and infinities of the inputs reach every row in which they count: a sink of NaN or +inf
 * makes all rows of its head NaN in which something is allowed. Two things others call "mask" have two names here: a
 * *mask* says which keys may be attended to (true = attend), a *bias* is added to the scores.
 *
 * `offset[b]` places the queries among the keys: row i stands at key position i + offset[b]. See clattn_alignment.
 *
 *     causal, 2 queries, 5 keys:   top_left  x . . . .     bottom_right  x x x x .
 *                                            x x . . .                   x x x x x
 *
 * Gradients are the same problem with direction CLATTN_BACKWARD: see clattn_direction.
 *
 * Rules of the whole interface
 *   errors     every call that can fail returns clattn_status; clattn_status_message() says it in words. A clattn_report,
 *              where one is taken, gets sentences that name the field. Nothing prints, exits or aborts.
 *   ownership  what you create you destroy; destroy(NULL) does nothing. Structures are copied, tensors' memory is
 *              yours and is used only during the call.
 *   threads    distinct objects are independent. A runtime may be used from several threads. A plan is immutable and may
 *              be executed from several threads at once (see clattn_plan_options.concurrency). A thread that is cancelled
 *              (pthread_cancel) inside a call ends after it.
 *   process    the library leaves its program's settings alone. Its own threads take no signals but those that their own
 *              instructions raise; they run on the processors that the thread that made the runtime might use then. A
 *              call computes in the default floating-point environment (to nearest, denormals kept, nothing traps)
 *              whatever the caller's is, so its bits do not depend on it; the caller finds its own again, exception
 *              flags included. One thing stays: where the processor has matrix tiles (AMX), making a plan of the cpu
 *              engine asks Linux to let the process use them, which enlarges what a signal needs on its stack.
 *   callbacks  the allocator, progress and parallel_for are called inside a call: on its thread, but for the bodies that a
 *              pool runs, in the environment above. They return, never by longjmp or an exception. They
 *              may ask the runtime about devices and memory. progress and parallel_for may also execute plans: another
 *              one, or that of the call while its concurrency has room; else the inner call is refused with DEADLOCK.
 *              Two calls that each wait for the other's plan are not found out. No callback destroys what is in use.
 *   exit       end or join the threads that use the library before the program ends: exit() destroys what OpenCL libraries
 *              and CLBlast keep in static objects, and a call that is then under way on another thread may crash.
 *   fork       fork() copies memory, not threads. In the child all that the CPU engines and host memory need works, also
 *              with what the parent made: executing starts threads anew, destroying stops none. No other thread may be
 *              inside a call on the same object while the process forks, and a child forked in a callback does not
 *              return from it. OpenCL's drivers do not survive: in the child plans on OpenCL devices are refused with
 *              NO_DEVICE, and destroying plans and runtime leaves OpenCL's objects to the parent (what they took of the
 *              host's memory is freed when the child ends). Nothing of this is needed when the child calls exec.
 *   sizes      64 bits; strides and offsets count elements; a dimension is never assumed to fit 32 bits.
 *   versions   structures carry their size (the _INIT macros and the _init functions set it), so a program built with an
 *              older header keeps working with a newer library of the same major version. A size that no version had
 *              is refused.
 *   starting   clattn_problem p = CLATTN_PROBLEM_INIT; in C and C++. From another language, which has no macros:
 *              clattn_problem_init(&p, sizeof p). Every structure with a macro has such a function.
 */
#ifndef CLATTN_H
#define CLATTN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLATTN_VERSION_MAJOR 0
#define CLATTN_VERSION_MINOR 1
#define CLATTN_VERSION_PATCH 0
#define CLATTN_VERSION (CLATTN_VERSION_MAJOR * 10000 + CLATTN_VERSION_MINOR * 100 + CLATTN_VERSION_PATCH)

#if defined(CLATTN_SHARED) && defined(_WIN32)
#define CLATTN_API __declspec(dllimport)
#elif defined(__GNUC__)
#define CLATTN_API __attribute__((visibility("default")))
#else
#define CLATTN_API
#endif

#if defined(__GNUC__)
#define CLATTN_CHECK __attribute__((warn_unused_result))
#else
#define CLATTN_CHECK
#endif

/* Arguments that a compiler checks as those of printf(). */
#if defined(__GNUC__)
#define CLATTN_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define CLATTN_PRINTF(text, first)
#endif

/** Every status: name, number, message. One list makes the enum, the names and the messages. Numbers never change. */
#define CLATTN_STATUS_LIST(X)                                                          \
    X(OK, 0, "done")                                                                   \
    X(INVALID_ARGUMENT, 1, "an argument is NULL or not what the call takes")           \
    X(INVALID_PROBLEM, 2, "a field of the problem is impossible")                      \
    X(INVALID_TENSORS, 3, "the tensors do not fit the problem")                        \
    X(OVERFLOW, 4, "a size does not fit 63 bits")                                      \
    X(UNSUPPORTED, 5, "no engine here can serve the problem")                          \
    X(NO_DEVICE, 6, "no such device here")                                             \
    X(OUT_OF_MEMORY, 7, "out of host memory")                                          \
    X(DEVICE_OUT_OF_MEMORY, 8, "out of device memory")                                 \
    X(BUILD_FAILED, 9, "a device program did not build")                               \
    X(OPENCL_ERROR, 10, "an OpenCL call failed")                                       \
    X(CANCELLED, 11, "cancelled by the caller")                                        \
    X(INTERNAL, 12, "an error inside the library")                                     \
    X(DEADLOCK, 13, "the call would wait for a call that its own thread has under way")

/** What a call answers. CLATTN_OK is 0. @since 0.1 */
typedef enum clattn_status {
#define CLATTN_STATUS_ENUM(name, number, message) CLATTN_##name = number,
    CLATTN_STATUS_LIST(CLATTN_STATUS_ENUM)
#undef CLATTN_STATUS_ENUM
} clattn_status;

/** The status as a name ("INVALID_PROBLEM"). Never NULL, static. Any thread. @since 0.1 */
CLATTN_API const char *clattn_status_name(clattn_status status);

/** The status as a sentence. Never NULL, static. Any thread. @since 0.1 */
CLATTN_API const char *clattn_status_message(clattn_status status);

/** The version of the library that runs, as CLATTN_VERSION. Any thread. @since 0.1 */
CLATTN_API int clattn_version(void);

/**
 * Text that explains an answer: why a field was refused, why each engine declined, a device compiler's log. One line an
 * item. Yours, any storage; cleared when a call takes it. Lines that no longer fit are left out whole, and `truncated` says so.
 * @since 0.1
 */
typedef struct clattn_report {
    size_t length; /**< characters in text, without the ending NUL */
    bool truncated;
    char text[8192];
} clattn_report;

/** Empties a report, as every call does that takes one. NULL does nothing. Any thread. @since 0.1 */
CLATTN_API void clattn_report_clear(clattn_report *report);

/**
 * Adds a line, as the library does: for what is built upon it and explains itself in the same report. A line that does not fit
 * is left out whole and marks the report truncated; shorter ones may still follow.
 * @param report  cleared or written by a call before; NULL does nothing
 * @param format  as of printf(), without the newline, which is added
 * Any thread; one report is written by one thread at a time. @since 0.1
 */
CLATTN_API CLATTN_PRINTF(2, 3) void clattn_report_line(clattn_report *report, const char *format, ...);

/* ------------------------------------------------------------------------------------------------ runtime */

/** Devices, threads, allocator and the caches that hang off them. @since 0.1 */
typedef struct clattn_runtime clattn_runtime;

/** Memory for everything the library allocates on the host. @since 0.1 */
typedef struct clattn_allocator {
    /** At least @p size bytes at a multiple of @p alignment (a power of two), or NULL. */
    void *(*allocate)(void *user, size_t size, size_t alignment);
    /** Gives back what allocate() returned; never called with NULL. */
    void (*release)(void *user, void *memory);
    void *user;
} clattn_allocator;

/** The most threads that a runtime takes. @since 0.1 */
#define CLATTN_MOST_THREADS 1024

/**
 * A pool of threads of the caller's own (OpenMP, TBB, an engine's job system). Calls body(share, index) once for every
 * index 0 <= index < count, in any order, on any threads, the caller's among them or not, at once or one after the other;
 * returns when all have returned, and everything they wrote can be seen by the calling thread then. count is at most
 * clattn_runtime_options.threads. Called on the thread of the call that computes; from several threads at once when
 * several calls are made at once. A body only computes: it takes no lock, does not come back to the pool, and calls nothing
 * of the caller's but what clattn_share() was given, and progress, which it calls on the calling thread alone. It puts back
 * the floating-point environment of the thread that runs it.
 * @since 0.1
 */
typedef void (*clattn_parallel_for)(void *user, int64_t count, void (*body)(void *share, int64_t index), void *share);

/** Options of a runtime; start from CLATTN_RUNTIME_OPTIONS_INIT. @since 0.1 */
typedef struct clattn_runtime_options {
    size_t struct_size;
    int64_t threads;            /**< threads of the CPU engines, the caller's included; of the pool, if parallel_for is given.
                                     CLATTN_MOST_THREADS at most. 0 = the processors that the thread which makes the
                                     runtime may use, no more than the quota of the process's control groups allows
                                     (Linux; rounded up), nor than CLATTN_MOST_THREADS */
    bool without_opencl;        /**< do not look for OpenCL devices */
    clattn_allocator allocator; /**< all NULL = the C library's */
    clattn_report *report;      /**< may be NULL; names the option that was refused; not kept */
    clattn_parallel_for parallel_for; /**< NULL = threads of the library's own; else it starts none. Results have the
                                           same bits as with so many threads of its own */
    void *parallel_user;              /**< handed to parallel_for */
} clattn_runtime_options;

#define CLATTN_RUNTIME_OPTIONS_INIT \
    { sizeof(clattn_runtime_options), 0, false, { NULL, NULL, NULL }, NULL, NULL, NULL }

/**
 * The same as the macro, for callers without it. NULL does nothing.
 * @param size  bytes of the caller's structure: sizeof *options. At most so many are written. A size that this library does
 *              not know gives zeros, and every call refuses them.
 * Any thread. @since 0.1
 */
CLATTN_API void clattn_runtime_options_init(clattn_runtime_options *options, size_t size);

/**
 * Looks for devices. OpenCL contexts and threads are made when first needed. Devices that cannot be used are left out:
 * clattn_runtime_get_left_out() says why. OpenCL libraries of all vendors run inside the program when they are asked for
 * their devices: one that crashes or hangs then takes the program with it. Who cannot risk that says without_opencl, or
 * tries this call in a child process first.
 * @param options  NULL = defaults
 * @param runtime  receives the runtime; NULL on error
 * @return INVALID_ARGUMENT (options.report names the option), OUT_OF_MEMORY. A machine without OpenCL is no error: the
 *         CPU is always a device.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_runtime_create(const clattn_runtime_options *options, clattn_runtime **runtime);

/**
 * Reads block sizes of the OpenCL engines that `clattn tune` found (docs/tuning.md describes the file). Plans made
 * afterwards prefer them to the library's own where those are not more specific; what was read before is forgotten.
 * @param path    NULL = only forget
 * @param report  may be NULL; "FILE:LINE:COLUMN: what is wrong"
 * @return INVALID_ARGUMENT (no such file, or malformed: nothing changes then), OUT_OF_MEMORY. Any thread.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_runtime_load_tuning(clattn_runtime *runtime, const char *path,
                                                                 clattn_report *report);

/** Ends the runtime; its plans must be gone and no call under way. NULL does nothing. @since 0.1 */
CLATTN_API void clattn_runtime_destroy(clattn_runtime *runtime);

/** @since 0.1 */
typedef enum clattn_device_kind {
    CLATTN_DEVICE_CPU,         /**< the host's processors, without OpenCL */
    CLATTN_DEVICE_OPENCL_GPU,  /**< an OpenCL GPU or accelerator */
    CLATTN_DEVICE_OPENCL_CPU   /**< an OpenCL implementation on the host's processors */
} clattn_device_kind;

/** What a device is and can do. Strings are NUL-ended, cut when too long. @since 0.1 */
typedef struct clattn_device_info {
    clattn_device_kind kind;
    char name[128], vendor[128], driver[128], platform[128], version[128];
    int64_t compute_units;      /**< processors or compute units; for the CPU the threads in use */
    int64_t memory;             /**< bytes of (global) memory */
    int64_t max_allocation;     /**< bytes of the largest single buffer */
    int64_t local_memory;       /**< bytes of local memory a work-group; 0 for the CPU */
    int64_t max_work_group;     /**< work-items a work-group; 0 for the CPU */
    bool fp16_arithmetic;       /**< cl_khr_fp16, or the CPU's own instructions */
    bool fp64_arithmetic;
    bool subgroups;
    char features[256];         /**< instruction sets or extensions that matter here, separated by spaces */
} clattn_device_info;

/** Number of devices; device 0 is the CPU. Any thread. @since 0.1 */
CLATTN_API int64_t clattn_runtime_device_count(const clattn_runtime *runtime);

/**
 * Fills @p report with a line for each OpenCL platform or device that was found and cannot be used, and why: not available,
 * without a compiler, below OpenCL 1.2, or silent when asked what it can do. Empty where there is none. Such devices are not
 * counted. INVALID_ARGUMENT. Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_runtime_get_left_out(const clattn_runtime *runtime, clattn_report *report);

/** Describes device @p index. INVALID_ARGUMENT, NO_DEVICE. Any thread. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_runtime_get_device(const clattn_runtime *runtime, int64_t index,
                                                                clattn_device_info *info);

/* ------------------------------------------------------------------------------------------------ problem */

#define CLATTN_SAME (-1)       /**< "as the other one": see the field */
#define CLATTN_OPEN (-1)       /**< an open side of the window */
#define CLATTN_ANY_DEVICE (-1)

/** Storage type of query, key, value and output. Scores, softmax and sums are fp32 at least (fp64 for fp64). @since 0.1 */
typedef enum clattn_type { CLATTN_FP32, CLATTN_FP16, CLATTN_BF16, CLATTN_FP64 } clattn_type;

/**
 * Forward computes outputs. Backward computes gradients of a loss: from query, key, value, what the forward wrote (output and
 * logsumexp, which are inputs then) and the loss's gradients with respect to those, those with respect to the inputs. One
 * problem serves both, but for direction, logsumexp (which the forward must write) and weights. With w as above, keep the
 * factor of dropout, raw = scale * query . key, and sums over all rows i and keys j that are allowed:
 *
 *     delta[i]      = sum_d grad_output[i,d] * output[i,d] - grad_logsumexp[i]
 *     w[i,j]        = exp(s[i,j] - logsumexp[i])
 *     ds[i,j]       = w[i,j] * (keep[i,j] * sum_d grad_output[i,d] * value[j,d] - delta[i])
 *     dr[i,j]       = ds[i,j] * scale * (softcap > 0 ? 1 - tanh(raw[i,j] / softcap)^2 : 1)
 *     grad_query[i] = sum_j dr[i,j] * key[j]
 *     grad_key[j]   = sum_i dr[i,j] * query[i]               over the rows of all query heads of the group
 *     grad_value[j] = sum_i keep[i,j] * w[i,j] * grad_output[i]      likewise
 *     grad_bias     = ds, summed over the dimensions in which the bias has size 1
 *     grad_alibi_slopes[h] = - sum_ij ds[i,j] * |j - (i + offset)|
 *     grad_sinks[h] = - sum_i exp(sink[h] - logsumexp[i]) * delta[i]
 *
 * Where nothing contributes a gradient is exactly 0: keys beyond a length, rows with nothing allowed, a bias of -inf. Such a
 * row's sink receives its grad_logsumexp, since its logsumexp is the sink. Rows beyond the used query length take no part:
 * nothing of theirs is read. Sums are fp32 at least, also over the heads of a group; the same call twice gives the same
 * bits. Second derivatives and gradients through weights are not served.
 * @since 0.1
 */
typedef enum clattn_direction { CLATTN_FORWARD, CLATTN_BACKWARD } clattn_direction;

/** Type of results: the storage type, or fp32 where that has 16 bits (partial results that are summed later). @since 0.1 */
typedef enum clattn_result_type { CLATTN_RESULT_STORAGE, CLATTN_RESULT_FP32 } clattn_result_type;

/** Gradients that a backward problem asks for: bits of clattn_problem.gradients. @since 0.1 */
typedef enum clattn_gradient {
    CLATTN_GRADIENT_QUERY = 1,
    CLATTN_GRADIENT_KEY = 2,
    CLATTN_GRADIENT_VALUE = 4,
    CLATTN_GRADIENT_BIAS = 8,          /**< needs a bias */
    CLATTN_GRADIENT_ALIBI_SLOPES = 16, /**< needs alibi */
    CLATTN_GRADIENT_SINKS = 32         /**< needs sinks */
} clattn_gradient;

/** Where a call's tensors live. @since 0.1 */
typedef enum clattn_memory {
    CLATTN_MEMORY_HOST,  /**< pointers, for clattn_execute() */
    CLATTN_MEMORY_OPENCL /**< cl_mem, for clattn_enqueue() */
} clattn_memory;

/**
 * Where the queries stand among the keys: row i at key position i + offset. Needed by causal, window and ALiBi whenever
 * it matters (lengths differ, vary, or there is a past); a problem that leaves it open then is refused.
 * @since 0.1
 */
typedef enum clattn_alignment {
    CLATTN_ALIGN_UNSET,
    CLATTN_ALIGN_TOP_LEFT,     /**< offset 0 (PyTorch's is_causal) */
    CLATTN_ALIGN_BOTTOM_RIGHT, /**< used key length - used query length of each entry, may be negative (FlashAttention) */
    CLATTN_ALIGN_PAST,         /**< the past's length (ONNX) */
    CLATTN_ALIGN_OFFSET,       /**< clattn_problem.offset */
    CLATTN_ALIGN_OFFSETS       /**< one a batch entry: clattn_tensors.offsets */
} clattn_alignment;

/** @since 0.1 */
typedef enum clattn_mask_kind {
    CLATTN_MASK_NONE,
    CLATTN_MASK_BYTES, /**< one byte each, 0 = not allowed */
    CLATTN_MASK_BITS   /**< one bit each, least significant first, 0 = not allowed; each row starts on a byte */
} clattn_mask_kind;

/** @since 0.1 */
typedef enum clattn_bias_kind {
    CLATTN_BIAS_NONE,
    CLATTN_BIAS_FP32,
    CLATTN_BIAS_STORAGE /**< the problem's storage type */
} clattn_bias_kind;

/** Which stage of the weights to write out. @since 0.1 */
typedef enum clattn_weights_stage {
    CLATTN_WEIGHTS_NONE,
    CLATTN_WEIGHTS_RAW,     /**< scaled scores; fp32 (fp64 for fp64); every key inside the length, 0 beyond either length */
    CLATTN_WEIGHTS_SOFTCAP, /**< after softcap; the same */
    CLATTN_WEIGHTS_BIAS,    /**< after bias and ALiBi; -inf where not allowed, but 0 beyond either length like raw */
    CLATTN_WEIGHTS_SOFTMAX  /**< the weights themselves, in the storage type; 0 where not allowed and beyond a length */
} clattn_weights_stage;

/**
 * What is to be computed. Holds what shapes code or memory; a call's own lengths, pointers and strides are in
 * clattn_tensors. Start from CLATTN_PROBLEM_INIT, set at least query_length and head_dim.
 * @since 0.1
 */
typedef struct clattn_problem {
    size_t struct_size;
    clattn_type type;
    clattn_direction direction; /**< backward: reference, cpu and opencl-unfused in this version */
    clattn_memory memory;

    int64_t batch;        /**< default 1; 0 is legal */
    int64_t query_heads;  /**< default 1; a multiple of kv_heads */
    int64_t kv_heads;     /**< default CLATTN_SAME = query_heads */
    int64_t query_length; /**< the largest a call may have; 0 is legal */
    int64_t key_length;   /**< the largest a call may have, past included; default CLATTN_SAME = query_length; 0 is legal */
    int64_t head_dim;     /**< of query and key; >= 1 */
    int64_t value_dim;    /**< of value and output; default CLATTN_SAME = head_dim */
    int64_t past_length;  /**< keys that stand before the new ones, counted in key_length; default 0 */

    bool has_scale; /**< false: scale is 1 / sqrt(head_dim) */
    double scale;   /**< any finite number; OpenCL engines refuse what is neither 0 nor a normal float (2^-126 to 2^128) */
    double softcap; /**< finite, >= 0; 0 = none; OpenCL engines as for scale */

    bool causal; /**< key j allowed for row i when j <= i + offset */
    int64_t window_left, window_right; /**< i + offset - left <= j <= i + offset + right; CLATTN_OPEN (default) = no limit */
    clattn_alignment alignment;
    int64_t offset; /**< for CLATTN_ALIGN_OFFSET; within +-2^61 */

    clattn_mask_kind mask;
    int64_t mask_shape[4]; /**< [batch, query_heads, query_length, key_length]; each 1 (broadcast) or the full size, CLATTN_SAME = full */
    clattn_bias_kind bias;
    int64_t bias_shape[4]; /**< the same */
    bool alibi;            /**< fp32 slope a query head */
    bool sinks;            /**< fp32 extra logit a query head: enters maximum and denominator, has no value; -inf = none */
    bool query_lengths;    /**< used query length of each entry is given in the tensors */
    bool key_lengths;      /**< used key length of each entry is given in the tensors */

    bool logsumexp;               /**< also write logsumexp [batch, query_heads, query_length], fp32 (fp64 for fp64);
                                       backward always reads it */
    clattn_weights_stage weights; /**< also write weights [batch, weights_heads, weights_rows, key_length] */
    int64_t weights_first_head, weights_heads; /**< query heads written out; defaults 0, CLATTN_SAME = all */
    int64_t weights_first_row, weights_rows;   /**< rows written out; defaults 0, CLATTN_SAME = all */

    double dropout; /**< 0 <= p < 1, default 0: each weight is made 0 with this probability, else divided by 1 - p, after the
                         softmax; logsumexp and weights written out know nothing of it. Which ones go depends on
                         clattn_tensors.dropout_seed and the weight's place alone (see there). 0 gives the bits of no dropout */
    int64_t prefix; /**< default 0: the first `prefix` keys are never hidden by the window; causal still holds */
    clattn_result_type output_type;   /**< of output, and of grad_output; FP32 is refused for fp64 */
    clattn_result_type gradient_type; /**< of grad_query, grad_key, grad_value; FP32 makes grad_bias fp32, too */
    uint32_t gradients;  /**< backward: CLATTN_GRADIENT_ bits, at least one; default query, key and value. What is not asked
                              for is not computed */
    bool gradients_add;  /**< backward: gradients are added to what their memory holds; none of them may have 16 bits */
    bool grad_logsumexp; /**< backward: clattn_tensors.grad_logsumexp is given; else it is 0 */
    bool delta;          /**< backward: clattn_tensors.delta is given and output is not read; without grad_logsumexp, which
                              delta holds already */
    bool dropout_mask;   /**< forward: also write which weights dropout keeps */
} clattn_problem;

/* In the order of the members, for compilers of C++ before 2020. */
#define CLATTN_PROBLEM_INIT                                                                             \
    {                                                                                                   \
        sizeof(clattn_problem), CLATTN_FP32, CLATTN_FORWARD, CLATTN_MEMORY_HOST,                        \
        1, 1, CLATTN_SAME, 0, CLATTN_SAME, 0, CLATTN_SAME, 0, /* batch ... past_length */               \
        false, 0.0, 0.0,                                      /* scale, softcap */                      \
        false, CLATTN_OPEN, CLATTN_OPEN, CLATTN_ALIGN_UNSET, 0,                                         \
        CLATTN_MASK_NONE, { CLATTN_SAME, CLATTN_SAME, CLATTN_SAME, CLATTN_SAME },                       \
        CLATTN_BIAS_NONE, { CLATTN_SAME, CLATTN_SAME, CLATTN_SAME, CLATTN_SAME },                       \
        false, false, false, false, /* alibi, sinks, query_lengths, key_lengths */                      \
        false, CLATTN_WEIGHTS_NONE, 0, CLATTN_SAME, 0, CLATTN_SAME,                                     \
        0.0, 0, CLATTN_RESULT_STORAGE, CLATTN_RESULT_STORAGE, /* dropout ... gradient_type */           \
        CLATTN_GRADIENT_QUERY | CLATTN_GRADIENT_KEY | CLATTN_GRADIENT_VALUE, false, false, false, false \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_problem_init(clattn_problem *problem, size_t size);

/* ------------------------------------------------------------------------------------------------ plan */

struct clattn_block_override; /* clattn_inspect.h */

/**
 * How a plan is made: everything that does not change what is computed. The same for every operation, attention, additive
 * attention (clattn_additive.h) and linear maps (clattn_linear.h). Start from CLATTN_PLAN_OPTIONS_INIT; where a call takes
 * options, NULL stands for these defaults. Copied; nothing that it points to is kept.
 * @since 0.1
 */
typedef struct clattn_plan_options {
    size_t struct_size;
    const char *engine;    /**< NULL = the best; else "reference", "cpu", "opencl-unfused", "opencl-fused", "opencl-decode", or
                                "opencl" = the best of those. Operations with a single OpenCL engine take each of these four
                                for it */
    int64_t device;        /**< index of the runtime's devices; default CLATTN_ANY_DEVICE */
    int64_t concurrency;   /**< calls that may be under way at once without waiting for each other; 1 (default) to 65536. Each
                                of them takes the plan's workspace once */
    bool caller_workspace; /**< every call brings its own workspace (clattn_tensors.workspace), the plan allocates none.
                                Attention alone */
    bool batch_invariant;  /**< an entry's result has the same bits whatever else is in the batch. Additive attention always does
                                so; linear maps refuse it: how a row is summed depends on the number of rows */
    bool allow_tf32;       /**< default false. Permits to round fp32 to 10 bits after the point (TF32) before products on matrix
                                units, which then make one product where fp32's accuracy takes three. A product is off by up to
                                2^-10 of its size: some three digits are right instead of six (docs/numerics.md). Only a
                                permission: engines without such products, and other types, ignore it;
                                clattn_plan_info.products_tf32 reports whether it was used */
    const struct clattn_block_override *blocks; /**< NULL = the engine's own block sizes and body; for tuning and tests */
} clattn_plan_options;

#define CLATTN_PLAN_OPTIONS_INIT \
    { sizeof(clattn_plan_options), NULL, CLATTN_ANY_DEVICE, 1, false, false, false, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_plan_options_init(clattn_plan_options *options, size_t size);

/** A problem, ready on one device. @since 0.1 */
typedef struct clattn_plan clattn_plan;

/**
 * Chooses an engine and a device for @p problem, among those that @p options allow, and builds what it needs. Nothing is computed, but on OpenCL devices
 * programs are compiled where the runtime has not compiled them before: on a first use that takes seconds, with some
 * compilers minutes, and nothing is said meanwhile. Do it once, then execute often.
 *
 * The engines that support the problem are ranked: a real GPU, then the CPU engine, then OpenCL on a CPU device; the
 * reference serves only when named. One that cannot be made ready here (its program does not build, it needs more memory
 * than there is, a size of its own does not fit 63 bits, OpenCL fails) leaves its place to the next. Nothing falls back later.
 *
 * @param problem  copied
 * @param options  copied; NULL = the defaults
 * @param plan     receives the plan; NULL on error
 * @param report   may be NULL. On failure why: the field that is wrong, or one line an engine. On success empty, unless
 *                 something better could not be made ready: then why. clattn_plan_get_info() says which engine serves,
 *                 clattn_engine_supports() (clattn_inspect.h) why another would not.
 * @return INVALID_ARGUMENT (an option that is none, such as an unknown engine, too), INVALID_PROBLEM, OVERFLOW, UNSUPPORTED,
 *         NO_DEVICE, OUT_OF_MEMORY, DEVICE_OUT_OF_MEMORY, BUILD_FAILED, OPENCL_ERROR: of the best engine, when none could be
 *         made ready
 * Threads: any. Destroy the plan before its runtime.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_plan_create(clattn_runtime *runtime, const clattn_problem *problem,
                                                         const clattn_plan_options *options, clattn_plan **plan,
                                                         clattn_report *report);

/** Ends the plan; no call may be under way. NULL does nothing. @since 0.1 */
CLATTN_API void clattn_plan_destroy(clattn_plan *plan);

/** What a plan will do, in numbers. Strings are static or owned by the plan. @since 0.1 */
typedef struct clattn_plan_info {
    const char *engine;
    int64_t device;
    char kernel[256];          /**< which kernels, which instruction set */
    const char *accumulate;    /**< "fp32", "fp64" or "fp80": scores, softmax and sums */
    bool weights_rounded;      /**< weights are rounded to the storage type before the second product */
    bool products_tf32;        /**< fp32 is rounded to TF32 before both products (clattn_plan_options.allow_tf32) */
    bool sum_running;          /**< sums over keys run in one accumulator (see docs/numerics.md) */
    bool clean_values;         /**< a value that some rows may not attend may hold anything without reaching them */
    int64_t block_query, block_key; /**< rows and keys of a block; 0 = does not apply */
    int64_t workspace_size;    /**< bytes a call needs besides its tensors */
    int64_t private_memory;    /**< bytes of private memory a work-item; -1 = does not apply or not known */
    int64_t local_memory;      /**< bytes of local memory a work-group; -1 likewise */
    double flops;              /**< 4 * (head_dim + value_dim) / 2 a score that causal and window allow, largest lengths;
                                    backward 2.5 times that, whichever gradients are asked for */
    double bytes;              /**< compulsory traffic: inputs read once, outputs written once */
    const char *program;       /**< the program whose table of block sizes was used (kernels/tuning); NULL = none */
} clattn_plan_info;

/** @return INVALID_ARGUMENT. Any thread. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_plan_get_info(const clattn_plan *plan, clattn_plan_info *info);

/** What the plan of an operation beside attention will do. Strings are static or owned by the plan. @since 0.1 */
typedef struct clattn_operation_info {
    const char *engine; /**< "reference", "cpu" or "opencl" */
    int64_t device;
    char kernel[128];       /**< which kernel, which instruction set or library */
    int64_t workspace_size; /**< bytes the plan holds for each call that may be under way: scratch, device buffers */
} clattn_operation_info;

/* ------------------------------------------------------------------------------------------------ tensors */

/** How rows lie in memory; the dim is always contiguous. @since 0.1 */
typedef enum clattn_layout {
    CLATTN_BHSD,   /**< dense [batch, heads, length, dim], with the problem's (largest) length */
    CLATTN_BSHD,   /**< dense [batch, length, heads, dim] */
    CLATTN_STRIDED /**< the three strides below */
} clattn_layout;

/** Query, key, value or output. Strides count elements and may be 0 on inputs. @since 0.1 */
typedef struct clattn_tensor {
    void *data;     /**< host pointer, or cl_mem when the problem's memory is CLATTN_MEMORY_OPENCL */
    int64_t offset; /**< first element, counted in elements */
    clattn_layout layout;
    int64_t batch_stride, head_stride, length_stride;
} clattn_tensor;

/** Mask, bias or gradient of a bias. Dimensions of size 1 always have stride 0. @since 0.1 */
typedef struct clattn_broadcast {
    const void *data; /**< as in clattn_tensor; a gradient is written nevertheless */
    int64_t offset;   /**< elements (bit masks: bytes) */
    bool strided;     /**< false: dense in the problem's mask_shape or bias_shape */
    int64_t strides[4]; /**< elements (bit masks: bytes, the last is ignored) */
} clattn_broadcast;

/** Slopes, sinks, logsumexp, weights and the like: dense, in the documented order. @since 0.1 */
typedef struct clattn_array {
    void *data;
    int64_t offset; /**< elements */
} clattn_array;

/** @since 0.1 */
typedef enum clattn_int_type { CLATTN_INT32, CLATTN_INT64 } clattn_int_type;

/** One integer a batch entry. @since 0.1 */
typedef struct clattn_integers {
    const void *data;
    int64_t offset; /**< elements */
    clattn_int_type type;
} clattn_integers;

struct clattn_timing; /* clattn_inspect.h */

/**
 * The memory of one call. Start from CLATTN_TENSORS_INIT. What the problem does not ask for is ignored; what it asks for
 * and is missing is refused. Backward reads output and logsumexp and writes gradients. Outputs may not overlap inputs, each other or the workspace. Strides of dimensions of size 1
 * are not looked at, beyond being no negative numbers. Host memory is aligned to its elements, a tensor ends inside the
 * address space, and its last element lies within 2^63 - 1 bytes.
 * Memory that is not used (rows beyond a length, gaps between strides) may hold anything.
 * @since 0.1
 */
typedef struct clattn_tensors {
    size_t struct_size;
    clattn_tensor query;  /**< [batch, query_heads, query_length, head_dim] */
    clattn_tensor key;    /**< [batch, kv_heads, key_length, head_dim] */
    clattn_tensor value;  /**< [batch, kv_heads, key_length, value_dim] */
    clattn_tensor output; /**< [batch, query_heads, query_length, value_dim] */
    clattn_broadcast mask, bias;
    clattn_array alibi_slopes, sinks; /**< fp32 [query_heads] */
    clattn_array logsumexp, weights;
    clattn_integers query_lengths, key_lengths; /**< 0 <= length <= this call's query_length, key_length */
    clattn_integers offsets;                    /**< for CLATTN_ALIGN_OFFSETS */
    /** Of this call; default CLATTN_SAME = the problem's. The first two not above the problem's, past_length not above
        key_length. Output rows beyond query_length are left as they are; weights of keys beyond key_length are 0. Dense
        layouts, masks, biases and weights keep the problem's shape. */
    int64_t query_length, key_length, past_length;
    void *workspace; /**< when the plan's options say caller_workspace: host memory (64-byte aligned) or cl_mem */
    int64_t workspace_size;
    bool (*progress)(void *user, double done); /**< may be NULL; from the calling thread, done in 0..1; false cancels.
                                                    A pool of the caller's that leaves its thread idle has it called
                                                    between the steps of a call only */
    void *progress_user;
    clattn_report *report;        /**< may be NULL; why the call was refused */
    struct clattn_timing *timing; /**< may be NULL; time of each step (clattn_inspect.h) */

    /** Backward. Gradients have the shape of what they belong to. Every row that exists is written (rows beyond a used length:
        0), the gaps between strides are left as they are; rows beyond this call's lengths too. */
    clattn_tensor grad_output;     /**< in: as output, of output's type; strides of 0 are legal (the gradient of a sum) */
    clattn_tensor grad_query, grad_key, grad_value;
    clattn_broadcast grad_bias;    /**< of the bias' shape and type (gradient_type FP32: fp32); its last stride is 1 */
    clattn_array grad_alibi_slopes, grad_sinks; /**< [query_heads], fp32 (fp64 for fp64) */
    clattn_array grad_logsumexp;   /**< in: as logsumexp */
    clattn_array delta;            /**< in: as logsumexp; sum_d grad_output * output - grad_logsumexp of each row */

    /**
     * Dropout. Weight (b, h, i, j) is kept when word j' % 4 of Philox 4x32-10 is at least floor(dropout * 2^32), with
     * j' = first_key + j, counter { j' / 4, first_row + i, first_head + h, first_entry + b }, each mod 2^32, and key
     * { low half of the seed, high half }. So it is the same on every engine, in every layout, and in backward. The first_
     * numbers are 0 unless the problem is a piece of a larger one, and then say where it begins; 0 to 2^61.
     */
    clattn_array dropout_mask; /**< out: bytes [batch, query_heads, query_length, key_length], 1 = kept, allowed or not */
    uint64_t dropout_seed;     /**< training takes another one each step; backward the one of its forward */
    int64_t first_entry, first_head, first_row, first_key;
    clattn_integers first_rows, first_keys; /**< one a batch entry, in place of first_row and first_key; data NULL = not given */
} clattn_tensors;

#define CLATTN_TENSOR_INIT { NULL, 0, CLATTN_BHSD, 0, 0, 0 }
#define CLATTN_BROADCAST_INIT { NULL, 0, false, { 0, 0, 0, 0 } }
#define CLATTN_ARRAY_INIT { NULL, 0 }
#define CLATTN_INTEGERS_INIT { NULL, 0, CLATTN_INT32 }
#define CLATTN_TENSORS_INIT                                                                             \
    {                                                                                                   \
        sizeof(clattn_tensors), CLATTN_TENSOR_INIT, CLATTN_TENSOR_INIT, CLATTN_TENSOR_INIT,             \
        CLATTN_TENSOR_INIT, CLATTN_BROADCAST_INIT, CLATTN_BROADCAST_INIT, CLATTN_ARRAY_INIT,            \
        CLATTN_ARRAY_INIT, CLATTN_ARRAY_INIT, CLATTN_ARRAY_INIT, CLATTN_INTEGERS_INIT,                  \
        CLATTN_INTEGERS_INIT, CLATTN_INTEGERS_INIT, CLATTN_SAME, CLATTN_SAME, CLATTN_SAME,              \
        NULL, 0, NULL, NULL, NULL, NULL, /* workspace ... timing */                                     \
        CLATTN_TENSOR_INIT, CLATTN_TENSOR_INIT, CLATTN_TENSOR_INIT, CLATTN_TENSOR_INIT,                 \
        CLATTN_BROADCAST_INIT, CLATTN_ARRAY_INIT, CLATTN_ARRAY_INIT, CLATTN_ARRAY_INIT,                 \
        CLATTN_ARRAY_INIT, CLATTN_ARRAY_INIT, /* grad_bias ... dropout_mask */                          \
        0, 0, 0, 0, 0, CLATTN_INTEGERS_INIT, CLATTN_INTEGERS_INIT                                       \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_tensors_init(clattn_tensors *tensors, size_t size);

/**
 * A tensor inside packed [batch, length, (query, key, value), heads, dim] memory; part 0, 1 or 2. What cannot be (another
 * part, a negative size, a product beyond 63 bits) gives a tensor of offset -1, which every call refuses.
 * Any thread. @since 0.1
 */
CLATTN_API clattn_tensor clattn_packed_qkv(void *data, int64_t part, int64_t length, int64_t heads, int64_t dim);

/* ------------------------------------------------------------------------------------------------ execute */

/**
 * Computes one call with tensors in host memory; returns when the outputs are written.
 *
 * @return INVALID_ARGUMENT, INVALID_TENSORS, OVERFLOW (nothing is written), CANCELLED (outputs undefined), OUT_OF_MEMORY,
 *         DEVICE_OUT_OF_MEMORY, OPENCL_ERROR; DEADLOCK (from progress, see above), NO_DEVICE (OpenCL after a fork)
 * Threads: any; calls beyond the plan's concurrency wait for each other. Takes no memory from the allocator on the CPU
 * engines. The same call twice gives the same bits.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_execute(clattn_plan *plan, const clattn_tensors *tensors);

/**
 * The one-call form: plan, execute, destroy. Costs the making of a plan each time.
 * @param options  NULL = the defaults
 * @param report   may be NULL
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_attention(clattn_runtime *runtime, const clattn_problem *problem,
                                                       const clattn_plan_options *options, const clattn_tensors *tensors,
                                                       clattn_report *report);

/* ------------------------------------------------------------------------------------------------ small helpers */

/**
 * Host memory from the runtime's allocator, counted with its own: at least @p size bytes, not cleared, at a multiple of 64 (4096
 * from 64 KiB on, which OpenCL on CPU devices uses in place). NULL when there is none. Give it back before the runtime ends.
 * Any thread. @since 0.1
 */
CLATTN_API void *clattn_allocate(clattn_runtime *runtime, int64_t size);

/** Gives back what clattn_allocate() returned; NULL does nothing. Any thread. @since 0.1 */
CLATTN_API void clattn_release(clattn_runtime *runtime, void *memory);

/**
 * Shares work of the caller's among the runtime's threads: calls body(share, index) once for every index
 * 0 <= index < count, in any order, and returns when all have returned; everything they wrote can be seen then. Bodies run
 * in the environment that every call computes in. A body only computes: it makes no call that computes or shares.
 *
 * Nothing says which thread takes which index. Indices that depend on count and on the problem alone, and write to places of
 * their own, give the same bits on any number of threads.
 * @param runtime  NULL = the calling thread alone; so it is, too, while another call has the runtime's threads
 * @param body     NULL does nothing
 * Any thread. @since 0.1
 */
CLATTN_API void clattn_share(clattn_runtime *runtime, int64_t count, void (*body)(void *share, int64_t index),
                             void *share);

/** Bytes of one element of @p type. @since 0.1 */
CLATTN_API int64_t clattn_type_size(clattn_type type);

/** "fp32", "fp16", "bf16", "fp64"; static. @since 0.1 */
CLATTN_API const char *clattn_type_name(clattn_type type);

/** Reads an element of any type as double. @since 0.1 */
CLATTN_API double clattn_get_element(clattn_type type, const void *data, int64_t index);

/** Writes an element, rounded to nearest, ties to even. @since 0.1 */
CLATTN_API void clattn_set_element(clattn_type type, void *data, int64_t index, double x);

/* ------------------------------------------------------------------------------------------------ merge */

/** Attention over some of the keys, for a number of rows. Rows are row_stride elements apart. @since 0.1 */
typedef struct clattn_merge_part {
    clattn_type type;   /**< of output */
    void *output;       /**< [rows, value_dim]; only read in a part */
    int64_t row_stride; /**< elements, >= value_dim */
    void *logsumexp;    /**< [rows] dense, fp32 (fp64 where type is CLATTN_FP64); in the result it may be NULL */
} clattn_merge_part;

/**
 * Merges attention computed over disjoint sets of keys into attention over all of them: each part is an output and a
 * logsumexp of the same rows, as clattn_execute() writes them. Host memory, double arithmetic.
 *
 *     logsumexp = log sum_k exp(logsumexp_k)        output = sum_k exp(logsumexp_k - logsumexp) * output_k
 *
 * A part whose logsumexp is -inf saw no key: its output is not looked at. A row that no part saw gets output 0 and
 * logsumexp -inf, and so does every row when count is 0. A sink belongs to exactly one of the parts.
 * @param result  receives the merged rows; may be the memory of one part of the same type and stride, else it overlaps none
 * @return INVALID_ARGUMENT: a NULL or negative or impossible field, a size beyond 63 bits, a result that overlaps a part in
 *         another way; nothing is written then
 * Threads: any. Takes no memory.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_merge(const clattn_merge_part *parts, int64_t count, int64_t rows,
                                                   int64_t value_dim, const clattn_merge_part *result);

/**
 * The gradient of clattn_merge(): from the loss's gradients with respect to the merged output and logsumexp, those with
 * respect to each part's, which a backward call of the part takes as its grad_output and grad_logsumexp. Host memory,
 * double arithmetic. With weight_k = exp(logsumexp_k - logsumexp):
 *
 *     grad_output_k = weight_k * grad_output
 *     grad_logsumexp_k = weight_k * (sum_d grad_output * (output_k - output) + grad_logsumexp)
 *
 * A part whose logsumexp is -inf gets 0, and its output is not looked at.
 * @param parts           as given to clattn_merge(); both members are read
 * @param gradient        of the merged rows: grad_output in its member output, grad_logsumexp in logsumexp; the latter may be
 *                        NULL = 0
 * @param part_gradients  [count], receive the parts' gradients in the same two members; either may be NULL = not asked for.
 *                        They overlap nothing else
 * @return INVALID_ARGUMENT, as for clattn_merge(); nothing is written then
 * Threads: any. Takes no memory.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_merge_backward(const clattn_merge_part *parts, int64_t count, int64_t rows,
                                                            int64_t value_dim, const clattn_merge_part *gradient,
                                                            const clattn_merge_part *part_gradients);

#ifdef __cplusplus
}
#endif
#endif
