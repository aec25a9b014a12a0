"""Every field of every shipped design has a witness: a run that changes when the field does (rule 5).

The walk is generic, over whatever the specs declare. A field is changed to other values inside its bounds; if
no run of a small set notices in time, usage or area, the field means nothing and must be given a meaning or
go. Descriptive fields are exempt, and marked so in their declaration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from hwsim.design import Design, load_design
from hwsim.design.kinds.cpu import CpuSpec
from hwsim.design.kinds.eie import EieSpec
from hwsim.design.kinds.gpu import GpuSpec
from hwsim.design.kinds.published import PublishedSpec
from hwsim.design.kinds.systolic import ArraySpec, SystolicSpec
from hwsim.errors import CapacityError, SpecError
from hwsim.library import find, names
from hwsim.pipeline import run
from hwsim.schema import Spec
from hwsim.schema.spec import file_key
from hwsim.workload import Workload, conv2d, load_workload, matmul, matvec, recurrent
from hwsim.workload.operators import Elementwise, Matmul
from tests.gpu_samples import two_of_four
from tests.networks import network, operator
from tests.sparse import SPARSE

UNIT = {"hz": "Hz", "bytes": "B", "bytes_per_s": "B/s", "nm": "nm", "s": "s", "w": "W", "mm2": "mm2"}

# Fields that mean something only beside another one: what else to set, and why alone they say nothing.
TOGETHER = {
    "array.drain": ("array.drain_cycles=40",),  # ws and is need no time to drain unless the design gives one
    "accumulators.banks": ("accumulators.rows=64",),  # unlimited rows are in no bank
    "unified_buffer.bank": ("unified_buffer.size=1 MiB",),  # an unlimited buffer has no banks
    "weight_memory.channels": ("weight_memory.technology=ddr3",),  # an ideal memory has none
    "calibration.host_efficiency": ("host_link.bandwidth=1 GB/s",),  # of the link, if the design has one
    "calibration.host_overlap": ("host_link.bandwidth=1 GB/s",),
    "clock.base": ("power.idle=1 W", "power.limit=2 W", "power.multiply_pj.fp32=900"),  # it is held
    "calibration.overfetch": ("calibration.overfetch_beyond=1 KiB",),
    "calibration.overfetch_of": ("calibration.overfetch_beyond=1 KiB", "calibration.overfetch=3"),
    "harness": ("calibration.launch_us.loop=9",),  # it names one of these
    "io.bandwidth": ("pointer_sram.size=64 B",),  # where all weights have room, nothing comes in
}
# Fields that decide whether a run is possible at all: their witness is a refusal that gives the figure.
REFUSES = ("weight_memory.size", "memory.size")
# One word is all that can be written where there is one kind and one device: see the last test but one. What
# says how devices share a network, and the designs that do, are test_shared_witness's.
ONLY_ONE = ("kind", "default_device", "host_device")
ALONE = [name for name in names("designs") if not load_design(name).host_device]


Outcome = tuple[Any, ...]
Formats = tuple[str | None, str | None]
OWN: Formats = (None, None)  # the number format that the design itself names


@dataclass(frozen=True)
class Found:
    """One field of a design: its full path, its owner's class, and its value (a default in absent
    sections)."""

    path: str
    owner: type[Spec]
    name: str
    value: Any

    @property
    def tail(self) -> str:
        """The path within its device."""
        return self.path.split(".", 2)[2] if self.path.startswith("devices.") else self.path


def fields(owner: type[Spec], spec: Spec | None, path: tuple[str, ...] = ()) -> Iterator[Found]:
    """All fields that are not descriptive, those of optional sections that the design leaves out included."""
    for name, said in owner.declared.items():
        info, here = owner.model_fields[name], (*path, file_key(name))
        value = getattr(spec, name) if spec is not None else None if info.is_required() else info.default
        section = next((part for part in parts(info.annotation) if issubclass(part, Spec)), None)
        if said.descriptive:
            continue
        if section is not None:
            yield from fields(section, value, here)
        elif isinstance(value, dict):
            for key, entry in value.items():
                if isinstance(entry, Spec):
                    yield from fields(type(entry), entry, (*here, key))
                else:
                    yield Found(".".join((*here, key)), owner, name, entry)
        else:
            yield Found(".".join(here), owner, name, value)


def parts(annotation: Any) -> tuple[type, ...]:
    """The classes that an annotation stands for: of `A | None` both."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(found for part in get_args(annotation) for found in parts(part))
    return (annotation,) if isinstance(annotation, type) else ()


