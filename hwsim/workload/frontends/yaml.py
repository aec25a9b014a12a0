"""Workload files in YAML: from checked layer specs to the operators of a Workload."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.errors import CapacityError, Problem, SpecError
from hwsim.schema import Node, load_source
from hwsim.schema import Source as YamlSource
from hwsim.tensor.tensor import Distribution, Shape, format_shape
from hwsim.workload import shapes
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.frontends import layers as spec
from hwsim.workload.graph import Source, Workload
from hwsim.workload.operators import Pair
from hwsim.workload.order import topological_order
from hwsim.workload.recurrent_layer import RecurrentLayer, add_recurrent_layer
from hwsim.workload.sizes import read_size, unknown_parameter
from hwsim.workload.weights import Given, WeightsFile, joint_hash, read_weights, widened

MAX_LAYERS = 100_000  # after repeats
INPUT = "input"


def read_yaml(source: YamlSource, parameters: Mapping[str, int], seed: int) -> Workload:
    """The workload of a YAML file, its shapes inferred with `parameters` over the file's defaults.

    Raises SpecError with file, line and column of each fault.
    """
    written = load_source(source, spec.WorkloadSpec)
    assert written.origin is not None
    tree = written.origin.tree
    merged = _merge_parameters(source.path, written, parameters)
    listed = list(_expand(written, tree))
    inputs = dict(written.inputs) if written.input is None else {INPUT: written.input}
    _connect(listed, list(inputs), tree)
    with _placed(_child(tree, "dtype")):
        builder = GraphBuilder(written.name, dtype=written.dtype, seed=seed)
    trained = read_weights(Path(source.path).parent / written.weights) if written.weights else None
    for name, given in inputs.items():
        node = _child(tree, "input") if written.input is not None else _child(_child(tree, "inputs"), name)
        with _placed(node):
            shape = tuple(read_size(size, merged) for size in given.shape)
            builder.input(name, shape, density=given.density)
    outputs = list(written.outputs) or [listed[-1].name]
    for layer in _ordered(listed, list(inputs), outputs, tree):
        with _placed(layer.node):
            _LOWER[type(layer.spec)](_Context(builder, merged, layer.name, layer.inputs, trained), layer.spec)
    if trained is not None:
        trained.check_used(name for name, tensor in builder.tensors.items() if tensor.role == "weight")
    with _placed(tree):
        return builder.build(
            outputs,
            _source_of(source, trained),
            description=written.description,
            parameters=merged,
            synthetic=written.synthetic,
            notes=_notes(written),
        )


def _source_of(source: YamlSource, trained: WeightsFile | None) -> Source:
    if trained is None:
        return Source(source.path, "yaml", source.sha256)
    return Source(source.path, "yaml", joint_hash(source.sha256, trained.sha256), trained.path)


def _notes(written: spec.WorkloadSpec) -> list[str]:
    notes = [f"network after {written.source}"] if written.source else []
    if written.synthetic:
        notes.append("its shapes are assumed, because no publication gives them")
    return notes


def _merge_parameters(path: str, written: spec.WorkloadSpec, given: Mapping[str, int]) -> dict[str, int]:
    merged = dict(written.parameters)
    for name, value in given.items():
        if name not in merged:
            cure = (
                "; add `parameters: {batch: 1}` to the file and use `batch` in its input shape"
                if name == "batch" else ""
            )  # fmt: skip
            raise SpecError(Problem(path, 0, 0, "parameters", unknown_parameter(name, merged) + cure))
        merged[name] = value
    return merged


# -- from the file's list to named layers ----------------------------------------------------------------


@dataclass(slots=True)
class _Listed:
    """One layer after repeats are written out: its name, spec, place in the file and inputs by name."""

    name: str
    spec: Any
    node: Node
    inputs: tuple[str, ...]


def _expand(written: spec.WorkloadSpec, tree: Node) -> Iterator[_Listed]:
    """Write repeats out and name every layer. Inputs are still as written, but for rounds' suffixes."""
    taken = _names(written)
    counts: Counter[str] = Counter()
    total = sum(len(x.layers) * x.times if isinstance(x, spec.Repeat) else 1 for x in written.layers)
    nodes = _items(_child(tree, "layers"))
    if total > MAX_LAYERS:
        raise _fault(_child(tree, "layers"), f"{total:,} layers are more than the {MAX_LAYERS:,} hwsim takes")

    def name_of(layer: Any, suffix: str = "") -> str:
        if layer.name is not None:
            return str(layer.name) + suffix
        while True:
            counts[layer.kind] += 1
            name = f"{layer.kind}{counts[layer.kind]}"
            if name not in taken:
                return name

    for layer, node in zip(written.layers, nodes, strict=True):
        if not isinstance(layer, spec.Repeat):
            yield _Listed(name_of(layer), layer, node, layer.inputs)
            continue
        within = _items(_child(node, "layers"))
        local = {inner.name for inner in layer.layers if inner.name is not None}
        for turn in range(1, layer.times + 1):
            for inner, place in zip(layer.layers, within, strict=True):
                inputs = tuple(f"{name}.{turn}" if name in local else name for name in inner.inputs)
                yield _Listed(name_of(inner, f".{turn}"), inner, place, inputs)


