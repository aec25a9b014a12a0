"""What an ONNX graph receives: its sizes, those that it leaves open, and which of them is the batch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Shape, check_shape
from hwsim.workload.frontends.onnx_graph import Graph, GraphInput, listed
from hwsim.workload.sizes import read_size, unknown_parameter

RECURRENT = ("LSTM", "GRU", "RNN")
# How exporters call a batch that they leave open.
_BATCH = re.compile(r"(n|b|bs|batch.*|.*batch(_?size)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Received:
    """The shape of each input, and the parameters behind them; `old_batch` is the file's batch."""

    shapes: Mapping[str, Shape]
    parameters: Mapping[str, int]
    old_batch: int

    @property
    def batch(self) -> int:
        return self.parameters["batch"]


def receive(graph: Graph, given: Mapping[str, int]) -> Received:
    """The inputs' shapes with `given` sizes: batch, and those that the file leaves open, by their names.
    Raises SpecError for a name that is not there, and for open sizes that are not given."""
    if not graph.inputs:
        raise SpecError("the graph has no inputs, so there is nothing to run")
    places = _batch_places(graph)
    for one in graph.inputs:
        _check_open(one, places[one.name])
    symbols = [size for one in graph.inputs for size in one.sizes or () if isinstance(size, str)]
    batch_name, old_batch = _batch(graph.inputs[0], places[graph.inputs[0].name], symbols)
    batch_names = _batch_names(graph.inputs, places, batch_name, old_batch)
    known = ["batch", *dict.fromkeys(s for s in symbols if s not in batch_names)]
    parameters = _named(known, batch_names, given, old_batch)
    parameters |= _derived([name for name in known[1:] if name not in parameters], parameters)
    if missing := [name for name in known[1:] if name not in parameters]:
        raise SpecError(
            f"the sizes {listed(missing)} of its inputs are left open: give each as a parameter, such as "
            f"{missing[0]}=128 (`--dim {missing[0]}=128` on the command line, "
            f"`dims={{{missing[0]!r}: 128}}` in Python)"
        )
    shapes = {
        one.name: _shape(one, places[one.name], parameters, batch_names, old_batch) for one in graph.inputs
    }
    for name, shape in shapes.items():
        check_shape(shape, f"input {name!r}")
    return Received(shapes, parameters, max(old_batch, 1))


def _batch_places(graph: Graph) -> dict[str, int]:
    """Which dimension of each input is the batch: the first, but the second of what goes straight into a
    recurrent layer that takes steps first."""
    places = {one.name: 0 for one in graph.inputs}
    for node in graph.nodes:
        if node.type in RECURRENT and not node.attributes.get("layout"):
            for name in (node.input(0), node.input(5), node.input(6)):
                if name in places:
                    places[name] = 1
    return places


def _check_open(one: GraphInput, place: int) -> None:
    if one.sizes is None:
        raise SpecError(f"input {one.name!r} has no shape: export the network with one")
    for axis, size in enumerate(one.sizes):
        if size is None and axis != place:
            raise SpecError(
                f"input {one.name!r} leaves dimension {axis} open without a name: export it with a size"
            )


def _batch(first: GraphInput, place: int, symbols: list[str]) -> tuple[str, int]:
    """What the file calls its batch ("" where it is a number or has no name), and how large it is there (0
    where it is open): that size of the first input, unless a later one is called so."""
    size = (first.sizes or ())[place : place + 1]
    if size and isinstance(size[0], int):
        return "", size[0]
    called = [symbol for symbol in symbols if _BATCH.fullmatch(symbol)]
    name = size[0] if size and isinstance(size[0], str) else ""
    return (called[0] if called and not _BATCH.fullmatch(name) else name), 0


def _batch_names(
    inputs: tuple[GraphInput, ...], places: Mapping[str, int], batch_name: str, old_batch: int
) -> set[str]:
    """All names of the batch: where it is open, what stands in its place in another input is the batch too,
    unless it is a size elsewhere."""
    elsewhere: set[int | str | None] = set()
    there: set[int | str | None] = set()
    for one in inputs:
        for axis, size in enumerate(one.sizes or ()):
            (there if axis == places[one.name] else elsewhere).add(size)
    names = {"batch", batch_name}
    if batch_name not in elsewhere and old_batch <= 1:
        names |= {size for size in there - elsewhere if isinstance(size, str)}
    return names - {""}


def _named(
    known: list[str], batch_names: set[str], given: Mapping[str, int], old_batch: int
) -> dict[str, int]:
    """The parameters that were given, the batch under its own name."""
    values = dict(given)
    for name in sorted(batch_names & set(values) - {"batch"}):
        if values.setdefault("batch", values[name]) != values[name]:
            raise SpecError(f"batch is {values['batch']} and {name} is {values[name]}: they are one size")
        del values[name]
    for name in values:
        if name not in known:
            raise SpecError(unknown_parameter(name, dict.fromkeys((*known, *sorted(batch_names)), 1)))
    return {"batch": max(old_batch, 1), **values}


def _derived(names: list[str], known: Mapping[str, int]) -> dict[str, int]:
    """Open sizes that the file calls by a sum or product of known ones ("past_length + length")."""
    found = {}
    for name in names:
        with suppress(SpecError):
            found[name] = read_size(name, known)
    return found


def _shape(
    one: GraphInput, place: int, known: Mapping[str, int], batch_names: set[str], old_batch: int
) -> Shape:
    sizes: list[int] = []
    for axis, size in enumerate(one.sizes or ()):
        if (axis == place and (size is None or size == old_batch)) or size in batch_names:
            sizes.append(known["batch"])
        elif size is not None:
            sizes.append(known[size] if isinstance(size, str) else size)
    return tuple(sizes)


def activation_format(graph: Graph) -> str:
    """The number format of what the network computes: its inputs', else its weights'. Raises
    UnsupportedError for inputs of different ones."""
    if any(_stores_integers(node.type) for node in graph.nodes):
        return "int8"
    formats = sorted({one.dtype for one in graph.inputs if one.dtype})
    if len(formats) > 1:
        raise UnsupportedError(f"its inputs have different number formats ({', '.join(formats)}): export one")
    if formats:
        return formats[0]
    kinds = {constant.kind for constant in graph.constants.values() if constant.floating}
    if len(kinds) == 1:
        return {"FLOAT16": "fp16", "BFLOAT16": "bf16"}.get(kinds.pop(), "fp32")
    return "fp32"


def _stores_integers(kind: str) -> bool:
    """Whether activations become integers there."""
    own = kind.removeprefix("com.microsoft.")
    return own.startswith("QLinear") or own in ("QuantizeLinear", "QGemm", "MatMulInteger", "ConvInteger")
