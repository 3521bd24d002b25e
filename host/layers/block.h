/* A transformer block, as the decoder sees it. */
#ifndef ATTN_LAYERS_BLOCK_H
#define ATTN_LAYERS_BLOCK_H

#include "layers/parameters.h"

/** Adds a parameter named prefix + name, drawn: matrices by Xavier, vectors all `start`. */
clattn_status attn_block_add(clattn_parameters *parameters, const char *prefix, const char *name, int64_t rows,
                             int64_t columns, uint64_t seed, float start, clattn_report *report);

/** The plan of the block's attention. */
clattn_status attn_block_info(const clattn_block *block, clattn_plan_info *info);

#endif
