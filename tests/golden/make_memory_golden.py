#!/usr/bin/env python3
"""Neural memory and its gradients for tests/test_neural_memory_learning.c, in NumPy and float64.

    python3 tests/golden/make_memory_golden.py      needs numpy and safetensors; writes tests/golden/memory.safetensors

The memory's step is the gradient of its loss as the definition says, and the gradients of the whole are made without any
derivative: by complex steps, f'(x) = Im f(x + ih) / h, which lose no digits.
"""
import os

import numpy as np
from safetensors.numpy import save_file

from splitmix import uniform

results = {}
STEP = 1e-30


def draw(seed, *shape, size=1.0):
    x = uniform(seed, int(np.prod(shape))).astype(np.float32)
    return ((2 * x - 1) * np.float32(size)).reshape(shape).astype(np.complex128)


def between(seed, count, low, high):
    """As between() of tests/support/memory_case.c, in float as there."""
    x = draw(seed, count).real.astype(np.float32)
    return (np.float32(low) + (x + np.float32(1)) / np.float32(2) * np.float32(high - low)).astype(np.complex128)


def silu(x):
    return x / (1 + np.exp(-x))


def silu_slope(x):
    s = 1 / (1 + np.exp(-x))
    return s + x * s * (1 - s)


def read(m, q):
    return m[0] @ q if len(m) == 1 else m[1] @ silu(m[0] @ q)


def gradient(m, k, v):
    """Of |M(k) - v|^2 by each matrix."""
    if len(m) == 1:
        return [np.outer(2 * (m[0] @ k - v), k)]
    rise = m[0] @ k
    error = 2 * (m[1] @ silu(rise) - v)
    return [np.outer((m[1].T @ error) * silu_slope(rise), k), np.outer(error, silu(rise))]


def run(x, chunk, before, shapes):
    """Output and state of one head; x holds the inputs by name, state_in as one row."""
    sizes = [a * b for a, b in shapes]
    cuts = np.split(x["state_in"], np.cumsum(sizes + sizes)[:-1])
    m = [c.reshape(s) for c, s in zip(cuts, shapes)]
    s = [c.reshape(s) for c, s in zip(cuts[len(shapes):], shapes)]
    output = []
    for t in range(len(x["key"])):
        if t % chunk == 0:
            start = list(m)
        if before:
            output.append(read(m, x["query"][t]))
        g = gradient(start, x["key"][t], x["value"][t])
        s = [x["eta"][t] * a - x["theta"][t] * b for a, b in zip(s, g)]
        m = [(1 - x["alpha"][t]) * a + b for a, b in zip(m, s)]
        if not before:
            output.append(read(m, x["query"][t]))
    return np.array(output), np.concatenate([a.ravel() for a in m + s])


def golden(name, seed, length, chunk, key_dim, value_dim, hidden=0, before=False):
    shapes = [(hidden, key_dim), (value_dim, hidden)] if hidden else [(value_dim, key_dim)]
    state = 2 * sum(a * b for a, b in shapes)
    size = np.float32(1.5) / np.sqrt(np.float32(key_dim))
    x = {"key": draw(seed, length, key_dim, size=size), "query": draw(seed + 1, length, key_dim, size=size),
         "value": draw(seed + 2, length, value_dim), "alpha": between(seed + 3, length, 0, 0.2),
         "theta": between(seed + 4, length, 0.05, 0.3), "eta": between(seed + 5, length, 0, 0.7),
         "state_in": draw(seed + 6, state, size=0.5)}
    with_output, with_state = draw(seed + 7, length, value_dim), draw(seed + 8, state)
    output, state_out = run(x, chunk, before, shapes)
    results[f"memory_{name}_output"], results[f"memory_{name}_state_out"] = output.real, state_out.real
    for key, values in x.items():
        slope = np.zeros(values.shape)
        for place in np.ndindex(values.shape):
            values[place] += 1j * STEP
            o, s = run(x, chunk, before, shapes)
            slope[place] = ((o * with_output).sum() + (s * with_state).sum()).imag / STEP
            values[place] = values[place].real
        results[f"memory_{name}_{key}"] = slope


golden("token", 3100, 7, 1, 5, 3)
golden("chunk", 3120, 13, 5, 4, 6)
golden("before", 3140, 11, 4, 6, 3, before=True)
golden("layers", 3160, 11, 4, 4, 3, hidden=6)
golden("layers_token", 3180, 5, 1, 3, 4, hidden=5, before=True)
file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "memory.safetensors")
arrays = {name: np.ascontiguousarray(x.astype(np.float32)) for name, x in results.items()}
save_file(arrays, file, metadata={"made_by": f"numpy {np.__version__}, complex128"})
print(file, os.path.getsize(file), "bytes", len(arrays), "arrays")
