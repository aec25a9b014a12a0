"""Choices of lowering that a run may make: how attention, convolutions, recurrent layers and pointwise
functions become operators. Each changes what is executed and moved, and never what is computed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from hwsim.compress.winograd import winograd
from hwsim.devices import Device
from hwsim.errors import SpecError
from hwsim.placement import Machine, SharedMachine
from hwsim.units import format_bytes
from hwsim.workload import Workload
from hwsim.workload.lowering import (
    explicit_patches,
    functions_apart,
    fused_traffic_bytes,
    plain_attention,
)
from hwsim.workload.recurrent_form import with_recurrent_form

# What may be chosen; the first is what happens where nobody chooses.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "attention": ("auto", "fused", "unfused"),
    "conv": ("direct", "im2col", "winograd2", "winograd4"),
    "recurrent": ("written", "batched", "stepwise"),
    "fusion": ("on", "off"),
}
Given = Mapping[str, str] | Iterable[str]
Chosen = tuple[tuple[str, str], ...]


def read_choices(given: Given) -> Chosen:
    """Choices as (name, choice), sorted, from a mapping or "name=choice" texts. Raises SpecError for others
    than CHOICES has, and for one that is made twice."""
    pairs: list[tuple[str, str]] = []
    if isinstance(given, Mapping):
        pairs = [(str(name), str(choice)) for name, choice in given.items()]
    else:
        for text in (given,) if isinstance(given, str) else given:
            name, equals, choice = (part.strip() for part in text.partition("="))
            if not equals:
                raise SpecError(f"--lower {text}: write name=choice, such as attention=unfused")
            pairs.append((name, choice))
    found: dict[str, str] = {}
    for name, choice in pairs:
        if name not in CHOICES:
            raise SpecError(f"--lower {name}={choice}: there is no such choice{_near(name, tuple(CHOICES))}")
        if choice not in CHOICES[name]:
            raise SpecError(f"--lower {name}={choice}: {_near(choice, CHOICES[name]).removeprefix('; ')}")
        if name in found:
            raise SpecError(f"--lower {name}={choice}: {name} is chosen twice")
        found[name] = choice
    return tuple(sorted(found.items()))


def _near(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"; {hint}known: {', '.join(known)}"


def lowered(graph: Workload, machine: Machine, chosen: Chosen = ()) -> Workload:
    """`graph` with the choices made, and attention that the machine has no fused form of as plain operators.
    Notes of the workload say what was done. The workload itself where nothing is."""
    device = _first(machine)
    unfused = frozenset(
        op.name
        for op in graph.operators
        if op.kind == "attention" and device.supports(op, [graph.tensors[name].dtype for name in op.inputs])
    )
    return _lowered(graph, chosen, unfused)


@lru_cache(maxsize=128)
def _lowered(graph: Workload, chosen: Chosen, unfused: frozenset[str]) -> Workload:
    """As `lowered`; `unfused` is attention that the machine has no fused form of."""
    choices = dict(chosen)
    made: list[tuple[Workload, str]] = []  # what became of the network, and how that is said

    def now() -> Workload:
        return made[-1][0] if made else graph

    match choices.get("recurrent", "written"):
        case "batched":
            made.append((with_recurrent_form(now(), "batched"), "recurrent layers are lowered batched"))
        case "stepwise":
            made.append((with_recurrent_form(now(), "stepwise"), "recurrent layers are lowered stepwise"))
    conv = choices.get("conv", "direct")
    if conv == "im2col":
        what = "convolutions in one group are products with explicit patches (im2col)"
        made.append((explicit_patches(now()), what))
    elif conv.startswith("winograd"):
        tile = int(conv.removeprefix("winograd"))
        made.append((winograd(now(), tile), f"3x3 convolutions of stride 1 are computed by F({tile}x{tile})"))
    what = "attention is lowered to products and a softmax"
    match choices.get("attention", "auto"):
        case "unfused":
            made.append((plain_attention(now()), f"{what}, with the scores as a tensor"))
        case "auto":
            why = ", as the machine has no fused form of it"
            made.append((plain_attention(now(), lambda op: op.name in unfused), f"{what}{why}"))
    if choices.get("fusion", "on") == "off":
        made.append((functions_apart(now()), "pointwise functions are operators of their own"))
    befores = (graph, *(after for after, _ in made))
    notes = [what for before, (after, what) in zip(befores, made, strict=False) if after is not before]
    count, saved = fused_traffic_bytes(now())
    if count:
        what = "1 pointwise function is" if count == 1 else f"{count} pointwise functions are"
        notes.append(
            f"{what} fused behind what makes the operands, which keeps "
            f"{format_bytes(saved)} from being written and read in between"
        )
    return replace(now(), notes=(*graph.notes, *notes)) if notes else graph


def _first(machine: Machine) -> Device:
    """The device that runs what it can."""
    return machine.devices[machine.default] if isinstance(machine, SharedMachine) else machine