def _names(written: spec.WorkloadSpec) -> set[str]:
    """Names that people gave, which made-up ones must avoid."""
    groups = [x.layers if isinstance(x, spec.Repeat) else (x,) for x in written.layers]
    return {layer.name for group in groups for layer in group if layer.name is not None} | set(written.inputs)


def _connect(listed: list[_Listed], inputs: list[str], tree: Node) -> None:
    """Fill in the layer before where no inputs are written; refuse names that nothing has or two have."""
    places: dict[str, Node] = {}
    for layer in listed:
        if layer.name in places or layer.name in inputs:
            first = places.get(layer.name, tree).place
            raise _fault(
                layer.node,
                f"the name {layer.name!r} is given twice, first in line {first.line}: give each layer and "
                "input its own",
            )
        places[layer.name] = layer.node
    known = [*inputs, *places]
    before = inputs[0] if len(inputs) == 1 else ""
    for layer in listed:
        if not layer.inputs:
            if not before:
                raise _fault(
                    layer.node,
                    f"the network has several inputs; say which this layer takes: `inputs: [{inputs[0]}]`",
                )
            layer.inputs = (before,)
        for name in layer.inputs:
            if name not in places and name not in inputs:
                raise _fault(
                    layer.node,
                    f"layer {layer.name!r} takes {name!r}, which is neither a layer nor an input"
                    f"{_nearest(name, known)}",
                )
        before = layer.name


def _ordered(listed: list[_Listed], inputs: list[str], outputs: list[str], tree: Node) -> list[_Listed]:
    """Layers in an order that can run. Refuses cycles, unknown outputs, and results that nobody takes."""
    by_name = {layer.name: layer for layer in listed}
    for name in outputs:
        if name not in by_name:
            raise _fault(_child(tree, "outputs"), f"there is no layer {name!r}{_nearest(name, by_name)}")
    with _placed(_child(tree, "layers")):
        order = topological_order(
            {layer.name: [name for name in layer.inputs if name in by_name] for layer in listed}, "layer"
        )
    used = {name for layer in listed for name in layer.inputs} | set(outputs)
    for layer in listed:
        if layer.name not in used:
            raise _fault(
                layer.node,
                f"nothing takes the result of layer {layer.name!r}: remove it, or list it under `outputs`",
            )
    for name in inputs:
        if name not in used:
            raise _fault(_child(tree, "inputs"), f"no layer takes the input {name!r}: remove it")
    return [by_name[name] for name in order]


