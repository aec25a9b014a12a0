"""How values and their faults are told to people: what is wrong, what is there, how to mend it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from hwsim.units import DIMENSIONS

UNLIMITED = "unlimited"

_MAX_SHOWN = 60

# Faults of form, by pydantic's names: something else stands where a section, or a list, should.
_SECTIONS = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
_LISTS = ("tuple_type", "list_type")
FORMS = (*_SECTIONS, *_LISTS)


def shown(value: object) -> str:
    """A value in a message: text in quotes, scalars as YAML writes them, never more than a short line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, tuple | list):
        return "a list"
    text = f"{value!r}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def near(word: str, known: Iterable[str]) -> list[str]:
    """Up to three of the known words that `word` may be a slip of, the nearest first."""
    folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower()[:_MAX_SHOWN], folded, n=3, cutoff=0.6)
    return [folded[name] for name in found]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean 'rows'?' for a near miss, else the list of what there is."""
    names = list(known)
    if found := near(word, names):
        return "did you mean " + " or ".join(f"'{name}'" for name in found) + "?"
    return f"known: {', '.join(names)}" if names else "none is known"


def mend(kind: str, value: object, context: Mapping[str, Any], plain: str) -> str:
    """One message for a pydantic error type, the value it met and its context; `plain` is pydantic's own."""
    what = shown(value)
    if kind in ("int_type", "int_from_float", "int_parsing"):
        cure = ""
        if isinstance(value, float) and value == value and abs(value) < 1e15 and value.is_integer():
            cure = f"; write {int(value)}"
        elif isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,15}\s*", value):
            cure = "; take the quotes away"
        return f"must be a whole number, not {what}{cure}"
    if kind in ("float_type", "float_parsing"):
        quoted = isinstance(value, str) and re.fullmatch(r"[-+]?\d{0,15}\.?\d{1,15}", value)
        return f"must be a number, not {what}{'; take the quotes away' if quoted else ''}"
    if kind == "finite_number":
        return f"must be a finite number, not {what}"
    if kind == "bool_type":
        return f"must be true or false, not {what}"
    if kind == "string_type":
        scalar = isinstance(value, int | float)
        return f"must be text, not {what}{'; put it in quotes' if scalar else ''}"
    if kind in _SECTIONS:
        return f"must be a section of `key: value` lines, not {what}"
    if kind in _LISTS:
        return f"must be a list, not {what}"
    if kind == "literal_error":
        return one_of(value, re.findall(r"'([^']*)'", context.get("expected", "")))
    bound = _BOUNDS.get(kind)
    if bound:
        return f"must be {bound[0]} {_number(context[bound[1]])}, not {what}"
    if kind == "value_error":
        return str(context.get("error", plain))
    return f"{plain[:1].lower()}{plain[1:]}, not {what}"


def either(one: str, other: str) -> str:
    """What two alternatives of one value say of it, as one message: 'must be a list or text, not 5'."""
    first, second = (_WANTED.fullmatch(message) for message in (one, other))
    if first and second and first[2] == second[2]:
        return f"must be {first[1]} or {second[1]}, not {first[2]}"
    return f"{one}; or it {other}"


_WANTED = re.compile(r"must be ([^;]+?), not ([^;]+)")


def _number(bound: float) -> str:
    return f"{int(bound)}" if bound == int(bound) else f"{bound:g}"


_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
OUT_OF_BOUNDS = tuple(f"must be {words} " for words, _ in _BOUNDS.values())


def one_of(value: object, words: Iterable[str]) -> str:
    """A word that is not among those known."""
    known = list(words)
    if not isinstance(value, str):
        return f"must be one of {', '.join(known)}, not {shown(value)}"
    cure = did_you_mean(value, known)
    listed = f" ({', '.join(known)})" if cure.startswith("did") and len(known) > 1 else ""
    return f"{shown(value)} is not known here; {cure}{listed}"


def format_quantity(value: float, dimension: str) -> str:
    """A value in base units as a person would write it, exactly: 25165824 bytes is '24 MiB'."""
    exact = Fraction(value)
    best = ""
    for unit, factor in sorted(DIMENSIONS[dimension].items(), key=lambda pair: pair[1], reverse=True):
        scaled = exact / factor
        if scaled < 1 and factor > 1:
            continue
        number = _decimal(scaled)
        if number and (not best or len(number) < len(best.split()[0])):
            best = f"{number} {unit}"
    base = next(iter(DIMENSIONS[dimension]))
    return best or f"{float(exact):.6g} {base}"


def _decimal(value: Fraction) -> str:
    """The decimal digits of `value` when they are few, else an empty string."""
    text = f"{float(value):.12g}"
    return text if "e" not in text and abs(Fraction(text) - value) <= value / 10**12 else ""


def format_value(value: object, dimension: str, unlimited: bool, when_absent: str) -> str:
    """A field's value as it could be written in a file; None by what it stands for."""
    if value is None:
        return UNLIMITED if unlimited else when_absent or "none"
    if value == "" and when_absent:
        return when_absent
    if dimension and isinstance(value, int | float):
        return format_quantity(value, dimension)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(format_value(item, "", False, "") for item in value) + "]"
    return str(value)
