"""clattn from Python through ctypes. The structures and the enums are read from the public header, so nothing here repeats
it; the library fills in the defaults, and confirms the layout when it is loaded. Needs nothing but Python.

    lib = Library("build/release/libclattn.so")
    runtime = lib.runtime(threads=2)
    plan = runtime.plan(query_length=128, head_dim=64, causal=True)
    plan.execute(query=address, key=address, value=address, output=address)

    python3 clattn.py LIBRARY [HEADER]      checks that header and library agree, and computes one small problem
"""

import ctypes
import os
import re
import sys

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../host/include/clattn/clattn.h")
BASIC = {
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "uint32_t": ctypes.c_uint32,
    "size_t": ctypes.c_size_t,
    "bool": ctypes.c_bool,
    "double": ctypes.c_double,
    "char": ctypes.c_char,
    "int": ctypes.c_int,
}


class Error(Exception):
    pass


class Header:
    """types: name -> ctypes class (enums are c_int); constants: enumerators and macros. `library` starts structures."""

    library = None

    def __init__(self, path):
        text = re.sub(r"/\*.*?\*/", "", open(path, encoding="utf-8").read(), flags=re.S).replace("\\\n", "")
        self.types, self.constants = dict(BASIC), {}
        for name, value in re.findall(r"#define (CLATTN_\w+) \(?(-?\d+)\)?\s*\n", text):
            self.constants[name] = int(value)
        for name in re.findall(r"typedef void \(\*(\w+)\)\(", text):  # a pointer to a function
            self.types[name] = ctypes.c_void_p
        for kind, body, name in re.findall(r"typedef (enum|struct) \w+ \{(.*?)\} (\w+);", text, flags=re.S):
            if kind == "struct":
                self.types[name] = type(name, (ctypes.Structure,), {"_fields_": self._fields(body)})
            else:
                self.types[name] = ctypes.c_int
                self._enumerators(body)

    def _fields(self, body):
        fields = []
        for declaration in filter(None, (d.strip() for d in body.split(";"))):
            function = re.match(r".*?\(\*(\w+)\)", declaration)
            if function:
                fields.append((function[1], ctypes.c_void_p))
                continue
            base, names = re.match(r"(?:const |struct )*(\w+)\s*(.*)", declaration, flags=re.S).groups()
            for star, name, count in re.findall(r"(\*?)\s*(\w+)(?:\[(\d+)\])?", names):
                kind = (ctypes.c_char_p if base == "char" else ctypes.c_void_p) if star else self.types[base]
                fields.append((name, kind * int(count) if count else kind))
        return fields

    def _enumerators(self, body):
        if "#" in body:  # the statuses, made by a macro: their names come from the library
            return
        for number, item in enumerate(filter(None, (i.strip() for i in body.split(",")))):
            self.constants[item.split("=")[0].strip()] = int(item.split("=")[1]) if "=" in item else number

    def make(self, name, **fields):
        """A structure as its _init function makes it, with these fields set. Enumerators may be given by name."""
        x = self.types[name]()
        if "struct_size" in dict(x._fields_):
            getattr(self.library, name + "_init")(ctypes.byref(x), ctypes.c_size_t(ctypes.sizeof(x)))
            if x.struct_size != ctypes.sizeof(x):
                raise Error(f"{name}: {ctypes.sizeof(x)} bytes here, another size in the library")
        for field, value in fields.items():
            if field not in dict(x._fields_):
                raise Error(f"{name} has no field {field}")
            if isinstance(value, str) and value in self.constants:
                value = self.constants[value]
            elif isinstance(value, str):
                value = value.encode()
            setattr(x, field, dict(x._fields_)[field](*value) if isinstance(value, (list, tuple)) else value)
        return x


class Library:
    def __init__(self, path, header=HEADER):
        self.header, self.lib = Header(header), ctypes.CDLL(os.path.abspath(path))
        self.header.library = self.lib
        for name in ("clattn_status_name", "clattn_status_message"):
            getattr(self.lib, name).restype = ctypes.c_char_p
        for name in ("clattn_runtime_destroy", "clattn_plan_destroy"):
            getattr(self.lib, name).restype, getattr(self.lib, name).argtypes = None, [ctypes.c_void_p]
        self.version = self.lib.clattn_version()
        c = self.header.constants
        expected = (c["CLATTN_VERSION_MAJOR"] * 100 + c["CLATTN_VERSION_MINOR"]) * 100 + c["CLATTN_VERSION_PATCH"]
        if self.version != expected:
            raise Error(f"library {self.version}, header {expected}: take the header of this library")
        self._check_layout()

    def _check_layout(self):
        """Values put into the problem come back where they belong, and open ones as the header says."""
        given = dict(
            batch=2,
            query_heads=6,
            kv_heads=3,
            query_length=5,
            key_length=7,
            head_dim=9,
            scale=0.5,
            has_scale=True,
            softcap=1.5,
            causal=True,
            window_left=4,
            alignment="CLATTN_ALIGN_OFFSET",
            offset=11,
            logsumexp=True,
            mask="CLATTN_MASK_BYTES",
        )
        problem, resolved = self.header.make("clattn_problem", **given), self.header.types["clattn_problem"]()
        self.check(self.lib.clattn_problem_resolve(ctypes.byref(problem), ctypes.byref(resolved), None))
        for field, value in {
            **given,
            "value_dim": 9,
            "window_right": -1,
            "struct_size": ctypes.sizeof(problem),
        }.items():
            if getattr(resolved, field) != self.header.constants.get(value, value):
                raise Error(f"header and library disagree about clattn_problem.{field}")
        if list(resolved.mask_shape) != [2, 6, 5, 7]:
            raise Error("header and library disagree about clattn_problem.mask_shape")

    def check(self, status, report=None):
        if status:
            why = report.text.decode().strip() if report is not None else ""
            name = self.lib.clattn_status_name(status).decode()
            raise Error(f"{name}: {why or self.lib.clattn_status_message(status).decode()}")

    def runtime(self, **options):
        return Runtime(self, options)


