"""Axes of a space: from what a file writes to values, each checked against what it sets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Float64Array, Int64Array
from hwsim.design import Design, load_design
from hwsim.errors import HwsimError, Problem, SpecError
from hwsim.explore.expressions import Condition, read_condition, read_number
from hwsim.explore.recipes import recipe_hash
from hwsim.explore.space_file import MAX_VALUES, AxisSpec, Scalar, SpaceSpec
from hwsim.explore.tables import tables_of, technology_hash
from hwsim.schema.tree import dotted
from hwsim.tensor.formats import find_format
from hwsim.units import DIMENSIONS, parse_quantity
from hwsim.workload import load_workload

NO_RECIPE = "none"
CHOICES = ("workload", "design", "dtype", "weight_dtype", "recipe")
PARAMETER = "workload."


ABSENT = -1  # the index of an axis that does not count at a point


@dataclass(frozen=True, eq=False)
class Axis:
    """`values` are texts as an override takes them; `numbers` what they stand for in base units, None for
    words. `kind` is "workload", "design", "dtype", "weight_dtype", "recipe", "parameter" or "field"."""

    name: str
    kind: str
    values: tuple[str, ...]
    numbers: Float64Array | None
    when: Condition | None = None

    def column(self, indices: Int64Array) -> NDArray[np.generic]:
        """(n,) numbers or words of so many indices; of ABSENT not a number, or None."""
        if self.numbers is not None:
            return np.append(self.numbers, np.nan)[indices]
        return np.array([*self.values, None], dtype=object)[indices]


def problem_at(spec: SpaceSpec, path: tuple[str | int, ...], message: str) -> Problem:
    """A fault at its place in the file, if there is one, or at the override that has changed it."""
    where = dotted(path)
    if spec.origin is None:
        return Problem(spec.name, 0, 0, where, message)
    for changed, text in spec.origin.overrides:
        if f"{changed}.".replace("[", ".").startswith(f"{where}."):
            return Problem(f"--set {changed}={text}", 0, 0, where, message)
    node = spec.origin.tree
    for step in path:
        below = (node.children or {}).get(str(step))
        if below is None and node.items is not None and isinstance(step, int):
            below = node.items[step]
        if below is None:
            break
        node = below
    return Problem(spec.origin.path, node.place.line, node.place.col, where, message)


def read_axis(name: str, written: tuple[Scalar, ...] | AxisSpec) -> Axis:
    """The values of one axis. Raises SpecError for none, for one that comes twice, and for a bad range."""
    spec = AxisSpec(values=written) if isinstance(written, tuple) and written else written
    if not isinstance(spec, AxisSpec):
        raise SpecError("has no values; list at least one, such as [64, 128]")
    texts = tuple(_text(v) for v in spec.values) if spec.values else tuple(_range(spec))
    if len(texts) > MAX_VALUES:
        raise SpecError(f"has {len(texts):,} values, more than {MAX_VALUES:,}")
    read = [read_number(text) for text in texts]
    numbers = None if any(x is None for x in read) else np.array(read, dtype=np.float64)
    same = texts if numbers is None else tuple(numbers.tolist())
    if len(set(same)) < len(same):
        twice = next(i for i in range(len(same)) if same[i] in same[:i])
        first = texts[same.index(same[twice])]
        also = f", which is {first}" if first != texts[twice] else ""
        raise SpecError(f"has the value {texts[twice]} twice{also}: take one of them away")
    kind = name if name in CHOICES else "parameter" if name.startswith(PARAMETER) else "field"
    if kind != "field" and kind != "parameter":
        numbers = None
    return Axis(name, kind, texts, numbers)


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_COUNTED_UNITS = ("B", "B/s", "Hz")


def _range(spec: AxisSpec) -> Iterator[str]:
    """Values of a range as texts, in base units where its ends are quantities."""
    low, unit = _exact(spec.low)
    high, other = _exact(spec.high)
    if unit != other:
        raise SpecError(f"goes from {spec.low} to {spec.high}: give both ends the same kind of unit")
    if not low < high:
        raise SpecError(f"goes from {spec.low} to {spec.high}: `low` must be less than `high`")
    # Nobody wants half a row or a third of a byte between whole ends; of other units and steps they may.
    whole = low == int(low) and high == int(high)
    rounded = whole and (unit in _COUNTED_UNITS or (not unit and spec.scale == "log"))
    numbers = [round(x) if rounded else float(f"{x:.12g}") for x in _numbers(spec, low, high, unit)]
    for number in dict.fromkeys(numbers):  # rounding may bring neighbours together
        text = str(int(number)) if number == int(number) else repr(number)
        yield _in_large_units(number, unit) if unit else text


def _in_large_units(value: float, base: str) -> str:
    """A quantity as people write it: in the largest unit of which it is a whole number."""
    units = next(units for units in DIMENSIONS.values() if base == next(iter(units)))
    exact = Fraction(value)
    for name, factor in sorted(units.items(), key=lambda item: item[1], reverse=True):
        if (exact / factor).denominator == 1 and exact:
            return f"{exact / factor} {name}"
    return f"{value!r} {base}"


def _numbers(spec: AxisSpec, low: float, high: float, unit: str) -> list[float]:
    if spec.count is not None:
        if spec.scale == "linear":
            return [float(x) for x in np.linspace(low, high, spec.count)]
        if low <= 0:
            raise SpecError("a logarithmic range begins above zero")
        return [float(x) for x in np.geomspace(low, high, spec.count)]
    if spec.factor is not None:
        if low <= 0:
            raise SpecError("a range with a factor begins above zero")
        count = math.floor(math.log(high / low) / math.log(spec.factor) + 1e-9) + 1
        _check_count(count)
        return [low * spec.factor**i for i in range(count)]
    step, of = _exact(spec.step)
    if of != unit or step <= 0:
        raise SpecError(f"has a step of {spec.step}: it must be above zero, in the unit of the ends")
    if (high - low) / step > MAX_VALUES:
        raise SpecError(f"has more than {MAX_VALUES:,} values: take a larger step")
    count = math.floor((high - low) / step + 1e-9) + 1
    _check_count(count)
    return [low + step * i for i in range(count)]


def _check_count(count: int) -> None:
    if count > MAX_VALUES:
        raise SpecError(f"has {count:,} values, more than {MAX_VALUES:,}: take a larger step")


def _exact(value: Scalar | None) -> tuple[float, str]:
    """A number and, of a quantity, its base unit."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), ""
    for dimension, units in DIMENSIONS.items():
        try:
            return float(parse_quantity(str(value), dimension)), next(iter(units))
        except ValueError:
            continue
    raise SpecError(f"{value!r} is neither a number nor a quantity, so there is no range from or to it")


