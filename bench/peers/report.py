#!/usr/bin/env python3
"""Makes a table (Markdown) and a plot (SVG) of a CSV of bench.py. Needs nothing but Python.

python3 report.py FILE.csv
"""

import csv
import math
import os
import sys
from html import escape

COLOURS = {"clattn": "#1b5e20", "torch": "#d9772b", "ort": "#3b76af", "openvino": "#7d5ba6"}
BANDWIDTH = ("decode32k", "decode32kx16")  # bound by memory: compared with the read probe, outside the mean


def library(peer):
    return peer.split()[0]


def groups(lines):
    """Lines of one case together; cases of one commit, number of threads, type and variant one after another."""
    found = {}
    for line in lines:
        kind = line["variant"] + (", forward and backward" if line.get("direction") == "backward" else "")
        found.setdefault((line["commit"], line["threads"], line["type"], kind, line["shape"]), []).append(line)
    tables = list(dict.fromkeys(case[:4] for case in found))
    return {case: found[case] for case in sorted(found, key=lambda case: tables.index(case[:4]))}


def fastest(lines):
    """The fastest form of each library, by the ratio; clattn's is its first engine."""
    best = {}
    for line in lines:
        if line["status"] == "ok" and line["ratio"]:
            name = library(line["peer"])
            if name not in best or name != "clattn" and float(line["ratio"]) < float(best[name]["ratio"]):
                best[name] = line
    return best


def best_peer(best):
    return min(
        (line for name, line in best.items() if name != "clattn"), key=lambda line: float(line["ratio"]), default=None
    )


def uncounted(lines):
    """The fastest form that was timed but does not count, because its numbers are not of the type; or None."""
    found = [line for line in lines if line["status"].startswith("not ") and line["ratio"]]
    return min(found, key=lambda line: float(line["ratio"]), default=None)


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def describe(line):
    heads = line["query_heads"] + ("/" + line["kv_heads"] if line["kv_heads"] != line["query_heads"] else "")
    lengths = line["query_length"] + (" x " + line["key_length"] if line["key_length"] != line["query_length"] else "")
    return f"{line['batch']} x {heads} heads of {line['head_dim']}, {lengths}" + (
        ", causal" if line["causal"] == "1" else ""
    )


def table(lines):
    """One table a commit, number of threads, type and variant."""
    text, last, ratios = [], None, []

    def close():
        if ratios:
            text.append(f"\nGeometric mean without the rows bound by memory: {mean(ratios):.2f}.\n")
            ratios.clear()

    for (commit, threads, type_, variant, shape), case in groups(lines).items():
        best = fastest(case)
        if (commit, threads, type_, variant) != last:
            close()
            last = (commit, threads, type_, variant)
            text.append(
                f"## {type_}, {variant}, {threads} threads, commit {commit or '-'}\n\n"
                "| shape | clattn ms | GFLOP/s | of the probe | best peer | its ms | ratio | max error: clattn, its "
                "| rms error: clattn, its | not counted |\n"
                "| --- | ---: | ---: | ---: | --- | ---: | ---: | --- | --- | --- |"
            )
        text.append(row(case, best))
        if comparable(shape, best):
            ratios.append(float(best_peer(best)["ratio"]))
    close()
    return "\n".join(text)


def row(case, best):
    """One case as a line of a table."""
    ours, peer = best.get("clattn"), best_peer(best)
    name = f"{case[0]['shape']} ({describe(case[0])})"
    if not ours:
        why = next(line["status"] for line in case if library(line["peer"]) == "clattn")
        return f"| {name} | {why} | | | | | | | | |"
    share = f"{100 * float(ours['of_probe']):.0f} %" if ours["of_probe"] else ""
    share += " (read)" if ours["query_length"] == "1" else ""
    start = f"| {name} | {ours['median_ms']} | {ours['gflops']} | {share} |"
    both = [ours, peer] if peer else [ours]
    largest, rms = (", ".join(filter(None, (line.get(c) for line in both))) for c in ("max_error", "rms_error"))
    errors = f"{largest} | {rms} | {aside(uncounted(case))} |"
    if not peer:
        return f"{start} none | | | {errors}"
    return f"{start} {peer['peer']} | {peer['median_ms']} | **{float(peer['ratio']):.2f}** | {errors}"


def aside(line):
    """What stands in a table about a form that does not count."""
    return f"{line['peer']} {line['median_ms']} ms ({float(line['ratio']):.2f}), {line['status']}" if line else ""


def comparable(shape, best):
    return "clattn" in best and len(best) > 1 and shape not in BANDWIDTH


