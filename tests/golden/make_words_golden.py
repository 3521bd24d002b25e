#!/usr/bin/env python3
"""Numbers for tests/test_words.c: what `clattn words ... --json` must say, by NumPy in float64.

    python3 tests/golden/make_words_golden.py       needs numpy, and spm_train and spm_encode (Debian: sentencepiece);
                                                    writes tests/golden/words*

words.txt has a line a case: the arguments, a tab, and the values of the JSON in their order from the first one after
"causal" (of count: from the start): strings with a leading quote, numbers. A @ in the arguments is this folder.
Embeddings are made again here by their definition: splitmix64, rounded to float32.
"""
import math
import os
import re
import shlex
import shutil
import subprocess

import numpy as np

from splitmix import uniform

here = os.path.dirname(os.path.abspath(__file__))
SIX = ["The quick brown fox jumps over the lazy dog.", "She sells seashells by the seashore.", "I love to eat pizza.",
       "The cat chased the mouse.", "The sun is shining brightly.", "I am feeling happy today."]
TELESCOPE = "I saw a man in the park with a telescope."


def fill(kind, seed, rows, columns):
    n = rows * columns
    if kind == "he":
        u = uniform(seed, 2 * n)
        x = math.sqrt(2 / columns) * np.sqrt(-2 * np.log(1 - u[0::2])) * np.cos(2 * np.pi * u[1::2])
    else:
        x = uniform(seed, n)
        if kind == "xavier":
            x = math.sqrt(6 / (rows + columns)) * (2 * x - 1)
    return x.astype(np.float32).astype(np.float64).reshape(rows, columns)


def pieces(sentence):
    """What another program computes."""
    out = subprocess.run(["spm_encode", "--model=" + here + "/words_subwords.model"], input=sentence.strip() + "\n",
                         capture_output=True, text=True, check=True).stdout
    return out.split()


TOKENISERS = {
    "space": str.split,
    "words": lambda sentence: [w.lower() for w in re.findall(r"[^\W_]+", sentence)],
    "subwords": pieces,
}


