"""ONNX Runtime: the standard Attention operator and its own two."""

import numpy as np

import cases
from forms import Form, Peer


class OnnxRuntime(Peer):
    def __init__(self, options):
        super().__init__(options)
        import onnx
        import onnxruntime

        self.onnx, self.ort = onnx, onnxruntime

    def forms(self, case):
        return (
            ["ort Attention"]
            + (["ort Attention folded"] if case.decode and case.group > 1 else [])
            + ["ort MultiHeadAttention", "ort GroupQueryAttention"]
        )

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

        return Form(
            lambda: session.run_with_iobinding(binding),
            output,
            f"{self.ort.__version__}: {kind}{opset}",
            (data, inputs, values, result, session, binding),
        )

    def Attention(self, case, data, folded):
        query, add = data.folded(case) if folded else (data.query, data.add)
        if query.shape[1] != data.key.shape[1]:
            data.need_repeated(case)
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
        inputs = dict(
            query=self.packed(data.query),
            key=self.packed(data.key[:, :, new]),
            value=self.packed(data.value[:, :, new]),
            past_key=data.key,
            past_value=data.value,
            lengths=np.full(case.batch, data.keys - 1, np.int32),
            total=np.array([data.keys], np.int32),
        )
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
        return (
            types.INT32
            if x.dtype == np.int32
            else {"fp32": types.FLOAT, "fp16": types.FLOAT16, "bf16": types.BFLOAT16}[type_]
        )

    def value(self, x, type_):
        if x.dtype == np.uint16:
            return self.ort.OrtValue.ortvalue_from_numpy_with_onnx_type(x, self.element(x, type_))
        return self.ort.OrtValue.ortvalue_from_numpy(x)

    def session(self, kind, domain, inputs, attributes, type_):
        """Of the newest opset that the library takes. An input that is "" is left out of the call."""
        h = self.onnx.helper
        present = ["present_key", "present_value"] if "past_key" in inputs else []
        node = h.make_node(
            kind,
            [n if not isinstance(x, str) else "" for n, x in inputs.items()],
            ["y"] + present,
            domain=domain,
            **attributes,
        )
        kinds = [
            h.make_tensor_value_info(
                n,
                self.element(x, type_),
                ["past" if n.startswith("past_") and i == 2 else d for i, d in enumerate(x.shape)],
            )
            for n, x in inputs.items()
            if not isinstance(x, str)
        ]
        results = [h.make_tensor_value_info(n, self.element(inputs["query"], type_), None) for n in ["y"] + present]
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = self.threads, 1, 3
        for opset in (24, 23):
            imports = [h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)]
            model = h.make_model(
                h.make_graph([node], "attention", kinds, results), opset_imports=imports, ir_version=11
            )
            try:
                session = self.ort.InferenceSession(
                    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
                )
                return session, "" if domain else f"-{opset}"
            except Exception:
                if opset == 23:
                    raise