def summary(lines):
    """The geometric mean over everything that is not bound by memory, a line a commit, number of threads and type."""
    ratios = {}
    for (commit, threads, type_, variant, shape), case in groups(lines).items():
        best = fastest(case)
        if comparable(shape, best):
            what = type_ + (", forward and backward" if variant.endswith("backward") else "")
            ratios.setdefault((commit, threads, what), []).append(float(best_peer(best)["ratio"]))
    return "".join(
        f"- {type_}, {threads} threads, commit {commit or '-'}: {mean(r):.2f}, the geometric mean of {len(r)} cases "
        f"({min(r):.2f} to {max(r):.2f})\n"
        for (commit, threads, type_), r in ratios.items()
    )


def head(lines):
    versions = {}
    for line in lines:
        if line["status"] == "ok":
            versions.setdefault(library(line["peer"]), line["version"].split(":")[0])
    rates = sorted(float(line["fma_gflops"]) for line in lines if line["fma_gflops"])
    dates = sorted(line["date"] for line in lines)
    return (
        f"Measured {dates[0]} to {dates[-1]} on {lines[0]['cpu']}: "
        f"{', '.join(f'{n} {v}' for n, v in versions.items())}. "
        "A ratio is the median over the rounds of (best peer's time) / (clattn's time); above 1 clattn is faster. "
        "The probe is multiply-adds in registers; for decode, one read of as much memory as keys and values. "
        "Not counted: the fastest form that is less exact than its type (its time and ratio). "
        "Forward and backward: a step of training, the gradients of query, key and value."
        + (f" It gave {rates[0]:.0f} to {rates[-1]:.0f} GFLOP/s." if rates else "")
        + "\n"
    )


def refusals(lines):
    """What the peers could not do, each reason once. What was timed is not among it."""
    reasons = {}
    for line in lines:
        if line["status"] != "ok" and not line["median_ms"]:
            reasons.setdefault((line["peer"], line["status"]), []).append(
                f"{line['shape']} {line['variant']} {line['type']}"
            )
    if not reasons:
        return ""
    text = ["## Not run\n", "| form | why | cases | for example |", "| --- | --- | ---: | --- |"]
    for (peer, why), where in reasons.items():
        text.append(f"| {peer} | {why.replace('|', ' ')} | {len(where)} | {', '.join(where[:3])} |")
    return "\n".join(text + [""])


def plot(lines):
    """Bars: each library's time in units of clattn's, a block of bars a case."""
    left, scale, bar, limit, y, parts = 330, 130, 11, 6.0, 46, []
    for (_, threads, type_, variant, shape), case in groups(lines).items():
        best = fastest(case)
        if "clattn" not in best:
            continue
        top = y
        aside = uncounted(case)
        for line in [best[n] for n in COLOURS if n in best] + ([aside] if aside else []):
            ratio = float(line["ratio"])
            width = min(ratio, limit) * scale
            label = f"{line['peer']} {line['median_ms']} ms (x{ratio:.2f})" + (f", not {type_}" * (line is aside))
            fill = f'fill="{COLOURS[library(line["peer"])]}"' + ' fill-opacity="0.3"' * (line is aside)
            parts.append(
                f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{bar - 1}" {fill}/>'
                f'<text x="{left + width + 4:.1f}" y="{y + bar - 2}">{escape(label)}</text>'
            )
            y += bar
        title = f"{shape} {variant if variant != 'plain' else ''} {type_} ({threads} threads)"
        parts.append(f'<text x="{left - 8}" y="{(top + y) / 2 + 3:.1f}" text-anchor="end">{escape(title)}</text>')
        y += 8
    grid = "".join(
        f'<line x1="{left + i * scale}" x2="{left + i * scale}" y1="40" y2="{y}" stroke="#ccc"/>'
        f'<text x="{left + i * scale}" y="36" text-anchor="middle">{i}</text>'
        for i in range(int(limit) + 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + int(limit) * scale + 240}" height="{y + 10}" '
        'font-family="sans-serif" font-size="10"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{left}" y="16" font-size="13">Time, clattn = 1 (shorter is faster)</text>'
        f'{grid}{"".join(parts)}</svg>\n'
    )


def write(path):
    with open(path, newline="") as f:
        lines = list(csv.DictReader(f))
    base = os.path.splitext(path)[0]
    for end, text in (
        (".md", f"# clattn and its peers\n\n{head(lines)}\n{summary(lines)}\n{table(lines)}\n{refusals(lines)}"),
        (".svg", plot(lines)),
    ):
        with open(base + end, "w", encoding="utf-8") as f:
            f.write(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1])
