"""The fitted constants of a GPU design, from the measurements that ship with hwsim.

Families of operators are fitted one after the other, each with the constants that are its own, and with those
before it as they were found: matrix products first, with the launch cost of their harness, all number formats
together; then, format by format, convolutions and recurrent layers; then products with sparse weights. Only
constants that the design's file names, other than "by hand", are fitted. The loss is the mean absolute log
error, to which each operator in each format contributes the same. Each family is fitted twice more, on one
random half of its rows and on the other, to score each half with constants that have not seen it.

Run it as `python -m hwsim.validate.fit_gpu DESIGN [NEW.yaml]`; NEW.yaml is the design with the constants.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.design import Design, load_design
from hwsim.errors import HwsimError, SpecError
from hwsim.folders import write_text
from hwsim.schema import describe
from hwsim.validate.calibrate import Predictor, constant_text, constants_of, rewritten
from hwsim.validate.measured import reference_rows
from hwsim.validate.robust_fit import Errors, errors_of, fit, halves
from hwsim.validate.rows import MeasuredRow
from hwsim.validate.silicon import contradicts_itself

MOST_ROWS = 200  # of one operator, format and harness: of more, every second, third, ... is fitted on
PULL = 1e-4  # of mean absolute log error for a factor of e: a constant that hardly matters stays
STEP = 0.15  # of the first simplex, in logarithms: what a design says is near
GAIN = 5e-4  # of the mean absolute log error: a search that gains less has ended
BY_HAND = "by hand"  # in the comment behind a constant that no fit may move

Rows = Sequence[MeasuredRow]


@dataclass(frozen=True, slots=True)
class Family:
    """Operators with constants of their own: patterns of paths below `calibration`. In `{harness}` and
    `{dtype}` stand those of the rows. `together`: formats share a fit, as they share a constant."""

    name: str
    ops: tuple[str, ...]
    constants: tuple[str, ...]
    together: bool = False


FAMILIES = (
    Family(
        "matrix products",
        ("gemm",),
        ("launch_us.{harness}", "overfetch", "products.{dtype}.gemm_share", "products.{dtype}.slab_latency"),
        together=True,
    ),
    Family(
        "convolutions",
        ("conv2d",),
        ("products.{dtype}.conv_share", "products.{dtype}.conv_slab_latency"),
    ),
    Family(
        "recurrent layers",
        ("lstm", "gru", "rnn_vanilla"),
        ("products.{dtype}.recurrent_step", "products.{dtype}.recurrent_slab_latency"),
    ),
    Family("sparse products", ("spmm",), ("csr_cycles_per_nonzero", "csr_cycles_per_product")),
)


@dataclass(frozen=True)
class Part:
    """What is fitted at once: constants (path -> unit, start) on rows of one harness."""

    family: str
    harness: str
    rows: tuple[MeasuredRow, ...]
    constants: Mapping[str, tuple[str, float]]

    @property
    def source(self) -> str:
        """What a fitted constant says of itself."""
        ops = ", ".join(dict.fromkeys(row.op for row in self.rows))
        return f"fitted: {self.harness} {ops}, {len(self.rows)} rows"


@dataclass(frozen=True)
class Scored:
    """Errors of the rows of one operator and format: with the constants fitted on all rows of the part, and
    of each half with those fitted on the other, the half first that the calibrated roofline is scored on."""

    op: str
    dtype: str
    rows: int
    fitted: Errors
    held_out: tuple[Errors, Errors]


@dataclass(frozen=True)
class PartFit:
    """A part with its fitted constants (path -> value) and errors."""

    part: Part
    constants: Mapping[str, float]
    scores: tuple[Scored, ...]


@dataclass
class GpuFit:
    """The fit of a design, part after part."""

    design: Design
    parts: list[PartFit] = field(default_factory=list)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The constants found so far, as overrides of the design."""
        return tuple(
            f"{path}={constant_text(value, found.part.constants[path][0])}"
            for found in self.parts
            for path, value in found.constants.items()
        )

    def text(self) -> str:
        """The design's file with the constants."""
        constants = {
            path: (constant_text(value, found.part.constants[path][0]), found.part.source)
            for found in self.parts
            for path, value in found.constants.items()
        }
        return rewritten(self.design, constants, self.fitted_on)

    @property
    def fitted_on(self) -> str:
        """What the design says of its constants, with what halves that were held out score."""
        said = [
            f"{found.part.harness} {s.op} {s.dtype} {s.rows} rows, "
            f"{' and '.join(f'{half.mdape_pct:.1f}' for half in s.held_out)} %"
            for found in self.parts
            for s in found.scores
        ]
        return f"Least mean absolute log error. Rows, and MdAPE of each half by the other: {'; '.join(said)}"


def fit_gpu(
    design: str | Path | Design,
    rows: Iterable[MeasuredRow] | None = None,
    told: Callable[[PartFit], None] | None = None,
) -> GpuFit:
    """Fit the constants of a GPU design on those of `rows` that name it; on all that ship unless given.
    `told` hears of each part when it is done. Raises SpecError for a design of another kind, and for one of
    which no row was measured."""
    machine = load_design(design)
    if machine.device_spec.kind != "gpu":
        raise SpecError(f"{machine.name} is of the kind {machine.device_spec.kind}; fit_gpu fits GPUs")
    given = reference_rows() if rows is None else rows
    mine = [row for row in given if row.design == machine.name and not contradicts_itself(row)]
    found = GpuFit(machine)
    for part in parts_of(machine, mine):
        found.parts.append(_fit_part(found, part))
        if told is not None:
            told(found.parts[-1])
    if not found.parts:
        raise SpecError(
            f"no measurement that ships with hwsim is of {machine.name}: its constants come from a relative"
        )
    return found


