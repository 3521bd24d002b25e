"""The libraries that are compared, each in the forms in which it can compute a case. A library is a class with
forms(case), the names that make sense for the case, and make(case, form), which prepares everything (models, copies
into the layout it likes, masks) and returns a Form. What a library cannot do, it refuses by an exception: that is the
reason in the table. To add a library: a class, and a line in LIBRARIES below.
"""

import contextlib
import ctypes

import numpy as np

import cases
import gradients
from clattn import Library
from forms import Form, Peer
from library_onnxruntime import OnnxRuntime
from library_openvino import OpenVino


class Clattn:
    def __init__(self, options):
        self.library = Library(options["library"], options["header"])
        self.engines = options["engines"]
        self.runtime = self.library.runtime(
            threads=options["threads"], without_opencl=not any(e.startswith("opencl") for e in self.engines)
        )
        self.case = self.arrays = None

    def forms(self, case):
        return ["clattn" + (f" {e}" if i else "") for i, e in enumerate(self.engines)]

    def data(self, case):
        if self.case is not case:
            self.case, self.arrays = case, cases.query_key_value(case) + (cases.mask(case), cases.bias(case))
        return self.arrays

    def make(self, case, form):
        query, key, value, mask, bias = self.data(case)
        output = cases.empty(query.shape, query.dtype)
        made = output  # what is looked at
        left, right = case.window or (-1, -1)
        problem = dict(
            type="CLATTN_" + case.type.upper(),
            batch=case.batch,
            query_heads=case.heads,
            kv_heads=case.kv_heads,
            query_length=case.rows,
            key_length=case.keys,
            head_dim=case.dim,
            causal=case.causal,
            window_left=left,
            window_right=right,
            alignment="CLATTN_ALIGN_BOTTOM_RIGHT",
            engine=(form.split() + self.engines)[1],
        )
        given = dict(query=query, key=key, value=value, output=output)
        if mask is not None:
            problem.update(mask="CLATTN_MASK_BYTES", mask_shape=[1, 1, -1, -1])
            given["mask"] = mask
        if bias is not None:
            problem.update(
                bias="CLATTN_BIAS_FP32" if case.type == "fp32" else "CLATTN_BIAS_STORAGE", bias_shape=[1, 1, -1, -1]
            )
            given["bias"] = bias
        if case.backward:
            problem["logsumexp"] = True
            made = gradients.add_arrays(case, given)
        plans = [self.runtime.plan(**problem)]
        if case.backward:
            plans.append(self.runtime.plan(**problem, direction="CLATTN_BACKWARD"))
        calls = [plan.bind(**{name: x.ctypes.data for name, x in given.items()}) for plan in plans]
        v = self.library.version
        kernels = "; ".join(plan.info.kernel.decode() for plan in plans)
        detail = f"{v // 10000}.{v // 100 % 100}.{v % 100}: {plans[0].info.engine.decode()} {kernels}"
        return Form(lambda: [call() for call in calls], lambda: made, detail, Closing(plans, given))

    def drop(self):
        self.case = self.arrays = None


class Closing:
    """Keeps arrays while plans use them and ends the plans with the form."""

    def __init__(self, plans, arrays):
        self.plans, self.arrays = plans, arrays

    def __del__(self):
        for plan in self.plans:
            plan.close()


