"""Conditions that people write over axes and metrics: `area_mm2 <= 50`, `array.dataflow == ws`. Nothing is
evaluated by Python.

The grammar is numbers, words, quantities in quotes ('8 MiB'), names with dots, `+ - * /`, comparisons, `and`,
`or`, `not`, brackets. A name that is no axis or metric is a word, to be compared with one.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import BoolArray, Float64Array
from hwsim.errors import SpecError
from hwsim.units import DIMENSIONS, parse_quantity

Columns = Mapping[str, NDArray[Any]]  # by name: numbers, or words
MAX_TEXT = 200
_FIELD = "a field of the design can be named where it is an axis, if of one value"

_ARITHMETIC = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}
_COMPARED = {
    ast.LtE: np.less_equal, ast.Lt: np.less, ast.GtE: np.greater_equal, ast.Gt: np.greater,
    ast.Eq: np.equal, ast.NotEq: np.not_equal,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """One condition and the axes and metrics that it names."""

    text: str
    tree: ast.expr
    names: frozenset[str]

    def holds(self, columns: Columns) -> BoolArray:
        """(n,) where it is true of `columns`, which has each of `names`, whatever missing numbers may be."""
        with np.errstate(all="ignore"):
            return np.asarray(_surely(self.tree, columns, self.text, wanted=True))

    def fails(self, columns: Columns) -> BoolArray:
        """(n,) where it is false, whatever missing numbers and words may be."""
        with np.errstate(all="ignore"):
            return np.asarray(_surely(self.tree, columns, self.text, wanted=False))

    def excess(self, columns: Columns) -> Float64Array:
        """(n,) how far it is from true, relative to what it compares with; 0 where it holds, 1 where that
        cannot be said. Searches use it to come nearer."""
        holds = self.holds(columns)
        tree = self.tree
        far = np.ones(holds.shape)
        if isinstance(tree, ast.Compare) and len(tree.ops) == 1 and not isinstance(tree.ops[0], ast.Eq):
            with np.errstate(all="ignore"):
                left, right = (_value(side, columns, self.text) for side in (tree.left, tree.comparators[0]))
            if all(np.asarray(side).dtype.kind in "biuf" for side in (left, right)):
                with np.errstate(all="ignore"):
                    gap = np.abs(np.asarray(left, dtype=np.float64) - right)
                    far = np.nan_to_num(gap / np.maximum(np.abs(right), 1e-300), nan=1.0, posinf=1e6)
                far = np.maximum(np.broadcast_to(far, holds.shape), 1e-9)
        return np.where(holds, 0.0, far)


def read_condition(text: str, known: Collection[str]) -> Condition:
    """The condition that `text` writes over `known` axes and metrics. Raises SpecError for any other syntax,
    and for one that names none of them."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body if len(text) <= MAX_TEXT else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = None
    if tree is None:
        raise SpecError(
            f"cannot read {text[:MAX_TEXT]!r} as a condition: write for example `area_mm2 <= 50`, with and, "
            "or, not, + - * / and brackets"
        )
    words = {name for part in ast.walk(tree) if (name := _dotted(part))}
    heads = {name for name in words if not any(other.startswith(f"{name}.") for other in words)}
    names = heads & set(known)
    for name in sorted(heads - names):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if near or "." in name:
            hint = f"did you mean {near[0]}?" if near else _FIELD
            raise SpecError(f"{text!r} names {name!r}, which is no axis or metric; {hint}")
    if not names:
        near = [word for name in sorted(heads) for word in difflib.get_close_matches(name, known, n=1)]
        hint = f"did you mean {near[0]}?" if near else f"{_FIELD}."
        raise SpecError(f"{text!r} names no axis and no metric; {hint} Known: {', '.join(sorted(known))}")
    found = Condition(text, tree, frozenset(names))
    _check(tree, text)
    return found


def read_number(text: str) -> float | None:
    """What a text stands for as a number: itself, or a quantity in base units; None for a word."""
    try:
        return float(text)
    except ValueError:
        pass
    for dimension in DIMENSIONS:
        try:
            return float(parse_quantity(text, dimension))
        except ValueError:
            continue
    return None


