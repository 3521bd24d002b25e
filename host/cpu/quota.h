/* The processor time that a control group of Linux leaves its processes: containers and services are bounded so. */
#ifndef ATTN_CPU_QUOTA_H
#define ATTN_CPU_QUOTA_H

#include <stdint.h>

/**
 * How many processors' time the control groups of this process allow, rounded up, at least 1: the least over its own
 * group and those above it, of version 2 (cpu.max) and version 1 (cpu.cfs_quota_us). 0 = no limit, or none that can be
 * read. Reads ROOT/proc/self/cgroup, ROOT/proc/self/mountinfo and the groups' folders below ROOT; ROOT is "" but for
 * tests. Takes no memory.
 */
int64_t attn_quota_processors(const char *root);

#endif