class Runtime:
    def __init__(self, library, options):
        self.library, self.handle = library, ctypes.c_void_p()
        settings = library.header.make("clattn_runtime_options", **options)
        library.check(library.lib.clattn_runtime_create(ctypes.byref(settings), ctypes.byref(self.handle)))

    def plan(self, **problem):
        return Plan(self, problem)

    def close(self):
        self.library.lib.clattn_runtime_destroy(self.handle)
        self.handle = None


class Plan:
    """Fields are those of clattn_problem and of clattn_plan_options."""

    def __init__(self, runtime, fields):
        self.library, self.runtime, self.handle = runtime.library, runtime, ctypes.c_void_p()
        header = self.library.header
        known = dict(header.types["clattn_plan_options"]._fields_)
        options = {name: value for name, value in fields.items() if name in known}
        problem = {name: value for name, value in fields.items() if name not in known}
        self.problem, self.options = header.make("clattn_problem", **problem), header.make("clattn_plan_options", **options)
        self.report = header.types["clattn_report"]()
        self.library.check(
            self.library.lib.clattn_plan_create(
                runtime.handle,
                ctypes.byref(self.problem),
                ctypes.byref(self.options),
                ctypes.byref(self.handle),
                ctypes.byref(self.report),
            ),
            self.report,
        )
        self.info = header.types["clattn_plan_info"]()
        self.library.check(self.library.lib.clattn_plan_get_info(self.handle, ctypes.byref(self.info)))

    def bind(self, **addresses):
        """A call with these addresses (query, key, value, output, mask, bias, ...), to be made often; dense arrays,
        [batch, heads, length, dim]."""
        tensors = self.library.header.make("clattn_tensors")
        for name, address in addresses.items():
            getattr(tensors, name).data = address
        tensors.report = ctypes.addressof(self.report)
        function, handle, argument = self.library.lib.clattn_execute, self.handle, ctypes.byref(tensors)

        def call():
            status = function(handle, argument)
            if status:
                self.library.check(status, self.report)

        return call

    def execute(self, **addresses):
        self.bind(**addresses)()

    def close(self):
        self.library.lib.clattn_plan_destroy(self.handle)
        self.handle = None


def backward_test(runtime):
    """One key: its weight is 1 whatever the query is, so grad_value is grad_output and the others are 0."""
    number = ctypes.c_float
    names = ("query", "key", "value", "output", "logsumexp", "grad_output", "grad_query", "grad_key", "grad_value")
    arrays = {name: number(x) for name, x in zip(names, (2, 3, 5, 0, 0, 7, 1, 1, 1))}
    for direction in ("CLATTN_FORWARD", "CLATTN_BACKWARD"):
        plan = runtime.plan(query_length=1, head_dim=1, logsumexp=True, direction=direction, engine="reference")
        plan.execute(**{name: ctypes.addressof(x) for name, x in arrays.items()})
        plan.close()
    got = [arrays[name].value for name in names[3:5] + names[6:]]
    if any(abs(a - b) > 1e-5 for a, b in zip(got, (5, 6, 0, 0, 7))):
        raise Error(f"backward: got {got}")


def self_test(path, header=HEADER):
    """Two keys whose scores differ by log 3: weights 3/4 and 1/4; then the second key is masked."""
    import math

    library = Library(path, header)
    runtime = library.runtime(threads=1, without_opencl=True)
    for masked, expected in ((False, 0.75 * 1 + 0.25 * 5), (True, 1.0)):
        plan = runtime.plan(
            query_length=1,
            key_length=2,
            head_dim=1,
            engine="reference",
            mask="CLATTN_MASK_BYTES" if masked else "CLATTN_MASK_NONE",
        )
        number = ctypes.c_float
        query, key, value, output = number(1), (number * 2)(math.log(3), 0), (number * 2)(1, 5), number()
        mask = (ctypes.c_uint8 * 2)(1, 0)
        plan.execute(
            query=ctypes.addressof(query),
            key=ctypes.addressof(key),
            value=ctypes.addressof(value),
            output=ctypes.addressof(output),
            mask=ctypes.addressof(mask),
        )
        if abs(output.value - expected) > 1e-6 or plan.info.engine != b"reference" or plan.info.flops <= 0:
            raise Error(f"got {output.value}, expected {expected}")
        plan.close()
    backward_test(runtime)
    runtime.close()
    print(f"clattn {library.version}: header and library agree")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    self_test(*sys.argv[1:3])
