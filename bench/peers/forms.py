"""What libraries have in common: a form, a way in which a library computes a case, and the arrays of a case."""

import time

import numpy as np

import cases


class Form:
    """call() computes once; output() is [batch, heads, rows, dim]; detail says which version and kernel served;
    before() makes ready for some calls and is not timed. tells_seconds: call() answers with its own time."""

    def __init__(self, call, output, detail, keep=(), before=lambda: None, tells_seconds=False):
        self.call, self.output, self.detail, self.keep, self.before = call, output, detail, keep, before
        self.tells_seconds = tells_seconds

    def timed(self):
        """Seconds of one call."""
        start = time.perf_counter()
        answer = self.call()
        return answer if self.tells_seconds else time.perf_counter() - start


class Arrays:
    """A case as libraries without clattn's masks take it: a causal flag, or one array that is added to the scores. A
    window over one query row is a cache that keeps no more keys than the window: the arrays are cut before."""

    def __init__(self, case):
        self.query, self.key, self.value = cases.query_key_value(case)
        self.add, self.causal = None, case.causal
        if case.decode and case.window:
            first, end = (int(x[0]) for x in case.attended())
            self.key, self.value = (cases.copy(x[:, :, first:end]) for x in (self.key, self.value))
        elif case.variant != "plain":
            self.add, self.causal = cases.additive(case), False
        self.keys = self.key.shape[2]

    def need_repeated(self, case):
        """Refuses where there is no memory for keys and values repeated for each query head, as some libraries do."""
        cases.need(2 * case.group * self.key.nbytes, "repeated keys and values")

    def folded(self, case):
        """The heads of a group as query rows of one head: keys and values are then read once a group."""
        query = self.query.reshape(case.batch, case.kv_heads, case.group, case.dim)
        add = None if self.add is None else cases.copy(np.broadcast_to(self.add, (1, 1, case.group, self.keys)))
        return query, add


class Peer:
    """What the other libraries have in common: the arrays of a case are made once for all its forms."""

    def __init__(self, options):
        self.threads, self.case, self.arrays = options["threads"], None, None

    def data(self, case):
        if self.case is not case:
            self.case, self.arrays = case, Arrays(case)
        return self.arrays

    def drop(self):
        self.case = self.arrays = None
