#!/usr/bin/env python3
"""`clattn run direction=backward` on random problems, against the formulas of docs/gradients.md in numpy's longest float.

    gradients_by_formula.py CLATTN [--engine NAME,..] [--problems N] [--seed S] [--may-refuse] [--only N] [--folder DIR]

Shares nothing with clattn: problems, formulas, dropout's Philox and bounds are written here anew. Every engine that is named
must serve every problem; with --may-refuse a refusal (exit status 3) is counted. The bound is that of rule 6 in docs/numerics.md. Exit status 1: something is wrong, and the line
that computes it again is printed (with --folder the files stay there); 77: no numpy here.
"""

import argparse
import copy
import itertools
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("numpy is not here")
    sys.exit(77)

REAL = np.longdouble
UNIT = {"fp32": 2.0**-24, "fp16": 2.0**-11, "bf16": 2.0**-8, "fp64": 2.0**-53}
SHAPES = list(itertools.product((0, 1), repeat=4))  # which dimensions a bias has: all 16


# ---------------------------------------------------------------- storage
def to_storage(x, type_):
    if type_ != "bf16":
        return x.astype({"fp32": np.float32, "fp16": np.float16, "fp64": np.float64}[type_])
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FC0), rounded)


def from_storage(x):
    if x.dtype == np.uint16:
        x = (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(REAL)


# ---------------------------------------------------------------- dropout
def philox(counter, key):
    """Philox 4x32-10 of arrays of four counter words, with a key of two."""
    c, k, mask = [np.asarray(x, np.uint64) for x in counter], [np.uint64(x) for x in key], np.uint64(0xFFFFFFFF)
    for _ in range(10):
        low, high = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(high >> np.uint64(32)) ^ c[1] ^ k[0], high & mask, (low >> np.uint64(32)) ^ c[3] ^ k[1], low & mask]
        k = [(k[0] + np.uint64(0x9E3779B9)) & mask, (k[1] + np.uint64(0xBB67AE85)) & mask]
    return c


