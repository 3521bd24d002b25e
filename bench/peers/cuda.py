"""clattn's OpenCL engine beside PyTorch's attention back ends on one NVIDIA card: the same numbers, alternating rounds.

    python3 cuda.py LIBRARY [--direction backward] [--seconds N] [--csv FILE] [--quick] [--torch-device cuda|cpu]

PyTorch's time is that of CUDA events; clattn's the sum of its steps (clattn_timing), so neither counts copies between host
and card; clattn's steps include the wait for each. --direction backward: steps of training, the forward and the gradients of
query, key and value, on the shapes that are not decode. Every output is compared with exact rows in fp64. Exit status 77, with
the reason, where torch, torch.cuda, numpy or a GPU of clattn's is missing; 1 when an output of clattn is wrong.
--torch-device cpu: tries this script out, without a card.
"""

import argparse
import csv
import ctypes
import os
import statistics
import sys
import time

import clattn

BACKENDS = {
    "flash": "FLASH_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "math": "MATH",
}
SHAPES = {}
for length in (512, 1024, 2048, 4096, 8192, 16384):
    for dim in (64, 128):
        for c in (False, True):
            heads = 2048 // dim
            SHAPES[f"l{length}d{dim}{'c' if c else ''}"] = (16384 // length, heads, heads, length, length, dim, c)
for length in (4096, 16384, 65536):
    SHAPES[f"decode{length}"] = (32, 32, 8, 1, length, 128, False)
ROUNDS = 9


class Timing(ctypes.Structure):
    class Step(ctypes.Structure):
        _fields_ = [("name", ctypes.c_char * 32), ("seconds", ctypes.c_double)]

    _fields_ = [("count", ctypes.c_int64), ("steps", Step * 16)]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def options():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("library")
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--engine", default="opencl")
    parser.add_argument("--csv", default="-")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--torch-device", default="cuda")
    return parser.parse_args()


class Ours:
    name = "clattn"

    def __init__(self, runtime, device, case, arrays, engine="opencl"):
        import cases

        kinds = {"fp32": "CLATTN_FP32", "fp16": "CLATTN_FP16", "bf16": "CLATTN_BF16"}
        self.output = cases.empty(arrays[0].shape, arrays[0].dtype)
        problem = dict(
            type=kinds[case.type], batch=case.batch, query_heads=case.heads, kv_heads=case.kv_heads,
            query_length=case.rows, key_length=case.keys, head_dim=case.dim, causal=case.causal,
            alignment="CLATTN_ALIGN_BOTTOM_RIGHT", engine=engine, logsumexp=case.backward,
            device=-1 if engine in ("cpu", "reference") else device,
        )  # fmt: skip
        self.plans = [runtime.plan(**problem)]
        if case.backward:
            self.plans.append(runtime.plan(**problem, direction="CLATTN_BACKWARD"))
        self.kernel = "; ".join(plan.info.kernel.decode() for plan in self.plans)
        self.timing = Timing()
        self.tensors = runtime.library.header.make("clattn_tensors")
        self.given = dict(zip(("query", "key", "value", "output"), (*arrays[:3], self.output)))
        if case.backward:
            import gradients

            self.output = gradients.add_arrays(case, self.given)
        for tensor, array in self.given.items():
            getattr(self.tensors, tensor).data = array.ctypes.data
        self.tensors.timing = ctypes.addressof(self.timing)

    def call(self):
        seconds = 0
        for plan in self.plans:
            plan.library.check(plan.library.lib.clattn_execute(plan.handle, ctypes.byref(self.tensors)))
            seconds += sum(self.timing.steps[n].seconds for n in range(self.timing.count))
        return seconds

    def result(self):
        return self.output

    def close(self):
        for plan in self.plans:
            plan.close()


class Torch:
    def __init__(self, torch, name, device, case, arrays):
        from torch.nn.attention import SDPBackend, sdpa_kernel

        self.torch, self.name, self.kernel, self.case = torch, name, "", case
        self.cuda = device == "cuda"
        self.context = lambda: sdpa_kernel(getattr(SDPBackend, BACKENDS[name]))
        self.arrays = []
        for array in arrays:
            tensor = torch.from_numpy(array)
            self.arrays.append((tensor.view(torch.bfloat16) if case.type == "bf16" else tensor).to(device))
        if case.backward:
            self.given = self.arrays.pop()
            self.arrays = [x.requires_grad_() for x in self.arrays]
        if case.rows == 1:  # one query a head: the heads of a group are rows of one head, so that keys are read once
            query = self.arrays[0]
            self.arrays[0] = query.reshape(case.batch, case.kv_heads, case.group, case.dim)

    def call(self):
        run = self.torch.nn.functional.scaled_dot_product_attention
        how = {"is_causal": self.case.causal, "enable_gqa": self.arrays[0].shape[1] != self.arrays[1].shape[1]}

        def compute():
            output = run(*self.arrays, **how)
            return self.torch.autograd.grad(output, self.arrays, self.given) if self.case.backward else output

        with self.context(), self.torch.enable_grad() if self.case.backward else self.torch.no_grad():
            if not self.cuda:
                began = time.perf_counter()
                self.output = compute()
                return time.perf_counter() - began
            begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            self.output = compute()
            end.record()
            end.synchronize()
            return begin.elapsed_time(end) * 1e-3

    def result(self):
        case = self.case
        if case.backward:
            import gradients

            return gradients.Stack(*(x.float().cpu().numpy() for x in self.output))
        return self.output.float().cpu().numpy().reshape(case.batch, case.heads, case.rows, case.dim)

    def close(self):
        self.arrays = self.output = None


def measure(case, makers, row):
    """Rounds in turn; a form that cannot is reported, not left out."""
    import cases
    import numpy as np

    forms, times, judge = [], {}, cases.Judge(case)
    for name, make in makers:
        try:
            form = make()
            form.call()
            result = form.result()
            error = judge.max_error(np.array([cases.to_double(result[at]) for at in judge.at]))
            forms.append((form, error))
            times[name] = []
        except Exception as why:  # every back end has problems that it does not take
            row(case, name, status=(str(why).strip() or type(why).__name__).splitlines()[0][:100])
    for turn in range(ROUNDS):
        for form, _ in forms[turn % len(forms) :] + forms[: turn % len(forms)] if forms else ():
            times[form.name].append(form.call())
    right = True
    for form, error in forms:
        ok = error <= judge.tolerance
        right = right and (ok or form.name != "clattn")
        row(case, form.name, "ok" if ok else "wrong", times[form.name], times.get("clattn"), error, form.kernel)
        form.close()
    return right


def find_device(runtime, gpu):
    """The first OpenCL GPU of clattn's; without a card wanted, any OpenCL device."""
    header, lib = runtime.library.header, runtime.library.lib
    lib.clattn_runtime_device_count.restype = ctypes.c_int64
    for index in range(1, lib.clattn_runtime_device_count(runtime.handle)):
        info = header.types["clattn_device_info"]()
        runtime.library.check(lib.clattn_runtime_get_device(runtime.handle, ctypes.c_int64(index), ctypes.byref(info)))
        if not gpu or info.kind == header.constants["CLATTN_DEVICE_OPENCL_GPU"]:
            return index, info.name.decode()
    skip("clattn finds no OpenCL " + ("GPU" if gpu else "device"))


def main():
    o = options()
    try:
        import numpy  # noqa: F401
        import torch
    except ImportError as why:
        skip(str(why))
    if o.torch_device == "cuda" and not torch.cuda.is_available():
        skip("torch.cuda is not available here")
    import cases

    for folder in os.environ.get("CLATTN_LIBS", "").split(":"):  # where gpu_run.sh found what the library needs
        for name in ("libOpenCL.so.1", "libclblast.so.1"):
            if folder and os.path.exists(os.path.join(folder, name)):
                ctypes.CDLL(os.path.join(folder, name), ctypes.RTLD_GLOBAL)
    runtime = clattn.Library(o.library).runtime()
    device, name = find_device(runtime, o.torch_device == "cuda")
    where = torch.cuda.get_device_name(0) if o.torch_device == "cuda" else "cpu"
    print(f"# torch {torch.__version__} on {where}, clattn {runtime.library.version} on {name}")
    file = sys.stdout if o.csv == "-" else open(o.csv, "w", encoding="utf-8", newline="")
    out = csv.writer(file)
    out.writerow("shape,type,causal,batch,heads,kv_heads,rows,keys,dim,form,status,median_ms,min_ms,tflops,gbytes,"
                 "ratio_to_clattn,max_error,kernel,direction".split(","))  # fmt: skip

    def row(case, form, status, times=None, ours=None, error="", kernel=""):
        middle = statistics.median(times) if times else None
        out.writerow([
            case.name, case.type, int(case.causal), case.batch, case.heads, case.kv_heads, case.rows, case.keys, case.dim,
            form, status, f"{1e3 * middle:.5g}" if middle else "", f"{1e3 * min(times):.5g}" if middle else "",
            f"{1e-12 * case.flops() / middle:.4g}" if middle else "", f"{1e-9 * case.bytes() / middle:.4g}" if middle else "",
            f"{statistics.median(a / b for a, b in zip(times, ours)):.4g}" if middle and ours else "",
            f"{error:.3g}" if error != "" else "", kernel, o.direction,
        ])  # fmt: skip
        file.flush()

    shapes, types = (cases.QUICK, ("fp32",)) if o.quick else (SHAPES, ("fp16", "bf16", "fp32"))
    cases.SHAPES.update(shapes)
    began, right = time.time(), True
    for type_ in types:
        for shape in shapes:
            if time.time() - began > o.seconds:
                print(f"# the time ({o.seconds:.0f} s) is used up before {shape} {type_}")
                return 0 if right else 1
            case = cases.Case(shape, "plain", type_, o.quick, o.direction)
            if not case.sensible:
                continue
            arrays = cases.query_key_value(case)
            if case.backward:
                import gradients

                arrays = (*arrays, gradients.grad_output(case))
            makers = [("clattn", lambda: Ours(runtime, device, case, arrays, o.engine))]
            for backend in BACKENDS:
                makers.append((backend, lambda b=backend: Torch(torch, b, o.torch_device, case, arrays)))
            right = measure(case, makers, row) and right
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
