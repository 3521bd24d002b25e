/*
 * The program: finds the command, prints its error. Everything else is in cmd_*.c. To add a command, write
 * cmd_<name>.c and add a row to the table.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/help.h"
#include "base/hint.h"
#include "commands.h"

static const char usage[] = "clattn: attention on any OpenCL device and on the CPU\n"
                            "\n"
                            "  clattn devices                   what is here: devices and their engines\n"
                            "  clattn plan    PROBLEM...        which engine and kernel would serve a problem\n"
                            "  clattn run     PROBLEM... FILES  attention on your own arrays (.npy files)\n"
                            "  clattn verify  [PROBLEM...]      engines against the reference\n"
                            "  clattn bench   [PROBLEM...]      time, throughput, memory over lengths\n"
                            "  clattn tune    [PROBLEM...]      search block sizes of the OpenCL engines\n"
                            "  clattn words   ...               the word model: what words of a text look at;\n"
                            "                                   a model that learns a text\n"
                            "  clattn help    [COMMAND]         this text, or that of a command\n"
                            "  clattn --version, -V             the version\n"
                            "\n"
                            "A PROBLEM is words such as query_length=2048 query_heads=12 head_dim=64;\n"
                            "`clattn help plan` lists them all. Of a later release: clattn ring.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv, attn_error *error); /* NULL: of a later release */
} commands[] = {
    { "devices", attn_command_devices },
    { "plan", attn_command_plan },
    { "run", attn_command_run },
    { "verify", attn_command_verify },
    { "bench", attn_command_bench },
    { "tune", attn_command_tune },
    { "words", attn_command_words },
    { "ring", NULL },
    { "clattn-ring", NULL },
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *file) {
    fprintf(file, "%s%s%s", usage, attn_help_options, attn_help_status);
}

/* argv[0] is the command's name. */
static int run_command(int argc, char **argv, attn_error *error) {
    attn_hint hint;
    attn_hint_begin(&hint, argv[0], strlen(argv[0]));
    for (int c = 0; c < COMMANDS; c++) {
        if (strcmp(commands[c].name, argv[0]) == 0) {
            return commands[c].run
                       ? commands[c].run(argc - 1, argv + 1, error)
                       : attn_fail(error, ATTN_UNSERVED, "%s is a command of a later release", argv[0]);
        }
        attn_hint_try(&hint, commands[c].name);
    }
    attn_hint_try(&hint, "help");
    attn_hint_try(&hint, "--help");
    attn_hint_try(&hint, "--version");
    return attn_fail(error, ATTN_USAGE, "%s: no such %s%s (clattn help lists them)",
                     argv[0][0] != '\0' ? argv[0] : "\"\"", argv[0][0] == '-' ? "option" : "command",
                     attn_hint_text(&hint));
}

/* `help COMMAND ...` is `COMMAND ... --help`. */
static int help_of(int argc, char **argv, attn_error *error) {
    static char help[] = "--help";
    char *words[4] = { NULL };
    int count = 0;
    for (; count < argc && count < 3; count++) {
        words[count] = argv[count];
    }
    if (argc > 2) {
        return attn_fail(error, ATTN_USAGE, "%s: help takes a command, and of words a sub-command", argv[2]);
    }
    if (strcmp(argv[0], "help") == 0) {
        print_usage(stdout);
        return ATTN_DONE;
    }
    words[count++] = help;
    return run_command(count, words, error);
}

static int dispatch(int argc, char **argv, attn_error *error) {
    if (argc > 1 && strcmp(argv[1], "--") == 0) {
        argc--;
        argv++;
    }
    if (argc < 2) {
        print_usage(stderr);
        return attn_fail(error, ATTN_USAGE, "a command is missing");
    }
    const char *name = argv[1];
    bool help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (help && argc > 2) {
        return help_of(argc - 2, argv + 2, error);
    }
    if (help) {
        print_usage(stdout);
        return ATTN_DONE;
    }
    bool version_wanted = strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0 || strcmp(name, "version") == 0;
    if (version_wanted && argc > 2) {
        return attn_fail(error, ATTN_USAGE, "%s: %s takes no words", argv[2], name);
    }
    if (version_wanted) {
        attn_print_version();
        return ATTN_DONE;
    }
    return run_command(argc - 1, argv + 1, error);
}

int main(int argc, char **argv) {
    static attn_error error;
    signal(SIGPIPE, SIG_DFL); /* `clattn bench | head` ends with head, even where who started it ignores the signal */
    locale_t plain =
        newlocale(LC_ALL_MASK, "C", (locale_t)0); /* numbers have a point, whatever a device's library sets */
    if (plain != (locale_t)0) {
        uselocale(plain);
    }
    int status = dispatch(argc, argv, &error);
    errno = 0;
    if (status == ATTN_DONE && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        status = attn_fail(&error, ATTN_USAGE, "standard output: writing failed%s%s", errno != 0 ? ": " : "",
                           errno != 0 ? strerror(errno) : "");
    }
    if (status != ATTN_DONE && error.text[0] != '\0') {
        fprintf(stderr, "clattn: %s\n", error.text);
    }
    return status;
}
