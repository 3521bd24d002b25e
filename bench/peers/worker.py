"""One library in one process: it obeys lines of JSON on its input and does nothing in between.

make {case, form} -> detail        run {form, repeats} -> seconds of each call       rows {form, at} -> outputs there
drop -> forgets the case           The driver's side is Worker.
"""

import gc
import json
import os
import select
import subprocess
import sys

PATIENCE = 180  # seconds for an answer


class Worker:
    def __init__(self, name, options, errors):
        threads = str(options["threads"])
        environment = dict(os.environ, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
        self.name, self.errors = name, errors
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), name, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )

    def ask(self, **command):
        """The answer, or {"error": why}."""
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            answered = select.select([self.process.stdout], [], [], PATIENCE)[0]
            line = self.process.stdout.readline() if answered else ""
        except OSError:
            line = ""
        if line:
            return json.loads(line)
        if self.alive:
            self.process.kill()
            self.process.wait()
            return {"error": f"no answer in {PATIENCE} seconds"}
        return {"error": f"its process ended (status {self.process.wait()})"}

    @property
    def alive(self):
        return self.process.poll() is None

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def answer(library, state, command):
    import cases

    do = command["do"]
    if do == "drop":
        state.clear()
        library.drop()
        gc.collect()
        return {}
    if do == "forms":
        state["case"] = cases.Case(*command["case"])
        return {"forms": library.forms(state["case"])}
    if do == "make":
        form = library.make(state["case"], command["form"])
        form.call()
        state[command["form"]] = form
        return {"detail": form.detail}
    form = state[command["form"]]
    form.before()
    first = form.timed()  # brings its data and code back into the caches: another library has just run
    if do == "rows":
        y = form.output()
        return {"seconds": first, "rows": [cases.to_double(y[b, h, i]).tolist() for b, h, i in command["at"]]}
    return {"seconds": [form.timed() for _ in range(command["repeats"])]}


def serve(name, options):
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the error file
    with open("/proc/self/oom_score_adj", "w") as f:
        f.write("1000")  # where memory does not suffice, this process ends and no other
    from libraries import LIBRARIES

    library, failure, state = None, None, {}
    try:
        library = LIBRARIES[name](options)
    except Exception as e:
        failure = {"error": f"{type(e).__name__}: {e}"[:300]}
    for line in sys.stdin:
        try:
            reply = failure or answer(library, state, json.loads(line))
        except Exception as e:
            kind = "" if isinstance(e, NotImplementedError) else f"{type(e).__name__}: "
            reply = {"error": " ".join(f"{kind}{e}".split())[:300]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
