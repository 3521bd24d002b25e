"""The libraries that are compared, each in the forms in which it can compute a case. A library is a class with
forms(case), the names that make sense for the case, and make(case, form), which prepares everything (models, copies into
the layout it likes, masks) and returns a Form. What a library cannot do, it refuses by an exception: that is the reason
in the table. To add a library: a class here and a line in LIBRARIES.
"""
import ctypes
import os
import numpy as np
import cases
from clattn import Library


class Form:
    """call() computes once; output() is [batch, heads, rows, dim]; detail says which version and kernel served."""

    def __init__(self, call, output, detail, keep=()):
        self.call, self.output, self.detail, self.keep = call, output, detail, keep


class Arrays:
    """A case as libraries without clattn's masks take it: a causal flag, or one array that is added to the scores. A
    window over one query row is a cache that keeps no more keys than the window: the arrays are cut before."""

    def __init__(self, case):
        self.query, self.key, self.value = cases.query_key_value(case)
        self.add, self.causal = None, case.causal
        if case.decode and case.window:
            first, end = (int(x[0]) for x in case.attended())
            self.key, self.value = (cases.copy(x[:, :, first:end]) for x in (self.key, self.value))
        elif case.variant != "plain":
            self.add, self.causal = cases.additive(case), False
        self.keys = self.key.shape[2]

    def folded(self, case):
        """The heads of a group as query rows of one head: keys and values are then read once a group."""
        query = self.query.reshape(case.batch, case.kv_heads, case.group, case.dim)
        add = None if self.add is None else cases.copy(np.broadcast_to(self.add, (1, 1, case.group, self.keys)))
        return query, add


class Peer:
    """What the other libraries have in common: the arrays of a case are made once for all its forms."""

    def __init__(self, options):
        self.threads, self.case, self.arrays = options["threads"], None, None

    def data(self, case):
        if self.case is not case:
            self.case, self.arrays = case, Arrays(case)
        return self.arrays

    def drop(self):
        self.case = self.arrays = None


# ---------------------------------------------------------------- clattn
class Clattn:
    def __init__(self, options):
        self.library = Library(options["library"], options["header"])
        self.engines = options["engines"]
        self.runtime = self.library.runtime(threads=options["threads"],
                                            without_opencl=not any(e.startswith("opencl") for e in self.engines))
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
        left, right = case.window or (-1, -1)
        problem = dict(
            type="CLATTN_" + case.type.upper(), batch=case.batch, query_heads=case.heads, kv_heads=case.kv_heads,
            query_length=case.rows, key_length=case.keys, head_dim=case.dim, causal=case.causal, window_left=left,
            window_right=right, alignment="CLATTN_ALIGN_BOTTOM_RIGHT", engine=(form.split() + self.engines)[1])
        given = dict(query=query, key=key, value=value, output=output)
        if mask is not None:
            problem.update(mask="CLATTN_MASK_BYTES", mask_shape=[1, 1, -1, -1])
            given["mask"] = mask
        if bias is not None:
            problem.update(bias="CLATTN_BIAS_FP32" if case.type == "fp32" else "CLATTN_BIAS_STORAGE", bias_shape=[1, 1, -1, -1])
            given["bias"] = bias
        plan = self.runtime.plan(**problem)
        call = plan.bind(**{name: x.ctypes.data for name, x in given.items()})
        v = self.library.version
        detail = f"{v // 10000}.{v // 100 % 100}.{v % 100}: {plan.info.engine.decode()} {plan.info.kernel.decode()}"
        return Form(call, lambda: output, detail, Closing(plan, given))

    def drop(self):
        self.case = self.arrays = None


class Closing:
    """Keeps arrays while a plan uses them and ends the plan with the form."""

    def __init__(self, plan, arrays):
        self.plan, self.arrays = plan, arrays

    def __del__(self):
        self.plan.close()


# ---------------------------------------------------------------- PyTorch
class Torch(Peer):
    def __init__(self, options):
        super().__init__(options)
        import torch
        self.torch = torch
        torch.set_num_threads(self.threads)
        torch.set_grad_enabled(False)

    def forms(self, case):
        return ["torch"] + (["torch folded"] if case.decode and case.group > 1 else [])

    def tensor(self, x):
        if x is None:
            return None
        return self.torch.from_numpy(x.view(np.int16)).view(self.torch.bfloat16) if x.dtype == np.uint16 else self.torch.from_numpy(x)

    def make(self, case, form):
        data = self.data(case)
        query, add = data.folded(case) if "folded" in form else (data.query, data.add)
        query, key, value, add = (self.tensor(x) for x in (query, data.key, data.value, add))
        attention, latest = self.torch.nn.functional.scaled_dot_product_attention, {}
        gqa = query.shape[1] != key.shape[1]

        def call():
            latest["y"] = attention(query, key, value, attn_mask=add, is_causal=data.causal, enable_gqa=gqa)

        def output():
            y = latest["y"].reshape(case.batch, case.heads, case.rows, case.dim)
            return y.float().numpy()
        choice = self.torch._fused_sdp_choice(query, key, value, attn_mask=add, is_causal=data.causal, enable_gqa=gqa)
        kernel = self.torch.nn.attention.SDPBackend(choice).name.lower()
        return Form(call, output, f"{self.torch.__version__}: {kernel}", (data, query, key, value, add))


