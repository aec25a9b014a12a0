"""Workloads of layers that stand apart: each has an input of its own, and none takes another's result. What
topologies of SCALE-Sim and lists of matrix products say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hwsim.errors import CapacityError, SpecError
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.frontends.records import MAX_ROWS, Faults
from hwsim.workload.graph import Source, Workload

FORMAT = "fp32"  # until a run takes the design's own

APART = (
    "its layers stand apart: each takes an input of its own from the device's memory and leaves its result "
    "there; nothing passes from layer to layer, and nothing comes from or goes to a host"
)


@dataclass(frozen=True, slots=True)
class Window:
    """A convolution. The map holds its padding already; where the last window reaches past it, `beyond` rows
    and columns of zeros follow."""

    name: str
    line: int
    batch: int
    map: tuple[int, int]
    kernel: tuple[int, int]
    channels: int
    filters: int
    stride: tuple[int, int]
    beyond: tuple[int, int] = (0, 0)
    groups: int = 1
    density: float = 1.0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Product:
    """out[batch, M, N] = a[batch, M, K] b[batch, K, N], `count` times; `b` is held as weights."""

    name: str
    line: int
    M: int
    N: int
    K: int
    batch: int = 1
    density: float = 1.0
    count: int = 1


Apart = Window | Product


def build_apart(
    name: str,
    layers: Sequence[Apart],
    source: Source,
    faults: Faults,
    *,
    parameters: Mapping[str, int],
    seed: int,
    notes: Sequence[str] = (),
) -> Workload:
    """The workload of such layers. Raises SpecError, with the row, for a layer that cannot be, CapacityError
    for more of them than hwsim takes."""
    total = sum(layer.count for layer in layers)
    if total > MAX_ROWS:
        raise CapacityError(
            f"{faults.file}: {total:,} layers, repeats included, are more than the {MAX_ROWS:,} hwsim takes"
        )
    builder = GraphBuilder(name, dtype=FORMAT, seed=seed)
    outputs = []
    taken: Counter[str] = Counter()
    for layer in layers:
        for turn in range(1, layer.count + 1):
            called = unique(layer.name if layer.count == 1 else f"{layer.name}.{turn}", taken)
            try:
                outputs.append(_add(builder, called, layer))
            except SpecError as error:
                faults.add(layer.line, "", str(error))
                break
            except CapacityError as error:
                where = f"{faults.file}:{layer.line}" if layer.line else faults.file
                raise CapacityError(f"{where}: {error}") from None
    faults.refuse()
    built = builder.build(outputs, source, parameters=parameters, notes=[APART, *notes])
    return replace(built, operands_in_memory=True)


def unique(name: str, taken: Counter[str]) -> str:
    """`name`, or with a number behind it where it is taken: files give one name to several layers."""
    found = name
    while taken[found]:
        taken[name] += 1
        found = f"{name}#{taken[name]}"
    taken[found] += 1
    return found


def _add(builder: GraphBuilder, name: str, layer: Apart) -> str:
    weight = f"{name}.weight"
    if isinstance(layer, Product):
        lead = (layer.batch,) if layer.batch > 1 else ()
        x = builder.input(f"{name}.input", (*lead, layer.M, layer.K))
        w = builder.weight(weight, (*lead, layer.K, layer.N), fan_in=layer.K, density=layer.density)
        return builder.matmul(Label(name), x, w)
    per_group = layer.channels // layer.groups
    r, s = layer.kernel
    x = builder.input(f"{name}.input", (layer.batch, layer.channels, *layer.map))
    w = builder.weight(
        weight, (layer.filters, per_group, r, s), fan_in=per_group * r * s, density=layer.density
    )
    return builder.conv2d(
        Label(name), x, w, stride=layer.stride, pad=(0, 0, *layer.beyond), groups=layer.groups
    )


def workload_name(path: Path) -> str:
    """What a workload is called after its file: letters, digits, and _ . - within."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in path.stem)
    return kept.lstrip("_.-")[:100] or "workload"
