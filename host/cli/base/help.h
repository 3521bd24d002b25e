/* Help texts that several commands share. A line each for what is described, and none is wider than 80 columns. */
#ifndef ATTN_CLI_BASE_HELP_H
#define ATTN_CLI_BASE_HELP_H

extern const char attn_help_options[], attn_help_status[];

#endif
