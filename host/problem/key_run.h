/*
 * How the keys, or the values, of a head lie in memory: in runs, stretches of keys one after another at one stride. A
 * dense tensor is one run. Whoever reads keys or values asks here where they begin, and takes no more of them at a stride
 * than their run has. To add another layout of caches: attn_key_run_at(), and what attn_view must know of it.
 */
#ifndef ATTN_PROBLEM_KEY_RUN_H
#define ATTN_PROBLEM_KEY_RUN_H

#include "problem/call.h"

/** The keys, or the values, of key-value head g of entry b. */
typedef struct attn_keys {
    const attn_view *view;
    int64_t b, g;
} attn_keys;

/** n keys: element 0 of the first is at index `first` of the view's data, that of each other `stride` elements on. */
typedef struct attn_key_run {
    int64_t first, stride, n;
} attn_key_run;

/** What lies in one run of the n > 0 keys from number `key` on: at least the first of them. */
static inline attn_key_run attn_key_run_at(const attn_keys *keys, int64_t key, int64_t n) {
    return (attn_key_run){ attn_view_row(keys->view, keys->b, keys->g, key), keys->view->stride[2], n };
}

/** Index of element 0 of one key. */
static inline int64_t attn_key_at(const attn_keys *keys, int64_t key) {
    return attn_key_run_at(keys, key, 1).first;
}

/** The same of each of the n keys from number `key` on, whatever runs they lie in. */
static inline void attn_keys_at(const attn_keys *keys, int64_t key, int64_t n, int64_t *at) {
    while (n > 0) {
        const attn_key_run run = attn_key_run_at(keys, key, n);
        for (int64_t i = 0; i < run.n; i++) {
            at[i] = run.first + i * run.stride;
        }
        key += run.n;
        n -= run.n;
        at += run.n;
    }
}

#endif
