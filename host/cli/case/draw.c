/*
 * Random numbers as a function of (seed, stream, index): no state, any order, the same on every platform. Normals are
 * sums of eight 16-bit uniform numbers, exact in integers, so no libm is involved. Streams are named in case_data.c.
 */
#include "case/case_data.h"

static uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t attn_draw(uint64_t seed, uint64_t stream, uint64_t index) {
    uint64_t key = mix(seed + UINT64_C(0x9e3779b97f4a7c15) * (stream + 1));
    return mix(key + UINT64_C(0x9e3779b97f4a7c15) * (index + 1));
}

double attn_draw_normal(uint64_t seed, uint64_t stream, uint64_t index) {
    uint64_t first = attn_draw(seed, stream, 2 * index), second = attn_draw(seed, stream, 2 * index + 1);
    int64_t sum = -4 * 65535;
    for (int lane = 0; lane < 64; lane += 16) {
        sum += (int64_t)(first >> lane & 0xffff) + (int64_t)(second >> lane & 0xffff);
    }
    return (double)sum * 1.8688123650118534e-05; /* 1 / sqrt(8 * (2^32 - 1) / 12) */
}
