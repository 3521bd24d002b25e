#!/usr/bin/env python3
"""Numbers for tests/test_words_learnt.c: what a model that has learnt must say, by plain loops in double.

    build/release/bin/clattn words train --model tests/golden/words_model.safetensors --dim 4 --blocks 2 --heads 2 --steps 60
    python3 tests/golden/make_words_model_golden.py      reads that file, writes tests/golden/words_model.txt

A line a case: the arguments, a tab, the numbers: of show and weights the weights by block and head, of predict the
ten words, the likeliest first, and their probabilities; the end of a sentence has no word.
"""
import json
import math
import os
import struct

here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/words_model.safetensors", "rb") as file:
    content = file.read()
length = struct.unpack("<Q", content[:8])[0]
header = json.loads(content[8:8 + length])
notes = header.pop("__metadata__")
DIM, HEADS, BLOCKS = int(notes["dim"]), int(notes["heads"]), int(notes["blocks"])
WORDS = notes["vocabulary"].split("\n")[:-1]


def array(name):
    """Rows of a matrix, or a vector."""
    entry = header[name]
    begin, end = (8 + length + o for o in entry["data_offsets"])
    flat = struct.unpack("<%df" % ((end - begin) // 4), content[begin:end])
    if len(entry["shape"]) == 1:
        return flat
    columns = entry["shape"][1]
    return [flat[r:r + columns] for r in range(0, len(flat), columns)]


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def linear(matrix, bias, x):
    return [dot(row, x) + b for row, b in zip(matrix, bias)]


def norm(x, name):
    mean = math.fsum(x) / len(x)
    variance = math.fsum((v - mean) ** 2 for v in x) / len(x)
    return [(v - mean) / math.sqrt(variance + 1e-5) * g + b
            for v, g, b in zip(x, array(name + ".gain"), array(name + ".bias"))]


def softmax(scores):
    most = max(scores)
    powers = [math.exp(s - most) for s in scores]
    return [p / math.fsum(powers) for p in powers]


def position(place):
    angles = [place / 10000 ** (2 * (d // 2) / DIM) for d in range(DIM)]
    return [math.sin(a) if d % 2 == 0 else math.cos(a) for d, a in enumerate(angles)]


def attention(block, x):
    """Weights [heads][rows][keys], and what comes out."""
    part = {name: (array("blocks.%d.attention.%s.weight" % (block, name)),
                   array("blocks.%d.attention.%s.bias" % (block, name))) for name in ("query", "key", "value", "output")}
    query, key, value = ([linear(*part[name], v) for v in x] for name in ("query", "key", "value"))
    size, weights, context = DIM // HEADS, [], [[] for _ in x]
    for head in range(HEADS):
        mine = slice(head * size, (head + 1) * size)
        rows = []
        for i in range(len(x)):
            row = softmax([dot(query[i][mine], key[j][mine]) / math.sqrt(size) for j in range(i + 1)])
            rows.append(row + [0.0] * (len(x) - i - 1))
            context[i] += [math.fsum(row[j] * value[j][mine][d] for j in range(i + 1)) for d in range(size)]
        weights.append(rows)
    return weights, [linear(*part["output"], c) for c in context]


def model(text):
    """Weights [blocks][heads][rows][keys], and the probabilities of the next word."""
    table = array("embedding.weight")
    states = [[a + b for a, b in zip(table[WORDS.index(w)], position(t))] for t, w in enumerate(text.split())]
    everything = []
    for n in range(BLOCKS):
        name = "blocks.%d." % n
        weights, out = attention(n, [norm(s, name + "norm1") for s in states])
        everything.append(weights)
        states = [[a + b for a, b in zip(s, o)] for s, o in zip(states, out)]
        for i, s in enumerate(states):
            wide = linear(array(name + "mlp.up.weight"), array(name + "mlp.up.bias"), norm(s, name + "norm2"))
            bent = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in wide]
            down = linear(array(name + "mlp.down.weight"), array(name + "mlp.down.bias"), bent)
            states[i] = [a + b for a, b in zip(s, down)]
    last = norm(states[-1], "norm")
    return everything, softmax([dot(row, last) for row in array("words.weight")])


def write(file, arguments, numbers):
    file.write(arguments + "\t" + " ".join("%.9g" % n for n in numbers) + "\n")


with open(here + "/words_model.txt", "w") as file:
    for text in ("The quick brown fox jumps over the lazy dog.", "I am", "seashells"):
        weights, probabilities = model(text)
        write(file, "show " + text, [n for block in weights for head in block for row in head for n in row])
        order = sorted(range(len(WORDS) + 1), key=lambda n: -probabilities[n])[:10]
        likely = " ".join('"%s %.9g' % ((WORDS + [""])[n], probabilities[n]) for n in order)
        file.write("predict --top 10 " + text + "\t" + likely.replace('" ', "") + "\n")
    write(file, "weights seashells", [n for block in model("She sells seashells")[0] for head in block for n in head[-1]])
