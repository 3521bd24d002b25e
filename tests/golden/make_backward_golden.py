#!/usr/bin/env python3
"""Writes golden gradients: inputs, and what PyTorch's automatic differentiation answers in float64.

    pip install torch numpy
    python3 tests/golden/make_backward_golden.py       writes gradients/*.npy beside itself

The forward is written in PyTorch's operations, in the order of clattn.h; no gradient is written here: each is autograd's. The
forward itself is compared with scaled_dot_product_attention where that can say the same, and with logsumexp's own formula. All
arrays are float64 but slopes, sinks and masks. tests/test_golden_gradients.c holds the same list of problems.
"""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

FOLDER = Path(__file__).resolve().parent / "gradients"
rng = np.random.default_rng(20261130)


def draw(*shape, spread=1.0):
    return torch.from_numpy(rng.standard_normal(shape) * spread)


def small(*shape):
    """float32 numbers, as float64."""
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32).astype(np.float64))


def attend(query, key, value, *, scale=None, softcap=0.0, bias=None, slopes=None, sinks=None, allowed=None, offset=0, keep=None):
    """Output and logsumexp. Rows with nothing allowed: output 0, logsumexp of the sink, or none."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = query @ key.transpose(2, 3) * (scale if scale is not None else query.shape[3] ** -0.5)
    if softcap > 0:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    if slopes is not None:
        i = torch.arange(query.shape[2]).reshape(-1, 1) + offset
        distance = (torch.arange(key.shape[2]).reshape(1, -1) - i).abs()
        scores = scores - slopes.reshape(1, -1, 1, 1) * distance
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    if sinks is not None:
        sink = sinks.reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        weights = torch.softmax(torch.cat([scores, sink], 3), 3)[..., :-1]
        logsumexp = torch.logsumexp(torch.cat([scores, sink], 3), 3)
    else:
        weights = torch.softmax(scores, 3)
        logsumexp = torch.logsumexp(scores, 3)
    if keep is not None:
        weights = weights * keep
    return weights @ value, logsumexp


def check_forward():
    """The forward above is attention: PyTorch's own says so."""
    query, key, value = draw(2, 4, 5, 3), draw(2, 4, 7, 3), draw(2, 4, 7, 2)
    output, _ = attend(query, key, value)
    assert torch.allclose(output, F.scaled_dot_product_attention(query, key, value), atol=1e-14)
    mask = torch.ones(5, 7, dtype=torch.bool).tril(2)
    output, _ = attend(query, key, value, allowed=mask)
    assert torch.allclose(output, F.scaled_dot_product_attention(query, key, value, attn_mask=mask), atol=1e-14)


def emit(name, inputs, grad_output, grad_logsumexp=None, mask=None, **options):
    """inputs: name -> tensor, in the order of attend()'s parameters; those of one number a head are stored as float32."""
    leaves = {part: tensor.clone().requires_grad_(True) for part, tensor in inputs.items()}
    output, logsumexp = attend(**leaves, **options)
    loss = (output * grad_output).sum()
    if grad_logsumexp is not None:
        loss = loss + (logsumexp * grad_logsumexp).sum()
    loss.backward()
    for part, tensor in leaves.items():
        held = tensor.detach().numpy()
        np.save(FOLDER / f"{name}_{part}.npy", held.astype(np.float32) if part in ("slopes", "sinks") else held)
        np.save(FOLDER / f"{name}_grad_{part}.npy", tensor.grad.numpy())
    np.save(FOLDER / f"{name}_output.npy", output.detach().numpy())
    np.save(FOLDER / f"{name}_grad_output.npy", grad_output.numpy())
    if grad_logsumexp is not None:
        np.save(FOLDER / f"{name}_grad_logsumexp.npy", grad_logsumexp.numpy())
    if mask is not None:
        np.save(FOLDER / f"{name}_mask.npy", mask.numpy())


def causal(rows, keys, offset):
    return torch.arange(keys).reshape(1, -1) <= torch.arange(rows).reshape(-1, 1) + offset


def main():
    FOLDER.mkdir(exist_ok=True)
    check_forward()
    qkv = lambda b, hq, hk, sq, sk, d, dv, spread=1.0: dict(
        query=draw(b, hq, sq, d, spread=spread), key=draw(b, hk, sk, d, spread=spread), value=draw(b, hk, sk, dv))
    emit("plain", qkv(2, 3, 3, 5, 7, 4, 4), draw(2, 3, 5, 4))
    emit("causal", qkv(1, 2, 2, 6, 9, 8, 8), draw(1, 2, 6, 8), draw(1, 2, 6), allowed=causal(6, 9, 3))
    emit("groups", qkv(2, 6, 3, 4, 5, 4, 3), draw(2, 6, 4, 3), draw(2, 6, 4))
    emit("one_group", qkv(1, 8, 1, 3, 6, 5, 2), draw(1, 8, 3, 2))
    emit("softcap", qkv(1, 2, 1, 5, 6, 4, 4, spread=2.5), draw(1, 2, 5, 4), draw(1, 2, 5), softcap=0.75, scale=0.9)
    emit("bias", dict(qkv(2, 4, 2, 5, 6, 4, 4), bias=draw(4, 1, 6)), draw(2, 4, 5, 4))
    emit("alibi", dict(qkv(2, 4, 2, 5, 8, 4, 4), slopes=small(4).abs()), draw(2, 4, 5, 4), draw(2, 4, 5),
         allowed=causal(5, 8, 3), offset=3)
    emit("sinks", dict(qkv(2, 4, 2, 5, 6, 4, 4), sinks=small(4)), draw(2, 4, 5, 4), draw(2, 4, 5))
    mask = torch.from_numpy(rng.random((2, 1, 5, 6)) < 0.6)
    mask[1, 0, 2] = False  # a row with nothing allowed; its sink stands
    emit("mask_sinks", dict(qkv(2, 4, 2, 5, 6, 4, 4), sinks=small(4)), draw(2, 4, 5, 4), draw(2, 4, 5), mask=mask, allowed=mask)
    away = qkv(1, 1, 1, 4, 5, 4, 4, spread=0.1)  # rows that point away from every key: logsumexp near -100
    away["query"], away["key"] = away["query"] - 5, away["key"] + 5
    emit("away", away, draw(1, 1, 4, 4), draw(1, 1, 4), scale=1.0)
    (FOLDER / "README.md").write_text(
        f"Written by make_backward_golden.py: PyTorch {torch.__version__.split('+')[0]}, NumPy {np.__version__}.\n")


if __name__ == "__main__":
    main()
