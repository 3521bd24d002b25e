"""What is measured: the table of shapes, its variants, the numbers in the arrays, and the exact answer for single rows.

A new shape is one line of SHAPES; its place there is its importance. Knows nothing of any library but numpy.
"""

import functools
import mmap

import numpy as np

POOL = 4194301  # a prime: rows of an array cut from the repeated pool differ from each other
WINDOW = 512
VARIANTS = ("plain", "mask", "bias", "window")
TYPES = ("fp32", "bf16", "fp16")
TOLERANCE = {"fp32": 2e-5, "fp16": 4e-3, "bf16": 3e-2}  # largest error of an output; the arrays are standard normal
# An output whose rms error is so many times that of a plain evaluation in its type, and above the floor, is not of that
# type. Seen: at most 1.1 times in fp16 and bf16, at least 4.7 times where bf16 served for fp16. The floor is for fp32,
# where sums of 32768 products give 3.5e-6 and the plain evaluation's sums are exact; products in TF32 give over 1e-4.
OF_TYPE, OF_TYPE_FLOOR = 3, {"fp32": 3e-5, "fp16": 0, "bf16": 0}

SHAPES = {  # name: (batch, query heads, kv heads, query length, key length, head dim, causal)
    "bert2k": (1, 12, 12, 2048, 2048, 64, False),
    "gpt2kc": (1, 12, 12, 2048, 2048, 64, True),
    "bert512": (1, 12, 12, 512, 512, 64, False),
    "gpt512c": (1, 12, 12, 512, 512, 64, True),
    "decode4k": (1, 32, 8, 1, 4096, 128, False),
    "llama1kc": (1, 32, 8, 1024, 1024, 128, True),
    "bert128x8": (8, 12, 12, 128, 128, 64, False),
    "vit197": (1, 16, 16, 197, 197, 64, False),
    "whisper1500": (1, 20, 20, 1500, 1500, 64, False),
    "long4kc": (1, 8, 8, 4096, 4096, 128, True),
    "vlong16kc": (1, 1, 1, 16384, 16384, 64, True),
    "decode32k": (1, 32, 8, 1, 32768, 128, False),
    "decode32kx16": (16, 32, 8, 1, 32768, 128, False),
}
QUICK = {  # the same kinds of shape, small: to see that everything works
    "tiny": (2, 4, 4, 48, 48, 32, False),
    "tinyc": (1, 4, 2, 640, 640, 64, True),
    "tinydecode": (2, 8, 2, 1, 700, 64, False),
}


class Case:
    """One problem: a shape, a variant of it and a storage type. Backward: a step of training, the forward and the
    gradients of query, key and value."""

    def __init__(self, name, variant, type_, quick=False, direction="forward"):
        self.name, self.variant, self.type, self.backward = name, variant, type_, direction == "backward"
        self.shape = (QUICK if quick else SHAPES)[name]
        self.batch, self.heads, self.kv_heads, self.rows, self.keys, self.dim, self.causal = self.shape
        self.group, self.offset = self.heads // self.kv_heads, self.keys - self.rows
        self.decode = self.rows == 1

    @property
    def window(self):
        """(left, right) keys around a row, or None."""
        if self.variant != "window":
            return None
        return WINDOW, (0 if self.causal or self.decode else WINDOW)

    @property
    def sensible(self):
        """A window as long as the keys changes nothing: no case of its own. Nobody trains on one row."""
        return (self.variant != "window" or self.keys > WINDOW + 1) and not (self.backward and self.decode)

    @property
    def elements(self):
        """Elements of query and output, and of key and value."""
        query = self.batch * self.heads * self.rows * self.dim
        return 2 * query, 2 * self.batch * self.kv_heads * self.keys * self.dim

    def attended(self):
        """First and past-the-last key that causal and window leave each row."""
        at = np.arange(self.rows) + self.offset
        left, right = self.window or (self.keys, self.keys)
        end = np.minimum(at + min(right, 0 if self.causal else right) + 1, self.keys)
        return np.maximum(at - left, 0), end

    def flops(self):
        first, end = self.attended()  # backward: seven products of matrices where the forward has two
        return (14.0 if self.backward else 4.0) * self.batch * self.heads * self.dim * float((end - first).sum())

    def bytes(self):
        """What must be read and written once: a window spares the keys that no row attends."""
        first, end = self.attended()
        used = float(end.max() - first.min()) / self.keys
        query, keys = self.elements
        return (query + keys * used) * (4 if self.type == "fp32" else 2)

    def __str__(self):
        return f"{self.name} {self.variant} {self.type}" + (" forward and backward" if self.backward else "")


