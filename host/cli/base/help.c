/*
 * Help texts that several commands share. A command's own text is in its file. tests/test_help.c looks at the widths and
 * at each option having its line.
 */
#include "base/help.h"

#include <stdio.h>

const char attn_help_options[] = "\nOptions of every command:\n"
                                 "  --engine NAME[,NAME]  reference, cpu, opencl-unfused, opencl-fused,\n"
                                 "                        opencl-decode; opencl = the best of these three; all\n"
                                 "  --device SELECTOR     a number from `clattn devices`, or part of a name\n"
                                 "  --threads N           threads of the processor; default: all it may use\n"
                                 "  --tuning FILE|none    block sizes that `clattn tune` found; default:\n"
                                 "                        ~/.config/clattn/tuning.csv, where it is\n"
                                 "  --blocks LIST         query=N,key=N,splits=N: block sizes for tuning and tests\n"
                                 "  --body NAME           a way in which engines compute, for tuning and tests;\n"
                                 "                        `clattn devices` lists them\n"
                                 "  --help, -h            this text\n"
                                 "  --                    what follows are words, not options\n";

const char attn_help_status[] = "\nExit status: 0 done; 1 a result is wrong; 2 bad usage or input, told in one\n"
                                "line that names the word or file; 3 nothing here can serve it, with reasons;\n"
                                "128 + N ended in order by signal N.\n";

static const char problem_text[] = "\nPROBLEM: words name=value in any order\n"
                                   "  query_length=N        rows of queries\n"
                                   "  key_length=N          keys, past and new ones (as query_length)\n"
                                   "  head_dim=N            numbers a query and a key\n"
                                   "  value_dim=N           numbers a value (as head_dim)\n"
                                   "  batch=N               (1)\n"
                                   "  query_heads=N         (1)\n"
                                   "  kv_heads=N            heads of keys and values (as query_heads)\n"
                                   "  past=N                keys that stand before the first query (0)\n"
                                   "  type=T                fp32, fp16, bf16 or fp64 (fp32)\n"
                                   "  layout=L              bhsd or bshd (bhsd)\n"
                                   "  causal=yes            a row sees no key behind its own place\n"
                                   "  window=L,R            keys to the left and right; `open` for an open side\n"
                                   "  align=A               top_left, bottom_right, past or a number: where queries\n"
                                   "                        stand among keys; for causal, window and alibi\n"
                                   "  scale=X               of the dot products (1/sqrt(head_dim))\n"
                                   "  softcap=X             scores become X tanh(score / X)\n"
                                   "  allow_tf32=yes        fp32 may be rounded to TF32 before products\n"
                                   "  seed=N                of what is drawn (0)\n";

static const char drawn_text[] = "Words of problems that draw their own data:\n"
                                 "  mask=DIMS[,bits]      1 to 4 sizes, each 1 or full, such as 1,1,q,k\n"
                                 "  bias=DIMS[,storage]   the same; fp32, or the storage type\n"
                                 "  alibi=yes             slopes, one a head\n"
                                 "  sinks=yes             a score that is only in the denominator, one a head\n"
                                 "  query_lengths=LIST    a,b,.. or random: used lengths, one a batch entry\n"
                                 "  key_lengths=LIST      the same for keys\n"
                                 "  offsets=LIST          a,b,..: the alignment, one a batch entry\n"
                                 "  weights=STAGE         raw, softcap, bias or softmax weights come out too\n"
                                 "  weights_heads=F,N     N heads of them from head F\n"
                                 "  weights_rows=F,N      N rows of them from row F\n"
                                 "  strides=random        gaps between rows (packed)\n"
                                 "  poison=yes            NaN in memory that must not matter\n"
                                 "  spread=X              standard deviation of queries and keys (1)\n";

static const char lists_text[] = "A word may hold a list 64,128 or a doubling range 128..8192; all combinations\n"
                                 "are taken.\n";

static const char later_text[] = "Of a later release: cache, direction=backward, dropout, packed, page, prefix,\n"
                                 "ring, rotary, rotary_base.\n";

void attn_help_print_problem(int parts) {
    fputs(parts & ATTN_HELP_PROBLEM ? problem_text : "", stdout);
    fputs(parts & ATTN_HELP_DRAWN ? drawn_text : "", stdout);
    fputs(parts & ATTN_HELP_LISTS ? lists_text : "", stdout);
    fputs(parts & ATTN_HELP_PROBLEM ? later_text : "", stdout);
}

void attn_help_print(const char *own, int parts) {
    fputs(own, stdout);
    attn_help_print_problem(parts);
    fputs(attn_help_options, stdout);
}