# ---------------------------------------------------------------- ONNX Runtime
class OnnxRuntime(Peer):
    def __init__(self, options):
        super().__init__(options)
        import onnx
        import onnxruntime
        self.onnx, self.ort = onnx, onnxruntime

    def forms(self, case):
        return (["ort Attention"] + (["ort Attention folded"] if case.decode and case.group > 1 else []) +
                ["ort MultiHeadAttention", "ort GroupQueryAttention"])

    def make(self, case, form):
        data, kind = self.data(case), form.split()[1]
        inputs, outputs, attributes, domain = getattr(self, kind)(case, data, "folded" in form)
        inputs = {n: x for n, x in inputs.items() if x is not None}
        values = {n: self.value(x, case.type) for n, x in inputs.items() if not isinstance(x, str)}
        result = cases.empty(outputs, data.query.dtype)
        session, opset = self.session(kind, domain, inputs, attributes, case.type)
        binding = session.io_binding()
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output("y", self.value(result, case.type))
        if "past_key" in values:  # past and present are one memory, as in a decoder
            binding.bind_ortvalue_output("present_key", values["past_key"])
            binding.bind_ortvalue_output("present_value", values["past_value"])

        def output():
            packed = len(outputs) == 3  # [batch, rows, heads * dim]
            y = result.reshape(case.batch, case.rows, case.heads, case.dim).transpose(0, 2, 1, 3) if packed else result
            return y.reshape(case.batch, case.heads, case.rows, case.dim)
        return Form(lambda: session.run_with_iobinding(binding), output, f"{self.ort.__version__}: {kind}{opset}",
                    (data, inputs, values, result, session, binding))

    def Attention(self, case, data, folded):
        query, add = data.folded(case) if folded else (data.query, data.add)
        inputs = dict(query=query, key=data.key, value=data.value, add=add)
        return inputs, query.shape, dict(is_causal=int(data.causal)), ""

    def MultiHeadAttention(self, case, data, folded):
        if case.group > 1:
            raise NotImplementedError("MultiHeadAttention has no grouped heads")
        inputs = dict(query=self.packed(data.query), key=self.packed(data.key), value=self.packed(data.value))
        if data.add is not None:
            inputs.update(bias="", padding="", add=data.add)
        shape = (case.batch, case.rows, case.heads * case.dim)
        return inputs, shape, dict(num_heads=case.heads, unidirectional=int(data.causal)), "com.microsoft"

    def GroupQueryAttention(self, case, data, folded):
        if not case.causal and not case.decode:
            raise NotImplementedError("GroupQueryAttention is always causal")
        new, attributes = slice(data.keys - case.rows, None), dict(num_heads=case.heads, kv_num_heads=case.kv_heads)
        inputs = dict(query=self.packed(data.query), key=self.packed(data.key[:, :, new]), value=self.packed(data.value[:, :, new]),
                      past_key=data.key, past_value=data.value, lengths=np.full(case.batch, data.keys - 1, np.int32),
                      total=np.array([data.keys], np.int32))
        if case.window and not case.decode:
            attributes["local_window_size"] = case.window[0] + 1
        elif data.add is not None:
            inputs.update(cos="", sin="", positions="", add=data.add)
        return inputs, (case.batch, case.rows, case.heads * case.dim), attributes, "com.microsoft"

    @staticmethod
    def packed(x):
        batch, heads, rows, dim = x.shape
        return cases.copy(x.transpose(0, 2, 1, 3)).reshape(batch, rows, heads * dim)

    def element(self, x, type_):
        types = self.onnx.TensorProto
        return types.INT32 if x.dtype == np.int32 else {"fp32": types.FLOAT, "fp16": types.FLOAT16, "bf16": types.BFLOAT16}[type_]

    def value(self, x, type_):
        if x.dtype == np.uint16:
            return self.ort.OrtValue.ortvalue_from_numpy_with_onnx_type(x, self.element(x, type_))
        return self.ort.OrtValue.ortvalue_from_numpy(x)

    def session(self, kind, domain, inputs, attributes, type_):
        """Of the newest opset that the library takes. An input that is "" is left out of the call."""
        h = self.onnx.helper
        present = ["present_key", "present_value"] if "past_key" in inputs else []
        node = h.make_node(kind, [n if not isinstance(x, str) else "" for n, x in inputs.items()], ["y"] + present,
                           domain=domain, **attributes)
        kinds = [h.make_tensor_value_info(n, self.element(x, type_), ["past" if n.startswith("past_") and i == 2 else d
                                                                      for i, d in enumerate(x.shape)])
                 for n, x in inputs.items() if not isinstance(x, str)]
        results = [h.make_tensor_value_info(n, self.element(inputs["query"], type_), None) for n in ["y"] + present]
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = self.threads, 1, 3
        for opset in (24, 23):
            imports = [h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)]
            model = h.make_model(h.make_graph([node], "attention", kinds, results), opset_imports=imports, ir_version=11)
            try:
                session = self.ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
                return session, "" if domain else f"-{opset}"
            except Exception:
                if opset == 23:
                    raise


