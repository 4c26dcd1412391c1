"""Which operations of a traced function TensorFlow can run on a GPU, found out without one.

TensorFlow's build for GPUs registers its kernels on any machine. `golden/gpu_kernels_*.json.gz` are
these registries, one for each release, so that every environment can look an operation up in all of
them. They are written by

    python tests/gpu_kernels.py     # in an environment with `tensorflow`, not `tensorflow-cpu`

An operation without a kernel runs on the host, and many kernels take some of their inputs from the
host's memory. `problems` follows where each value lies through a graph and the functions in it, and
tells what comes to the host from the GPU in the middle of it: there the host, which else is far
ahead, waits for all that it has asked of the GPU.
"""

from __future__ import annotations

import gzip
import json
from graphlib import TopologicalSorter
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
# Where a value lies; KNOWN ones follow from constants and shapes, and are computed beforehand.
HOST, GPU, KNOWN = "host", "GPU", "known"
# A kernel there is; but the host has to learn how much comes out.
OF_UNKNOWN_SIZE = {"Where", "Unique", "UniqueV2", "DynamicPartition", "BooleanMask"}
# Kernels for GPUs that carry the whole variable to the host and back, unless it is of floats. The
# registry does not tell; TensorFlow's resource_variable_ops.cc: "Run on the CPU for integer types".
OF_FLOATS = "ResourceScatter"
FLOATS = {1, 2, 14, 19}  # float, double, bfloat16, half
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
BRANCHES = {"If", "StatelessIf", "Case", "StatelessCase"}
LOOPS = {"While", "StatelessWhile"}
INT32, RESOURCE, STRING, VARIANT = 3, 20, 7, 21


def registries() -> dict[str, dict]:
    """Of each release: operation -> its kernels: device, types by attribute, inputs on the host."""
    found = {}
    for path in sorted(GOLDEN.glob("gpu_kernels_*.json.gz")):
        with gzip.open(path, "rt") as file:
            found[path.name.split("_")[-1].removesuffix(".json.gz")] = json.load(file)
    return found


def registered() -> dict[str, list]:
    """The same of the TensorFlow that is here."""
    import tensorflow as tf
    from tensorflow.python.framework import kernels

    tf.function(lambda: tf.ones(1) + 1.0, jit_compile=True)()  # the compiler's are registered then
    found = {}
    for kernel in kernels.get_all_registered_kernels().kernel:
        if kernel.device_type in ("GPU", "DEFAULT", "XLA_GPU_JIT"):
            types = {c.name: sorted(c.allowed_values.list.type) for c in kernel.constraint}
            row = [kernel.device_type, types, sorted(kernel.host_memory_arg)]
            if row not in found.setdefault(kernel.op, []):
                found[kernel.op].append(row)
    return {op: sorted(rows, key=json.dumps) for op, rows in sorted(found.items())}