def conditional(spec: SpaceSpec, axis: Axis, axes: Sequence[Axis]) -> Axis:
    """The axis with its condition, which names axes that always count."""
    written = spec.axes.get(axis.name)
    if not isinstance(written, AxisSpec) or not written.when:
        return axis
    others = [o for o in axes if o.name != axis.name]
    try:
        when = read_condition(written.when, {o.name for o in others})
        for other in others:
            its = spec.axes.get(other.name)
            if other.name in when.names and isinstance(its, AxisSpec) and its.when:
                raise SpecError(f"its condition names {other.name}, which has a condition itself")
    except SpecError as error:
        raise SpecError(problem_at(spec, ("axes", axis.name, "when"), str(error))) from None
    return Axis(axis.name, axis.kind, axis.values, axis.numbers, when)


def check_axes(spec: SpaceSpec, axes: Sequence[Axis], hashes: dict[str, str]) -> None:
    """Every value of every axis set alone on each base design that its condition allows: what no field
    has, or what lies outside a field's bounds, is told with its place before anything is evaluated."""
    problems = []
    for axis in axes:
        refused: list[str] = []
        for text in axis.values:
            try:
                _check_value(spec, axis, text, axes, hashes)
            except HwsimError as error:
                refused.append(_brief(error))
        if refused:
            problems.append(problem_at(spec, ("axes", axis.name), _once(refused)))
    if problems:
        raise SpecError(problems)


def _once(refused: Sequence[str]) -> str:
    """Why values of an axis are refused: the first, and how many others are for reasons of their own."""
    others = len([message for message in refused if message != refused[0]])
    more = f" (and {others} more of its values {'is' if others == 1 else 'are'} refused)" if others else ""
    return f"{refused[0]}{more}"