def kept(shape, p, seed):
    """Dropout's factors [batch, heads, rows, keys]."""
    b, h, i, j = np.indices(shape, dtype=np.uint64)
    words = np.stack(philox((j // np.uint64(4), i, h, b), (seed & 0xFFFFFFFF, seed >> 32)))
    word = np.take_along_axis(words, (j % np.uint64(4)).astype(np.int64)[None], 0)[0]
    return np.where(word >= np.uint64(int(p * 2**32)), 1 / (1 - REAL(p)), REAL(0))


# ---------------------------------------------------------------- problems
class Problem:
    """Everything is drawn here: `words` of the command line, `files` by option, what gradients are asked for."""

    def __init__(self, seed, n):
        r = self.r = np.random.default_rng([seed, n])
        self.n, self.words, self.files = n, {}, {}
        pick, chance = lambda *values: values[r.integers(len(values))], lambda p: r.random() < p
        self.type = pick("fp32", "fp32", "fp32", "fp16", "bf16", "fp64")
        self.batch = pick(1, 1, 2, 3, 5)
        self.heads, self.kv_heads = pick((1, 1), (2, 2), (2, 1), (4, 2), (6, 3), (8, 1))
        self.rows, self.keys = int(r.integers(1, 30)), int(r.integers(1, 45))
        self.dim, self.value_dim = pick(1, 2, 3, 7, 8, 16, 33, 40), pick(1, 2, 5, 8, 16, 31)
        self.past = int(r.integers(0, self.keys)) if chance(0.15) else 0
        self.bshd = chance(0.25)
        self.wide = self.type in ("fp16", "bf16") and chance(0.3)
        self.scale = pick(None, None, None, 0.0, -0.4, 1.0)
        self.causal, self.window, self.prefix = chance(0.35), None, 0
        if chance(0.25):
            self.window = tuple(int(r.integers(0, 12)) if chance(0.7) else -1 for _ in range(2))
            self.prefix = int(r.integers(0, 8)) if chance(0.4) else 0
        self.dropout, self.seed = (pick(0.1, 0.5, 0.9), int(r.integers(0, 2**63))) if chance(0.25) else (0.0, 0)
        self.lengths()
        self.tensors(away=chance(0.2))
        self.extras()
        self.align()
        self.say()

    def lengths(self):
        """Used lengths; entries without any first, in the middle and last."""
        r, b = self.r, self.batch
        self.key_lengths, self.query_lengths = np.full(b, self.keys), np.full(b, self.rows)
        for name, most in (("key_lengths", self.keys), ("query_lengths", self.rows)):
            if r.random() < 0.3:
                x = r.integers(0, most + 1, b)
                x[[k for k in {0, b // 2, b - 1} if r.random() < 0.4]] = 0
                setattr(self, name, x)
                self.files[name.replace("_", "-")] = x.astype(np.int32 if r.random() < 0.5 else np.int64)

    def tensor(self, heads, length, dim, size=1.0):
        return to_storage(self.r.standard_normal((self.batch, heads, length, dim)) * size, self.type)

    def tensors(self, away):
        spread = float(self.r.choice([0.3, 1, 1, 2]))
        self.query = self.tensor(self.heads, self.rows, self.dim, spread)
        self.key = self.tensor(self.kv_heads, self.keys, self.dim, spread)
        self.value = self.tensor(self.kv_heads, self.keys, self.value_dim)
        self.grad_output = self.tensor(self.heads, self.rows, self.value_dim)
        if self.r.random() < 0.2:  # the gradient of a sum
            self.grad_output = to_storage(np.ones(self.grad_output.shape), self.type)
        if away:  # every key stands opposite to every query: logsumexp is far below -88
            self.scale, away = -1.0, np.full(self.dim, 12 / self.dim**0.5)
            self.query = to_storage(from_storage(self.query) * 0.1 + away, self.type)
            self.key = to_storage(from_storage(self.key) * 0.1 + away, self.type)
        if self.wide:
            self.grad_output = from_storage(self.grad_output).astype(np.float32)

    def extras(self):
        r, full, floats = self.r, (self.batch, self.heads, self.rows, self.keys), np.float32
        chance = lambda p: r.random() < p
        self.mask = self.bias = self.slopes = self.sinks = self.grad_logsumexp = None
        if chance(0.25):
            shape = [full[d] if chance(0.6) else 1 for d in range(4)]
            self.mask = self.files["mask"] = r.random(shape[r.integers(0, 4) :]) < 0.7
        if chance(0.4):
            shape = [full[d] if has else 1 for d, has in enumerate(SHAPES[self.n % 16])]
            self.bias_type = self.type if chance(0.4) else "fp32"
            x = r.standard_normal(shape)
            x[r.random(shape) < (0.1 if chance(0.4) else 0)] = r.choice([-np.inf, -1e4, -60000])
            self.bias = self.files["bias"] = to_storage(x, self.bias_type)
        if chance(0.3):
            self.slopes = self.files["alibi-slopes"] = r.uniform(0, 0.6, self.heads).astype(floats)
        if chance(0.3):
            x = (r.standard_normal(self.heads) * 3).astype(floats)
            x[r.random(self.heads) < 0.15] = -np.inf
            self.sinks = self.files["sinks"] = x
        if chance(0.5):
            wide = np.float64 if self.type == "fp64" else floats
            self.grad_logsumexp = r.standard_normal(full[:3]).astype(wide)
            self.files["grad-logsumexp"] = self.grad_logsumexp
        factor = 1 / self.dim**0.5 if self.scale is None else self.scale
        raw = np.abs(factor * self.scores_of(from_storage(self.query), from_storage(self.key))).max()
        self.softcap = float(raw / 3) if chance(0.25) and raw > 0 else 0.0  # scores up to three times as large

    def align(self):
        """Where the queries stand: drawn, in each of the ways that there are."""
        r, b = self.r, self.batch
        way = r.integers(5)
        self.offset = np.zeros(b, np.int64)
        if way == 0:
            self.words["align"] = "top_left"
        elif way == 1:
            self.words["align"], self.offset = "bottom_right", self.key_lengths - self.query_lengths
        elif way == 2:
            self.words["align"], self.offset = "past", np.full(b, self.past)
        elif way == 3:
            number = int(r.integers(-self.rows, self.keys + 2))
            self.words["align"], self.offset = number, np.full(b, number)
        else:
            self.offset = r.integers(-self.rows, self.keys + 2, b)
            self.files["offsets"] = self.offset.astype(np.int64)

    def say(self):
        w = self.words
        open_ = lambda side: "open" if side < 0 else side
        w.update(causal="yes" if self.causal else "no", direction="backward", seed=self.seed, dropout=repr(self.dropout))
        if self.window:
            w.update(window=f"{open_(self.window[0])},{open_(self.window[1])}", prefix=self.prefix)
        if self.scale is not None:
            w["scale"] = repr(self.scale)
        if self.softcap:
            w["softcap"] = repr(self.softcap)
        if self.type == "bf16":
            w["type"] = "bf16"
        if self.bshd:
            w["layout"] = "bshd"
        if self.wide:
            w.update(output_type="fp32", gradient_type="fp32")
        lie = (lambda x: np.ascontiguousarray(x.swapaxes(1, 2))) if self.bshd else np.ascontiguousarray
        self.files.update({"query": lie(self.query), "grad-output": lie(self.grad_output)})
        for name, x in (("key", self.key), ("value", self.value)):
            if self.past:
                self.files["past-" + name] = lie(x[:, :, : self.past])
            self.files[name] = lie(x[:, :, self.past :])
        self.wanted = ["grad-query", "grad-key", "grad-value"] + [
            name
            for name, there in (
                ("grad-bias", self.bias), ("grad-alibi-slopes", self.slopes), ("grad-sinks", self.sinks),
            )
            if there is not None
        ]  # fmt: skip

    def scores_of(self, query, key):
        return np.einsum("bhid,bhjd->bhij", query, np.repeat(key, self.heads // self.kv_heads, 1))

    def run(self, program, engine, folder):
        """Runs the program: what it wrote, and how it ended."""
        command = [program, "run", "--engine", engine, "--threads", "2"] + [f"{k}={v}" for k, v in self.words.items()]
        for name, x in self.files.items():
            np.save(f"{folder}/{name}.npy", x)
            command += ["--" + name, f"{folder}/{name}.npy"]
        for name in ["output", "logsumexp"] + self.wanted:
            command += ["--" + name, f"{folder}/out-{name}.npy"]
        environment = dict(os.environ) if engine.startswith("opencl") else dict(os.environ, OCL_ICD_VENDORS="/nowhere")
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        self.command = " ".join(command)
        self.refused = done.returncode == 3
        if done.returncode:
            return None, done.stderr.strip()
        results = {name: np.load(f"{folder}/out-{name}.npy") for name in ["output", "logsumexp"] + self.wanted}
        if self.bshd:
            for name in ("output", "grad-query", "grad-key", "grad-value"):
                results[name] = results[name].swapaxes(1, 2)
        return results, ""


# ---------------------------------------------------------------- formulas
def pairs(p):
    """Scores, raw scores, sums of absolute products, and what is allowed: [batch, heads, rows, keys]."""
    query, key = from_storage(p.query), from_storage(p.key)
    scale = REAL(p.scale) if p.scale is not None else 1 / np.sqrt(REAL(p.dim))
    raw, size = scale * p.scores_of(query, key), abs(scale) * p.scores_of(abs(query), abs(key))
    s = REAL(p.softcap) * np.tanh(raw / REAL(p.softcap)) if p.softcap else raw
    i, j = np.arange(p.rows)[:, None], np.arange(p.keys)[None]
    at = i[None, None] + p.offset[:, None, None, None]
    distance = abs(j - at)
    ok = (j < p.key_lengths[:, None, None, None]) & (i < p.query_lengths[:, None, None, None])
    if p.causal:
        ok = ok & (j <= at)
    if p.window:
        left, right = p.window
        inside = np.ones(at.shape[:1] + (1, p.rows, p.keys), bool)
        inside &= (j >= at - left) if left >= 0 else True
        inside &= (j <= at + right) if right >= 0 else True
        ok = ok & (inside | (j < p.prefix))
    ok = np.broadcast_to(ok, raw.shape)
    if p.bias is not None:
        bias = from_storage(p.bias)
        ok, s = ok & (bias != -np.inf), s + np.where(bias == -np.inf, 0, bias)
    if p.slopes is not None:
        s = s - from_storage(p.slopes)[None, :, None, None] * distance
    if p.mask is not None:
        ok = ok & p.mask
    return s, raw, size, ok, distance, scale


def fold(x, p, group=True):
    """Query heads [batch, heads, ..] summed to those of keys and values."""
    return x.reshape(p.batch, p.kv_heads, p.heads // p.kv_heads, *x.shape[2:]).sum(2)


def summed(x, shape):
    """x summed over the dimensions in which `shape`, from the right, is 1."""
    full = (1,) * (4 - len(shape)) + tuple(shape)
    return x.sum(tuple(d for d in range(4) if full[d] == 1), keepdims=True).reshape(shape)


def backward(p, results, rounded):
    """(gold, bound, most) of each gradient, from output and logsumexp as the program wrote them."""
    s, raw, size, ok, distance, scale = pairs(p)
    group = p.heads // p.kv_heads
    query, given = from_storage(p.query), from_storage(p.grad_output)
    key, value = (np.repeat(from_storage(x), group, 1) for x in (p.key, p.value))
    output, lse = from_storage(results["output"]), results["logsumexp"].astype(REAL)
    used = (np.arange(p.rows)[None] < p.query_lengths[:, None])[:, None]
    terms = given * output
    extra = p.grad_logsumexp.astype(REAL) if p.grad_logsumexp is not None else np.zeros(lse.shape, REAL)
    delta, delta_size = terms.sum(-1) - extra, abs(terms).sum(-1) + abs(extra)
    with np.errstate(over="ignore", invalid="ignore"):
        weight = np.where(ok, np.exp(np.where(ok, s - lse[..., None], 0)), 0)
    keep = kept(s.shape, p.dropout, p.seed) if p.dropout else np.ones((1, 1, 1, 1), REAL)
    ds = weight * (keep * np.einsum("bhid,bhjd->bhij", given, value) - delta[..., None])
    most = ok * (keep * np.einsum("bhid,bhjd->bhij", abs(given), abs(value)) + delta_size[..., None])
    e = np.exp(-2 * abs(raw) / REAL(p.softcap)) if p.softcap else None
    slope = 4 * e / (1 + e) ** 2 if p.softcap else REAL(1)
    unit, storage = UNIT["fp64" if p.type == "fp64" else "fp32"], UNIT[p.type]
    units = 16 + 4 * abs(s) + 4 * np.where(np.isfinite(lse), abs(lse), 0)[..., None] + 4 * size
    units = units + (10 * abs(s) if p.softcap else 0)
    steep = units + (8 * size / REAL(p.softcap) if p.softcap else 0)
    lost = storage if rounded and p.type in ("fp16", "bf16") else 0  # P or dS in storage
    bits = 2.0**-25 if lost and p.type == "fp16" else 0
    error = lambda f, length: np.expm1(np.minimum(unit * (f + length / 128), 700)) + lost
    found = {}

    def put(name, type_, gold, bound, most):
        tiny = 2.0**-25 if type_ == "fp16" else 2.0**-1022 if type_ == "fp64" else 2.0**-126
        found[name] = gold, UNIT[type_] * abs(gold) + tiny + (tiny if tiny < 1e-30 else 0) * most + bound, most

    result = "fp32" if p.wide else p.type
    by_key = lambda x, rows: np.einsum("bhij,bhjd->bhid", x, rows)
    by_row = lambda x, rows: fold(np.einsum("bhij,bhid->bhjd", x, rows), p)
    inner, factor = ds * slope, abs(scale) * slope
    wide_sum = weight * most * factor
    put("grad-query", result, scale * by_key(inner, key),
        by_key(wide_sum * error(steep, p.keys) + bits * most * factor, abs(key)), by_key(most * factor, abs(key)))  # fmt: skip
    put("grad-key", result, scale * by_row(inner, query),
        by_row(wide_sum * error(steep, group * p.rows) + bits * most * factor, abs(query)),
        by_row(most * factor, abs(query)))  # fmt: skip
    put("grad-value", result, by_row(keep * weight, given),
        by_row(keep * weight * error(units, group * p.rows) + bits * keep * ok, abs(given)),
        by_row(keep * ok, abs(given)))  # fmt: skip
    if p.bias is not None:
        count = ds.size / p.bias.size
        put("grad-bias", "fp32" if p.wide else p.bias_type, summed(ds, p.bias.shape),
            summed(weight * most * error(units, count) + bits * most, p.bias.shape), summed(most, p.bias.shape))  # fmt: skip
    heads = "fp64" if p.type == "fp64" else "fp32"
    if p.slopes is not None:
        over = lambda x: (x * distance).sum((0, 2, 3))
        put("grad-alibi-slopes", heads, -over(ds),
            over(weight * most * error(units, p.batch * p.rows * p.keys) + bits * most), over(most))  # fmt: skip
    if p.sinks is not None:
        sink = from_storage(p.sinks)[None, :, None]
        there = used & np.isfinite(sink) & np.isfinite(lse)
        with np.errstate(invalid="ignore"):
            share = np.where(there, np.exp(np.where(there, sink - lse, 0)), 0)
        units = 16 + np.where(there, 4 * abs(sink) + 4 * abs(lse), 0)
        put("grad-sinks", heads, -(share * delta * used).sum((0, 2)),
            (share * delta_size * error(units, p.batch * p.rows)).sum((0, 2)), (delta_size * used).sum((0, 2)))  # fmt: skip
    return found


def forward(p, results, rounded):
    """The same of output and logsumexp."""
    s, raw, size, ok, distance, scale = pairs(p)
    value = np.repeat(from_storage(p.value), p.heads // p.kv_heads, 1)
    s = np.where(ok, s, -np.inf)
    some = ok.any(-1)
    used = (np.arange(p.rows)[None] < p.query_lengths[:, None])[:, None] & np.ones(some.shape, bool)
    top = np.where(some, s.max(-1), 0)
    sink = from_storage(p.sinks)[None, :, None] * np.ones(top.shape) if p.sinks is not None else np.full(top.shape, -np.inf)
    top = np.maximum(top, np.where(np.isfinite(sink) & some, sink, top))
    w = np.where(ok, np.exp(np.where(ok, s - top[..., None], 0)), 0)
    total = w.sum(-1) + np.where(np.isfinite(sink), np.exp(np.where(np.isfinite(sink), sink - top, 0)), 0)
    w = w / np.where(total > 0, total, 1)[..., None]
    keep = kept(s.shape, p.dropout, p.seed) if p.dropout else np.ones((1, 1, 1, 1), REAL)
    unit = UNIT["fp64" if p.type == "fp64" else "fp32"]
    f = 16 + p.keys / 128 + 4 * np.where(ok, abs(s), 0) + 4 * abs(top)[..., None] + 4 * size
    f = f + (10 * np.where(ok, abs(s), 0) if p.softcap else 0)
    gold = np.einsum("bhij,bhjd->bhid", keep * w, value)
    sizes = np.einsum("bhij,bhjd->bhid", keep * w * f, abs(value)) + abs(gold) * (w * f).sum(-1)[..., None]
    plain = np.einsum("bhij,bhjd->bhid", ok * keep, abs(value))
    type_ = "fp32" if p.wide else p.type
    tiny = 2.0**-25 if type_ == "fp16" else 2.0**-126 * (1 + plain)
    bound = UNIT[type_] * abs(gold) + tiny + unit * sizes
    if rounded and p.type in ("fp16", "bf16"):
        bound = bound + UNIT[p.type] * np.einsum("bhij,bhjd->bhid", keep * w, abs(value))
        bound = bound + (2.0**-25 * plain if p.type == "fp16" else 0)
    lse = np.where(some, top + np.log(np.where(total > 0, total, 1)), np.where(used, sink, sink))
    error = unit * (abs(np.where(np.isfinite(lse), lse, 0)) + (w * f).sum(-1) + 16 + 4 * abs(top) + p.keys / 128)
    return {"output": (gold, bound, plain), "logsumexp": (lse, error, np.ones(lse.shape))}


def judge(p, results, rounded):
    """What is wrong, or an empty string; and the largest error as a part of its bound."""
    worst = 0.0
    for name, (gold, bound, most) in {**forward(p, results, rounded), **backward(p, results, rounded)}.items():
        got = from_storage(results[name])
        if got.shape != gold.shape:
            return f"{name}: shape {got.shape}, not {gold.shape}", worst
        same = got == gold  # infinities among them
        with np.errstate(invalid="ignore"):
            off = np.where(same, 0, abs(got - gold))
        limit = np.where(most == 0, 0, bound)
        bad = ~(off <= limit)
        if bad.any():
            at = tuple(int(x) for x in np.argwhere(bad)[0])
            return f"{name}{list(at)}: {got[at]:.9g}, not {gold[at]:.9g}: off by {off[at]:.3g}, bound {limit[at]:.3g}", worst
        part = np.where(limit > 0, off / np.where(limit > 0, limit, 1), 0)
        worst = max(worst, float(part.max(initial=0)))
    return "", worst


# ---------------------------------------------------------------- whether the judge sees mistakes
MISTAKES = {  # what an engine might forget, as a problem in which it is another; None: it is not in this one
    "softcap": lambda p: dict(softcap=p.softcap * 1.3) if p.softcap else None,
    "offset": lambda p: dict(offset=p.offset + 1) if p.causal else None,
    "window": lambda p: dict(window=None) if p.window else None,
    "prefix": lambda p: dict(prefix=0) if p.window and p.prefix else None,
    "dropout": lambda p: dict(seed=p.seed + 1) if p.dropout else None,
    "grad_logsumexp": lambda p: dict(grad_logsumexp=-p.grad_logsumexp) if p.grad_logsumexp is not None else None,
    "mask": lambda p: dict(mask=None) if p.mask is not None else None,
    "slopes": lambda p: dict(slopes=p.slopes * np.float32(1.1)) if p.slopes is not None else None,
    "scale": lambda p: dict(scale=p.scale * 1.02) if p.scale else None,
    "keys": lambda p: dict(key_lengths=np.maximum(p.key_lengths - 1, 0)),
    "rows": lambda p: dict(query_lengths=np.maximum(p.query_lengths - 1, 0)),
}


def find_mistakes(p, results, found):
    for name, change in MISTAKES.items():
        changed = change(p)
        if changed is not None:
            other = copy.copy(p)
            vars(other).update(changed)
            with np.errstate(all="ignore"):  # of a row that another problem has not, exp(s - logsumexp) may be anything
                of_backward = backward(other, results, False)
                wrong = any(
                    (~(abs(from_storage(results[n]) - gold) <= np.where(most == 0, 0, bound))).any()
                    for n, (gold, bound, most) in of_backward.items()
                )
            found[name] = found.get(name, []) + [wrong]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("program")
    parser.add_argument("--engine", type=lambda text: text.split(","), default=["reference"])
    parser.add_argument("--problems", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--may-refuse", action="store_true")
    parser.add_argument("--only", type=int, help="this one of the problems alone")
    parser.add_argument("--folder", help="where files are written, and stay")
    o = parser.parse_args()
    assert [int(x) for x in philox((0, 0, 0, 0), (0, 0))] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = o.folder or folder
        os.makedirs(folder, exist_ok=True)
        for engine in o.engine:
            worst, away, empty, refused, found = 0.0, 0, 0, 0, {}
            for n in range(o.problems) if o.only is None else [o.only]:
                p = Problem(o.seed, n)
                results, why = p.run(o.program, engine, folder)
                part = 0.0
                if o.may_refuse and p.refused:
                    refused, why = refused + 1, ""
                if results is not None:
                    why, part = judge(p, results, engine != "reference")
                    lse = results["logsumexp"]
                    away += bool((lse[np.isfinite(lse)] < -88.7).any())
                    empty += bool((p.key_lengths == 0).any() or (p.query_lengths == 0).any())
                    if n < 100:
                        find_mistakes(p, results, found)
                if why:
                    print(f"{engine}, problem {n} of seed {o.seed}: {why}\n{p.command}")
                    status = 1
                    break
                worst = max(worst, part)
            else:
                # Not every mistake changes something: a window may be as wide as the problem.
                blind = [name for name, seen in found.items() if len(seen) > 4 and sum(seen) < len(seen) / 5]
                if blind:
                    print(f"mistakes are not seen: {', '.join(blind)}: {found}")
                    status = 1
                print(
                    f"{engine}: {(o.problems if o.only is None else 1) - refused} problems right, {refused} refused, {away} with a logsumexp below -88.7, "
                    f"{empty} with a length of 0; nearest to a bound {worst:.2f}"
                )
    return status


if __name__ == "__main__":
    sys.exit(main())
