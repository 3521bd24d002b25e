/*
 * The mask of dropout, written out: a byte for every key of the problem, allowed or not, inside the lengths or not.
 */
#ifndef ATTN_ENGINES_CPU_DROPOUT_CPU_DROPOUT_OUT_H
#define ATTN_ENGINES_CPU_DROPOUT_CPU_DROPOUT_OUT_H

#include "base/memory.h"
#include "engines/cpu/dropout/cpu_dropout_job.h"
#include "engines/cpu/shared/cpu_dropout.h"

static void mask_row(const dropout_entry *entry, int64_t h, int64_t i, uint8_t *out, int64_t keys) {
    uint32_t room[DROPOUT_ROOM] __attribute__((aligned(ATTN_VECTOR_BYTES)));
    for (int64_t key = 0; key < keys; key += DROPOUT_MOST) {
        const int n = (int)attn_min(DROPOUT_MOST, keys - key);
        const uint32_t *masks = dropout_masks(entry, h, i, key, n, room);
        for (int c = 0; c < n; c++) out[key + c] = masks[c] & 1;
    }
}

static void mask_item(const attn_cpu_dropout_job *own, int64_t item, void *scratch) {
    const clattn_problem *problem = own->problem;
    const attn_view *out = &own->call->dropout_mask;
    const int64_t head = item / own->chunks, first = item % own->chunks * own->rows;
    const int64_t b = head / problem->query_heads, h = head % problem->query_heads;
    dropout_entry entry;
    (void)scratch;
    start_dropout(&entry, problem, own->call, b);
    for (int64_t i = first; i < attn_min(first + own->rows, own->call->query_length); i++) {
        mask_row(&entry, h, i, (uint8_t *)out->data + attn_view_row(out, b, h, i), problem->key_length);
    }
}

#endif
