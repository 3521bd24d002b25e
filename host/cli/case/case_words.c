/*
 * The words of problems, one row a word, in the order in which help and hints list them. To add a word, add its row,
 * and a reader, where none of word_readers.h fits. The rows with `later` stand last.
 */
#include "case/case_words.h"

#include <stddef.h>
#include <string.h>

#include "case/case_later.h"
#include "case/word_draws.h"
#include "case/word_readers.h"
#include "case/word_tallies.h"

#define PROBLEM(member) (offsetof(attn_case, problem) + offsetof(clattn_problem, member))
#define CASE(member) offsetof(attn_case, member)
#define YES_OR_NO { { "yes", true }, { "no", false } }

_Static_assert(sizeof(clattn_type) == sizeof(int) && sizeof(attn_list_kind) == sizeof(int),
               "named values are read as int");

/* clang-format off: what reads, what helps, what draws and what is counted has a line each */
static const attn_word rows[] = {
    { .name = "batch", .read = attn_read_size, .member = PROBLEM(batch), .column = true,
      .form = "N", .help = "entries (1)",
      .draw = { .turn = 1, .say = attn_say_any_size } },
    { .name = "query_heads", .read = attn_read_size, .member = PROBLEM(query_heads), .column = true,
      .form = "N", .help = "heads of queries (1)",
      .draw = { .turn = 2, .say = attn_say_any_size } },
    { .name = "kv_heads", .read = attn_read_size, .member = PROBLEM(kv_heads), .second = PROBLEM(query_heads),
      .column = true,
      .form = "N", .help = "heads of keys and values (as query_heads)",
      .draw = { .turn = 3, .say = attn_say_size },
      .tallies = { { 5, "grouped heads", attn_counts_differs, 0 } } },
    { .name = "query_length", .read = attn_read_size, .member = PROBLEM(query_length), .given = CASE(has_query_length),
      .needed = true, .column = true,
      .form = "N", .help = "rows of queries",
      .draw = { .turn = 4, .say = attn_say_any_size } },
    { .name = "key_length", .read = attn_read_size, .member = PROBLEM(key_length), .second = PROBLEM(query_length),
      .column = true,
      .form = "N", .help = "keys, past and new ones (as query_length)",
      .draw = { .turn = 5, .say = attn_say_size } },
    { .name = "head_dim", .read = attn_read_size, .member = PROBLEM(head_dim), .minimum = 1,
      .given = CASE(has_head_dim), .needed = true, .column = true,
      .form = "N", .help = "numbers a query and a key",
      .draw = { .turn = 6, .say = attn_say_any_size } },
    { .name = "value_dim", .read = attn_read_size, .member = PROBLEM(value_dim), .second = PROBLEM(head_dim),
      .minimum = 1, .column = true,
      .form = "N", .help = "numbers a value (as head_dim)",
      .draw = { .turn = 7, .say = attn_say_size },
      .tallies = { { 6, "value_dim differs", attn_counts_differs, 0 } } },
    { .name = "past", .read = attn_read_size, .member = PROBLEM(past_length),
      .form = "N", .help = "keys that stand before the first query (0)",
      .draw = { .turn = 8, .say = attn_say_size },
      .tallies = { { 19, "past", attn_counts_size, 0 } } },
    { .name = "type", .read = attn_read_named, .member = PROBLEM(type), .given = CASE(has_type), .column = true,
      .names = { { "fp32", CLATTN_FP32 }, { "fp16", CLATTN_FP16 }, { "bf16", CLATTN_BF16 }, { "fp64", CLATTN_FP64 } },
      .form = "T", .help = "fp32, fp16, bf16 or fp64 (fp32)",
      .draw = { .turn = 9, .say = attn_say_one,
                .values = { "fp32", "fp32", "fp32", "fp32", "fp16", "fp16", "bf16", "bf16", "fp64" } },
      .tallies = { { 1, "fp32", attn_counts_is, CLATTN_FP32 }, { 2, "fp16", attn_counts_is, CLATTN_FP16 },
                   { 3, "bf16", attn_counts_is, CLATTN_BF16 }, { 4, "fp64", attn_counts_is, CLATTN_FP64 } } },
    { .name = "layout", .read = attn_read_switch, .member = CASE(bshd),
      .names = { { "bhsd", false }, { "bshd", true } },
      .form = "L", .help = "bhsd or bshd (bhsd)",
      .draw = { .turn = 23, .say = attn_say_layout, .second_per_cent = 30, .values = { "bshd" } },
      .tallies = { { 23, "bshd", attn_counts_on, 0 } } },
    { .name = "causal", .read = attn_read_switch, .member = PROBLEM(causal), .names = YES_OR_NO,
      .form = "yes", .help = "a row sees no key behind its own place",
      .draw = { .turn = 11, .per_cent = 40, .say = attn_say_one, .values = { "yes" } },
      .tallies = { { 7, "causal", attn_counts_on, 0 } } },
    { .name = "window", .read = attn_read_window, .member = PROBLEM(window_left), .second = PROBLEM(window_right),
      .whole = true,
      .form = "L,R", .help = "keys to the left and right; `open` for an open side",
      .draw = { .turn = 11, .per_cent = 20, .say = attn_say_window },
      .tallies = { { 8, "window", attn_counts_window, 0 } } },
    { .name = "align", .read = attn_read_align, .member = PROBLEM(alignment), .second = PROBLEM(offset),
      .given = CASE(has_align),
      .names = { { "top_left", CLATTN_ALIGN_TOP_LEFT }, { "bottom_right", CLATTN_ALIGN_BOTTOM_RIGHT },
                 { "past", CLATTN_ALIGN_PAST } },
      .form = "A", .help = "top_left, bottom_right, past or a number: where queries\n"
                           "stand among keys; for causal, window and alibi",
      .draw = { .turn = 12, .say = attn_say_align, .values = { "top_left", "bottom_right", "bottom_right", "past" } } },
    { .name = "scale", .read = attn_read_number, .member = PROBLEM(scale), .given = PROBLEM(has_scale),
      .form = "X", .help = "of the dot products (1/sqrt(head_dim))",
      .draw = { .turn = 17, .per_cent = 10, .say = attn_say_one, .values = { "0", "-0.25", "0.5", "1", "0.0625" } },
      .tallies = { { 16, "scale", attn_counts_given, 0 } } },
    { .name = "softcap", .read = attn_read_positive, .member = PROBLEM(softcap),
      .form = "X", .help = "scores become X tanh(score / X)",
      .draw = { .turn = 18, .per_cent = 15, .say = attn_say_one, .values = { "1", "15", "30", "50" } },
      .tallies = { { 15, "softcap", attn_counts_number, 0 } } },
    { .name = "allow_tf32", .read = attn_read_switch, .member = PROBLEM(allow_tf32), .names = YES_OR_NO,
      .form = "yes", .help = "fp32 may be rounded to TF32 before products",
      .draw = { .turn = 25, .say = attn_say_tf32, .values = { "yes" } },
      .tallies = { { 21, "TF32 allowed", attn_counts_on, 0 } } },
    { .name = "seed", .read = attn_read_seed, .member = CASE(seed),
      .form = "N", .help = "of what is drawn (0)",
      .draw = { .turn = 26, .say = attn_say_seed } },

    { .name = "mask", .read = attn_read_dims, .member = PROBLEM(mask), .second = PROBLEM(mask_shape), .whole = true,
      .names = { { "", CLATTN_MASK_BYTES }, { "bits", CLATTN_MASK_BITS } }, .drawing = true,
      .form = "DIMS[,bits]", .help = "1 to 4 sizes, each 1 or full, such as 1,1,q,k",
      .draw = { .turn = 14, .per_cent = 25, .say = attn_say_dims, .second_per_cent = 25 },
      .tallies = { { 11, "mask", attn_counts_not, CLATTN_MASK_NONE },
                   { 12, "bit mask", attn_counts_is, CLATTN_MASK_BITS } } },
    { .name = "bias", .read = attn_read_dims, .member = PROBLEM(bias), .second = PROBLEM(bias_shape), .whole = true,
      .names = { { "", CLATTN_BIAS_FP32 }, { "storage", CLATTN_BIAS_STORAGE } }, .drawing = true,
      .form = "DIMS[,storage]", .help = "the same; fp32, or the storage type",
      .draw = { .turn = 15, .per_cent = 20, .say = attn_say_dims, .second_per_cent = 40 },
      .tallies = { { 13, "bias", attn_counts_not, CLATTN_BIAS_NONE } } },
    { .name = "alibi", .read = attn_read_switch, .member = PROBLEM(alibi), .names = YES_OR_NO, .drawing = true,
      .form = "yes", .help = "slopes, one a head",
      .draw = { .turn = 11, .per_cent = 15, .say = attn_say_one, .values = { "yes" } },
      .tallies = { { 9, "alibi", attn_counts_on, 0 } } },
    { .name = "sinks", .read = attn_read_switch, .member = PROBLEM(sinks), .names = YES_OR_NO, .drawing = true,
      .form = "yes", .help = "a score that is only in the denominator, one a head",
      .draw = { .turn = 16, .per_cent = 15, .say = attn_say_one, .values = { "yes" } },
      .tallies = { { 14, "sinks", attn_counts_on, 0 } } },
    { .name = "query_lengths", .read = attn_read_lengths, .member = CASE(query_lengths),
      .second = PROBLEM(query_length), .given = PROBLEM(query_lengths),
      .drawing = true, .whole = true, .by_entry = true,
      .form = "LIST", .help = "a,b,.. or random: used lengths, one a batch entry",
      .draw = { .turn = 10, .per_cent = 15, .say = attn_say_one, .values = { "random" } },
      .tallies = { { 17, "query lengths", attn_counts_given, 0 } } },
    { .name = "key_lengths", .read = attn_read_lengths, .member = CASE(key_lengths), .second = PROBLEM(key_length),
      .given = PROBLEM(key_lengths), .drawing = true, .whole = true, .by_entry = true,
      .form = "LIST", .help = "the same for keys",
      .draw = { .turn = 10, .per_cent = 20, .say = attn_say_one, .values = { "random" } },
      .tallies = { { 18, "key lengths", attn_counts_given, 0 } } },
    { .name = "offsets", .read = attn_read_offsets, .member = CASE(offsets), .drawing = true, .whole = true,
      .by_entry = true,
      .form = "LIST", .help = "a,b,..: the alignment, one a batch entry",
      .draw = { .turn = 13, .say = attn_say_offsets },
      .tallies = { { 10, "offsets", attn_counts_not, ATTN_LIST_NONE } } },
    { .name = "weights", .read = attn_read_named, .member = PROBLEM(weights), .drawing = true,
      .names = { { "raw", CLATTN_WEIGHTS_RAW }, { "softcap", CLATTN_WEIGHTS_SOFTCAP }, { "bias", CLATTN_WEIGHTS_BIAS },
                 { "softmax", CLATTN_WEIGHTS_SOFTMAX } },
      .form = "STAGE", .help = "raw, softcap, bias or softmax weights come out too",
      .draw = { .turn = 20, .per_cent = 20, .say = attn_say_weights, .second_per_cent = 30,
                .values = { "raw", "softcap", "bias", "softmax", "softmax" } },
      .tallies = { { 20, "weights", attn_counts_not, CLATTN_WEIGHTS_NONE } } },
    { .name = "weights_heads", .read = attn_read_part, .member = PROBLEM(weights_first_head),
      .second = PROBLEM(weights_heads), .drawing = true, .whole = true,
      .form = "F,N", .help = "N heads of them from head F",
      .draw = { .turn = 21, .say = attn_say_heads } },
    { .name = "weights_rows", .read = attn_read_part, .member = PROBLEM(weights_first_row),
      .second = PROBLEM(weights_rows), .drawing = true, .whole = true,
      .form = "F,N", .help = "N rows of them from row F",
      .draw = { .turn = 21, .say = attn_say_rows } },
    { .name = "strides", .read = attn_read_switch, .member = CASE(strides_random), .drawing = true,
      .names = { { "packed", false }, { "random", true } },
      .form = "random", .help = "gaps between rows (packed)",
      .draw = { .turn = 22, .per_cent = 30, .say = attn_say_one, .values = { "random" } },
      .tallies = { { 22, "random strides", attn_counts_on, 0 } } },
    { .name = "poison", .read = attn_read_switch, .member = CASE(poison), .names = YES_OR_NO, .drawing = true,
      .form = "yes", .help = "NaN in memory that must not matter",
      .draw = { .turn = 24, .per_cent = 40, .say = attn_say_one, .values = { "yes" } },
      .tallies = { { 24, "poison", attn_counts_on, 0 } } },
    { .name = "spread", .read = attn_read_positive, .member = CASE(spread), .drawing = true,
      .form = "X", .help = "standard deviation of queries and keys (1)",
      .draw = { .turn = 19, .per_cent = 30, .say = attn_say_one, .values = { "1.5", "2", "3", "0.1", "10" } } },

    { .name = "direction", .read = attn_later_named, .names = { { "forward", false }, { "backward", true } },
      .later = true, .form = "backward" },
    { .name = "dropout", .read = attn_later_dropout, .later = true },
    { .name = "packed", .read = attn_later_named, .names = YES_OR_NO, .later = true },
    { .name = "page", .read = attn_later_size, .minimum = 1, .later = true },
    { .name = "cache", .read = attn_later_named, .names = { { "int8", true } }, .later = true },
    { .name = "prefix", .read = attn_later_size, .later = true },
    { .name = "ring", .read = attn_later_ring, .later = true, .whole = true },
    { .name = "rotary", .read = attn_later_rotary, .later = true, .whole = true },
    { .name = "rotary_base", .read = attn_later_base, .later = true },
};
/* clang-format on */
enum { ROWS = sizeof rows / sizeof rows[0] };

const attn_word *attn_word_row(int n) {
    return n < ROWS ? &rows[n] : NULL;
}

const attn_word *attn_word_find(const char *name, size_t length) {
    for (int n = 0; n < ROWS; n++) {
        if (strlen(rows[n].name) == length && strncmp(rows[n].name, name, length) == 0) {
            return &rows[n];
        }
    }
    return NULL;
}

int64_t attn_word_size(const clattn_problem *problem, size_t offset) {
    return *(const int64_t *)(const void *)((const char *)problem + (offset - offsetof(attn_case, problem)));
}

bool attn_word_given(const attn_word *word, const attn_case *c) {
    return word->given != 0 && *((const bool *)((const char *)c + word->given));
}