# -- lowering --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Context:
    """What lowering one layer needs."""

    builder: GraphBuilder
    parameters: Mapping[str, int]
    name: str
    inputs: tuple[str, ...]
    trained: WeightsFile | None

    @property
    def label(self) -> Label:
        return Label(self.name)

    def size(self, written: int | str) -> int:
        return read_size(written, self.parameters)

    def only(self) -> str:
        """The one input of a layer that takes one."""
        if len(self.inputs) != 1:
            raise SpecError(
                f"layer {self.name!r} takes one input and got {len(self.inputs)}: {', '.join(self.inputs)}"
            )
        return self.inputs[0]

    def weight(
        self,
        part: str,
        shape: Shape,
        distribution: Distribution,
        fan_in: int = 1,
        draws: tuple[float, int] = (1.0, 0),
    ) -> str:
        name = f"{self.name}.{part}"
        if self.trained is None:
            return self.builder.weight(
                name, shape, distribution, fan_in=fan_in, density=draws[0], shared_bits=draws[1]
            )
        if draws != (1.0, 0):
            raise SpecError(
                f"layer {self.name!r}: weight_density and shared_bits are for weights drawn from a seed, and "
                "the network's `weights` are given: leave them out"
            )
        given = Given(widened(self.trained.take(name, shape)))
        return self.builder.weight(name, shape, distribution, fan_in=fan_in, values=given)


def _conv(at: _Context, layer: spec.Conv) -> None:
    x = at.only()
    _, channels, _, _ = shapes.feature_map(at.builder.shape(x))
    out, groups, (r, s) = at.size(layer.out_channels), at.size(layer.groups), _pair(layer.kernel)
    if out < 1 or groups < 1 or channels % groups or out % groups:
        raise SpecError(
            f"layer {at.name!r} (conv): {groups} groups do not divide {channels} input and {out} output "
            "channels: choose a common divisor"
        )
    per_group = channels // groups
    weight = at.weight("weight", (out, per_group, r, s), "weight", per_group * r * s, layer.draws)
    bias = at.weight("bias", (out,), "bias") if layer.bias else ""
    at.builder.conv2d(
        at.label, x, weight, bias, stride=_pair(layer.stride), pad=_pads(layer.pad),
        dilation=_pair(layer.dilation), groups=groups,
    )  # fmt: skip


def _linear(at: _Context, layer: spec.Linear) -> None:
    x, out = at.only(), at.size(layer.out_features)
    shape = at.builder.shape(x)
    if len(shape) not in (2, 3):
        raise SpecError(
            f"layer {at.name!r} (linear): takes [batch, features] or [batch, tokens, features] and got "
            f"{format_shape(shape)}: add a `{{kind: flatten}}` layer before it"
        )
    weight = at.weight("weight", (out, shape[-1]), "weight", shape[-1], layer.draws)
    bias = at.weight("bias", (out,), "bias") if layer.bias else ""
    at.builder.matmul(at.label, x, weight, bias, transpose_b=True)


def _recurrent(at: _Context, layer: spec.Recurrent) -> None:
    found = RecurrentLayer(
        layer.kind, at.size(layer.hidden), layer.input, layer.bias, layer.batch_first, layer.function
    )
    add_recurrent_layer(at.builder, at.label, at.only(), found, at.weight)


def _matmul(at: _Context, layer: spec.Matmul) -> None:
    if len(at.inputs) != 2:
        raise SpecError(
            f"layer {at.name!r} (matmul): takes two inputs and got {len(at.inputs)}: write `inputs: [a, b]`"
        )
    at.builder.matmul(at.label, *at.inputs, transpose_a=layer.transpose_a, transpose_b=layer.transpose_b)


def _pool(at: _Context, layer: spec.Pool) -> None:
    at.builder.pool(
        at.label, at.only(), layer.kind.removesuffix("_pool"), _pair(layer.kernel),
        stride=None if layer.stride is None else _pair(layer.stride), pad=_pads(layer.pad),
        ceil_mode=layer.ceil_mode, count_include_pad=layer.count_include_pad,
    )  # fmt: skip


def _global_pool(at: _Context, layer: spec.GlobalPool) -> None:
    function = layer.kind.removeprefix("global_").removesuffix("_pool")
    at.builder.global_pool(at.label, at.only(), function)


def _combine(at: _Context, layer: spec.Combine) -> None:
    at.builder.combine(at.label, layer.kind, at.inputs)


