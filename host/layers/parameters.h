/* Lists of parameters, as optimisers see them. */
#ifndef ATTN_LAYERS_PARAMETERS_H
#define ATTN_LAYERS_PARAMETERS_H

#include "clattn/clattn_learning.h"
#include "layers/layer.h"

struct clattn_parameters {
    clattn_runtime *runtime;
    clattn_parameter *list;
    int64_t count, room;
};

/** clattn_parameters_add(); without memory for the gradient where none is wanted. */
clattn_status attn_parameters_add(clattn_parameters *parameters, const clattn_parameter *like, bool gradient,
                                  clattn_report *report);

#endif
