#!/usr/bin/env python3
"""clattn and other libraries on the same problems, taking turns.

Every library is a process of its own with its own threads, idle unless it has its turn. A case is a shape, a variant
and a type. For each case every library prepares its forms, its output is compared with fp64 at sampled rows, and then
rounds begin: in each round every form gets one slot (one call that is not timed, then some that are), in an order that
is shuffled anew; slots of the probes stand among them and show what the machine gave at that time. A slot starts when
nobody else uses the processors and is done again when somebody did meanwhile. A ratio is the median over the rounds of
(slot of the peer) / (slot of clattn); above 1 clattn is faster. --direction backward measures steps of training: the
forward and the backward of one library one after the other, gradients of query, key and value.

The CSV is written after every case. The same command goes on where it was stopped: cases that are in the file for the
same commit and threads are not measured again.
"""

import argparse
import csv
import datetime
import os
import random
import statistics
import subprocess
import sys
import time

import numpy as np

import cases
import quiet
import report
from worker import Worker

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "clattn")
COLUMNS = (
    "date commit cpu threads shape batch query_heads kv_heads query_length key_length head_dim causal variant type "
    "peer version status median_ms min_ms ratio rounds samples gflops gbytes of_probe fma_gflops read_gbytes max_error "
    "rms_error disturbed direction"
).split()
SLOT = 0.06  # seconds of timed calls in a slot, at least one call
RARE, ONCE = 2.0, 6.0  # a form so many times slower than the fastest is in every third round, or in the first only


def arguments():
    p = argparse.ArgumentParser(
        prog="run.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="run.sh itself takes --venv PATH: where the libraries are, or shall be installed.",
    )
    words = lambda text: text.split(",")
    p.add_argument("--shapes", type=words, help="of " + ",".join(cases.SHAPES))
    p.add_argument("--variants", type=words, default=list(cases.VARIANTS), help="of plain,mask,bias,window")
    p.add_argument("--types", type=words, default=list(cases.TYPES), help="of fp32,bf16,fp16")
    p.add_argument(
        "--direction",
        choices=("forward", "backward"),
        default="forward",
        help="backward: steps of training, forward and backward together, on the shapes that are not decode",
    )
    p.add_argument("--peers", type=words, help="libraries beside clattn: torch,onnxruntime,openvino; backward: torch")
    p.add_argument("--engine", type=words, default=["cpu"], help="clattn's engine; ratios are to the first of several")
    p.add_argument(
        "--threads",
        default=str(len(os.sched_getaffinity(0))),
        type=lambda t: [int(n) for n in t.split(",")],
        help="threads of every library; several (1,2,4) are measured one after another",
    )
    p.add_argument("--rounds", type=int, default=15, help="rounds of a case, at most")
    p.add_argument("--seconds", type=float, default=12, help="seconds of rounds of a case; at least 3 rounds are made")
    p.add_argument(
        "--minutes", type=float, default=60, help="no case is begun later; cases come in the order of importance"
    )
    p.add_argument(
        "--quick", action="store_true", help="small shapes, two rounds, no waiting: only to see that all works"
    )
    p.add_argument("--library", default=os.path.join(ROOT, "build/release/libclattn.so"))
    p.add_argument("--header", default=os.path.join(ROOT, "host/include/clattn/clattn.h"))
    p.add_argument("--out", help="CSV; .md and .svg beside it (default: bench/results/peers-DATE.csv)")
    p.add_argument("--fresh", action="store_true", help="begin the file anew")
    a = p.parse_args()
    if a.quick:
        a.rounds, a.out, a.fresh = 2, a.out or os.path.join(CACHE, "quick.csv"), True
    a.shapes = a.shapes or list(cases.QUICK if a.quick else cases.SHAPES)
    a.peers = a.peers or (["torch"] if a.direction == "backward" else ["torch", "onnxruntime", "openvino"])
    for given, known in (
        (a.shapes, cases.QUICK if a.quick else cases.SHAPES),
        (a.variants, cases.VARIANTS),
        (a.types, cases.TYPES),
    ):
        for word in given:
            if word not in known:
                p.error(f"{word}: not one of {', '.join(known)}")
    if not os.path.exists(a.library):
        p.error(f"{a.library} is not there: build first, or --library PATH")
    a.out = a.out or os.path.join(ROOT, "bench/results", f"peers-{datetime.date.today()}.csv")
    if a.direction == "backward" and set(a.peers) - {"torch"}:
        p.error("PyTorch alone trains: --peers torch")
    if a.direction == "backward" and not cases.cases(a.shapes, a.variants, a.types, a.quick, a.direction):
        p.error("none of these cases is one of training")
    return a


