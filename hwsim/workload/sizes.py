"""Sizes written with names: `batch`, `2 * width`, `ceil_div(tokens, 2)`. Nothing is evaluated by Python.

The grammar is whole numbers, names, `+ - * // %`, brackets, and `min`, `max` and `ceil_div` of expressions.
`//` and `%` round down, as in Python; `ceil_div(a, b)` rounds a / b up.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from hwsim.errors import SpecError
from hwsim.tensor.tensor import MAX_ELEMENTS

MAX_TEXT = 100
FUNCTIONS = ("min", "max", "ceil_div")
_TOKEN = re.compile(r"\s*(//|[-+*%(),]|[A-Za-z_]\w*|\d+(?!\w))", re.ASCII)
_SUMS = ("+", "-")
_PRODUCTS = ("*", "//", "%")
_PAIR = 2  # operands of ceil_div

Tree = int | str | tuple[str, tuple["Tree", ...]]  # a number, a name, or an operation on trees


def read_size(size: int | str, parameters: Mapping[str, int]) -> int:
    """The number that `size` stands for. Raises SpecError for an unknown name, a division by zero, a number
    that no size has, or any other syntax."""
    if isinstance(size, int):
        return size
    value = _value(_parsed(size), parameters, size)
    if abs(value) > MAX_ELEMENTS:
        raise SpecError(f"{size!r} is {value:.3g}, more than the {MAX_ELEMENTS:.3g} elements hwsim takes")
    return value


@lru_cache(maxsize=1024)
def _parsed(size: str) -> Tree:
    """The expression as a tree. Raises SpecError for what is none."""
    return _Reader(size).read()


class _Reader:
    """Reads one expression from left to right; each method one rank of operations."""

    def __init__(self, size: str) -> None:
        self.size = size
        self.tokens = self._split()
        self.at = 0

    def _split(self) -> list[str]:
        tokens, place, text = [], 0, self.size.rstrip()
        while place < len(text) <= MAX_TEXT:
            found = _TOKEN.match(text, place)
            if found is None:
                raise self._fault()
            tokens.append(found[1])
            place = found.end()
        return tokens

    def _fault(self) -> SpecError:
        return SpecError(
            f"cannot read {self.size[:MAX_TEXT]!r} as a size: write whole numbers, names, + - * // % and "
            f"brackets, or {', '.join(FUNCTIONS)} of such"
        )

    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self.at += 1
        return token

    def read(self) -> Tree:
        found = self._sum()
        if self._next():
            raise self._fault()
        return found

    def _sum(self) -> Tree:
        return self._chain(_SUMS, self._product)

    def _product(self) -> Tree:
        return self._chain(_PRODUCTS, self._factor)

    def _chain(self, operations: tuple[str, ...], part: Callable[[], Tree]) -> Tree:
        found = part()
        while self._next() in operations:
            operation = self._take()
            found = (operation, (found, part()))
        return found

    def _factor(self) -> Tree:
        token = self._take()
        if token == "-":
            return ("-", (0, self._factor()))
        if token == "(":
            found = self._sum()
            self._close()
            return found
        if token.isdigit():
            return int(token)
        if token.isidentifier():
            return self._call(token) if self._next() == "(" else token
        raise self._fault()

    def _call(self, function: str) -> Tree:
        self._take()
        arguments = [self._sum()]
        while self._next() == ",":
            self._take()
            arguments.append(self._sum())
        self._close()
        if function not in FUNCTIONS:
            raise SpecError(f"{self.size!r}: there is no function {function!r}; take {', '.join(FUNCTIONS)}")
        if function == "ceil_div" and len(arguments) != _PAIR:
            raise SpecError(f"{self.size!r}: ceil_div takes two sizes and got {len(arguments)}")
        return function, tuple(arguments)

    def _close(self) -> None:
        if self._take() != ")":
            raise self._fault()


def _value(tree: Tree, parameters: Mapping[str, int], size: str) -> int:
    if isinstance(tree, int):
        return tree
    if isinstance(tree, str):
        return named(tree, parameters)
    operation, parts = tree
    values = [_value(part, parameters, size) for part in parts]
    if operation in ("//", "%", "ceil_div") and values[1] == 0:
        raise SpecError(f"{size!r} divides by zero")
    return _OPERATIONS[operation](*values)


_OPERATIONS: Mapping[str, Callable[..., int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "min": lambda *sizes: min(sizes),
    "max": lambda *sizes: max(sizes),
    "ceil_div": lambda a, b: -(-a // b),
}


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
