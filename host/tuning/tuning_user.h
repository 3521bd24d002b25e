/*
 * Rows of block sizes that a user brings, beside the tables of the library. As text:
 *
 *     # a comment
 *     [attention_fused_gpu]                                     a table of kernels/tuning
 *     vendor,architecture,device,type,head_dim_max,...,note     its header, as in that table
 *     *,*,NVIDIA H200,fp16,128,...,tuned                        rows
 */
#ifndef ATTN_TUNING_TUNING_USER_H
#define ATTN_TUNING_TUNING_USER_H

#include "base/memory.h"
#include "base/report.h"
#include "tuning/tuning.h"

enum { ATTN_TUNING_SECTIONS = 32 };

/** Read rows. Constant once made. */
typedef struct attn_tuning_user {
    struct attn_tuning_user *older; /* the owner's, to keep what plans in the making may still read */
    bool only;                      /* the library's own rows do not count */
    int64_t count;
    attn_tuning_table tables[ATTN_TUNING_SECTIONS]; /* inside the memory of this object */
} attn_tuning_user;

/**
 * Reads rows. Every size must be a whole number, every header that of the library's table.
 * @return INVALID_ARGUMENT with a line "NAME:LINE:COLUMN: what is wrong"; OUT_OF_MEMORY
 */
clattn_status attn_tuning_parse(attn_memory *memory, const char *name, const char *text, attn_tuning_user **user,
                                clattn_report *report);

/** The rows of a table that apply, the user's (NULL = none) before the library's where they are otherwise equal. */
int64_t attn_tuning_find_rows(const attn_tuning_user *user, const char *table, const attn_tuning_key *key,
                              attn_tuning_row *rows, int64_t room);

#endif
