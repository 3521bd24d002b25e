/* Whether the OpenCL libraries of this machine survive being asked for their devices: tried in a child process. */
#ifndef ATTN_CLI_DEVICE_PROBE_H
#define ATTN_CLI_DEVICE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/** True when they do, or when it cannot be known; else one sentence in `why`. Before the program has threads. */
bool attn_probe_devices(char *why, size_t size);

#endif
