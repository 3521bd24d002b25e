#!/usr/bin/env python3
"""Numbers for tests/test_layers.c and tests/test_additive.c, by PyTorch in float64, from inputs that a seed makes.

    python3 tests/golden/make_layers_golden.py          needs torch and safetensors; writes tests/golden/layers.safetensors
"""
import math

import numpy as np
import torch

from drawn import draw, keep, save
from splitmix import uniform

F = torch.nn.functional


def fills():
    n = 24
    keep("fill_uniform", torch.from_numpy(uniform(7, n)))
    keep("fill_xavier", torch.from_numpy(math.sqrt(6 / (4 + 6)) * (2 * uniform(7, n) - 1)))
    u = uniform(7, 2 * n)
    keep("fill_he", torch.from_numpy(math.sqrt(2 / 6) * np.sqrt(-2 * np.log(1 - u[0::2])) * np.cos(2 * np.pi * u[1::2])))
    position = torch.arange(3, 12).double()[:, None]
    for dim in (16, 7):
        pair = torch.arange(dim) // 2 * 2
        angle = position / 10000 ** (pair / dim)
        keep(f"positions_{dim}", torch.where(torch.arange(dim) % 2 == 0, torch.sin(angle), torch.cos(angle)))


def simplified():
    x = draw(11, 6, 3, size=2)
    scores = x @ x.T
    weights = torch.softmax(scores, -1)
    keep("simplified_scores", scores)
    keep("simplified_weights", weights)
    keep("simplified_output", weights @ x)


def self_attention():
    x = draw(21, 2, 9, 12, size=2)
    w = [draw(22 + k, 8, 12, size=0.7) for k in range(3)]
    b = [draw(25 + k, 8, size=0.5) for k in range(3)]
    for name, with_bias, causal in (("plain", False, False), ("bias", True, False), ("causal", True, True)):
        q, k, v = (F.linear(x, w[n], b[n] if with_bias else None) for n in range(3))
        keep(f"self_{name}", F.scaled_dot_product_attention(q, k, v, is_causal=causal))


def multi_head(name, seed, length, dim, heads, size):
    """PyTorch's own MultiheadAttention, plus the residual."""
    x = draw(seed, 1, length, dim, size=2)
    layer = torch.nn.MultiheadAttention(dim, heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([draw(seed + 1 + k, dim, dim, size=size) for k in range(3)]))
        layer.in_proj_bias.copy_(torch.cat([draw(seed + 4 + k, dim, size=0.5) for k in range(3)]))
        layer.out_proj.weight.copy_(draw(seed + 7, dim, dim, size=size))
        layer.out_proj.bias.copy_(draw(seed + 8, dim, size=0.5))
        output, weights = layer(x, x, x, average_attn_weights=False)
    keep(f"{name}_output", output + x)
    if heads <= 8:
        keep(f"{name}_weights", weights)


def cross_attention():
    x, memory = draw(41, 2, 4, 10, size=2), draw(42, 2, 11, 14, size=2)
    q = F.linear(x, draw(43, 6, 10))
    k = F.linear(memory, draw(44, 6, 14))
    v = F.linear(memory, draw(45, 6, 14))
    keep("cross_output", F.scaled_dot_product_attention(q, k, v))
    used = torch.tensor([11, 5])
    mask = torch.arange(11)[None, None, :] < used[:, None, None]
    keep("cross_lengths_output", F.scaled_dot_product_attention(q, k, v, attn_mask=mask))


def glimpse():
    x, context = draw(51, 5, 13, size=2), draw(52, 5, 7, size=2)
    weights = F.linear(context, draw(53, 13, 7), draw(54, 13))
    for name, w in (("plain", weights), ("softmax", torch.softmax(weights, -1))):
        keep(f"glimpse_{name}_weights", w)
        keep(f"glimpse_{name}_output", F.linear(w * x, draw(55, 3, 13), draw(56, 3)))


def additive(query, key, v, value, mask):
    scores = torch.tanh(query[:, :, None, :] + key[:, None, :, :]) @ v
    scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, -1).nan_to_num(0.0)
    return weights @ value, weights, torch.logsumexp(scores, -1)


def bahdanau():
    batch, queries, keys, hidden, dim = 3, 5, 70, 19, 37
    query, key = draw(61, batch, queries, hidden, size=3), draw(62, batch, keys, hidden, size=3)
    v, value = draw(63, hidden, size=2), draw(64, batch, keys, dim, size=2)
    everything = torch.ones(batch, queries, keys, dtype=torch.bool)
    output, weights, logsumexp = additive(query, key, v, value, everything)
    keep("additive_output", output)
    keep("additive_weights", weights)
    keep("additive_logsumexp", logsumexp)
    mask = torch.from_numpy(uniform(65, batch * queries * keys).reshape(batch, queries, keys) < 0.6)
    mask[1, 2] = False
    mask &= torch.arange(keys)[None, None, :] < torch.tensor([70, 33, 0])[:, None, None]
    mask &= torch.arange(queries)[None, :, None] < torch.tensor([5, 4, 5])[:, None, None]
    output, weights, logsumexp = additive(query, key, v, value, mask)
    keep("additive_masked_output", output)
    keep("additive_masked_weights", weights)
    keep("additive_masked_logsumexp", logsumexp)
    states, memory = draw(71, 2, 4, 10, size=2), draw(72, 2, 12, 14, size=2)
    query = F.linear(states, draw(73, 16, 10))
    key = F.linear(memory, draw(74, 16, 14), draw(76, 16))
    output, weights, _ = additive(query, key, draw(75, 16, size=2), memory, torch.ones(2, 4, 12, dtype=torch.bool))
    keep("additive_layer_output", output)
    keep("additive_layer_weights", weights)


def rows():
    x = draw(81, 4, 33, size=3)
    keep("layer_norm", F.layer_norm(x, (33,), draw(82, 33), draw(83, 33), 1e-12))
    keep("gelu", F.gelu(draw(84, 64, size=6)))
    keep("linear", F.linear(draw(85, 7, 29), draw(86, 13, 29), draw(87, 13)))


fills()
simplified()
self_attention()
multi_head("multi_head", 31, 7, 24, 4, 0.5)
multi_head("heads96", 131, 6, 768, 96, 0.06)
cross_attention()
glimpse()
bahdanau()
rows()
save("layers.safetensors")
