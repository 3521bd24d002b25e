#!/usr/bin/env python3
"""Gradients for the tests of what learns (tests/test_learning_*.c), by PyTorch's autograd in float64.

    python3 tests/golden/make_learning_golden.py      needs torch and safetensors; writes tests/golden/learning.safetensors

The loss of a layer is the sum of its outputs times drawn numbers, which so are grad_output.
"""
import torch

from drawn import draw, keep, save
from splitmix import uniform

F = torch.nn.functional


def learn(name, output, seed, **inputs):
    """Keeps the gradients of sum(output * draw(seed)) by each input, as learn_<name>_<input>."""
    loss = (output * draw(seed, *output.shape)).sum()
    names = list(inputs)
    for key, gradient in zip(names, torch.autograd.grad(loss, [inputs[k] for k in names])):
        keep(f"learn_{name}_{key}", gradient)


def open_draw(seed, *shape, size=1.0):
    return draw(seed, *shape, size=size).requires_grad_()


def parts():
    x, w, b = open_draw(201, 7, 29), open_draw(202, 13, 29), open_draw(203, 13)
    learn("linear", F.linear(x, w, b), 204, input=x, w=w, b=b)
    table = open_draw(211, 6, 5)
    learn("embedding", F.embedding(torch.tensor([4, 0, 4, 2, 4]), table), 212, table=table)
    x, gain, bias = open_draw(221, 5, 300, size=3), open_draw(222, 300), open_draw(223, 300)
    learn("norm", F.layer_norm(x, (300,), gain, bias, 1e-5), 224, input=x, gain=gain, bias=bias)
    x = open_draw(231, 64, size=6)
    learn("gelu", F.gelu(x), 232, input=x)
    x = open_draw(241, 4, 9, size=3)
    learn("softmax", torch.softmax(x, -1), 242, input=x)
    logits = open_draw(251, 6, 11, size=4)
    loss = F.cross_entropy(logits, torch.tensor([3, 10, -100, 0, 3, -100]))
    keep("learn_entropy_loss", loss.reshape(1))
    keep("learn_entropy_logits", torch.autograd.grad(loss, logits)[0])


STEPS = 20


def rate(step):
    """Up over 4 steps, then down along PyTorch's own cosine."""
    if step < 4:
        return 0.05 * (step + 1) / 4
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.05)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=STEPS - 4, eta_min=0.001)
    for _ in range(step - 4):
        optimiser.step()
        cosine.step()
    return optimiser.param_groups[0]["lr"]


def optimisers():
    keep("learn_rates", torch.tensor([rate(step) for step in range(STEPS)]))
    for name, kind, decays, options in (("sgd", torch.optim.SGD, (0.1, 0.0), {"momentum": 0.8}),
                                        ("adamw", torch.optim.AdamW, (0.1, 0.1), {"betas": (0.8, 0.95), "eps": 1e-6})):
        w, b = open_draw(301, 4, 5), open_draw(302, 5)
        groups = [{"params": [w], "weight_decay": decays[0]}, {"params": [b], "weight_decay": decays[1]}]
        optimiser = kind(groups, lr=1.0, **options)
        for step in range(STEPS):
            w.grad, b.grad = draw(310 + step, 4, 5, size=3), draw(340 + step, 5)
            torch.nn.utils.clip_grad_norm_([w, b], 6.0)
            for group in optimiser.param_groups:
                group["lr"] = rate(step)
            optimiser.step()
        keep(f"learn_{name}_w", w)
        keep(f"learn_{name}_b", b)