def words(annotation: Any) -> tuple[str, ...]:
    """The words of a Literal."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def others(found: Found) -> Iterator[str]:
    """Other values of a field, as a file would write them; some may lie outside the bounds."""
    said, annotation, value = (
        found.owner.declared[found.name],
        found.owner.model_fields[found.name].annotation,
        found.value,
    )
    if isinstance(value, bool):
        yield str(not value).lower()
        return
    if words(annotation):
        yield from (word for word in words(annotation) if word != value)
        return
    if found.name == "harness":
        yield "loop"
        return
    if said.unlimited and value is not None:
        yield "unlimited"
    if isinstance(value, int | float) and value:
        tries = [value * 2, value / 2, value / 8, value / 100, value / 10_000, 1, 3]
    else:
        tries = [0.3, 1, 7, 200, 4096, 50_000, 10**6, 10**9]
    whole = isinstance(value, int) or int in parts(annotation)
    unit = f" {UNIT[said.dimension]}" if said.dimension else ""
    for number in dict.fromkeys(int(t) if whole else t for t in tries):
        if number != value and number > 0:
            yield f"{number}{unit}"


def other_table(folder: Path) -> str:
    """The technology table with the energy of multipliers changed, as a file of its own."""
    changed = find("technology", "horowitz").read_text()
    for row, other in (("int8,,,45,0.2,", "int8,,,45,0.4,"), ("fp32,,,45,3.7,", "fp32,,,45,7.4,")):
        assert f"multiplier,energy,{row}" in changed
        changed = changed.replace(f"multiplier,energy,{row}", f"multiplier,energy,{other}")
    path = folder / "other.csv"
    path.write_text(changed)
    return str(path)


@cache
def witnesses(kind: str) -> tuple[Workload, ...]:
    if kind == "eie":
        return (
            load_workload(SPARSE),
            matvec(700, 9000, density=0.1, act_density=0.3),  # more inputs than source registers
            matvec(9000, 60, density=0.1),  # more outputs than registers
        )
    if kind == "gpu":
        return (
            matmul(300, 200, 3000),
            matmul(64, 64, 3000),  # few thread blocks
            matmul(16, 300, 1000),  # narrow
            matmul(2048, 2048, 2048, layout="tt"),  # operands read along their short sides
            conv2d(2, 32, 20, 20, 64, 5),
            matvec(1600, 400, density=0.1),
            recurrent("gru", 64, 8, 3),
            two_of_four(matmul(64, 64, 3000, dtype="fp32")),
        )
    if kind == "cpu":
        return (
            chain(),
            conv2d(2, 32, 12, 12, 32, 3, pad=1),
            matmul(1, 3000, 2000),  # a matrix that streams past
            matmul(4, 16, 900),  # fewer register tiles than cores, which share the sum
            matvec(2000, 3000, density=0.1),
        )
    return (
        chain(),
        matmul(20, 600, 700),  # many weight tiles of few rows
        matmul(9000, 20, 30),  # more rows than accumulators
        conv2d(1, 32, 12, 12, 32, 2, pad=1, groups=32),  # groups so small that they could share an array
    )


def chain() -> Workload:
    """Two products with relu between them."""
    return network(
        {"x": (70, 90)},
        {"w1": (90, 300), "w2": (300, 40)},
        [
            (operator(Matmul(1, 70, 300, 90), "x w1", "h"), (70, 300)),
            (operator(Elementwise("relu", 21000), "h", "r"), (70, 300)),
            (operator(Matmul(1, 70, 40, 300), "r w2", "y"), (70, 40)),
        ],
        ["y"],
    )


@cache
def outcome(design: Design, at: int, formats: Formats) -> Outcome:
    """All that the run of witness `at` says of time, usage and area, to compare."""
    found = run(witnesses(design.device_spec.kind)[at], design, dtype=formats[0], weight_dtype=formats[1])
    timing, usage, area = found.timing, found.usage, found.area
    return (
        timing.makespan_ps, timing.busy_ps.tolist(), timing.stalls_ps.tolist(), timing.completion_ps.tolist(),
        timing.bound_ps.tolist(),
        usage.keys, usage.counts.tolist(), usage.energy_pj_per_count.tolist(), area.components, area.area_mm2,
        area.leakage_w,
    )  # fmt: skip


def is_witnessed(design: Design, found: Found, values: Iterable[str]) -> bool:
    """Whether some run differs between the design and the design with another value of the field. Rates are
    seen by runs in their own number formats, all else by runs in the design's."""
    formats: list[Formats] = [OWN]
    if found.name in ("cycles_per_row", "products_per_lane"):
        first, _, second = found.path.rpartition(".")[2].partition("x")
        formats = [(first, second or first)]
    if isinstance(design.device_spec, GpuSpec):
        # What is said of one number format is seen by runs in it.
        named = [word for word in re.split("[./]", found.path) if word in design.device_spec.units]
        chosen = named if found.name != "dtype" else ()
        formats = [(word, word) for word in chosen] or [OWN, *((u, u) for u in design.device_spec.units)]
    beside: tuple[str, ...] = TOGETHER.get(found.tail, ())
    if isinstance(design.device_spec, CpuSpec) and found.tail.startswith("power."):
        beside = ("power.idle=1 W", "power.core=1 W")  # of a section that must have both
    if found.name == "launch_us":
        # The cost of one that the design names.
        beside = (f"harness={found.path.rpartition('.')[2].partition('/')[0]}",)
    for together in {(), beside}:
        base = load_design(design, together)
        for text in values:
            try:
                changed = load_design(design, (*together, f"{found.path}={text}"))
            except SpecError:
                continue  # outside its bounds, or at odds with another field
            for pair, at in product(formats, range(len(witnesses(design.device_spec.kind)))):
                try:
                    if outcome(base, at, pair) != outcome(changed, at, pair):
                        return True
                except CapacityError:
                    if found.tail in REFUSES:
                        return True
    return False


