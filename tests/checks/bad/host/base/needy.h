/* Uses a type whose header it does not include. */
static inline int64_t attn_needy(int64_t x) {
    return x;
}