def attend(q, k, v, heads, kv_heads, allowed, scale=None, bias=None, slopes=None, sinks=None):
    """Rows [batch, length, heads * dim]; heads side by side, query heads of a group share a key-value head."""
    batch, rows, keys = q.shape[0], q.shape[1], k.shape[1]
    q = q.reshape(batch, rows, heads, -1).transpose(1, 2)
    k, v = (x.reshape(batch, keys, kv_heads, -1).transpose(1, 2).repeat_interleave(heads // kv_heads, 1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias
    if slopes is not None:
        distance = (torch.arange(keys)[None, :] - torch.arange(rows)[:, None]).abs()
        scores = scores - slopes[None, :, None, None] * distance
    scores = scores.masked_fill(~allowed, float("-inf"))
    if sinks is not None:
        scores = torch.cat([scores, sinks[None, :, None, None].expand(batch, heads, rows, 1)], -1)
    return (torch.softmax(scores, -1)[..., :keys] @ v).transpose(1, 2).reshape(batch, rows, -1)


def triangle(rows):
    return torch.ones(rows, rows, dtype=torch.bool).tril()


def attention():
    x = open_draw(401, 6, 3)
    every = torch.ones(6, 6, dtype=torch.bool)
    learn("simplified", attend(x[None], x[None], x[None], 1, 1, every, scale=1.0)[0], 402, input=x)

    x = open_draw(411, 2, 9, 12)
    w = [open_draw(412 + k, 8, 12, size=0.7) for k in range(3)]
    b = [open_draw(415 + k, 8, size=0.5) for k in range(3)]
    q, k, v = (F.linear(x, w[n], b[n]) for n in range(3))
    learn("self", attend(q, k, v, 1, 1, triangle(9)), 418, input=x, w_query=w[0], w_key=w[1], w_value=w[2], b_query=b[0],
          b_value=b[2])  # of b_key: 0

    x = open_draw(421, 2, 7, 12)
    w = {name: open_draw(422 + n, rows, columns, size=0.7) for n, (name, rows, columns) in
         enumerate((("query", 12, 12), ("key", 6, 12), ("value", 10, 12), ("output", 12, 20)))}
    b = {name: open_draw(426 + n, w[name].shape[0], size=0.5) for n, name in enumerate(w)}
    bias, slopes, sinks = open_draw(431, 4, 1, 7), open_draw(432, 4, size=0.3), open_draw(433, 4)
    q, k, v = (F.linear(x, w[name], b[name]) for name in ("query", "key", "value"))
    context = attend(q, k, v, 4, 2, triangle(7), bias=bias[None], slopes=slopes, sinks=sinks)
    output = F.linear(context, w["output"], b["output"]) + x
    learn("heads", output, 434, input=x, bias=bias, slopes=slopes, sinks=sinks,
          **{f"w_{name}": w[name] for name in w}, **{f"b_{name}": b[name] for name in b})

    x, memory = open_draw(441, 2, 4, 10), open_draw(442, 2, 11, 14)
    w = [open_draw(443, 6, 10), open_draw(444, 6, 14), open_draw(445, 6, 14)]
    allowed = torch.arange(11)[None, None, None, :] < torch.tensor([11, 5])[:, None, None, None]
    k, v = F.linear(memory, w[1]), F.linear(memory, w[2])
    output = attend(F.linear(x, w[0]), k, v, 1, 1, allowed)
    learn("cross", output, 446, input=x, memory=memory, key=k, value=v, w_query=w[0], w_key=w[1], w_value=w[2])


def additive():
    states, memory, value = open_draw(451, 2, 4, 10, size=2), open_draw(452, 2, 12, 14, size=2), open_draw(453, 2, 12, 9)
    w, u, v, b = open_draw(454, 16, 10), open_draw(455, 16, 14), open_draw(456, 16, size=2), open_draw(457, 16)
    mask = torch.from_numpy(uniform(458, 2 * 4 * 12).reshape(2, 4, 12) < 0.6)
    mask[1, 2] = False
    mask &= torch.arange(12)[None, None, :] < torch.tensor([12, 7])[:, None, None]
    for name, allowed, values in (("additive", torch.ones_like(mask), memory), ("masked", mask, value)):
        key = F.linear(memory, u, b)
        scores = torch.tanh(F.linear(states, w)[:, :, None, :] + key[:, None, :, :]) @ v
        scores = torch.where(allowed, scores, torch.tensor(-1e30, dtype=torch.float64))
        context = torch.softmax(scores, -1) * allowed @ values
        inputs = {"query": states, "key": memory, "w_query": w, "w_key": u, "v": v, "b": b, "projected": key}
        learn(name, context, 459, **inputs, **({"value": value} if values is value else {}))


def glimpse():
    x, context = open_draw(461, 5, 13, size=2), open_draw(462, 5, 7, size=2)
    w, b, wo, bo = open_draw(463, 13, 7), open_draw(464, 13), open_draw(465, 3, 13), open_draw(466, 3)
    for name, soft in (("glimpse", False), ("glimpse_softmax", True)):
        weights = F.linear(context, w, b)
        output = F.linear((torch.softmax(weights, -1) if soft else weights) * x, wo, bo)
        learn(name, output, 467, input=x, context=context, w_context=w, b_context=b, w_output=wo, b_output=bo)


def block(x, p, heads, kv_heads):
    rows = x.shape[1]
    normal = F.layer_norm(x, x.shape[-1:], p["norm1.gain"], p["norm1.bias"], 1e-5)
    q, k, v = (F.linear(normal, p[f"attention.{n}.weight"], p[f"attention.{n}.bias"]) for n in ("query", "key", "value"))
    context = attend(q, k, v, heads, kv_heads, triangle(rows))
    x = x + F.linear(context, p["attention.output.weight"], p["attention.output.bias"])
    normal = F.layer_norm(x, x.shape[-1:], p["norm2.gain"], p["norm2.bias"], 1e-5)
    wide = F.gelu(F.linear(normal, p["mlp.up.weight"], p["mlp.up.bias"]))
    return x + F.linear(wide, p["mlp.down.weight"], p["mlp.down.bias"])


def decoder():
    """2 blocks, 11 words, 6 ids twice, dim 8, 4 heads over 2, inner dim 10. Parameter n is drawn from seed 500 + n."""
    words, length, dim, kv, wide = 11, 6, 8, 4, 10
    shapes = {"embedding.weight": (words, dim)}
    for n in range(2):
        shapes |= {f"blocks.{n}.{name}": shape for name, shape in (
            ("norm1.gain", (dim,)), ("norm1.bias", (dim,)), ("attention.query.weight", (dim, dim)),
            ("attention.query.bias", (dim,)), ("attention.key.weight", (kv, dim)), ("attention.key.bias", (kv,)),
            ("attention.value.weight", (kv, dim)), ("attention.value.bias", (kv,)),
            ("attention.output.weight", (dim, dim)), ("attention.output.bias", (dim,)), ("norm2.gain", (dim,)),
            ("norm2.bias", (dim,)), ("mlp.up.weight", (wide, dim)), ("mlp.up.bias", (wide,)),
            ("mlp.down.weight", (dim, wide)), ("mlp.down.bias", (dim,)))}
    shapes |= {"norm.gain": (dim,), "norm.bias": (dim,), "words.weight": (words, dim)}
    p = {name: open_draw(500 + n, *shape, size=0.9) for n, (name, shape) in enumerate(shapes.items())}
    ids = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
    labels = torch.tensor([[1, 4, 1, 5, 9, -100], [6, 5, 3, 5, 8, 10]])
    pair = torch.arange(dim) - torch.arange(dim) % 2
    angle = torch.arange(length).double()[:, None] / 10000 ** (pair / dim)
    x = F.embedding(ids, p["embedding.weight"])
    x = x + torch.where(torch.arange(dim) % 2 == 0, torch.sin(angle), torch.cos(angle))
    for n in range(2):
        x = block(x, {name[9:]: p[name] for name in p if name.startswith(f"blocks.{n}.")}, 4, 2)
    logits = F.linear(F.layer_norm(x, (dim,), p["norm.gain"], p["norm.bias"], 1e-5), p["words.weight"])
    loss = F.cross_entropy(logits.reshape(-1, words), labels.reshape(-1))
    keep("learn_decoder_logits", logits)
    keep("learn_decoder_loss", loss.reshape(1))
    for name, gradient in zip(p, torch.autograd.grad(loss, list(p.values()))):
        keep(f"learn_decoder_{name}", gradient)


parts()
optimisers()
attention()
additive()
glimpse()
decoder()
save("learning.safetensors")
