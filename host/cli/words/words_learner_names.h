/* What the file of a word model that learns calls its notes and arrays, beside settings and parameters. */
#ifndef ATTN_CLI_WORDS_WORDS_LEARNER_NAMES_H
#define ATTN_CLI_WORDS_WORDS_LEARNER_NAMES_H

#define ATTN_LEARNER_FORMAT "clattn words 1"

#define ATTN_NOTE_FORMAT "format"
#define ATTN_NOTE_STEPS "steps_made"
#define ATTN_NOTE_VOCABULARY "vocabulary" /* a word a line; a backslash and n stand for a line break, two for one */

#define ATTN_ARRAY_IDS "text.ids"         /* of the whole text that is learnt */
#define ATTN_ARRAY_LENGTHS "text.lengths" /* of its sentences */
#define ATTN_ARRAY_LOSSES "training.losses"
#define ATTN_ARRAY_VALIDATIONS "training.validations"
#define ATTN_ARRAY_SUBWORDS "subword_model" /* bytes, a number each */

/** Numbers in arrays are floats: whole up to here. */
#define ATTN_LEARNER_MOST_WORDS 16777216

#endif