def parts_of(design: Design, rows: Rows) -> Iterator[Part]:
    """Parts in the order in which they are fitted. Of several harnesses of one family, the one with the most
    rows comes first, and the others fit what it has left."""
    free = {path: start for path, start in constants_of(design).items() if path not in _by_hand(design)}
    for family in FAMILIES:
        of_family = [row for row in rows if row.op in family.ops]
        groups: dict[tuple[str, str], list[MeasuredRow]] = {}
        for row in of_family:
            dtype = "" if family.together else row.dtype
            groups.setdefault((row.cells.get("harness", ""), dtype), []).append(row)
        for (harness, _), found in sorted(groups.items(), key=lambda item: -len(item[1])):
            formats = dict.fromkeys(row.dtype for row in found)
            wanted = [
                f"calibration.{path.format(harness=harness, dtype=dtype)}"
                for dtype in formats
                for path in family.constants
            ]
            paths = [path for path in free if any(fnmatchcase(path, pattern) for pattern in wanted)]
            if paths:
                yield Part(family.name, harness, tuple(_thinned(found)), {p: free.pop(p) for p in paths})


def _by_hand(design: Design) -> frozenset[str]:
    """Paths of the constants whose comments say that they were fitted by hand."""
    head = f"devices.{design.device_name}."
    return frozenset(row.path.removeprefix(head) for row in describe(design) if BY_HAND in row.source)


def _thinned(rows: Rows) -> Iterator[MeasuredRow]:
    for found in _grouped(rows).values():
        yield from (rows[i] for i in found[:: -(-len(found) // MOST_ROWS)])


def _grouped(rows: Rows) -> Mapping[tuple[str, str], Int64Array]:
    """The indices of rows by operator and number format, in order of first appearance."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row.op, row.dtype), []).append(index)
    return {key: np.array(found, dtype=np.int64) for key, found in groups.items()}


def _fit_part(before: GpuFit, part: Part) -> PartFit:
    """Fit a part with the constants of those before it, and score its halves."""
    machine = load_design(before.design, before.overrides)
    predict = Predictor(machine, part.constants, part.rows, None)
    measured = np.array([row.measured for row in part.rows], dtype=np.float64)
    groups = _grouped(part.rows)
    weights = np.zeros(len(measured))
    for group in groups.values():
        weights[group] = 1 / len(group)
    start = [value for _, value in part.constants.values()]
    everything = np.arange(len(measured))
    best = fit(predict, start, measured, everything, PULL, weights, STEP, GAIN)
    cut = [tuple(group[half] for half in halves(len(group))) for group in groups.values()]
    held_out = np.empty_like(measured)
    for mine, other in ((0, 1), (1, 0)):
        learnt = np.concatenate([pair[mine] for pair in cut])
        scored = np.concatenate([pair[other] for pair in cut])
        constants = fit(predict, best.tolist(), measured, learnt, PULL, weights, STEP, GAIN)
        held_out[scored] = _predicted(predict, constants, scored)
    fitted = _predicted(predict, best, everything)
    scores = tuple(
        Scored(
            op, dtype, len(group), errors_of(fitted[group], measured[group]),
            (errors_of(held_out[second], measured[second]), errors_of(held_out[first], measured[first])),
        )
        for ((op, dtype), group), (first, second) in zip(groups.items(), cut, strict=True)
    )  # fmt: skip
    return PartFit(part, dict(zip(part.constants, best.tolist(), strict=True)), scores)


def _predicted(predict: Predictor, constants: Float64Array, rows: Int64Array) -> Float64Array:
    found = predict(constants, rows)
    assert found is not None  # a fit returns constants within bounds
    return found


def _said(found: PartFit) -> str:
    """A part as lines of text."""
    lines = [f"{found.part.family}, {found.part.harness}"]
    for path, value in found.constants.items():
        lines.append(f"  {path}: {constant_text(value, found.part.constants[path][0])}")
    for s in found.scores:
        errors = (s.fitted, *s.held_out)
        shown = ["/".join(f"{e:.1f}" for e in (one.mdape_pct, one.mape_pct, one.p90_pct)) for one in errors]
        lines.append(
            f"  {s.op} {s.dtype}, {s.rows} rows, MdAPE/MAPE/p90 %: fitted {shown[0]}, halves held out "
            f"{shown[1]} and {shown[2]}"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Fit a design and print what was found; write the design with it, if told where. Returns the exit
    status."""
    if not 1 <= len(arguments) <= 2 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("usage: python -m hwsim.validate.fit_gpu DESIGN [NEW.yaml]\n")
        return 2
    try:
        found = fit_gpu(arguments[0], told=lambda part: print(_said(part), flush=True))  # noqa: T201
        if len(arguments) == 2:
            write_text(arguments[1], found.text())
    except HwsimError as error:
        sys.stderr.write(f"hwsim: error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
