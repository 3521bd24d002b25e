#!/usr/bin/env python3
"""The polynomial of host/layers/normal.h, and its largest relative error.

    python3 tests/golden/make_gelu.py      needs mpmath; prints

With Q(t) the normal distribution's share above t, Q(t) exp(t^2 / 2) (t + 5) is smooth in u = (t - 5) / (t + 5). The
polynomial of degree 13 is equal to it at the 14 Chebyshev nodes of the u of 0 <= t <= 16.
"""
import mpmath as mp

mp.mp.dps = 40
K, TOP, DEGREE = mp.mpf(5), mp.mpf(16), 13


def smooth(t):
    return mp.erfc(t / mp.sqrt(2)) / 2 * mp.exp(t * t / 2) * (t + K)


low, high = mp.mpf(-1), (TOP - K) / (TOP + K)
nodes = [(high - low) / 2 * mp.cos(mp.pi * (2 * n + 1) / (2 * DEGREE + 2)) + (high + low) / 2 for n in range(DEGREE + 1)]
powers = mp.matrix([[u ** n for n in range(DEGREE + 1)] for u in nodes])
exact = mp.lu_solve(powers, mp.matrix([smooth(K * (1 + u) / (1 - u)) for u in nodes]))
rounded = [float(x) for x in exact]
worst = 0
for n in range(4001):
    t = TOP * n / 4000
    sum_ = mp.mpf(0)
    for x in reversed(rounded):
        sum_ = sum_ * (t - K) / (t + K) + mp.mpf(x)
    worst = max(worst, abs(sum_ / smooth(t) - 1))
for x in reversed(rounded):
    print(x.hex())
print("largest relative error", mp.nstr(worst, 3))
