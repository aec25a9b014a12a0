"""Sizes written with names: `batch`, `2 * width`, `(tokens + 1) // 2`. Nothing is evaluated by Python itself.

The grammar is whole numbers, names, `+ - * //` and brackets, and no more.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping

from hwsim.errors import SpecError
from hwsim.tensor.tensor import MAX_ELEMENTS

MAX_TEXT = 100
_TOKENS = re.compile(r"(?:\s|//|[-+*()]|[A-Za-z_]\w*|\d+(?!\w))+", re.ASCII)


def read_size(size: int | str, parameters: Mapping[str, int]) -> int:
    """The number that `size` stands for. Raises SpecError for an unknown name or any other syntax."""
    if isinstance(size, int):
        return size
    fault = SpecError(
        f"cannot read {size[:MAX_TEXT]!r} as a size: write whole numbers, names, + - * // and brackets"
    )
    if len(size) > MAX_TEXT or not _TOKENS.fullmatch(size):
        raise fault
    try:
        tree = ast.parse(size.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise fault from None
    value = _value(tree, parameters, fault)
    if abs(value) > MAX_ELEMENTS:
        raise SpecError(f"{size!r} is {value:.3g}, more than the {MAX_ELEMENTS:.3g} elements hwsim takes")
    return value


def _value(tree: ast.expr, parameters: Mapping[str, int], fault: SpecError) -> int:
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return tree.value
    if isinstance(tree, ast.Name):
        return named(tree.id, parameters)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_value(tree.operand, parameters, fault)
    if not isinstance(tree, ast.BinOp):
        raise fault
    left, right = (_value(side, parameters, fault) for side in (tree.left, tree.right))
    match tree.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.FloorDiv() if right != 0:
            return left // right
        case ast.FloorDiv():
            raise SpecError("a size divides by zero")
    raise fault


def named(name: str, parameters: Mapping[str, int]) -> int:
    """The value of a parameter. Raises SpecError with the nearest name when there is none."""
    if name in parameters:
        return parameters[name]
    raise SpecError(unknown_parameter(name, parameters))


def unknown_parameter(name: str, parameters: Mapping[str, int]) -> str:
    """The message for a parameter that is not there."""
    close = difflib.get_close_matches(name, parameters, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    known = f"the parameters are {', '.join(parameters)}" if parameters else "there are no parameters"
    return f"there is no parameter {name!r}: {hint}{known}"
