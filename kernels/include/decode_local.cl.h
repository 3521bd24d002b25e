// Local memory of attention_decode_gpu.cl, for the kernel and for the host, which has variables of these names: THREADS,
// LANES, KEYS, ROWS, DIM, CHUNK, ATTN_TRAINING. In floats. To add a part: behind the last AT_, and LOCAL_FLOATS.
#ifndef ATTN_DECODE_LOCAL_CL_H
#define ATTN_DECODE_LOCAL_CL_H

#define TEAMS (THREADS / LANES)
#define PARTS ((DIM + LANES * CHUNK - 1) / (LANES * CHUNK)) // chunks of a row that a lane has
#define SHARE (PARTS * CHUNK)                               // elements
#define WIDTH (LANES * SHARE)
#define SCORES (KEYS * ROWS) // of a team at a time: number key * ROWS + row
#define QUERY_IN_REGISTERS (ROWS * SHARE <= 8)

#define SUM_STRIDE (LANES + 4) // lanes that read four numbers each then meet different banks
#define TEAM_STRIDE ((SCORES * SUM_STRIDE + 31) / 32 * 32 + LANES)
#define EXCHANGE (TEAMS * (TEAM_STRIDE > WIDTH ? TEAM_STRIDE : WIDTH)) // merging takes WIDTH numbers of each team
#define AT_SCORES EXCHANGE                      // [team][row][key], then weights [team][key][row]
#define AT_WEIGHTS (AT_SCORES + TEAMS * SCORES)
#define AT_KEEP (AT_WEIGHTS + TEAMS * SCORES)   // [team][row]
#define AT_SUMS (AT_KEEP + TEAMS * ROWS)        // [work-item]
#define AT_TOTAL (AT_SUMS + THREADS)            // [row][column]: outputs of all teams
#define AT_STATS (AT_TOTAL + ROWS * WIDTH)      // [row]: their maximum, then their sums
#define AT_ROWS (AT_STATS + (2 * ROWS + 3) / 4 * 4) // [row] of shared_row
#define ROW_FLOATS (ATTN_TRAINING ? 24 : 12)    // its size, at most
#define AT_SLOW (AT_ROWS + ROWS * ROW_FLOATS)   // [chunk][work-item], four each
#define AT_QUERY (AT_SLOW + KEYS * PARTS * THREADS * 4) // [row][column], columns of a lane in fours
#define LOCAL_FLOATS (AT_QUERY + (QUERY_IN_REGISTERS ? 0 : ROWS * WIDTH))

#endif