class Torch(Peer):
    def __init__(self, options):
        super().__init__(options)
        import torch

        self.torch = torch
        torch.set_num_threads(self.threads)
        torch.set_grad_enabled(False)

    def forms(self, case):
        if case.backward:
            return ["torch", "torch math"] + (["torch repeated"] if case.group > 1 else [])
        return ["torch"] + (["torch folded"] if case.decode and case.group > 1 else [])

    def tensor(self, x):
        if x is None:
            return None
        return (
            self.torch.from_numpy(x.view(np.int16)).view(self.torch.bfloat16)
            if x.dtype == np.uint16
            else self.torch.from_numpy(x)
        )

    def make(self, case, form):
        data = self.data(case)
        if case.backward:
            return self.make_step(case, form, data)
        query, add = data.folded(case) if "folded" in form else (data.query, data.add)
        query, key, value, add = (self.tensor(x) for x in (query, data.key, data.value, add))
        attention, latest = self.torch.nn.functional.scaled_dot_product_attention, {}
        gqa = query.shape[1] != key.shape[1]
        if gqa:
            data.need_repeated(case)

        def call():
            latest["y"] = attention(query, key, value, attn_mask=add, is_causal=data.causal, enable_gqa=gqa)

        def output():
            y = latest["y"].reshape(case.batch, case.heads, case.rows, case.dim)
            return y.float().numpy()

        kernel = self.kernel(query, key, value, attn_mask=add, is_causal=data.causal, enable_gqa=gqa)
        return Form(call, output, f"{self.torch.__version__}: {kernel}", (data, query, key, value, add))

    def kernel(self, *tensors, **how):
        return self.torch.nn.attention.SDPBackend(self.torch._fused_sdp_choice(*tensors, **how)).name.lower()

    def make_step(self, case, form, data):
        """The forward and the gradients of its inputs. "math": the products one by one; "repeated": keys and values
        once for each query head, whose gradients are then summed."""
        add, given = self.tensor(data.add), self.tensor(gradients.grad_output(case))
        inputs = [self.tensor(x).requires_grad_() for x in (data.query, data.key, data.value)]
        attention, latest, repeated = self.torch.nn.functional.scaled_dot_product_attention, {}, "repeated" in form
        backends = self.torch.nn.attention
        math = "math" in form
        how = dict(attn_mask=add, is_causal=data.causal, enable_gqa=case.group > 1 and not repeated)
        if case.group > 1:
            data.need_repeated(case)

        def arguments():
            query, key, value = inputs
            return (query, *(x.repeat_interleave(case.group, 1) for x in (key, value))) if repeated else inputs

        def call():
            chosen = backends.sdpa_kernel(backends.SDPBackend.MATH) if math else contextlib.nullcontext()
            with self.torch.enable_grad(), chosen:
                latest["y"] = self.torch.autograd.grad(attention(*arguments(), **how), inputs, given)

        def output():
            return gradients.Stack(*(x.float().numpy() for x in latest["y"]))

        with self.torch.enable_grad():
            kernel = "math" if math else self.kernel(*arguments(), **how)
        return Form(call, output, f"{self.torch.__version__}: {kernel}", (data, inputs, add, given))


class Probe:
    """Multiply-adds in registers, and reading once as much memory as a decode case does (at most 1 GiB). The threads
    take the time, without their start."""

    ROUNDS = 3000000  # 10 ms

    def __init__(self, options):
        self.threads, self.lib = options["threads"], ctypes.CDLL(options["probe"])
        self.lib.probe_operations.restype = ctypes.c_int64
        for name in ("probe_multiply_add", "probe_read"):
            getattr(self.lib, name).restype = ctypes.c_double

    def forms(self, case):
        return ["fma"] + (["read"] if case.decode else [])

    def make(self, case, form):
        if form == "fma":
            operations = self.lib.probe_operations() * self.ROUNDS * self.threads
            call = lambda: self.seconds(self.lib.probe_multiply_add(self.threads, ctypes.c_int64(self.ROUNDS)))
            return Form(call, None, str(operations), tells_seconds=True)
        size = min(int(case.bytes()), 1 << 30)
        memory = cases.empty((size,), np.uint8)
        memory[:] = 1
        address = ctypes.c_void_p(memory.ctypes.data)
        call = lambda: self.seconds(self.lib.probe_read(self.threads, address, ctypes.c_int64(size)))
        return Form(call, None, str(size), memory, tells_seconds=True)

    @staticmethod
    def seconds(answer):
        if answer < 0:
            raise RuntimeError("the probe could not start its threads")
        return answer

    def drop(self):
        pass


LIBRARIES = {"clattn": Clattn, "torch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "probe": Probe}
