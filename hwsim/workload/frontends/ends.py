"""Further results of a layer in a workload file: what the last step of a recurrent layer `encoder` leaves
is `encoder.state` and, of an lstm, `encoder.cell`."""

from __future__ import annotations

from collections.abc import Container, Iterable

from hwsim.workload.recurrent_layer import ENDS

RECURRENT_KINDS = ("lstm", "gru", "rnn")


def layer_and_end(name: str, layers: Container[str]) -> tuple[str, str]:
    """The layer whose result `name` is, and which of its ends: empty for the result that bears its name."""
    layer, _, end = name.rpartition(".")
    return (layer, end) if name not in layers and end in ENDS and layer in layers else (name, "")


def no_such_end(kind: str, end: str) -> str:
    """Why a layer of that kind has no such end, or an empty string."""
    if kind not in RECURRENT_KINDS:
        return f"only {', '.join(RECURRENT_KINDS)} layers leave a last {end}, and it is a {kind}"
    return "" if end == "state" or kind == "lstm" else f"a {kind} has no cell: take its last state"


def asked_ends(names: Iterable[str], layers: Container[str]) -> dict[str, tuple[str, ...]]:
    """Which ends are among `names`, by the layer that has them."""
    found: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(names):
        layer, end = layer_and_end(name, layers)
        if end:
            found[layer] = (*found.get(layer, ()), end)
    return found
