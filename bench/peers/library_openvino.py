"""OpenVINO: its scaled_dot_product_attention, fused or not, and a decoder with its cache as state."""

import numpy as np

import cases
from forms import Form, Peer


class OpenVino(Peer):
    def __init__(self, options):
        super().__init__(options)
        import openvino
        from openvino import opset13

        self.ov, self.op = openvino, opset13

    def forms(self, case):
        """Its compiler of subgraphs fuses the operation by default; without it, matrix products and a softmax serve
        (with AMX where there is one). On some processors it computes fp16 in bf16, unless f32 is asked for."""
        names = ["openvino"] + (["openvino folded"] if case.decode and case.group > 1 else [])
        names += [name + " unfused" for name in names] + ["openvino cache"]
        return names + ([name + " f32" for name in names] if case.type == "fp16" else [])

    def make(self, case, form):
        ov, op, data = self.ov, self.op, self.data(case)
        element = {"fp32": ov.Type.f32, "fp16": ov.Type.f16, "bf16": ov.Type.bf16}[case.type]
        precision = "f32" if form.endswith("f32") else element.get_type_name()
        if "cache" in form:
            return self.cache(case, data, element, precision)
        query, add = data.folded(case) if "folded" in form else (data.query, data.add)
        given = [x for x in (query, data.key, data.value, add) if x is not None]
        parameters = [op.parameter(list(x.shape), element) for x in given]
        key, value = parameters[1:3]
        if query.shape[1] != data.key.shape[1]:
            data.need_repeated(case)
            key, value = (self.repeated(x, case, data.keys) for x in (key, value))
        y = op.scaled_dot_product_attention(parameters[0], key, value, *parameters[3:], causal=data.causal)
        model = ov.Model([y], parameters, "attention")
        model = self.compiled(model, precision, **({"SNIPPETS_MODE": "DISABLE"} if "unfused" in form else {}))
        request = model.create_infer_request()
        result = cases.empty(query.shape, query.dtype)
        tensors = [self.tensor(x, element) for x in given + [result]]
        for i, t in enumerate(tensors[:-1]):
            request.set_input_tensor(i, t)
        request.set_output_tensor(0, tensors[-1])
        return Form(
            request.infer,
            lambda: result.reshape(case.batch, case.heads, case.rows, case.dim),
            f"{ov.__version__.split('-')[0]}: {self.kernels(model)}",
            (data, add, tensors, model, request),
        )

    def compiled(self, model, precision, **settings):
        settings.update(
            INFERENCE_NUM_THREADS=self.threads, PERFORMANCE_HINT="LATENCY", INFERENCE_PRECISION_HINT=precision
        )
        return self.ov.Core().compile_model(model, "CPU", settings)

    def cache(self, case, data, element, precision):
        """A decoder's form: keys and values are the model's state, to which each call adds the new ones; one operation
        inside, which knows grouped heads. The state is put back between slots (decode), or emptied in each call."""
        if data.add is not None:
            raise NotImplementedError("this form is measured without mask, bias or window")
        ov, op, past = self.ov, self.op, data.keys - case.rows
        new = (
            [data.query]
            + [cases.copy(x[:, :, past:]) for x in (data.key, data.value)]
            + [np.arange(case.batch, dtype=np.int32)]
        )
        cases.need(2 * data.key[:, :, :past].nbytes, "the state")
        parameters = [op.parameter([-1, x.shape[1], -1, case.dim], element) for x in new[:3]] + [
            op.parameter([-1], ov.Type.i32)
        ]
        whole, sinks = [], []
        for name, latest in zip(("key", "value"), parameters[1:3]):
            batch = op.gather(op.shape_of(latest), np.array([0]), np.int64(0))
            nothing = op.broadcast(
                op.convert(op.constant(np.float32(0)), element),
                op.concat([batch, op.constant(np.array([case.kv_heads, 0, case.dim]))], 0),
            )
            state = op.read_value(nothing, name, element, ov.PartialShape([-1, case.kv_heads, -1, case.dim]))
            x = op.concat([op.gather(state, parameters[3], np.int64(0)), latest], 2)
            sinks.append(op.assign(x, name))
            if case.group > 1:
                shape = op.shape_of(x)
                part = lambda which: op.gather(shape, np.array(which), np.int64(0))
                repeated = op.concat([part([0, 1]), op.constant(np.array([case.group])), part([2, 3])], 0)
                x = op.reshape(
                    op.broadcast(op.unsqueeze(x, np.int64(2)), repeated, broadcast_spec="BIDIRECTIONAL"),
                    np.array([0, case.heads, -1, case.dim]),
                    special_zero=True,
                )
            whole.append(x)
        y = op.scaled_dot_product_attention(parameters[0], *whole, causal=data.causal)
        model = ov.Model([op.result(y)], sinks, parameters, "decoder")
        model = self.compiled(model, precision, KV_CACHE_PRECISION=element.get_type_name())
        request = model.create_infer_request()
        tensors = [self.tensor(x, element) for x in new]
        for i, t in enumerate(tensors):
            request.set_input_tensor(i, t)
        old = {"key": data.key, "value": data.value}

        def before():
            request.reset_state()
            for state in request.query_state() if past else ():
                state.state = self.tensor(np.ascontiguousarray(old[state.name][:, :, :past]), element)

        def call():
            if not past:
                request.reset_state()
            request.infer()

        def output():
            return np.array(request.get_output_tensor(0).data).view(data.query.dtype)

        before()
        return Form(
            call, output, f"{ov.__version__.split('-')[0]}: {self.kernels(model)}", (data, new, tensors, model), before
        )

    def tensor(self, x, element):
        if x.dtype == np.uint16:
            return self.ov.Tensor(x, self.ov.Shape(x.shape), element)
        return self.ov.Tensor(x, shared_memory=True)

    def repeated(self, x, case, keys):
        """The unsqueeze, broadcast, reshape that exporters write for grouped heads."""
        op = self.op
        y = op.broadcast(
            op.unsqueeze(x, np.int64(2)), np.array([case.batch, case.kv_heads, case.group, keys, case.dim])
        )
        return op.reshape(y, np.array([case.batch, case.heads, keys, case.dim]), special_zero=False)

    @staticmethod
    def kernels(model):
        seen = []
        for node in model.get_runtime_model().get_ops():
            about = {k: str(v.value) for k, v in node.get_rt_info().items()}
            if about.get("layerType") in ("Subgraph", "MatMul", "Softmax", "ScaledDotProductAttention"):
                seen.append(f"{about['layerType']} {about.get('primitiveType', '')}")
        return " + ".join(dict.fromkeys(seen))
