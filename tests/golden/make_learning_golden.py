#!/usr/bin/env python3
"""Gradients for the tests of what learns (tests/test_learning_*.c), by PyTorch's autograd in float64.

    python3 tests/golden/make_learning_golden.py      needs torch and safetensors; writes tests/golden/learning.safetensors

The loss of a layer is the sum of its outputs times drawn numbers, which so are grad_output.
"""
import torch

from drawn import draw, keep, save

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


parts()
save("learning.safetensors")