def _brief(error: HwsimError) -> str:
    return "; ".join(p.message for p in error.problems) if isinstance(error, SpecError) else str(error)


def _check_value(
    spec: SpaceSpec, axis: Axis, text: str, axes: Sequence[Axis], hashes: dict[str, str]
) -> None:
    if axis.kind in ("workload", "design"):
        return
    if axis.kind in ("dtype", "weight_dtype"):
        find_format(text)
    elif axis.kind == "recipe":
        if text != NO_RECIPE:
            hashes[f"recipe:{text}"] = recipe_hash(text)
    elif axis.kind == "parameter":
        number = (
            float(text) if text.isascii() and read_number(text) is not None and text[-1:].isdigit() else None
        )
        if number is None or not math.isfinite(number) or number != int(number):
            raise SpecError(f"{text!r} is no whole number, which {axis.name} takes")
        for name in spec.workloads:
            load_workload(name, dims={axis.name.removeprefix(PARAMETER): int(number)})
    else:
        bases, beside = _where_active(spec, axis, axes)
        for base in bases:
            try:
                made = load_design(base, [*beside, f"{axis.name}={text}"])
                hashes.update({f"technology:{t}": technology_hash(t) for t in tables_of(made)})
                _check_alone(axis, axes, base, made)
            except SpecError as error:
                faults = [p for p in error.problems if not _set_by_another(p, axis, axes)]
                if said := "; ".join(_of_field(p, axis) for p in faults):
                    raise SpecError(f"{said}{_on(base, bases)}") from None


def _plain_number(text: str) -> float:
    """What a text without a unit stands for; not a number for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_alone(axis: Axis, axes: Sequence[Axis], base: str, made: Design) -> None:
    """Raise SpecError for a field that an axis before this one sets too."""
    assert made.origin is not None
    path, _ = made.origin.overrides[-1]
    for other in axes[: axes.index(axis)]:
        if other.kind == "field" and _is_at(other, path) and other.when is None and axis.when is None:
            twin = load_design(base, [f"{other.name}={other.values[0]}"]).origin
            if twin is not None and twin.overrides[-1][0] == path:
                raise SpecError(f"is the same field as {other.name}, {path}: keep one of them")


def _set_by_another(fault: Problem, axis: Axis, axes: Sequence[Axis]) -> bool:
    """Whether what a value of an axis is at odds with is a field that another axis sets: points decide."""
    return any(_is_at(other, fault.path) for other in axes if other.kind == "field" and other is not axis)


def _is_at(axis: Axis, path: str) -> bool:
    return f".{path}".endswith(f".{axis.name}") or f".{axis.name}".endswith(f".{path}")


def _of_field(fault: Problem, axis: Axis) -> str:
    """A fault, with its field where that is not the one of the axis."""
    if not fault.path or _is_at(axis, fault.path):
        return fault.message
    return f"{fault.path} {fault.message}; it can be an axis too"


def _on(base: str, bases: Sequence[str]) -> str:
    """Which of several designs refuses a value, and what to do where the others do not."""
    if len(bases) == 1:
        return ""
    return f" (on {base}; `when: design == NAME` keeps an axis to designs that take it)"


def _where_active(spec: SpaceSpec, axis: Axis, axes: Sequence[Axis]) -> tuple[list[str], list[str]]:
    """The designs on which an axis counts, and values of other fields that make it count."""
    if axis.when is None:
        return list(spec.designs), []
    named = [o for o in axes if o.name in axis.when.names]
    sizes = [len(o.values) for o in named]
    places = np.stack(np.unravel_index(np.arange(min(math.prod(sizes), 10**5)), sizes), axis=1)
    columns = {o.name: o.column(places[:, i]) for i, o in enumerate(named)}
    holds = np.flatnonzero(np.broadcast_to(axis.when.holds(columns), (len(places),)))
    if not len(holds):
        raise SpecError(f"its condition {axis.when.text!r} holds at no point")
    by_name = {o.name: [o.values[i] for i in places[holds, n]] for n, o in enumerate(named)}
    bases = list(dict.fromkeys(by_name.get("design", spec.designs)))
    fields = [f"{o.name}={by_name[o.name][0]}" for o in named if o.kind == "field"]
    return bases, fields
