"""Several workloads on several designs: every pair through `run`, and one table of what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from hwsim.compress.lowering import Given as Choices
from hwsim.compress.lowering import choice_texts, read_choices
from hwsim.design import Design, load_design
from hwsim.errors import (
    CapacityError,
    CheckError,
    DeadlockError,
    HwsimError,
    Problem,
    SpecError,
    UnsupportedError,
    VerificationError,
)
from hwsim.pipeline import run
from hwsim.progress import Progress
from hwsim.result import Result
from hwsim.result.comparison import (
    FAULT,
    NO_ROOM,
    RAN,
    REFUSED,
    UNSUPPORTED,
    WRONG,
    ComparedDesign,
    ComparedWorkload,
    Comparison,
    ComparisonRow,
    Figures,
)
from hwsim.tensor.formats import find_format
from hwsim.workload import Workload, load_with
from hwsim.workload.graph import multiplied

Given = str | Path | Workload
Machine = str | Path | Design

DENSE = "dense"
_UNCHECKED = "not computed"
_NOTE = "the numbers were not checked: "  # of `run`, where it could not
_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (UnsupportedError, UNSUPPORTED),
    (CapacityError, NO_ROOM),
    (MemoryError, NO_ROOM),
    (VerificationError, WRONG),
    (CheckError, FAULT),
    (DeadlockError, FAULT),
    (HwsimError, REFUSED),
)


def compare(
    workloads: Given | Sequence[Given],
    designs: Machine | Sequence[Machine],
    *,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    lower: Choices = (),
    timing: str = "auto",
    verify: bool | None = False,
    progress: Progress | None = None,
    **parameters: int,
) -> Comparison:
    """Run every workload on every design, and set what came out side by side.

    Both are names, paths or loaded objects, one or several: forms of a network (dense and compressed, or of
    several batches) are workloads of the same name, designs with overrides are loaded first. The rest is as
    for `run`, and the same for all pairs. `progress` is called with (runs done, runs in all).

    A pair that cannot run becomes a row with the reason, and the others go on. Raises SpecError, before
    anything runs, for what cannot be loaded (all of it at once), and for duplicates.
    """
    formats = [name for name in (dtype, weight_dtype) if name is not None]
    chosen = read_choices(lower)
    graphs, machines = _loaded(workloads, designs, formats, parameters)
    of_graph, of_machine = _describe_workloads(graphs), _describe_designs(machines)
    rows: list[ComparisonRow] = []
    unmodelled: dict[str, dict[str, None]] = {one.design: {} for one in of_machine}
    total = len(graphs) * len(machines)
    for graph, form in zip(graphs, of_graph, strict=True):
        for machine, place in zip(machines, of_machine, strict=True):
            if progress is not None:
                progress(len(rows), total)
            pair = (form.workload, form.form, form.batch, place.design, place.kind)
            try:
                result = run(
                    graph, machine, dtype=dtype, weight_dtype=weight_dtype, lower=dict(chosen),
                    timing=timing, verify=verify,
                )  # fmt: skip
            except (HwsimError, MemoryError) as error:
                outcome, reason = _failure(error, f"{graph.name} on {machine.name}: ")
                rows.append(ComparisonRow(*pair, outcome, reason))
                continue
            unmodelled[place.design] |= dict.fromkeys(result.provenance.unmodelled)
            rows.append(ComparisonRow(*pair, RAN, figures=_figures(result)))
    if progress is not None:
        progress(total, total)
    return Comparison(
        tuple(rows),
        of_graph,
        tuple(replace(one, unmodelled=tuple(unmodelled[one.design])) for one in of_machine),
        lowering=choice_texts(chosen),
    )


# -- what is compared ------------------------------------------------------------------------------------


def _loaded(
    workloads: Given | Sequence[Given],
    designs: Machine | Sequence[Machine],
    formats: Sequence[str],
    parameters: dict[str, int],
) -> tuple[list[Workload], list[Design]]:
    """Everything that is compared. Raises one SpecError for all that is wrong with it."""
    problems: list[Problem] = []
    graphs: list[Workload] = []
    machines: list[Design] = []
    for workload in [workloads] if isinstance(workloads, str | Path | Workload) else workloads:
        try:
            graphs.append(load_with(workload, parameters))
        except SpecError as error:
            problems += error.problems
    for design in [designs] if isinstance(designs, str | Path | Design) else designs:
        try:
            machines.append(load_design(design))
        except SpecError as error:
            problems += error.problems
    for name in formats:
        try:
            find_format(name)
        except SpecError as error:
            problems += error.problems
    if not problems:
        for what, count in (("workload", len(graphs)), ("design", len(machines))):
            if not count:
                problems.append(_plain(f"a comparison needs at least one {what}, and has none"))
        problems += _twice("workload", [(g.name, g.content_hash) for g in graphs])
        problems += _twice("design", [(m.name, m.content_hash) for m in machines])
    if problems:
        raise SpecError(problems)
    return graphs, machines


def _plain(message: str) -> Problem:
    return Problem("", 0, 0, "", message)


def _twice(what: str, named: Sequence[tuple[str, str]]) -> list[Problem]:
    return [
        _plain(f"{what} {name} is given {count} times: name each once")
        for (name, _), count in Counter(named).items()
        if count > 1
    ]


def _describe_workloads(graphs: Sequence[Workload]) -> tuple[ComparedWorkload, ...]:
    """With forms that tell workloads of one name and batch apart."""
    forms = [weight_form(graph) for graph in graphs]
    keys = [(graph.name, form, graph.batch) for graph, form in zip(graphs, forms, strict=True)]
    apart = _told_apart(keys, [(graph.source.path, graph.content_hash[:8]) for graph in graphs])
    return tuple(
        ComparedWorkload(
            graph.name, form + mark, graph.batch, graph.macs, graph.synthetic, graph.source.path,
            graph.source.sha256, dict(graph.parameters), graph.history,
        )
        for graph, form, mark in zip(graphs, forms, apart, strict=True)
    )  # fmt: skip


def weight_form(graph: Workload) -> str:
    """What compression left of the weights that are multiplied, in a few words; "dense" where they are all
    there and stored as they are."""
    names = dict.fromkeys(name for op in graph.operators for name in multiplied(op))
    weights = [t for t in map(graph.tensor, names) if t.role in ("weight", "constant")]
    held = sum(t.elements for t in weights)
    kept = sum(round(t.elements * t.density) for t in weights)
    words = [f"{100 * kept / held:.3g} % not zero"] if kept < held else []
    if shared := sorted({len(t.codebook) for t in weights} - {0}):
        words.append(f"{_span(shared)} shared values")
    if any(t.quantisation is not None for t in weights):
        words.append(f"{', '.join(sorted({t.dtype for t in weights if t.quantisation is not None}))} grid")
    words += sorted({t.codec for t in weights} - {DENSE})
    return ", ".join(words) or (", ".join(_methods(graph.history)) or DENSE)


def _span(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _methods(history: Sequence[str]) -> list[str]:
    """The methods that a history names, without their settings; its first line says where it began."""
    return list(dict.fromkeys(step.partition(":")[0] for step in history[1:]))


def _describe_designs(machines: Sequence[Design]) -> tuple[ComparedDesign, ...]:
    """With names that tell designs of one name apart."""
    marks = [(_changes(machine), machine.path, machine.content_hash[:8]) for machine in machines]
    apart = _told_apart([machine.name for machine in machines], marks)
    return tuple(
        ComparedDesign(
            machine.name + mark, machine.device_spec.kind, machine.description, machine.path, machine.sha256,
            machine.overrides, machine.published,
        )
        for machine, mark in zip(machines, apart, strict=True)
    )  # fmt: skip


def _changes(machine: Design) -> str:
    """What was set, as briefly as it can be said."""
    place = f"devices.{machine.device_name}."
    return ", ".join(text.removeprefix(place) for text in machine.overrides) or "as in its file"


def _told_apart(keys: Sequence[Hashable], marks: Sequence[tuple[str, ...]]) -> list[str]:
    """For each key that is not alone, the first of its marks in which all of its group differ."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    found = [""] * len(keys)
    for members in groups.values():
        if len(members) > 1:
            columns = zip(*(marks[i] for i in members), strict=True)
            mark = next(column for column in columns if len(set(column)) == len(members))
            for index, text in zip(members, mark, strict=True):
                found[index] = f" ({text})"
    return found