def multiplied(spec: Spec) -> Collection[str]:
    """The number formats that a machine multiplies."""
    if isinstance(spec, SystolicSpec):
        return spec.array.cycles_per_row
    if isinstance(spec, CpuSpec):
        return spec.vector.products_per_lane
    if isinstance(spec, GpuSpec):
        return spec.units
    assert isinstance(spec, EieSpec)
    return (spec.dtype,)


@pytest.mark.parametrize("name", ALONE)
def test_every_field_has_a_witness(name: str, tmp_path: Path) -> None:
    design = load_design(name)
    without = []
    for found in fields(Design, design):
        values = [other_table(tmp_path)] if found.path == "technology.table" else list(others(found))
        if found.name == "dtype":
            spec = design.device_spec
            known = multiplied(spec)
            values = [text for text in values if text in known]
            if not values:
                continue  # the machine multiplies one format
        if found.name not in ONLY_ONE and not is_witnessed(design, found, values):
            without.append(found.path)
    assert not without, f"{name}: no run notices a change of {', '.join(without)}"


def test_the_default_device_runs_the_workload(tmp_path: Path) -> None:
    """`default_device` can be changed where there are two."""
    text = (Path(__file__).parents[1] / "tiny.yaml").read_text()
    head, _, body = text.partition("kind: systolic")
    device = "    " + ("kind: systolic" + body).replace("\n", "\n    ").rstrip()
    path = tmp_path / "pair.yaml"
    other = device.replace("lanes: 2", "lanes: 1")
    path.write_text(f"{head}default_device: left\ndevices:\n  left:\n{device}\n  right:\n{other}\n")
    assert outcome(load_design(path), 0, OWN) != outcome(load_design(path, ("default_device=right",)), 0, OWN)


def test_a_field_that_nothing_reads_is_noticed() -> None:
    """The test of the test: descriptive fields, which nothing reads, have no witness."""
    design = load_design("tpu_v1")
    device = f"devices.{design.device_name}"
    published = Found(f"{device}.published.busy_power", PublishedSpec, "busy_power_w", 40.0)
    assert not is_witnessed(design, published, ["41 W", "400 W"])
    assert is_witnessed(design, Found(f"{device}.array.rows", ArraySpec, "rows", 256), ["128"])
