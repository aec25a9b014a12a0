"""Small ONNX graphs for tests: made in a line, loaded by hwsim, and run by onnxruntime beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from hwsim.functional import execute
from hwsim.workload import Workload
from hwsim.workload.frontends.onnx import read_onnx

Array = np.ndarray
RELATIVE = 1e-3  # of the largest result: what fp32 on two machines may differ by, many times over

_KINDS = {
    "float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8,
}  # fmt: skip


def node(kind: str, inputs: str = "x", outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """Inputs and outputs by name, separated by spaces; a dash is one left out. "ms:" in front of the kind is
    onnxruntime's domain."""
    own = kind.startswith("ms:")
    names = [["" if name == "-" else name for name in text.split()] for text in (inputs, outputs)]
    kind = kind.removeprefix("ms:")
    name = attributes.pop("name", f"the_{kind.lower()}_{names[1][0]}")
    return helper.make_node(kind, *names, name=name, domain="com.microsoft" if own else "", **attributes)


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None] | tuple[str, Sequence[int | str | None]]],
    weights: Mapping[str, Any] | None = None,
    outputs: str = "y",
    *,
    opset: int = 17,
    made: str = "float32",
) -> onnx.ModelProto:
    """A file of those nodes. An input is its shape, of floats unless its type stands in front."""
    given = []
    for name, what in inputs.items():
        kind, shape = (what[0], what[1]) if what and str(what[0]) in _KINDS else ("float32", what)
        given.append(helper.make_tensor_value_info(name, _KINDS[kind], shape))  # type: ignore[arg-type]
    body = helper.make_graph(
        nodes, "g", given,
        [helper.make_tensor_value_info(name, _KINDS[made], None) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )  # fmt: skip
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(body, opset_imports=sets, ir_version=10 if opset > 20 else 8)


def load(proto: onnx.ModelProto, folder: Path = Path(), **sizes: int) -> Workload:
    return read_onnx(folder / "made.onnx", proto.SerializeToString(), sizes, 0)


def save(proto: onnx.ModelProto, folder: Path, name: str = "made.onnx") -> Path:
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def run(proto: onnx.ModelProto, feeds: Mapping[str, Array], *, optimise: bool = True) -> dict[str, Array]:
    """What onnxruntime computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def draw(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def agree(proto: onnx.ModelProto, feeds: Mapping[str, Array], **sizes: int) -> Workload:
    """Load a graph, execute it in fp32 beside onnxruntime, and compare all outputs."""
    net = load(proto, **sizes).astype("fp32")
    wanted = run(proto, feeds)
    found = execute(net, dict(feeds))
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        assert found[name].shape == (values.shape or (1,)), name
        size = np.abs(values).max()
        assert size > 0, name
        assert np.abs(found[name] - values).max() <= RELATIVE * size, name
    return net


def kinds(net: Workload) -> list[str]:
    """What runs, views left out: pointwise operators and norms by their function."""
    found = []
    for op in net.operators:
        if op.kind == "view":
            continue
        name = getattr(op.problem, "function", op.kind) if op.kind in ("elementwise", "norm") else op.kind
        found.append("+".join([name, *(step.function for step in op.epilogue)]))
    return found
