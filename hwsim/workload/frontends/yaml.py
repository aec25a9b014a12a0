"""Workload files in YAML: from a checked file to a Workload."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hwsim.errors import Problem, SpecError
from hwsim.schema import Node, load_source
from hwsim.schema import Source as YamlSource
from hwsim.workload.builder import GraphBuilder
from hwsim.workload.frontends import yaml_lower, yaml_sequence
from hwsim.workload.frontends.ends import asked_ends
from hwsim.workload.frontends.expressions import resolved
from hwsim.workload.frontends.places import child, placed
from hwsim.workload.frontends.workload_file import Input, WorkloadSpec
from hwsim.workload.frontends.yaml_connect import Connected, connect
from hwsim.workload.frontends.yaml_context import Context
from hwsim.workload.graph import Source, Workload
from hwsim.workload.sizes import unknown_parameter
from hwsim.workload.weights import WeightsFile, joint_hash, read_weights

INPUT = "input"
_LOWER = {**yaml_lower.LOWER, **yaml_sequence.LOWER}


def read_yaml(source: YamlSource, parameters: Mapping[str, int], seed: int) -> Workload:
    """The workload of a YAML file, its shapes inferred with `parameters` over the file's defaults.

    Raises SpecError with file, line and column of each fault.
    """
    written = load_source(source, WorkloadSpec)
    assert written.origin is not None
    tree = written.origin.tree
    merged = _merge_parameters(source.path, written, parameters)
    inputs = dict(written.inputs) if written.input is None else {INPUT: written.input}
    found = connect(written, tree, list(inputs), merged)
    with placed(child(tree, "dtype")):
        builder = GraphBuilder(written.name, dtype=written.dtype, seed=seed)
    for name, given in inputs.items():
        node = child(tree, "input") if written.input is not None else child(child(tree, "inputs"), name)
        _add_input(builder, name, given, node, merged)
    trained = read_weights(Path(source.path).parent / written.weights) if written.weights else None
    said = _lower(builder, found, trained)
    if trained is not None:
        trained.check_used(name for name, tensor in builder.tensors.items() if tensor.role == "weight")
    with placed(tree):
        return builder.build(
            found.outputs,
            _source_of(source, trained),
            description=written.description,
            parameters=merged,
            synthetic=written.synthetic,
            notes=[*_notes(written), *said],
        )


def _add_input(
    builder: GraphBuilder, name: str, given: Input, node: Node, parameters: Mapping[str, int]
) -> None:
    given = resolved(given, node, parameters)
    shape = tuple(size for size in given.shape if isinstance(size, int))
    with placed(node):
        if given.indices is None:
            builder.input(name, shape, density=given.density)
        else:
            assert isinstance(given.indices, int)
            builder.indices(name, shape, given.indices)


def _lower(builder: GraphBuilder, found: Connected, trained: WeightsFile | None) -> list[str]:
    """Every layer as operators; returns what is to be said of them."""
    names = {layer.name for layer in found.layers}
    asked = [*found.outputs, *(name for layer in found.layers for name in layer.inputs)]
    ends = asked_ends(asked, names)
    said: dict[str, None] = {}
    for layer in found.layers:
        with placed(layer.node):
            at = Context(
                builder,
                layer.name,
                layer.inputs,
                trained,
                said,
                layer.round.resolve,
                ends.get(layer.name, ()),
            )
            _LOWER[type(layer.spec)](at, layer.spec)
    return list(said)


def _source_of(source: YamlSource, trained: WeightsFile | None) -> Source:
    if trained is None:
        return Source(source.path, "yaml", source.sha256)
    return Source(source.path, "yaml", joint_hash(source.sha256, trained.sha256), trained.path)


def _notes(written: WorkloadSpec) -> list[str]:
    notes = [f"network after {written.source}"] if written.source else []
    if written.synthetic:
        notes.append("its shapes are assumed, because no publication gives them")
    return notes


def _merge_parameters(path: str, written: WorkloadSpec, given: Mapping[str, int]) -> dict[str, int]:
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
