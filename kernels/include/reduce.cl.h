// What work-items that share a row tell each other. tile_lane() numbers the work-items of a group; THREADS_X neighbours
// share ROWS rows. Through local memory everywhere; through subgroup shuffles where the program is built with
// SUBGROUP_SHUFFLE=1 and the subgroup turns out to hold whole rows of work-items (asked at run time: nothing relies on
// its size).
// Defines: THREADS_X, THREADS_Y, ROWS.
#ifndef ATTN_REDUCE_CL_H
#define ATTN_REDUCE_CL_H

#define REDUCE_STRIDE (THREADS_X + 1)
#define REDUCE_SIZE (ROWS * THREADS_Y * REDUCE_STRIDE)

#if SUBGROUP_SHUFFLE
#ifdef cl_khr_subgroups // a feature of the language from OpenCL C 3.0 on
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#endif
#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable
#define tile_lane() ((int)(get_sub_group_id() * get_max_sub_group_size() + get_sub_group_local_id()))
#else
#define tile_lane() ((int)get_local_id(0))
#endif

static inline float reduce_two(float a, float b, int is_max) {
    return is_max ? (b > a ? b : a) : a + b;
}

// Maximum or sum of each of ROWS values over the THREADS_X work-items that share them, in a fixed order; all of them
// get it. Every work-item of the group comes here; a barrier must lie between two calls with the same scratch.
static inline void reduce_rows(__local float *scratch, float *x, int is_max) {
    const int lane = tile_lane(), tx = lane % THREADS_X, ty = lane / THREADS_X;
#if SUBGROUP_SHUFFLE
    if (get_max_sub_group_size() % THREADS_X == 0 && get_local_size(0) % get_max_sub_group_size() == 0) {
        for (uint distance = THREADS_X / 2; distance > 0; distance /= 2) {
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                x[i] = reduce_two(x[i], sub_group_shuffle_xor(x[i], distance), is_max);
            }
        }
        return;
    }
#endif
    __local float *mine = scratch + ty * ROWS * REDUCE_STRIDE;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        mine[i * REDUCE_STRIDE + tx] = x[i];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        float all = mine[i * REDUCE_STRIDE];
        for (int n = 1; n < THREADS_X; n++) {
            all = reduce_two(all, mine[i * REDUCE_STRIDE + n], is_max);
        }
        x[i] = all;
    }
}

#endif
