// Attention of few query rows over many keys, for GPUs: a work-group takes ROWS rows that share a key-value head, and
// one split of the keys. A team of LANES work-items takes KEYS keys at a time: each loads its 16 bytes of every key and
// value straight to registers, the next ones before these are used. A team has a maximum, sums and outputs of its own;
// every CHAIN keys those of all teams are merged. attention_merge.cl merges the splits. No barrier stands under a
// condition: PoCL copies what follows one. Defines: THREADS, LANES, KEYS, ROWS (powers of two, ROWS <= LANES <=
// THREADS), DIM (what dims are padded to), WARP (lanes.cl.h).
#include "include/decode_team.cl.h"
#include "include/decode_values.cl.h"
#include "include/partial.cl.h"

#define CHAIN 128 // keys of a team that are summed one after another

// Rows that fit the exchange of the teams at once.
#define MERGED (4 * WIDTH <= TEAM_STRIDE && ROWS >= 4 ? 4 : 2 * WIDTH <= TEAM_STRIDE && ROWS >= 2 ? 2 : 1)

// The largest maximum of row i: of the totals and of the teams.
static inline float merged_top(const team_member *t, int i) {
    float top = t->shared[AT_STATS + i];
    for (int n = 0; n < TEAMS; n++) {
        const float other = t->shared[AT_KEEP + n * ROWS + i];
        top = other > top ? other : top;
    }
    return top;
}

// Writes what a team has of a row, worth `factor`, for all teams.
static inline void share_output(const team_member *t, __local float *mine, const float *output, float factor) {
#pragma unroll
    for (int n = 0; n < SHARE; n += 4) {
        const int column = COLUMN(t, n / CHUNK) + n % CHUNK;
        *(__local float4 *)(mine + column) = (float4)(output[n], output[n + 1], output[n + 2], output[n + 3]) * factor;
    }
}

// Adds the teams' outputs of row i, shared from `from` on, to its totals.
static inline void add_outputs(const team_member *t, __local const float *from, int i) {
    __local float *total = t->shared + AT_TOTAL + i * WIDTH;
    const float keep = softmax_rescale(t->shared[AT_STATS + i], merged_top(t, i));
    for (int c = t->team * LANES + t->lane; c < WIDTH; c += THREADS) {
        float sum = 0.0f;
        for (int n = 0; n < TEAMS; n++) {
            sum += from[n * WIDTH + c];
        }
        total[c] = fma(total[c], keep, sum);
    }
}

// Moves the maximum and the sum of row i to the totals.
static inline void merge_stats(const team_member *t, int i) {
    __local float *stats = t->shared + AT_STATS;
    const float top = merged_top(t, i);
    float sum = stats[ROWS + i] * softmax_rescale(stats[i], top);
    for (int n = 0; n < TEAMS; n++) {
        float lanes = 0.0f;
        for (int lane = i; lane < LANES; lane += ROWS) {
            lanes += t->shared[AT_SUMS + n * LANES + lane];
        }
        sum = fma(lanes, softmax_rescale(t->shared[AT_KEEP + n * ROWS + i], top), sum);
    }
    stats[i] = top;
    stats[ROWS + i] = sum;
}

