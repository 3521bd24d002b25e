// How the work-items of a group lie over a tile, and what those that share a row exchange. tile_lane() numbers
// them; THREADS_X of them share ROWS rows. Neighbouring lanes differ in the row, then in the column: reads of 16 bytes
// from local memory, where pairs of lanes read the same, then take half as long on NVIDIA devices.
// Through local memory everywhere; through subgroup shuffles where the program is built with SUBGROUP_SHUFFLE=1 and the
// subgroup turns out to hold whole rows of work-items (asked at run time: nothing relies on its size).
// Defines: THREADS_X (a multiple of 4), THREADS_Y (even), ROWS; REDUCE_STRIDE, float4 of a row in local memory.
#ifndef ATTN_REDUCE_CL_H
#define ATTN_REDUCE_CL_H

#if SUBGROUP_SHUFFLE
#ifdef cl_khr_subgroups // a feature of the language from OpenCL C 3.0 on
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#endif
#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable
#define tile_lane() ((int)(get_sub_group_id() * get_max_sub_group_size() + get_sub_group_local_id()))
#else
#define tile_lane() ((int)get_local_id(0))
#endif

#define tile_x(lane) ((lane) / 2 % THREADS_X)
#define tile_y(lane) ((lane) / (2 * THREADS_X) * 2 + (lane) % 2)

// A maximum leaves NaN out.
static inline float reduce_two(float a, float b, int is_max) {
    return is_max ? fmax(a, b) : a + b;
}

// Maximum or sum of each of ROWS values over the THREADS_X work-items that share them, in a fixed order; all of them
// get it. Every work-item of the group comes here and meets one barrier: what was read from local memory before may be
// written after. Another one must lie between two calls with the same scratch.
static inline void reduce_rows(__local float4 *scratch, float *x, int is_max) {
    const int lane = tile_lane(), tx = tile_x(lane), ty = tile_y(lane);
#if SUBGROUP_SHUFFLE
    if (get_max_sub_group_size() % (2 * THREADS_X) == 0 && get_local_size(0) % get_max_sub_group_size() == 0) {
        for (uint distance = THREADS_X; distance > 1; distance /= 2) {
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                x[i] = reduce_two(x[i], sub_group_shuffle_xor(x[i], distance), is_max);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        ((__local float *)scratch)[(ty + i * THREADS_Y) * 4 * REDUCE_STRIDE + tx] = x[i];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        __local const float4 *mine = scratch + (ty + i * THREADS_Y) * REDUCE_STRIDE;
        float4 all = mine[0];
#pragma unroll
        for (int n = 1; n < THREADS_X / 4; n++) {
            const float4 more = mine[n];
            all.x = reduce_two(all.x, more.x, is_max);
            all.y = reduce_two(all.y, more.y, is_max);
            all.z = reduce_two(all.z, more.z, is_max);
            all.w = reduce_two(all.w, more.w, is_max);
        }
        x[i] = reduce_two(reduce_two(all.x, all.y, is_max), reduce_two(all.z, all.w, is_max), is_max);
    }
}

#endif
