/* Help texts of `clattn words` and its sub-commands, none wider than 80 columns. */
#ifndef ATTN_CLI_WORDS_WORDS_HELP_H
#define ATTN_CLI_WORDS_WORDS_HELP_H

extern const char attn_words_usage[];

/** The text that a command reads, and the model that is drawn. */
extern const char attn_words_help_text[], attn_words_help_model[];

extern const char attn_words_help_count[], attn_words_help_weights[], attn_words_help_show[], attn_words_help_probe[],
    attn_words_help_train[], attn_words_help_predict[], attn_words_help_generate[], attn_words_help_neighbours[];

#endif
