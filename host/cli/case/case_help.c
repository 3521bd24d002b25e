/* The help of words, from their rows, in lines of at most 80 columns. */
#include "case/case_help.h"

#include <stdio.h>
#include <string.h>

#include "base/help.h"
#include "case/case_words.h"

enum { INDENT = 24, WIDTH = 80 };

/* The lines of one word. */
static void print_word(const attn_word *word) {
    int left = printf("  %s=%s", word->name, word->form);
    const char *line = word->help;
    for (size_t length; *line != '\0'; line += length + (line[length] == '\n')) {
        length = strcspn(line, "\n");
        printf("%*s%.*s\n", left < INDENT ? INDENT - left : 1, "", (int)length, line);
        left = 0;
    }
}

static void print_words(bool drawing) {
    for (int n = 0; attn_word_row(n); n++) {
        const attn_word *word = attn_word_row(n);
        if (!word->later && word->drawing == drawing) {
            print_word(word);
        }
    }
}

static void print_later(void) {
    int column = printf("Of a later release:");
    const char *comma = "";
    for (int n = 0; attn_word_row(n); n++) {
        const attn_word *word = attn_word_row(n);
        if (word->later) {
            char text[64];
            snprintf(text, sizeof text, "%s%s%s", word->name, word->form ? "=" : "", word->form ? word->form : "");
            bool fits = column + (int)(strlen(comma) + 1 + strlen(text) + 1) <= WIDTH;
            int printed = printf("%s%s%s", comma, fits ? " " : "\n", text);
            column = fits ? column + printed : (int)strlen(text);
            comma = ",";
        }
    }
    puts(".");
}

void attn_help_print_problem(int parts) {
    if (parts & ATTN_HELP_PROBLEM) {
        puts("\nPROBLEM: words name=value in any order");
        print_words(false);
    }
    if (parts & ATTN_HELP_DRAWN) {
        puts("Words of problems that draw their own data:");
        print_words(true);
    }
    if (parts & ATTN_HELP_LISTS) {
        puts("A word may hold a list 64,128 or a doubling range 128..8192; all combinations\n"
             "are taken.");
    }
    if (parts & ATTN_HELP_PROBLEM) {
        print_later();
    }
}

void attn_help_print(const char *own, int parts) {
    fputs(own, stdout);
    attn_help_print_problem(parts);
    fputs(attn_help_options, stdout);
}