def build_probe():
    """The probe, compiled for this processor."""
    target = os.path.join(CACHE, "probe.so")
    os.makedirs(CACHE, exist_ok=True)
    subprocess.run(
        [
            os.environ.get("CC", "cc"),
            "-O2",
            "-march=native",
            "-ffp-contract=fast",
            "-shared",
            "-fPIC",
            "-pthread",
            os.path.join(HERE, "probe.c"),
            "-o",
            target,
        ],
        check=True,
    )
    return target


def commit(library):
    """The last commit that changed the library's sources; + when files differ from it; empty outside a checkout."""
    git = lambda *words: subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
    sources = [os.path.join(ROOT, f) for f in git("ls-files", "host", "kernels").split()]
    if any(os.path.getmtime(f) > os.path.getmtime(library) for f in sources if os.path.exists(f)):
        print(f"warning: {library} is older than the sources", file=sys.stderr)
    return git("log", "-1", "--format=%h", "--", "host", "kernels") + (
        "+" if git("status", "--porcelain", "host", "kernels") else ""
    )


def processor():
    name, flags = "unknown", []
    for line in open("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() == "flags":
            flags = value.split()
    return " ".join([name] + [f for f in ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16") if f in flags])


class Entrant:
    """One form of one library in one case."""

    def __init__(self, worker, form):
        self.worker, self.form, self.error, self.detail = worker, form, None, ""
        self.max_error = self.rms_error = self.not_counted = None  # not_counted: why it is timed and yet no peer
        self.seconds, self.slots, self.estimate, self.repeats, self.every, self.disturbed = [], [], 0.0, 1, 1, 0

    @property
    def is_probe(self):
        return self.worker.name == "probe"

    def run(self, repeats):
        answer = self.worker.ask(do="run", form=self.form, repeats=repeats)
        self.error = answer.get("error")
        return answer.get("seconds", [])

    def judge(self, judge):
        """Compares its output with the exact rows."""
        answer = self.worker.ask(do="rows", form=self.form, at=judge.at)
        self.error, self.estimate = answer.get("error"), answer.get("seconds", 0)
        if not self.error:
            rows = np.array(answer["rows"])
            self.max_error, self.rms_error = judge.max_error(rows), judge.rms_error(rows)
            self.error, self.not_counted = judge.wrong(rows), judge.less_than_type(rows)

    def prepare(self, judge):
        answer = self.worker.ask(do="make", form=self.form)
        self.error, self.detail = answer.get("error"), answer.get("detail", "")
        if not self.error and not self.is_probe:
            self.judge(judge)
        if not self.error and self.estimate < 0.1:
            self.estimate = min(self.run(2), default=0)
        if not self.error:
            self.repeats = max(1, min(50, int(SLOT / self.estimate)))

    def slot(self, patience):
        """One turn, done again when others used the processors meanwhile. Whether it was calm at last."""
        for _ in range(3 if patience else 1):
            calm = not patience or quiet.wait(patience)
            watch = quiet.Watch([self.worker.process.pid])
            times = self.run(self.repeats)
            calm = calm and not (patience and watch.disturbed())
            if calm or self.error:
                break
        self.disturbed += not calm
        self.seconds += times
        self.slots.append(statistics.median(times) if times else None)
        return calm

    def against(self, other):
        """Median over the rounds of this time / the other's."""
        pairs = [a / b for a, b in zip(self.slots, other.slots) if a and b]
        return statistics.median(pairs) if pairs else None


def prepare(case, workers):
    judge, entrants = cases.Judge(case), []
    for worker in workers:
        direction = "backward" if case.backward else "forward"
        answer = worker.ask(do="forms", case=[case.name, case.variant, case.type, case.name in cases.QUICK, direction])
        for form in answer.get("forms", [worker.name]):
            e = Entrant(worker, form)
            entrants.append(e)
            if "error" in answer:
                e.error = answer["error"]
            else:
                e.prepare(judge)
    return entrants


def measure(case, workers, options):
    """The entrants of the case, with the times of all their slots."""
    entrants = prepare(case, workers)
    able = [e for e in entrants if not e.error]
    fastest = min((e.estimate for e in able if not e.is_probe and not e.not_counted), default=0)
    for e in able:
        if not e.is_probe and not e.form.startswith("clattn"):
            e.every = options.rounds if e.estimate > ONCE * fastest else 3 if e.estimate > RARE * fastest else 1
    end, patience = min(time.monotonic() + options.seconds, options.deadline), 0 if options.quick else 5
    for round_ in range(options.rounds):
        if round_ >= 3 and time.monotonic() > end:
            break
        random.shuffle(able)
        for e in able:
            if e.error or round_ % e.every:
                e.slots.append(None)
            else:
                patience = (
                    patience if e.slot(patience) else min(patience, 0.2)
                )  # a busy machine is waited for but once a case
    for worker in workers:
        worker.ask(do="drop")
    return entrants


def rows(case, entrants, common):
    """What goes into the CSV, a line an entrant."""
    probes = {e.form: e for e in entrants if e.is_probe and e.slots}
    ours = next(e for e in entrants if e.form == "clattn")
    rate = {name: float(e.detail) / statistics.median(e.seconds) * 1e-9 for name, e in probes.items() if e.seconds}
    for e in entrants:
        if e.is_probe:
            continue
        line = dict(
            common,
            shape=case.name,
            batch=case.batch,
            query_heads=case.heads,
            kv_heads=case.kv_heads,
            query_length=case.rows,
            key_length=case.keys,
            head_dim=case.dim,
            causal=int(case.causal),
            variant=case.variant,
            type=case.type,
            peer=e.form,
            version=e.detail,
            status=e.error or e.not_counted or "ok",
            fma_gflops=figure(rate.get("fma")),
            read_gbytes=figure(rate.get("read")),
            max_error=figure(e.max_error),
            rms_error=figure(e.rms_error),
            disturbed=e.disturbed,
            direction="backward" if case.backward else "forward",
        )
        if e.seconds and not e.error:
            median = statistics.median(e.seconds)
            work, probe = (case.bytes(), probes.get("read")) if case.decode else (case.flops(), probes.get("fma"))
            share = probe and probe.against(e)
            line.update(
                median_ms=figure(median * 1e3),
                min_ms=figure(min(e.seconds) * 1e3),
                ratio=figure(e.against(ours)),
                rounds=sum(s is not None for s in e.slots),
                samples=len(e.seconds),
                gflops=figure(case.flops() / median * 1e-9),
                gbytes=figure(case.bytes() / median * 1e-9),
                of_probe=figure(share and share * work / float(probe.detail)),
            )
        yield line


def figure(x):
    return "" if x is None else f"{x:.4g}"


def load(path):
    if not os.path.exists(path):
        return []
    with open(path, newline="") as f:
        return [dict(line, direction=line.get("direction") or "forward") for line in csv.DictReader(f)]


def save(path, lines):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".new", "w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(lines)
    os.replace(path + ".new", path)


def show(lines):
    for line in lines:
        if not line.get("median_ms"):
            print(f"    {line['peer']:28s} {line['status']}")
        else:
            times = f"median {line['median_ms']:>8s} ms  min {line['min_ms']:>8s} ms  {line['gflops']:>6s} GFLOP/s"
            share = f"{100 * float(line['of_probe'] or 0):3.0f} % of the probe"
            error = f"error {line['max_error']} rms {line['rms_error']}"
            why = "" if line["status"] == "ok" else f"  ({line['status']})"
            print(f"    {line['peer']:28s} {times}  x{line['ratio'] or '?'}  {share}  {error}{why}")
    sys.stdout.flush()


def key(line):
    return tuple(str(line[name]) for name in ("commit", "threads", "shape", "variant", "type", "direction"))


def run(threads, options, lines, common):
    """All cases with this number of threads; whether some were left out for lack of time."""
    settings = dict(
        threads=threads, library=options.library, header=options.header, engines=options.engine, probe=options.probe
    )
    common = dict(common, threads=threads)
    done = {key(line) for line in lines}
    names, workers = ["clattn", *options.peers, "probe"], []
    with open(os.path.join(CACHE, "libraries.log"), "a") as errors:
        try:
            for case in cases.cases(options.shapes, options.variants, options.types, options.quick, options.direction):
                this = dict(shape=case.name, variant=case.variant, type=case.type, direction=options.direction)
                if key(dict(common, **this)) in done:
                    continue
                if time.monotonic() > options.deadline:
                    return True
                workers = [w for w in workers if w.alive]
                workers += [Worker(n, settings, errors) for n in names if n not in [w.name for w in workers]]
                workers.sort(key=lambda w: names.index(w.name))
                print(f"{case}, {threads} threads", flush=True)
                common["date"] = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
                new = list(rows(case, measure(case, workers, options), common))
                lines += new
                show(new)
                save(options.out, lines)
                report.write(options.out)
        finally:
            for w in workers:
                w.close()
    return False


def main():
    options = arguments()
    options.probe = build_probe()
    options.deadline = time.monotonic() + options.minutes * 60
    lines = [] if options.fresh else load(options.out)
    common = dict(commit=commit(options.library), cpu=processor())
    late = [n for n in options.threads if run(n, options, lines, common)]
    if not lines:
        sys.exit("nothing was measured: too few --minutes")
    print(
        f"{options.out} and beside it .md and .svg"
        + ("; time ran out, the same command goes on from here" if late else "")
    )
    wrong = [line for line in lines if line["peer"].startswith("clattn") and line["status"].startswith("wrong")]
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
