"""What the scripts of the layers' goldens share: inputs that a seed makes, and the arrays that a script keeps.

Inputs and weights are not stored: draw() restates clattn_fill(CLATTN_FILL_UNIFORM), stretched to [-1, 1) * size, so the
goldens judge that as well. Every draw has a seed of its own, the same one in the tests.
"""
import os

import numpy as np
import torch
from safetensors.numpy import save_file

from splitmix import uniform

results = {}


def draw(seed, *shape, size=1.0):
    x = uniform(seed, int(np.prod(shape))).astype(np.float32)
    return torch.from_numpy(((2 * x - 1) * np.float32(size)).reshape(shape)).double()


def keep(name, x):
    results[name] = np.ascontiguousarray(x.detach().numpy().astype(np.float32))


def save(file):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), file)
    save_file(results, path, metadata={"made_by": f"torch {torch.__version__}, float64"})
    print(path, os.path.getsize(path), "bytes", len(results), "arrays")
