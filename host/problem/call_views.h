/*
 * A call's tensors turned into views, one kind a function. Each checks that the memory is there and all that it walks has an
 * address, and names the field otherwise. They are in call.c.
 */
#ifndef ATTN_PROBLEM_CALL_VIEWS_H
#define ATTN_PROBLEM_CALL_VIEWS_H

#include "problem/call.h"

/** A tensor of [batch, heads, length, dim]; `length` is the problem's, `used` the call's. */
clattn_status attn_view_tensor(const clattn_problem *problem, const attn_call *call, const char *field,
                               const clattn_tensor *tensor, clattn_type type, const int64_t shape[4], int64_t used,
                               attn_view *view);

/** `size` is an element's; 0 for a mask of bits. */
clattn_status attn_view_broadcast(const clattn_problem *problem, const attn_call *call, const char *field,
                                  const clattn_broadcast *broadcast, const int64_t shape[4], int64_t size,
                                  attn_view *view);

/** A dense array of the given shape, of elements of `size` bytes. */
clattn_status attn_view_array(const clattn_problem *problem, const attn_call *call, const char *field,
                              const clattn_array *array, const int64_t shape[4], int64_t size, attn_view *view);

/** One integer a batch entry; values are checked where they can be read. */
clattn_status attn_view_integers(const clattn_problem *problem, const attn_call *call, const char *field,
                                 const clattn_integers *given, int64_t least, int64_t most, clattn_integers *integers);

#endif