// Moves what the teams have to the totals in local memory; they begin anew. Begins and ends with a barrier.
static inline void merge_teams(const team_member *t, running_row *o, float output[ROWS][SHARE]) {
    const int id = t->team * LANES + t->lane;
    barrier(CLK_LOCAL_MEM_FENCE);
    t->shared[AT_SUMS + id] = o->sum;
    if (t->lane < ROWS) {
        t->shared[AT_KEEP + t->team * ROWS + t->lane] = o->maximum;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int first = 0; first < ROWS; first += MERGED) {
#pragma unroll
        for (int j = 0; j < MERGED; j++) {
            const int i = first + j;
            const float worth = softmax_rescale(t->shared[AT_KEEP + t->team * ROWS + i], merged_top(t, i));
            share_output(t, t->shared + (j * TEAMS + t->team) * WIDTH, output[i], worth);
#pragma unroll
            for (int n = 0; n < SHARE; n++) {
                output[i][n] = 0.0f;
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int j = 0; j < MERGED; j++) {
            add_outputs(t, t->shared + j * TEAMS * WIDTH, first + j);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (id < ROWS) {
        merge_stats(t, id);
    }
    o->maximum = -INFINITY;
    o->sum = 0.0f;
    barrier(CLK_LOCAL_MEM_FENCE);
}

static inline void store_parts(const attn_arguments *a, const team_member *t, int splits, long split,
                               __global float *partial_output, __global float *partial_stats) {
    const int id = t->team * LANES + t->lane;
    for (int i = 0; i < t->rows; i++) {
        const long at = PARTIAL_AT(a, splits, t->b, row_head(a, t, i), row_position(a, t, i), split);
        if (id < 2) {
            partial_stats[2 * at + id] = t->shared[AT_STATS + id * ROWS + i];
        }
        for (int c = id; c < (int)a->value_dim; c += THREADS) {
            partial_output[at * a->value_dim + c] = t->shared[AT_TOTAL + i * WIDTH + c];
        }
    }
}

static inline void clear_totals(const team_member *t) {
    const int id = t->team * LANES + t->lane;
    for (int c = id; c < ROWS * WIDTH; c += THREADS) {
        t->shared[AT_TOTAL + c] = 0.0f;
    }
    if (id < ROWS) {
        t->shared[AT_STATS + id] = -INFINITY;
        t->shared[AT_STATS + ROWS + id] = 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_decode_gpu(attn_arguments a, long first_group, int splits, ATTN_EXTRAS_PARAMETERS,
                          __global const attn_storage *restrict query, __global const attn_storage *restrict key,
                          __global const attn_storage *restrict value, __global float *workspace, long stats_at,
                          __local float *shared) {
    const attn_extras x = ATTN_EXTRAS;
    const long row_blocks = (PARTIAL_ROWS(&a) + ROWS - 1) / ROWS;
    const long item = first_group + get_group_id(0), split = item % splits, block = item / splits % row_blocks;
    const long head = item / splits / row_blocks;
    const int id = (int)get_local_id(0);
    team_member t = { head / a.kv_heads, head % a.kv_heads, block * ROWS, 0, id % LANES, id / LANES, shared, { 0, 0 } };
    t.rows = (int)min((long)ROWS, PARTIAL_ROWS(&a) - t.first);
    const attn_entry e = attn_get_entry(&a, &x, t.b);
    attn_range all = attn_rows_range(&a, &e, t.first / a.group, (t.first + t.rows - 1) / a.group);
    t.gap = partial_close_gap(&all, KEYS * TEAMS);
    const attn_range part = partial_range(all, splits, split, KEYS * TEAMS);
    const lanes_rows keys =
        lanes_get_rows(key + attn_key_at(&a.key, t.b, t.g, 0), a.key.stride[2], a.head_dim);
    const lanes_rows values =
        lanes_get_rows(value + attn_key_at(&a.value, t.b, t.g, 0), a.value.stride[2], a.value_dim);

    float q[QUERY_FLOATS], output[ROWS][SHARE];
    uint4 key_chunks[KEYS][PARTS], value_chunks[KEYS][PARTS];
    running_row own = { -INFINITY, 0.0f };
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int n = 0; n < SHARE; n++) {
            output[i][n] = 0.0f;
        }
    }
    load_keys(&keys, &t, part.begin, part.end, key_chunks);
    load_keys(&values, &t, part.begin, part.end, value_chunks);
    load_query(&a, &t, query, q);
    if (id < ROWS) {
        describe_row(&a, &x, &e, &t, part, id);
    }
    clear_totals(&t);
    for (long first = part.begin; first < part.end; first += CHAIN * TEAMS) {
        const long last = min(first + CHAIN * TEAMS, part.end);
        for (long k = first; k < last; k += KEYS * TEAMS) {
            multiply_keys(&t, q, key_chunks);
            softmax_step(&a, &x, &t, k, part.end, &own);
            load_keys(&keys, &t, k + KEYS * TEAMS, part.end, key_chunks);
            add_values(&t, value_chunks, output);
            load_keys(&values, &t, k + KEYS * TEAMS, part.end, value_chunks);
        }
        merge_teams(&t, &own, output);
    }
    store_parts(&a, &t, splits, split, workspace, workspace + stats_at);
}
