/*
 * Help texts that several commands share. A command's own text is in its file, that of words in case_words.c.
 * tests/test_help.c looks at the widths and at each option having its line.
 */
#include "base/help.h"

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

const char attn_help_status[] = "\nExit status: 0 done; 1 a result is wrong; 2 bad usage or input, said in one\n"
                                "line that names the word or file; 3 nothing here can serve it, with reasons;\n"
                                "128 + N ended in order by signal N.\n";
