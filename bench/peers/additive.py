#!/usr/bin/env python3
"""Fused additive attention against PyTorch's unfused form, interleaved in one run.

    python3 bench/peers/additive.py LIBCLATTN.so [--rounds N] [--threads N] [--csv FILE]      needs torch

Case: batch 16, 64 queries, 512 keys, hidden 256, values of 256. Both get projected queries and keys. Unfused is what one writes
in PyTorch: tanh(query[:, :, None] + key[:, None]) @ v, softmax, @ value; it holds [batch, queries, keys, hidden] (512 MiB).
Prints medians, the median of the rounds' ratios, and what each held at most.
"""

import argparse
import csv
import ctypes as c
import datetime
import os
import platform
import statistics
import subprocess
import time

import torch


class Integers(c.Structure):
    _fields_ = [("data", c.c_void_p), ("offset", c.c_int64), ("type", c.c_int)]


class Problem(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("batch", c.c_int64),
        ("query_length", c.c_int64),
        ("key_length", c.c_int64),
        ("hidden", c.c_int64),
        ("value_dim", c.c_int64),
        ("mask", c.c_int),
        ("mask_shape", c.c_int64 * 3),
        ("query_lengths", c.c_bool),
        ("key_lengths", c.c_bool),
        ("logsumexp", c.c_bool),
        ("weights", c.c_bool),
    ]


class PlanOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("engine", c.c_char_p),
        ("device", c.c_int64),
        ("concurrency", c.c_int64),
        ("caller_workspace", c.c_bool),
        ("batch_invariant", c.c_bool),
        ("allow_tf32", c.c_bool),
        ("blocks", c.c_void_p),
    ]


class Tensors(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("query_length", c.c_int64),
        ("key_length", c.c_int64),
        ("query", c.c_void_p),
        ("key", c.c_void_p),
        ("v", c.c_void_p),
        ("value", c.c_void_p),
        ("mask", c.c_void_p),
        ("query_lengths", Integers),
        ("key_lengths", Integers),
        ("output", c.c_void_p),
        ("weights", c.c_void_p),
        ("logsumexp", c.c_void_p),
        ("report", c.c_void_p),
    ]


class RuntimeOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("threads", c.c_int64),
        ("without_opencl", c.c_bool),
        ("allocator", c.c_void_p * 3),
    ]


class MemoryUse(c.Structure):
    _fields_ = [(name, c.c_int64) for name in ("host", "host_peak", "device", "device_peak", "peak")]


def check(status, what):
    if status != 0:
        raise SystemExit(f"{what}: status {status}")


def prepare(lib, threads, shape, tensors):
    batch, queries, keys, hidden, dim = shape
    runtime, plan = c.c_void_p(), c.c_void_p()
    check(
        lib.clattn_runtime_create(c.byref(RuntimeOptions(c.sizeof(RuntimeOptions), threads, True)), c.byref(runtime)),
        "runtime",
    )
    problem = Problem(
        c.sizeof(Problem), batch, queries, keys, hidden, dim, 0, (-1, -1, -1), False, False, False, False
    )
    options = PlanOptions(c.sizeof(PlanOptions), b"cpu", -1, 1)
    check(lib.clattn_additive_plan_create(runtime, c.byref(problem), c.byref(options), c.byref(plan), None), "plan")
    call = Tensors(struct_size=c.sizeof(Tensors), query_length=-1, key_length=-1)
    for name, x in tensors.items():
        setattr(call, name, x.data_ptr())
    return runtime, lambda: check(lib.clattn_additive_execute(plan, c.byref(call)), "execute")


def unfused(query, key, v, value):
    scores = torch.tanh(query[:, :, None, :] + key[:, None, :, :]) @ v
    return torch.softmax(scores, -1) @ value


def timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv")
    args = parser.parse_args()
    lib = c.CDLL(os.path.abspath(args.library))
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    shape = batch, queries, keys, hidden, dim = 16, 64, 512, 256, 256
    query, key = torch.randn(batch, queries, hidden), torch.randn(batch, keys, hidden)
    v, value = torch.randn(hidden) / 4, torch.randn(batch, keys, dim)
    output = torch.empty(batch, queries, dim)
    runtime, fused = prepare(lib, args.threads, shape, dict(query=query, key=key, v=v, value=value, output=output))
    with torch.inference_mode():
        plain = lambda: unfused(query, key, v, value)
        fused()
        error = (output - plain()).abs().max().item()
        times = [(timed(fused), timed(plain)) for _ in range(args.rounds)]
    ours, theirs = (statistics.median(t[k] for t in times) for k in (0, 1))
    ratio = statistics.median(b / a for a, b in times)
    use = MemoryUse()
    lib.clattn_inspect_memory(runtime, c.byref(use))
    row = dict(
        date=datetime.date.today().isoformat(),
        cpu=cpu_name(),
        threads=args.threads,
        torch=torch.__version__,
        commit=subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip(),
        batch=batch,
        queries=queries,
        keys=keys,
        hidden=hidden,
        value_dim=dim,
        rounds=args.rounds,
        clattn_ms=f"{ours * 1e3:.2f}",
        torch_unfused_ms=f"{theirs * 1e3:.2f}",
        ratio=f"{ratio:.2f}",
        ratio_least=f"{min(b / a for a, b in times):.2f}",
        largest_difference=f"{error:.2e}",
        clattn_memory_bytes=use.peak,
        torch_tensor_bytes=4 * batch * queries * keys * hidden,
    )
    for name, x in row.items():
        print(f"{name:22} {x}")
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)


def cpu_name():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


main()