def cut(text, kind):
    """Sentences of a text."""
    if kind == "lines":
        return text.split("\n")
    return re.split(r"(?<=[.!?])\s+|(?<=[.!?][\"')\]])\s+|\n\n", text)


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Model:
    def __init__(self, options, learn):
        o = dict(tokens="space", sentences="lines", embedding="uniform", dim="16", seed="1", heads="1", causal="no")
        o.update(options)
        self.options = o
        self.token = TOKENISERS[o["tokens"]]
        self.causal = o["causal"] == "yes"
        text = "\n".join(SIX) if "text" not in o else open(o["text"].replace("@", here + "/"), encoding="utf-8").read()
        cuts = [self.token(s) for s in cut(text, o["sentences"])]
        self.sentences = [s for s in cuts if s]
        vectors = o.get("vectors", "").replace("@", here + "/")
        own = vectors.endswith(".txt") and learn and "text" not in o
        self.sentences = [] if own else self.sentences
        self.words = list(dict.fromkeys(w for s in self.sentences for w in s))
        for phrase in learn:
            self.words += [w for w in dict.fromkeys(self.token(phrase)) if w not in self.words]
        if vectors.endswith(".npy"):
            self.table = np.load(vectors).astype(np.float32).astype(np.float64)
        elif vectors:
            lines = [line.split(" ") for line in open(vectors, encoding="utf-8").read().splitlines()]
            rows = {line[0]: np.array([np.float32(x) for x in line[1:]], np.float64) for line in lines}
            self.table = np.stack([rows[w] for w in self.words])
        else:
            self.table = fill(o["embedding"], int(o["seed"]), len(self.words), int(o["dim"]))
        self.dim = self.table.shape[1]
        self.heads = int(o["heads"])
        self.scale = float(o["scale"]) if "scale" in o else None

    def embed(self, words, first):
        x = np.stack([self.table[self.words.index(w)] for w in words])
        if "positions" in self.options:
            p = np.arange(first, first + len(words))[:, None] * 1.0
            d = np.arange(self.dim)
            angle = p / 10000 ** (d // 2 * 2 / self.dim)
            x = (x + np.where(d % 2 == 0, np.sin(angle), np.cos(angle))).astype(np.float32).astype(np.float64)
        return x

    def attend(self, rows, first, keys, scale):
        """Weights [heads, rows, keys] and context [rows, dim]."""
        q, k = self.embed(rows, first), self.embed(keys, 0)
        v = k
        if "project" in self.options:
            w = [fill("xavier", int(self.options["seed"]) + 1 + m, self.dim, self.dim) for m in range(3)]
            q, k, v = q @ w[0].T, k @ w[1].T, k @ w[2].T
        split = [np.moveaxis(x.reshape(len(x), self.heads, -1), 1, 0) for x in (q, k, v)]
        scale = scale if scale is not None else 1 / math.sqrt(self.dim // self.heads)
        scores = scale * split[0] @ np.swapaxes(split[1], 1, 2)
        if self.causal:
            i, j = np.arange(len(rows))[:, None] + first, np.arange(len(keys))[None, :]
            scores = np.where(j <= i, scores, -np.inf)
        weights = softmax(scores)
        return weights, np.moveaxis(weights @ split[2], 0, 1).reshape(len(rows), self.dim)

    def nearest(self, context):
        distance = np.sqrt(((self.table - context) ** 2).sum(1))
        return [self.words[int(distance.argmin())], distance.min()]


def flatten(value, out):
    if isinstance(value, str):
        out.append('"' + value)
    elif isinstance(value, (list, tuple)):
        for v in value:
            flatten(v, out)
    elif isinstance(value, np.ndarray):
        flatten(value.tolist(), out)
    else:
        out.append("%.9g" % value)
    return out


def count(o, words):
    m = Model(o, [])
    tokens = [w for s in m.sentences for w in s]
    return [len(m.sentences), len(tokens), len(m.words), [[w, tokens.count(w)] for w in m.words]]


def weights(o, words):
    m = Model(o, [])
    word = m.token(words[0] if words else "fox")[0]
    scale = m.scale if m.scale is not None or "self" in o else 1
    out = []
    for s in m.sentences:
        first = s.index(word) if word in s else len(s)
        w, context = m.attend([word], first, s, scale)
        out.append([s, w, context, m.nearest(context[0])])
    return out


def show(o, words):
    sentence = " ".join(words) or TELESCOPE
    m = Model(o, [sentence])
    s = m.token(sentence)
    return list(m.attend(s, 0, s, m.scale))


def probe(o, words):
    sentence = " ".join(words) or TELESCOPE
    m = Model(o, [sentence, o.get("add", "")])
    s, added, removed = m.token(sentence), m.token(o.get("add", "")), m.token(o.get("remove", ""))
    place = s.index(o["word"]) if "word" in o else len(s) - 1

    def look(s, at):
        w, context = m.attend(s, 0, s, m.scale)
        return [s, w[:, at], context[at], m.nearest(context[at])]

    def change(first, gone, come):
        changed = s[:first] + come + s[first + gone:]
        after = look(changed, place if place < first else place - gone + len(come))
        moves = np.sqrt(((after[2] - before[2]) ** 2).sum())
        return [first + 1, s[first:first + gone], come, moves, after]

    before = look(s, place)
    if not added and not removed:
        return [before, [change(t, 1, []) for t in range(len(s)) if t != place]]
    first = next(t for t in range(len(s)) if s[t:t + len(removed)] == removed) if removed else len(s)
    first = int(o["at"]) - 1 if "at" in o else first
    return [before, change(first, len(removed), added)]


CASES = """
count
count --tokens words
count --text @words_text.txt
count --text @words_text.txt --tokens words --sentences marks
count --text @words_text.txt --sentences marks
count --tokens subwords --subword-model @words_subwords.model
weights
weights fox --self
weights The --embedding xavier --dim 24 --seed 5
weights The --tokens words --embedding he --dim 12 --heads 3 --seed 7 --self causal=yes
weights One --text @words_text.txt --dim 8 scale=0.5 causal=yes
weights the --vectors @words_vectors.npy --heads 2
weights mouse --tokens words --text @words_ties.txt --vectors @words_vectors.txt
weights cat --tokens words --text @words_small.txt --vectors @words_vectors.txt
show
show --heads 4 --dim 32 --positions causal=yes --embedding xavier
show 'the cat sat on the mat' --project --heads 2 --seed 3
show 'The cat chased the mouse.' --vectors @words_vectors.npy
show 'cat mouse the' --vectors @words_vectors.txt --heads 3 scale=2
probe
probe --word saw --remove 'with a telescope.' --heads 2
probe --add 'happy today.' --at 3 --positions
probe --remove man --add 'tall woman' --embedding he --seed 2
probe 'The cat chased the mouse.' --word chased --dim 5 causal=yes
"""


def files():
    rng = np.random.default_rng(1)
    vocabulary = len(dict.fromkeys(w for s in SIX for w in s.split()))
    np.save(here + "/words_vectors.npy", rng.normal(size=(vocabulary, 6)))
    with open(here + "/words_small.txt", "w", encoding="utf-8") as f:
        f.write("The cat, the dog.\nMouse! Mouse?\n")
    with open(here + "/words_vectors.txt", "w", encoding="utf-8") as f:
        for w in "dog cat the mouse house".split():
            x = x if w == "house" else rng.normal(size=6)  # as near to anything as mouse
            f.write(w + "".join(" %.4f" % n for n in x) + "\n")
    with open(here + "/words_ties.txt", "w", encoding="utf-8") as f:
        f.write("The dog.\nThe house\nMouse, MOUSE\n")
    with open("/tmp/words_six.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(SIX) + "\n")
    subprocess.run(["spm_train", "--input=words_six.txt", "--model_prefix=words_subwords", "--vocab_size=60",
                    "--model_type=bpe", "--normalization_rule_name=identity", "--character_coverage=1.0", "--minloglevel=2"],
                   cwd="/tmp", check=True)
    shutil.copy("/tmp/words_subwords.model", here)


def main():
    files()
    with open(here + "/words.txt", "w", encoding="utf-8") as f:
        for case in CASES.strip().splitlines():
            name, *arguments = shlex.split(case)
            options, words = {}, []
            while arguments:
                a = arguments.pop(0)
                if a in ("--self", "--positions", "--project"):
                    options[a[2:]] = True
                elif a.startswith("--"):
                    options[a[2:]] = arguments.pop(0)
                elif "=" in a:
                    options[a.split("=")[0]] = a.split("=")[1]
                else:
                    words.append(a)
            f.write(case + "\t" + " ".join(flatten(globals()[name](options, words), [])) + "\n")


main()
