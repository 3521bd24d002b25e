#!/usr/bin/env python3
"""Trains the two small encoder-decoders of examples/12_encoder_decoder.c: they write words backwards, one with Bahdanau attention, one
from the encoder's last state alone.

    python3 tests/golden/make_reversal.py [SECONDS]      needs torch and safetensors; writes examples/data/reversal.safetensors
"""
import os
import sys
import time

import torch
from safetensors.torch import save_file

LETTERS, START, EMBED, HIDDEN, SHORTEST, LONGEST = 16, 16, 16, 32, 3, 12
torch.manual_seed(1)
torch.set_num_threads(1)


class Model(torch.nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention
        self.embedding = torch.nn.Embedding(LETTERS + 1, EMBED)
        self.encoder = torch.nn.GRU(EMBED, HIDDEN, batch_first=True)
        self.decoder = torch.nn.GRUCell(EMBED + HIDDEN, HIDDEN)
        self.w_query = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.w_key = torch.nn.Linear(HIDDEN, HIDDEN)
        self.v = torch.nn.Parameter(torch.randn(HIDDEN) * 0.3)
        self.output = torch.nn.Linear(2 * HIDDEN, LETTERS)

    def context(self, state, states, projected):
        if not self.attention:
            return torch.zeros_like(state)
        scores = torch.tanh(self.w_query(state)[:, None, :] + projected) @ self.v
        return (torch.softmax(scores, -1)[:, None, :] @ states)[:, 0]

    def forward(self, words, target):
        states, last = self.encoder(self.embedding(words))
        state, projected = last[0], self.w_key(states)
        logits, before = [], torch.full((len(words),), START)
        for step in range(words.shape[1]):
            context = self.context(state, states, projected)
            state = self.decoder(torch.cat([self.embedding(before), context], -1), state)
            logits.append(self.output(torch.cat([state, context], -1)))
            before = target[:, step] if target is not None else logits[-1].argmax(-1)
        return torch.stack(logits, 1)


def train(attention, seconds):
    model = Model(attention)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    end, step = time.time() + seconds, 0
    while time.time() < end:
        length = int(torch.randint(SHORTEST, LONGEST + 1, ()))
        words = torch.randint(0, LETTERS, (128, length))
        target = words.flip(1)
        loss = torch.nn.functional.cross_entropy(model(words, target).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        done = 1 - (end - time.time()) / seconds
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * max(1 - done, 0.02)
        step += 1
    with torch.no_grad():
        words = torch.randint(0, LETTERS, (1000, LONGEST))
        right = (model(words, None).argmax(-1) == words.flip(1)).float().mean()
    print(f"attention {attention}: {step} steps, loss {loss:.4f}, letters right at length {LONGEST}: {right:.3f}")
    return model


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 150
    arrays = {}
    for name, attention in (("attention", True), ("plain", False)):
        for key, x in train(attention, seconds).state_dict().items():
            if attention or not (key.startswith("w_") or key == "v"):
                arrays[f"{name}.{key}"] = x.half().contiguous()
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "..", "..", "examples", "data", "reversal.safetensors")
    save_file(arrays, path, metadata={"made_by": "tests/golden/make_reversal.py"})
    print(os.path.getsize(path), "bytes")
