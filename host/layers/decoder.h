/* A decoder, as what continues its calls sees it. */
#ifndef ATTN_LAYERS_DECODER_H
#define ATTN_LAYERS_DECODER_H

#include "layers/block.h"

/** Its parameters: the table, the blocks', then these. */
enum { ATTN_DECODER_EMBEDDING, ATTN_DECODER_FIRST_BLOCK };
enum { ATTN_DECODER_GAIN, ATTN_DECODER_BIAS, ATTN_DECODER_WORDS };

struct clattn_decoder {
    clattn_runtime *runtime;
    clattn_decoder_options options;
    clattn_parameters *parameters;
    clattn_block *block;
    clattn_linear_plan *words;
    clattn_linear_backward *words_backward;
    float *states;        /* [blocks + 1, rows, dim]: inputs of the blocks, and the last one's output */
    float *kept;          /* of each block, or of one */
    float *last, *logits; /* [rows, dim] after the norm; [rows, words] */
    int64_t per_block;    /* parameters */
};

/** Which of the parameters behind the blocks. */
clattn_parameter attn_decoder_behind(const clattn_decoder *decoder, int which);

/** The index of a block's first parameter. */
int64_t attn_decoder_block(const clattn_decoder *decoder, int64_t block);

/** Told of each block after its forward, with what that has kept. */
typedef void attn_decoder_listener(void *user, int64_t block, const float *kept);

/** Embeds the ids and passes them through the blocks; *state receives the last one's output. listener may be NULL. */
clattn_status attn_decoder_pass(clattn_decoder *decoder, const int64_t *ids, int64_t length,
                                attn_decoder_listener *listener, void *user, const float **state,
                                clattn_report *report);

#endif