def _pointwise(at: _Context, layer: spec.Pointwise) -> None:
    given = {name: getattr(layer, name) for name in ("alpha", "beta", "gamma", "min", "max")}
    attributes = {name: value for name, value in given.items() if value is not None}
    if layer.kind == "relu6":
        if attributes:
            raise SpecError(f"layer {at.name!r}: relu6 takes no attributes; write clip with min and max")
        at.builder.unary(at.label, at.only(), "clip", {"min": 0.0, "max": 6.0})
        return
    at.builder.unary(at.label, at.only(), layer.kind, attributes)


def _batch_norm(at: _Context, layer: spec.BatchNorm) -> None:
    x = at.only()
    shape = at.builder.shape(x)
    channels = (shape[1] if len(shape) > 1 else 1,)
    at.builder.batch_norm(
        at.label,
        x,
        at.weight("gamma", channels, "scale"),
        at.weight("beta", channels, "shift"),
        at.weight("mean", channels, "mean"),
        at.weight("variance", channels, "variance"),
        epsilon=layer.epsilon,
    )


def _reshape(at: _Context, layer: spec.Reshape) -> None:
    x = at.only()
    target = [at.size(size) for size in layer.shape]
    try:
        shape = shapes.reshaped(at.builder.shape(x), target)
    except SpecError as error:
        raise SpecError(f"layer {at.name!r} (reshape): {error}") from None
    at.builder.view(at.label, x, "reshape", shape)


def _flatten(at: _Context, layer: spec.Flatten) -> None:
    x = at.only()
    at.builder.view(at.label, x, "flatten", shapes.flattened(at.builder.shape(x), layer.axis))


def _pad(at: _Context, layer: spec.Pad) -> None:
    at.builder.pad(at.label, at.only(), layer.before, layer.after, fill=layer.fill)


def _slice(at: _Context, layer: spec.Slice) -> None:
    at.builder.slice(at.label, at.only(), {layer.axis: (at.size(layer.start), at.size(layer.end), 1)})


_LOWER: dict[type[spec.Layer], Callable[[_Context, Any], object]] = {
    spec.Conv: _conv,
    spec.Linear: _linear,
    spec.Recurrent: _recurrent,
    spec.Matmul: _matmul,
    spec.Pool: _pool,
    spec.GlobalPool: _global_pool,
    spec.Combine: _combine,
    spec.Pointwise: _pointwise,
    spec.BatchNorm: _batch_norm,
    spec.Lrn: lambda at, x: at.builder.lrn(at.label, at.only(), x.size, alpha=x.alpha, beta=x.beta, k=x.k),
    spec.Softmax: lambda at, x: at.builder.softmax(at.label, at.only(), x.axis),
    spec.Concat: lambda at, x: at.builder.concat(at.label, at.inputs, x.axis),
    spec.Reshape: _reshape,
    spec.Flatten: _flatten,
    spec.Transpose: lambda at, x: at.builder.transpose(at.label, at.only(), x.perm),
    spec.Pad: _pad,
    spec.Slice: _slice,
    spec.Dropout: lambda at, x: at.builder.view(at.label, at.only(), x.kind),
}


def _pair(written: int | tuple[int, ...]) -> Pair:
    height, width = (written, written) if isinstance(written, int) else written
    return height, width


def _pads(written: int | tuple[int, ...]) -> shapes.Pads:
    if isinstance(written, int):
        return (written,) * 4
    top, left, bottom, right = (*written, *written) if len(written) == 2 else written
    return top, left, bottom, right


# -- places ----------------------------------------------------------------------------------------------


def _child(node: Node, key: str) -> Node:
    """The child `key`, or the node itself where the file leaves it out."""
    return (node.children or {}).get(key, node)


def _items(node: Node) -> list[Node]:
    return node.items or []


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fault(node: Node, message: str) -> SpecError:
    return SpecError(node.place.problem(node.path, message))


@contextmanager
def _placed(node: Node) -> Iterator[None]:
    """Say where in the file a fault is."""
    try:
        yield
    except SpecError as error:
        if any(problem.file for problem in error.problems):
            raise
        raise _fault(node, str(error)) from None
    except CapacityError as error:
        raise CapacityError(str(_fault(node, str(error)))) from None