class _Look:
    """One look at a concrete function with the kernels of one release."""

    def __init__(self, registry: dict, library, static: bool):
        self.registry, self.static = registry, static
        self.functions = {f.signature.name: f for f in library.function}
        self.found: dict[str, int] = {}
        self.rows: dict[tuple, list] = {}  # by operation and devices, those that come first first

    def tell(self, what: str) -> None:
        self.found[what] = self.found.get(what, 0) + 1

    def kernel(self, node, devices=("GPU", "DEFAULT")):
        """The kernel that runs a node; None where there is none."""
        if (node.op, devices) not in self.rows:
            rows = [row for row in self.registry.get(node.op, ()) if row[0] in devices]
            rows = sorted(rows, key=lambda row: devices.index(row[0]))
            allowed = [[(name, set(types)) for name, types in row[1].items()] for row in rows]
            self.rows[node.op, devices] = list(zip(rows, allowed))
        for row, allowed in self.rows[node.op, devices]:
            if all(_types(node, name) <= types for name, types in allowed):
                return row
        return None

    def function(self, name: str, given: list[str]) -> list[str]:
        """Follows a function; where its values lie, from where its arguments do."""
        function = self.functions[name]
        places = {}
        for argument, place in zip(function.signature.input_arg, given):
            # A call passes whole numbers of 32 bits on the host.
            host = argument.type == INT32 and place != KNOWN
            places[argument.name] = [HOST if host else place]
        self.nodes(function.node_def, places, named=True)
        returned = [function.ret[output.name] for output in function.signature.output_arg]
        outputs = zip(returned, function.signature.output_arg)
        return [
            HOST if out.type == INT32 and place == GPU else place
            for place, out in ((self.place(at, places), out) for at, out in outputs)
        ]

    def nodes(self, nodes, places: dict, named: bool = False) -> None:
        """Follows nodes in the order of their inputs; `places` gets those of what they give."""
        by_name = {node.name: node for node in nodes}
        after = {name: map(_source, node.input) for name, node in by_name.items()}
        for name in TopologicalSorter(after).static_order():
            if node := by_name.get(name):  # and not an argument
                given = [self.place(i, places) for i in node.input if not i.startswith("^")]
                places[name] = self.node(node, given, named)

    @staticmethod
    def place(of: str, places: dict) -> str:
        name, *rest = of.split(":")
        outputs = places[name]
        if isinstance(outputs, dict):  # in a function: node:output:number
            return outputs[rest[0]][int(rest[1])]
        return outputs[int(rest[-1]) if rest else 0]

    def node(self, node, given: list[str], named: bool):
        if node.op in CALLS:
            name = node.attr["f"].func.name
            if self.functions[name].attr["_XlaMustCompile"].b:
                self.compiled(name)
                outputs = [GPU] * len(self.functions[name].signature.output_arg)
            else:
                outputs = self.function(name, given)
            return {"output": outputs} if named else outputs
        if node.op in BRANCHES:
            if given[0] == GPU:
                self.tell(f"{node.op} by what is on the GPU")
            names = [node.attr[b].func.name for b in ("then_branch", "else_branch")]
            names = [f.name for f in node.attr["branches"].list.func] or names
            each = [self.function(name, given[1:]) for name in names]
            outputs = [GPU if GPU in places else HOST for places in zip(*each)]
            return {"output": outputs} if named else outputs
        if node.op in LOOPS:
            given = [HOST if place == KNOWN else place for place in given]
            if self.function(node.attr["cond"].func.name, given) == [GPU]:
                self.tell("loop while something on the GPU holds")
            outputs = self.function(node.attr["body"].func.name, given)
            return {"output": outputs} if named else outputs
        if node.op == "Identity":  # these go when a graph is simplified
            return {"output": given} if named else given
        return self.plain(node, given, named)

    def plain(self, node, given: list[str], named: bool):
        from tensorflow.python.framework import op_def_registry

        definition, kernel = op_def_registry.get(node.op), self.kernel(node)
        what = f"{node.op} of {_types_in_words(node)}".removesuffix(" of ")
        there = node.op in ("Placeholder", "_Arg", "NoOp", "Assert") or kernel is not None
        counts = [(argument, _count(argument, node)) for argument in definition.output_arg]
        shape = node.op in ("Shape", "ShapeN", "Size", "Rank") and self.static
        if (
            node.op == "Const"
            or shape
            or (given and set(given) == {KNOWN} and not definition.is_stateful)
        ):
            outputs = {argument.name: [KNOWN] * count for argument, count in counts}
            return outputs if named else [p for places in outputs.values() for p in places]
        of_variable = any(a.type == RESOURCE for a in definition.input_arg) and not there
        if of_variable:
            self.tell(f"no kernel: {what}, on a variable")
        if node.op.startswith(OF_FLOATS) and there and not _types(node, "dtype") <= FLOATS:
            self.tell(f"by way of the host: {what}")
        if node.op in OF_UNKNOWN_SIZE and GPU in given:
            self.tell(f"size unknown: {what}")
        on_host = kernel[2] if kernel else []
        position = 0
        for argument in definition.input_arg:
            count = _count(argument, node)
            places = given[position : position + count]
            position += count
            wanted_here = not there or argument.name in on_host
            # A constant lies on the GPU too, unless it is a whole number of 32 bits.
            far = GPU in places or KNOWN in places and _type(argument, node) not in (INT32, 0)
            if far and wanted_here and argument.type != RESOURCE and not of_variable:
                self.tell(f"{'to the host' if there else 'no kernel'}: {what}")
        outputs = {}
        for argument, count in counts:
            host = not there or argument.name in on_host or argument.type == RESOURCE
            if node.op in ("Placeholder", "_Arg"):
                host = node.attr["dtype"].type == INT32
            outputs[argument.name] = [HOST if host else GPU] * count
        return outputs if named else [place for places in outputs.values() for place in places]

    def compiled(self, name: str) -> None:
        """Whether the compiler knows all operations of a function."""
        for node in self.functions[name].node_def:
            inner = [a.func.name for a in node.attr.values() if a.WhichOneof("value") == "func"]
            inner += [f.name for a in node.attr.values() for f in a.list.func]
            for each in inner:
                self.compiled(each)
            if node.op in LOOPS | BRANCHES:
                self.tell(f"{node.op} in what is compiled: the host is asked at each turn")
            if not inner and self.kernel(node, ("XLA_GPU_JIT",)) is None and node.op != "NoOp":
                self.tell(f"not compiled: {node.op} of {_types_in_words(node)}")


def _source(of: str) -> str:
    return of.removeprefix("^").split(":")[0]


def _types(node, name: str) -> set[int]:
    value = node.attr[name] if name in node.attr else None
    if value is None:
        return set()
    return {value.type} if value.WhichOneof("value") == "type" else set(value.list.type)


def _types_in_words(node) -> str:
    from tensorflow.core.framework import types_pb2

    found = [types_pb2.DataType.Name(t) for a in sorted(node.attr) for t in _types(node, a) if t]
    return ", ".join(dict.fromkeys(name.removeprefix("DT_").lower() for name in found))


def _type(argument, node) -> int:
    """The type of an argument, 0 where it is several."""
    return argument.type or (node.attr[argument.type_attr].type if argument.type_attr else 0)


def _count(argument, node) -> int:
    """How many values an argument is."""
    if argument.number_attr:
        return node.attr[argument.number_attr].i
    if argument.type_list_attr:
        return len(node.attr[argument.type_list_attr].list.type)
    return 1


def problems(concrete, registry: dict) -> dict[str, int]:
    """What keeps a concrete function from running on a GPU without a halt, and how often."""
    graph = concrete.graph.as_graph_def()
    given = [x for x in concrete.inputs if x.dtype.as_datatype_enum != RESOURCE]
    static = all(x.shape.is_fully_defined() for x in given)
    look = _Look(registry, graph.library, static)
    look.nodes(graph.node, {})
    handles = {tuple(sorted(row[1].get("dtype", ()))) for row in registry["VarHandleOp"]}
    for variable in concrete.graph.variables:
        if not any(variable.dtype.as_datatype_enum in types for types in handles):
            look.tell(f"no variable of {variable.dtype.name} on a GPU: {variable.name}")
    return look.found


if __name__ == "__main__":
    import tensorflow as tf

    if not tf.test.is_built_with_cuda():
        raise SystemExit("this TensorFlow is not built for GPUs: install `tensorflow`")
    path = GOLDEN / f"gpu_kernels_{tf.__version__}.json.gz"
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(json.dumps(registered(), separators=(",", ":")).encode())
    print(path)