def _dotted(part: ast.AST) -> str:
    """`array.rows` of nested attributes; an empty string for anything else."""
    if isinstance(part, ast.Name):
        return part.id
    if isinstance(part, ast.Attribute):
        before = _dotted(part.value)
        return f"{before}.{part.attr}" if before else ""
    return ""


def _check(tree: ast.expr, text: str) -> None:
    """Refuse what the grammar does not have, before anything is evaluated."""
    allowed = (
        ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.BinOp, ast.Constant,
        ast.Name, ast.Attribute, ast.Load, *_ARITHMETIC, *_COMPARED,
    )  # fmt: skip
    for part in ast.walk(tree):
        good = isinstance(part, allowed)
        if isinstance(part, ast.Constant):
            good = type(part.value) in (int, float, str)
        if not good:
            raise SpecError(f"{text!r}: a condition holds comparisons, and, or, not, + - * / and brackets")


def _surely(tree: ast.expr, columns: Columns, text: str, *, wanted: bool) -> Any:
    """(n,) where a condition is surely true, or surely false if that is `wanted`: where a number is missing
    a comparison is neither (Kleene's logic of three values)."""
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return _surely(tree.operand, columns, text, wanted=not wanted)
    if isinstance(tree, ast.BoolOp):
        parts = [_surely(part, columns, text, wanted=wanted) for part in tree.values]
        return _all_or_any(parts, every=isinstance(tree.op, ast.And) == wanted)
    if not isinstance(tree, ast.Compare):
        raise SpecError(f"{text!r} is no condition: compare two things, as in area_mm2 <= 50")
    sides = [_value(side, columns, text) for side in (tree.left, *tree.comparators)]
    parts = []
    for operator, left, right in zip(tree.ops, sides, sides[1:], strict=False):
        is_so = _compared(operator, left, right, text)
        known = ~(_missing(left) | _missing(right))
        parts.append((is_so if wanted else ~is_so) & known)
    return _all_or_any(parts, every=wanted)


def _all_or_any(parts: Sequence[Any], *, every: bool) -> Any:
    joined = np.logical_and if every else np.logical_or
    return joined.reduce(np.broadcast_arrays(*parts))


def _missing(value: Any) -> Any:
    found = np.asarray(value)
    if found.dtype.kind == "O":
        return np.array([one is None for one in found.ravel()], dtype=np.bool_).reshape(found.shape)
    return np.isnan(found) if found.dtype.kind == "f" else np.zeros(found.shape, dtype=np.bool_)


def _value(tree: ast.expr, columns: Columns, text: str) -> Any:
    """Numbers or words, (n,) or one for all."""
    if isinstance(tree, ast.Constant):
        if isinstance(tree.value, str):
            number = read_number(tree.value)
            return tree.value if number is None else number
        return tree.value
    if name := _dotted(tree):
        return columns.get(name, name)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return np.negative(_number(_value(tree.operand, columns, text), text))
    if isinstance(tree, ast.BinOp):
        sides = (_number(_value(side, columns, text), text) for side in (tree.left, tree.right))
        return _ARITHMETIC[type(tree.op)](*sides)
    raise SpecError(f"{text!r} takes a condition for a number")


def _compared(operator: ast.cmpop, left: Any, right: Any, text: str) -> Any:
    words = [np.asarray(side).dtype.kind in "UO" for side in (left, right)]
    if any(words):
        if not isinstance(operator, ast.Eq | ast.NotEq):
            raise SpecError(f"{text!r}: words can be equal or not, and nothing else")
        same = np.equal(np.asarray(left, dtype=object), np.asarray(right, dtype=object)).astype(np.bool_)
        return same if isinstance(operator, ast.Eq) else ~same
    return np.asarray(_COMPARED[type(operator)](left, right))


def _number(value: Any, text: str) -> Any:
    if np.asarray(value).dtype.kind not in "biuf":
        raise SpecError(f"{text!r} calculates with the word {value!r}")
    return value
