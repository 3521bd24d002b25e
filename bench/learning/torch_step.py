#!/usr/bin/env python3
"""Steps of training by clattn_learning_bench and by PyTorch, on the same parameters and ids: losses, then times.

    python3 bench/learning/torch_step.py [--bench build/release/bin/clattn_learning_bench] [--threads N] [--steps N]
                                         [--rounds N] [--blocks N] [--dim N] [--heads N] [--length N] [--batch N]
                                         [--words N]

Needs torch and numpy. Exit status 1: the losses of the first steps differ by more than they may.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
from splitmix import uniform  # noqa: E402

SHAPE = {"blocks": 4, "dim": 256, "heads": 4, "length": 256, "batch": 8, "words": 96}
SEED, RATE = 1000, 3e-4  # as in learning_bench.c
TOLERANCE = 2e-4  # of a loss; sums in another order, then steps of AdamW, which divides by small numbers
SLOT = 3  # steps in a turn


def read_arrays(path):
    """The arrays of a .safetensors file of floats, by name."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            arrays[name] = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"]).copy()
    return arrays


def draw_ids(step, shape):
    """Ids and labels of a step, [batch, length] each: length + 1 drawn ids an entry."""
    batch, length = shape["batch"], shape["length"]
    drawn = uniform(SEED + step, batch * (length + 1)).astype(np.float32)
    drawn = np.minimum(drawn, np.nextafter(np.float32(1), np.float32(0)))
    ids = (drawn.astype(np.float64) * shape["words"]).astype(np.int64).reshape(batch, length + 1)
    return ids[:, :-1].copy(), ids[:, 1:].copy()


def positions(length, dim):
    pair = np.arange(dim) // 2 * 2
    angle = np.arange(length)[:, None] / 10000.0 ** (pair / dim)
    return np.where(np.arange(dim) % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


class Clattn:
    """The bench as a process that makes steps when it is told how many."""

    def __init__(self, bench, threads, shape, path):
        words = [bench, "--serve", "--write", path, "--threads", str(threads)]
        for name, value in shape.items():
            words += ["--" + name, str(value)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":  # the file is written then
            raise SystemExit(f"{bench} does not run")

    def run(self, steps):
        """Losses and seconds of so many steps."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        lines = [self.process.stdout.readline().split() for _ in range(steps)]
        if any(len(line) != 2 for line in lines):
            raise SystemExit("clattn_learning_bench ended early")
        return [float(line[0]) for line in lines], [float(line[1]) for line in lines]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Torch:
    """The same decoder in PyTorch."""

    def __init__(self, arrays, threads, shape):
        import torch
        torch.set_num_threads(threads)
        self.torch, self.shape, self.done = torch, shape, 0
        self.p = {name: torch.from_numpy(array).requires_grad_() for name, array in arrays.items()}
        self.positions = torch.from_numpy(positions(shape["length"], shape["dim"]))
        self.optimiser = torch.optim.AdamW(list(self.p.values()), lr=RATE, weight_decay=0)

    def block(self, x, prefix):
        f, p, s = self.torch.nn.functional, self.p, self.shape
        heads = (s["batch"], s["length"], s["heads"], s["dim"] // s["heads"])

        def linear(y, name):
            return f.linear(y, p[prefix + name + ".weight"], p[prefix + name + ".bias"])

        def norm(y, name):
            return f.layer_norm(y, (s["dim"],), p[prefix + name + ".gain"], p[prefix + name + ".bias"], 1e-5)

        y = norm(x, "norm1")
        query, key, value = (linear(y, "attention." + name).view(heads).transpose(1, 2)
                             for name in ("query", "key", "value"))
        context = f.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + linear(context.transpose(1, 2).reshape(x.shape), "attention.output")
        return x + linear(f.gelu(linear(norm(x, "norm2"), "mlp.up")), "mlp.down")

    def loss(self, ids, labels):
        f, p, s = self.torch.nn.functional, self.p, self.shape
        x = f.embedding(ids, p["embedding.weight"]) + self.positions
        for n in range(s["blocks"]):
            x = self.block(x, f"blocks.{n}.")
        logits = f.linear(f.layer_norm(x, (s["dim"],), p["norm.gain"], p["norm.bias"], 1e-5), p["words.weight"])
        return f.cross_entropy(logits.reshape(-1, s["words"]), labels.reshape(-1))

    def run(self, steps):
        losses, seconds = [], []
        for _ in range(steps):
            ids, labels = (self.torch.from_numpy(a) for a in draw_ids(self.done, self.shape))
            start = time.perf_counter()
            self.optimiser.zero_grad(set_to_none=False)
            loss = self.loss(ids, labels)
            loss.backward()
            self.torch.nn.utils.clip_grad_norm_(list(self.p.values()), 1.0)
            self.optimiser.step()
            seconds.append(time.perf_counter() - start)
            losses.append(loss.item())
            self.done += 1
        return losses, seconds


def compare_losses(ours, theirs, steps):
    """Makes the first steps with both; whether the losses agree."""
    (a, _), (b, _) = ours.run(steps), theirs.run(steps)
    worst = max(abs(x - y) for x, y in zip(a, b))
    print(f"losses of {steps} steps: from {a[0]:.6f} to {a[-1]:.6f}")
    print(f"largest difference {worst:.2g}; it may be {TOLERANCE}")
    return worst <= TOLERANCE


def compare_times(ours, theirs, rounds, tokens):
    ratios, times = [], ([], [])
    for n in range(rounds):
        turn = [0.0, 0.0]
        for which in ((0, 1) if n % 2 == 0 else (1, 0)):
            turn[which] = statistics.median((ours, theirs)[which].run(SLOT)[1])
            times[which].append(turn[which])
        ratios.append(turn[1] / turn[0])
    for name, seconds in zip(("clattn", "PyTorch"), times):
        median = statistics.median(seconds)
        print(f"{name:8} {1e3 * median:8.1f} ms a step, {tokens / median:8.0f} tokens a second")
    print(f"PyTorch's time / clattn's: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", default=os.path.join(ROOT, "build", "release", "bin", "clattn_learning_bench"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=50, help="whose losses are compared")
    parser.add_argument("--rounds", type=int, default=7)
    for name, value in SHAPE.items():
        parser.add_argument("--" + name, type=int, default=value)
    options = parser.parse_args()
    shape = {name: getattr(options, name) for name in SHAPE}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "start.safetensors")
        ours = Clattn(options.bench, options.threads, shape, path)
        theirs = Torch(read_arrays(path), options.threads, shape)
        print(f"PyTorch {theirs.torch.__version__}, {options.threads} threads; {shape}")
        agree = compare_losses(ours, theirs, options.steps)
        compare_times(ours, theirs, options.rounds, shape["batch"] * shape["length"])
        ours.end()
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