# -- what came out ---------------------------------------------------------------------------------------


def _failure(error: BaseException, prefix: str) -> tuple[str, str]:
    """How a pair ended, and why."""
    outcome = next(outcome for kind, outcome in _OUTCOMES if isinstance(error, kind))
    if isinstance(error, MemoryError):
        return outcome, "hwsim ran out of memory"
    return outcome, " ".join(str(error).split()).removeprefix(prefix)


def _figures(result: Result) -> Figures:
    band = result.time_band
    low_s, high_s = (None, None) if band is None else band.real_s(result.latency_s)
    return Figures(
        dtype=result.dtype,
        latency_s=result.latency_s,
        energy_j=result.energy_j,
        area_mm2=result.area_mm2,
        macs=result.macs,
        multiplications=result.multiplications,
        limit=result.limit,
        limit_busy=result.busy_share.get(result.limit, 0.0),
        numbers_checked=result.verification is not None,
        verified=_checked(result),
        error=result.error_words,
        low_s=low_s,
        high_s=high_s,
    )


def _checked(result: Result) -> str:
    """How the numbers were checked, or why they were not."""
    if result.verification is not None:
        return result.verification.verdict
    pair = f"{_NOTE}{result.workload} on {result.design}: "
    reasons = (note.removeprefix(pair) for note in result.provenance.notes if note.startswith(pair))
    return next((f"{_UNCHECKED}: {reason}" for reason in reasons), _UNCHECKED)
