"""Training steps: what a case of direction backward has beside its forward, and the exact gradients at sampled places.

The gradients of query, key and value are looked at as one array: the heads of grad_query, then those of grad_key, then those
of grad_value. All have the shape [batch, heads, length, dim], since no case of backward has fewer rows than keys.
"""

import numpy as np

import cases

BLOCK = 1024  # rows at once: a square of scores is never stored


class Stack:
    """Arrays [batch, heads, length, dim] with their heads one after another."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __getitem__(self, at):
        b, h, i = at
        for x in self.arrays:
            if h < x.shape[1]:
                return x[b, h, i]
            h -= x.shape[1]
        raise IndexError(at)


def grad_output(case):
    return cases.array(4, (case.batch, case.heads, case.rows, case.dim), case.type)


def add_arrays(case, given):
    """Adds to clattn's arrays what a step of training has beside those of a forward; answers its results."""
    given["logsumexp"] = cases.empty((case.batch, case.heads, case.rows), np.float32)
    given["grad_output"] = grad_output(case)
    for name in ("query", "key", "value"):
        given["grad_" + name] = cases.empty(given[name].shape, given[name].dtype)
    return Stack(*(given["grad_" + name] for name in ("query", "key", "value")))


def sampled(case):
    """(batch entry, head of the stack, row): of one group of heads, whose gradients belong together."""
    r = np.random.default_rng(5)
    b, g = int(r.integers(case.batch)), int(r.integers(case.kv_heads))
    heads = [g * case.group + int(h) for h in r.integers(0, case.group, 8)]
    heads += [case.heads + g] * 8 + [case.heads + case.kv_heads + g] * 8
    places = [0, case.rows - 1] + [int(i) for i in r.integers(0, case.rows, 6)]
    return [(b, h, i) for h, i in zip(heads, 3 * places)]


def cut(case, which, b, h, heads):
    """A head of array number `which` in fp64."""
    count = case.rows * case.dim
    source = cases.pool(which, case.type)
    return cases.to_double(source[((b * heads + h) * count + np.arange(count)) % cases.POOL]).reshape(-1, case.dim)


def scores(case, query, key, rows, store):
    s = store(query[rows] @ key.T / case.dim**0.5)
    if case.variant == "bias":
        shift = cases.pool(3, case.type)
        for k, i in enumerate(rows):
            s[k] = store(s[k] + cases.to_double(shift[(i * case.keys + np.arange(case.keys)) % cases.POOL]))
    s[~cases.allowed_rows(case, rows)] = -np.inf
    return s


def exact_rows(case, at, store=lambda x: x):
    """The gradients in fp64 at the sampled places. store: what becomes of scores, weights, output, their gradients and
    the results when they are put into memory."""
    b, g = at[0][0], at[0][1] // case.group
    first = case.heads, case.heads + case.kv_heads
    key, value = (cut(case, which, b, g, case.kv_heads) for which in (1, 2))
    picked = [sorted({i for _, h, i in at if lowest <= h < lowest + case.kv_heads}) for lowest in first]
    found = {}
    grad_key, grad_value = (np.zeros((len(p), case.dim)) for p in picked)
    for h in range(g * case.group, (g + 1) * case.group):
        query, given = cut(case, 0, b, h, case.heads), cut(case, 4, b, h, case.heads)
        for start in range(0, case.rows, BLOCK):
            rows = np.arange(start, min(start + BLOCK, case.rows))
            s = scores(case, query, key, rows, store)
            w = np.exp(s - s.max(1, keepdims=True))
            w = store(w / w.sum(1, keepdims=True))
            delta = (given[rows] * store(w @ value)).sum(1, keepdims=True)
            ds = store(w[:, picked[0]] * (given[rows] @ value[picked[0]].T - delta))
            grad_key += ds.T @ query[rows] / case.dim**0.5
            grad_value += w[:, picked[1]].T @ given[rows]
            for _, head, i in at:
                if head == h and start <= i < start + BLOCK:
                    k = i - start
                    found[head, i] = store(w[k] * (value @ given[i] - delta[k])) @ key / case.dim**0.5
    for lowest, places, gradient in ((first[0], picked[0], grad_key), (first[1], picked[1], grad_value)):
        found.update({(lowest + g, i): gradient[n] for n, i in enumerate(places)})
    return store(np.array([found[h, i] for _, h, i in at]))
