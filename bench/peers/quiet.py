"""Does anything else use the processors? From /proc/stat, in ticks of 10 ms."""

import os
import time

TICK = os.sysconf("SC_CLK_TCK")


def busy():
    """Seconds that all processors together have worked."""
    field = open("/proc/stat").readline().split()
    return sum(int(field[i]) for i in (1, 2, 3, 6, 7)) / TICK


def used(pids):
    """Seconds that these processes have worked."""
    total = 0
    for pid in pids:
        try:
            field = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(field[11]) + int(field[12])
    return total / TICK


class Watch:
    """Since it was made: how long, and how many processor seconds others than these processes used."""

    def __init__(self, pids=()):
        self.pids = [*pids, os.getpid()]
        self.start, self.busy, self.used = time.monotonic(), busy(), used(self.pids)

    def elapsed(self):
        return time.monotonic() - self.start

    def foreign(self):
        return max(0.0, busy() - self.busy - (used(self.pids) - self.used))

    def disturbed(self):
        return self.foreign() > 0.03 + 0.1 * self.elapsed()


def wait(patience, window=0.04):
    """Waits until nobody works for a window, at most `patience` seconds; whether it became quiet."""
    start = time.monotonic()
    while True:
        watch = Watch()
        time.sleep(window)
        if watch.foreign() <= 0.15 * window + 0.011:
            return True
        if time.monotonic() - start > patience:
            return False
        time.sleep(0.1)
