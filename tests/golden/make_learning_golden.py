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


parts()
optimisers()
save("learning.safetensors")
