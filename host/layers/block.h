/* A transformer block, as the decoder sees it. */
#ifndef ATTN_LAYERS_BLOCK_H
#define ATTN_LAYERS_BLOCK_H

#include "layers/parameters.h"

/** The parameters of a block, in the order in which they are added. */
enum {
    ATTN_GAIN1,
    ATTN_BIAS1,
    ATTN_W_QUERY,
    ATTN_B_QUERY,
    ATTN_W_KEY,
    ATTN_B_KEY,
    ATTN_W_VALUE,
    ATTN_B_VALUE,
    ATTN_W_OUTPUT,
    ATTN_B_OUTPUT,
    ATTN_GAIN2,
    ATTN_BIAS2,
    ATTN_W_UP,
    ATTN_B_UP,
    ATTN_W_DOWN,
    ATTN_B_DOWN,
    ATTN_BLOCK_PARAMETERS
};

/** Adds a parameter named prefix + name, drawn: matrices by Xavier, vectors all `start`. */
clattn_status attn_block_add(clattn_parameters *parameters, const char *prefix, const char *name, int64_t rows,
                             int64_t columns, uint64_t seed, float start, clattn_report *report);

/** Where a call's forward has kept its keys and values: [rows, kv_heads * head_dim] each. */
void attn_block_keys(const clattn_block *block, const float *kept, const float **key, const float **value);

/** The plan of the block's attention. */
clattn_status attn_block_info(const clattn_block *block, clattn_plan_info *info);

#endif
