/*
 * Others on the processors, from what Linux counts: the busy time of the processors that this process may use, less the
 * process's own. Time that a hypervisor gave to other machines counts as busy with others.
 */
#define _GNU_SOURCE
#include "base/load.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#ifdef __linux__
#include <sched.h>

static cpu_set_t allowed;

static bool is_mine(int processor) {
    return processor < CPU_SETSIZE && CPU_ISSET(processor, &allowed);
}
#endif

int attn_load_read(FILE *file, bool (*mine)(int processor), double ticks_a_second, double *busy) {
    char line[512];
    int count = 0;
    *busy = 0;
    while (fgets(line, sizeof line, file) && strncmp(line, "cpu", 3) == 0) {
        int processor;
        unsigned long long user, nice, system, idle, wait, irq, soft, steal;
        if (line[3] != ' ' && /* the sum of all comes first */
            sscanf(line, "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu", &processor, &user, &nice, &system, &idle,
                   &wait, &irq, &soft, &steal) == 9 &&
            processor >= 0 && mine(processor)) {
            *busy += (double)(user + nice + system + irq + soft + steal) / ticks_a_second;
            count++;
        }
    }
    return count;
}

void attn_load_now(attn_load *load) {
    *load = (attn_load){ .at = attn_seconds() };
#ifdef __linux__
    struct timespec own;
    FILE *file = fopen("/proc/stat", "r");
    if (file && sched_getaffinity(0, sizeof allowed, &allowed) == 0 &&
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) == 0) {
        load->own = (double)own.tv_sec + 1e-9 * (double)own.tv_nsec;
        load->processors = attn_load_read(file, is_mine, (double)sysconf(_SC_CLK_TCK), &load->busy);
        load->known = load->processors > 0 && load->busy > 0;
    }
    if (file) {
        fclose(file);
    }
#endif
}

double attn_load_taken(const attn_load *from, const attn_load *to, double threads) {
    double seconds = to->at - from->at;
    if (!from->known || !to->known || from->processors != to->processors || seconds <= 0 || threads <= 0) {
        return -1;
    }
    double processors = to->processors;
    threads = threads < processors ? threads : processors;
    double others = ((to->busy - from->busy) - (to->own - from->own)) / seconds;
    double taken = (others - (processors - threads)) / threads;
    return taken < 0 ? 0 : taken > 1 ? 1 : taken;
}