def cases(shapes, variants, types, quick=False, direction="forward"):
    """All combinations, most important first: all that is plain fp32; then, shape after shape, fp32 with a variant and
    plain 16 bits; both together wait until six more shapes have had their turn."""

    def place(case):
        varied, narrow = case.variant != "plain", case.type != "fp32"
        return varied or narrow, shapes.index(case.name) + 6 * (varied and narrow)

    found = [Case(s, v, t, quick, direction) for s in shapes for v in variants for t in types]
    return sorted((c for c in found if c.sensible), key=place)


# ---------------------------------------------------------------- the numbers
def to_bf16(x):
    """fp32 to the upper half of its bits, to nearest, ties to even; as uint16."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def to_type(x, type_):
    return {"fp32": lambda a: a, "fp16": lambda a: a.astype(np.float16), "bf16": to_bf16}[type_](x)


def to_double(x):
    """Storage of any type (bf16 as uint16) as fp64."""
    if x.dtype == np.uint16:
        x = (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float64)


def stored(x, type_):
    """fp64 as it comes back from storage of this type."""
    return to_double(to_type(x.astype(np.float32), type_))


@functools.lru_cache(5)
def pool(which, type_):
    """Element i of array number `which` (0 query, 1 key, 2 value, 3 bias, 4 grad_output) is element i mod POOL of this."""
    return to_type(np.random.default_rng(1234 + which).standard_normal(POOL, np.float32), type_)


def need(size, what="arrays"):
    """Refuses what would fill the machine's memory."""
    free = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemAvailable")) * 1024
    if size + (1 << 30) > free:
        raise MemoryError(f"{what}: {size / 2**30:.1f} GiB asked for, {free / 2**30:.1f} GiB free")


def empty(shape, dtype):
    """An array on a page boundary, on large pages where the system has them: the best start for every library."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    need(size)
    memory = mmap.mmap(-1, max(size, 1))
    memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)


def copy(x):
    """A dense copy of x in memory from empty()."""
    y = empty(x.shape, x.dtype)
    y[...] = x
    return y


def array(which, shape, type_):
    source = pool(which, type_)
    x = empty(shape, source.dtype)
    flat = x.reshape(-1)
    for start in range(0, flat.size, POOL):
        part = flat[start : start + POOL]
        part[:] = source[: part.size]
    return x


def query_key_value(case):
    kv = (case.batch, case.kv_heads, case.keys, case.dim)
    return (
        array(0, (case.batch, case.heads, case.rows, case.dim), case.type),
        array(1, kv, case.type),
        array(2, kv, case.type),
    )


def mask_rows(case, rows):
    """True where a key may be attended to: nine in ten, at random, the row's own key always. The same for all heads."""
    i, j = np.asarray(rows)[:, None], np.arange(case.keys)[None]
    mixed = (i.astype(np.uint32) * np.uint32(2654435761)) ^ (j.astype(np.uint32) * np.uint32(2246822519))
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(2654435769)
    return ((mixed >> np.uint32(16)) % np.uint32(10) != 0) | (j == i + case.offset)


def mask(case):
    """[1, 1, rows, keys] bytes, or None."""
    if case.variant != "mask":
        return None
    x = empty((1, 1, case.rows, case.keys), np.uint8)
    for start in range(0, case.rows, 1024):
        rows = np.arange(start, min(start + 1024, case.rows))
        x[0, 0, rows] = mask_rows(case, rows)
    return x


def bias(case):
    """[1, 1, rows, keys] in the storage type, or None."""
    return array(3, (1, 1, case.rows, case.keys), case.type) if case.variant == "bias" else None


