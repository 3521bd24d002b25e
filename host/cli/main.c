/*
 * The program: finds the command, prints its error. Everything else is in cmd_*.c. To add a command, write
 * cmd_<name>.c and add a row to the table.
 */
#include <stdio.h>
#include <string.h>

#include "clattn/clattn.h"
#include "commands.h"

static const char attn_usage[] =
    "clattn: attention on any OpenCL device and on the CPU\n"
    "\n"
    "  clattn devices                 what is here: every device, what it can do, which engines it gets\n"
    "  clattn plan   PROBLEM...       which engine and kernel would serve a problem, and why others would not\n"
    "  clattn run    PROBLEM... FILES attention on your own arrays (.npy in, .npy out)\n"
    "  clattn verify [PROBLEM...]     engines against the reference\n"
    "  clattn bench  [PROBLEM...]     time, throughput and memory over sequence lengths\n"
    "  clattn tune   [PROBLEM...]     search block sizes of the OpenCL engines on this device, keep what wins\n"
    "  clattn words  ...              the word model: what words of a text look at, and the word nearest to it\n"
    "  clattn --version\n"
    "\n"
    "`clattn COMMAND --help` tells the options of a command and the words of a PROBLEM.\n"
    "Options of every command: --engine NAME[,NAME] (reference, cpu, opencl-unfused, opencl-fused, opencl-decode; "
    "`opencl`\n"
    "= the best of them; `all`), --device NUMBER|PART-OF-NAME, --threads N, --help;\n"
    "for tuning and tests --blocks query=N,key=N,splits=N,variant=N (variant: OpenCL engines 1 = CPU-shaped, 2 = GPU-shaped,\n"
    "opencl-fused alone: 3 = matrix units; 4, 5, 6, 7 = those of AMD MFMA, RDNA3, RDNA4 and Intel, emulated).\n"
    "--tuning FILE|none: the block sizes that clattn tune found (else ~/.config/clattn/tuning.csv, where it is).\n"
    "Exit status: 0 done; 1 a result is wrong; 2 bad usage or input; 3 nothing here can serve it.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv, attn_error *error); /* NULL: of a later release */
} attn_commands[] = {
    { "devices", attn_command_devices },
    { "plan", attn_command_plan },
    { "run", attn_command_run },
    { "verify", attn_command_verify },
    { "bench", attn_command_bench },
    { "tune", attn_command_tune },
    { "words", attn_command_words },
};

static int attn_dispatch(int argc, char **argv, attn_error *error) {
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        fputs(attn_usage, stdout);
        return ATTN_DONE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        int version = clattn_version();
        printf("clattn %d.%d.%d\n", version / 10000, version / 100 % 100, version % 100);
        return ATTN_DONE;
    }
    for (size_t c = 0; c < sizeof attn_commands / sizeof attn_commands[0]; c++) {
        if (strcmp(attn_commands[c].name, name) == 0) {
            return attn_commands[c].run != NULL
                       ? attn_commands[c].run(argc - 2, argv + 2, error)
                       : attn_fail(error, ATTN_CANNOT, "%s is a command of a later release", name);
        }
    }
    return attn_fail(error, ATTN_BAD, "%.200s: no such command (clattn help lists them)", name);
}

int main(int argc, char **argv) {
    static attn_error error;
    int status = attn_dispatch(argc, argv, &error);
    if (status == ATTN_DONE && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        status = attn_fail(&error, ATTN_BAD, "standard output: writing failed");
    }
    if (status != ATTN_DONE && error.text[0] != '\0') {
        fprintf(stderr, "clattn: %s\n", error.text);
    }
    return status;
}
