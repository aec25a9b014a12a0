"""Choices of lowering that people may make: how attention, convolutions, recurrent layers and pointwise
functions become operators. Each changes what is executed and moved, and never what is computed. None needs a
machine; what follows from one is in `hwsim.lowering`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hwsim.compress.winograd import suits_winograd, winograd
from hwsim.errors import SpecError
from hwsim.workload.graph import Workload
from hwsim.workload.lowering import explicit_patches, functions_apart, plain_attention
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


def choice_texts(chosen: Chosen) -> tuple[str, ...]:
    """Choices as they are written."""
    return tuple(f"{name}={choice}" for name, choice in chosen)


def with_choices(graph: Workload, chosen: Chosen, unfused: frozenset[str] = frozenset()) -> Workload:
    """`graph` with the choices made. `unfused` names attention that no machine at hand has a fused form of,
    which becomes plain operators too where nobody chose. Notes of the workload say what was done, and which
    choice found nothing to apply to; the workload itself where there is nothing to say."""
    made, notes = graph, list(graph.notes)
    for name, choice in _in_order(chosen):
        after, what = _made(made, name, choice, unfused)
        if after is not made:
            notes.append(what)
        elif choice != CHOICES[name][0] and not (choice == "fused" and _has_attention(graph)):
            notes.append(f"--lower {name}={choice} changes nothing: it found no operator to apply to")
        made = after
    return made if len(notes) == len(graph.notes) else replace(made, notes=tuple(notes))


def _in_order(chosen: Chosen) -> list[tuple[str, str]]:
    """Every choice, those that nobody made too, in the order in which they are carried out."""
    choices = {name: listed[0] for name, listed in CHOICES.items()} | dict(chosen)
    return [(name, choices[name]) for name in ("recurrent", "conv", "attention", "fusion")]


def _made(graph: Workload, name: str, choice: str, unfused: frozenset[str]) -> tuple[Workload, str]:
    """What becomes of a network by one choice, itself where that is nothing, and how it is said."""
    attention = "attention is lowered to products and a softmax"
    match name, choice:
        case "recurrent", "batched":
            return with_recurrent_form(graph, "batched"), "recurrent layers are lowered batched"
        case "recurrent", "stepwise":
            return with_recurrent_form(graph, "stepwise"), "recurrent layers are lowered stepwise"
        case "conv", "im2col":
            what = "convolutions in one group are products with explicit patches (im2col)"
            return explicit_patches(graph), what
        case "conv", "winograd2" | "winograd4":
            tile = int(choice.removeprefix("winograd"))
            what = f"3x3 convolutions of stride 1 are computed by F({tile}x{tile})"
            return (winograd(graph, tile) if suits_winograd(graph) else graph), what
        case "attention", "unfused":
            return plain_attention(graph), f"{attention}, with the scores as a tensor"
        case "attention", "auto":
            what = f"{attention}, as the machine has no fused form of it"
            return plain_attention(graph, lambda op: op.name in unfused), what
        case "fusion", "off":
            return functions_apart(graph), "pointwise functions are operators of their own"
    return graph, ""


def _has_attention(graph: Workload) -> bool:
    return any(op.kind == "attention" for op in graph.operators)