# ---------------------------------------------------------------- OpenVINO
class OpenVino(Peer):
    def __init__(self, options):
        super().__init__(options)
        import openvino
        from openvino import opset13
        self.ov, self.op = openvino, opset13

    def forms(self, case):
        """Its compiler of subgraphs fuses the operation by default; without it matrix products and a softmax serve (with AMX where there is one)."""
        names = ["openvino"] + (["openvino folded"] if case.decode and case.group > 1 else [])
        return names + [name + " unfused" for name in names]

    def make(self, case, form):
        ov, op, data = self.ov, self.op, self.data(case)
        element = {"fp32": ov.Type.f32, "fp16": ov.Type.f16, "bf16": ov.Type.bf16}[case.type]
        query, add = data.folded(case) if "folded" in form else (data.query, data.add)
        given = [x for x in (query, data.key, data.value, add) if x is not None]
        parameters = [op.parameter(list(x.shape), element) for x in given]
        key, value = parameters[1:3]
        if query.shape[1] != data.key.shape[1]:
            cases.need(2 * case.group * data.key.nbytes, "repeated keys and values")
            key, value = (self.repeated(x, case, data.keys) for x in (key, value))
        y = op.scaled_dot_product_attention(parameters[0], key, value, *parameters[3:], causal=data.causal)
        settings = {"INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": element.get_type_name()}
        if form.endswith("unfused"):
            settings["SNIPPETS_MODE"] = "DISABLE"
        model = ov.Core().compile_model(ov.Model([y], parameters, "attention"), "CPU", settings)
        request = model.create_infer_request()
        result = cases.empty(query.shape, query.dtype)
        tensors = [self.tensor(x, element) for x in given + [result]]
        for i, t in enumerate(tensors[:-1]):
            request.set_input_tensor(i, t)
        request.set_output_tensor(0, tensors[-1])
        return Form(request.infer, lambda: result.reshape(case.batch, case.heads, case.rows, case.dim),
                    f"{ov.__version__.split('-')[0]}: {self.kernels(model)}", (data, add, tensors, model, request))

    def tensor(self, x, element):
        if x.dtype == np.uint16:
            return self.ov.Tensor(x, self.ov.Shape(x.shape), element)
        return self.ov.Tensor(x, shared_memory=True)

    def repeated(self, x, case, keys):
        """The unsqueeze, broadcast, reshape that exporters write for grouped heads."""
        op = self.op
        y = op.broadcast(op.unsqueeze(x, np.int64(2)), np.array([case.batch, case.kv_heads, case.group, keys, case.dim]))
        return op.reshape(y, np.array([case.batch, case.heads, keys, case.dim]), special_zero=False)

    @staticmethod
    def kernels(model):
        seen = []
        for node in model.get_runtime_model().get_ops():
            about = {k: str(v.value) for k, v in node.get_rt_info().items()}
            if about.get("layerType") not in (None, "Input", "Output", "Const"):
                seen.append(f"{about['layerType']}/{about.get('primitiveType', '')}/{about.get('runtimePrecision', '')}")
        return "+".join(dict.fromkeys(seen))


# ---------------------------------------------------------------- the machine itself
class Probe:
    """Multiply-adds in registers, and reading as much memory as a decode case does (at most 1 GiB; small ones several
    times, so that starting threads does not count)."""
    ROUNDS, PASS = 3000000, 1 << 28

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
            return Form(lambda: self.lib.probe_multiply_add(self.threads, ctypes.c_int64(self.ROUNDS)), None, str(operations))
        size = min(int(case.bytes()), 1 << 30)
        memory = cases.empty((size,), np.uint8)
        memory[:] = 1
        address, passes = ctypes.c_void_p(memory.ctypes.data), max(1, self.PASS // size)
        return Form(lambda: self.lib.probe_read(self.threads, address, ctypes.c_int64(size), passes), None, str(size * passes), memory)

    def drop(self):
        pass


LIBRARIES = {"clattn": Clattn, "torch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "probe": Probe}