def allowed_rows(case, rows):
    """Causal, window and mask together, [len(rows), keys]."""
    first, end = (x[rows][:, None] for x in case.attended())
    j = np.arange(case.keys)[None]
    allowed = (first <= j) & (j < end)
    return allowed & mask_rows(case, rows) if case.variant == "mask" else allowed


def additive(case):
    """Everything that forbids or shifts scores as one array to add, [1, 1, rows, keys] in the storage type: for
    libraries that take nothing else. Made once, not in the measured time."""
    x = bias(case)
    if x is None:
        x = empty((1, 1, case.rows, case.keys), to_type(np.zeros(1, np.float32), case.type).dtype)
    lowest = to_type(np.full(1, -np.inf, np.float32), case.type)[0]
    for start in range(0, case.rows, 1024):
        rows = np.arange(start, min(start + 1024, case.rows))
        part = x[0, 0, rows[0] : rows[-1] + 1]
        part[~allowed_rows(case, rows)] = lowest
    return x


# ---------------------------------------------------------------- the exact answer
def sampled(case):
    """(batch entry, head, row) to look at: spread over the problem, the first and the last row among them."""
    r, count = np.random.default_rng(5), max(6, min(24, (1 << 24) // (case.keys * case.dim)))
    rows = [0, case.rows - 1] + list(r.integers(0, case.rows, count - 2))
    return [(int(r.integers(case.batch)), int(r.integers(case.heads)), int(i)) for i in rows]


def exact_rows(case, at, store=lambda x: x):
    """The output in fp64 at the sampled rows, from the same rounded inputs. store: what becomes of scores, weights and
    output when they are put into memory."""
    query, key, value, shift = (pool(w, case.type) for w in range(4))

    def cut(source, start, count):
        return to_double(source[(start + np.arange(count)) % POOL])

    answer = []
    for b, h, i in at:
        base = (b * case.kv_heads + h // case.group) * case.keys * case.dim
        k = cut(key, base, case.keys * case.dim).reshape(case.keys, case.dim)
        v = cut(value, base, case.keys * case.dim).reshape(case.keys, case.dim)
        s = store(k @ cut(query, ((b * case.heads + h) * case.rows + i) * case.dim, case.dim) / case.dim**0.5)
        if case.variant == "bias":
            s = store(s + cut(shift, i * case.keys, case.keys))
        s[~allowed_rows(case, np.array([i]))[0]] = -np.inf
        w = np.exp(s - s.max())
        answer.append(store(store(w / w.sum()) @ v))
    return np.array(answer)


class Judge:
    """What is right at some rows of a case, and how far from it an output of the case's type may be."""

    def __init__(self, case):
        if case.backward:
            from gradients import exact_rows as exact, sampled as places
        else:
            exact, places = exact_rows, sampled
        self.type, self.at = case.type, places(case)
        self.exact = exact(case, self.at)
        self.plain_error = self.rms_error(exact(case, self.at, lambda x: stored(x, case.type)))
        # Gradients of keys are sums over all rows: their largest numbers say how large an error may be.
        self.tolerance = TOLERANCE[case.type] * (max(1.0, float(np.abs(self.exact).max())) if case.backward else 1.0)

    def max_error(self, rows):
        return float(np.abs(rows - self.exact).max())

    def rms_error(self, rows):
        """Root mean square of the error / root mean square of the exact output."""
        return float(np.sqrt(np.square(rows - self.exact).mean() / np.square(self.exact).mean()))

    def wrong(self, rows):
        """Why the output is wrong, or None."""
        error = self.max_error(rows)
        return None if error <= self.tolerance else f"wrong: differs from fp64 by {error:.1e}"

    def less_than_type(self, rows):
        """Why the output is not what the type stands for, or None: an ordinary implementation that puts everything
        into memory in the type (`plain_error`, its sums are exact) is much better."""
        error = self.rms_error(rows)
        if error <= max(OF_TYPE * self.plain_error, OF_TYPE_FLOOR[self.type]):
            return None
        return f"not {self.type}: rms error {error:.1e}, plain evaluation {self.plain_error:.1e}"
