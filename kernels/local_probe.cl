// Whether a work-group really has BYTES of local memory in one static array: some drivers give more than they report.
// Every word is written, and read by another work-item; result[group] is 1 when all were right. Knows no attention.
#define THREADS 128
#define WORDS (BYTES / 4)
#define WORD(n, group) ((uint)(n) * 2654435761u + (uint)(group) + 1u)

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void local_probe(__global uint *result) {
    __local uint memory[WORDS];
    const int id = (int)get_local_id(0), group = (int)get_group_id(0);
    uint wrong = 0;
    for (int n = id; n < WORDS; n += THREADS) {
        memory[n] = WORD(n, group);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = id; n < WORDS; n += THREADS) {
        wrong += memory[WORDS - 1 - n] != WORD(WORDS - 1 - n, group);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    memory[id] = wrong;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (id == 0) {
        for (int n = 1; n < THREADS; n++) {
            wrong += memory[n];
        }
        result[group] = wrong == 0;
    }
}
