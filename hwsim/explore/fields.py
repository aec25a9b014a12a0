"""Designs with fields set, quicker than reading them anew: each value is read once, the way the command line
reads it, and then put into copies. What fields demand of one another is checked for every copy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from hwsim.bounded import Bounded
from hwsim.design import Design, load_design
from hwsim.errors import SpecError
from hwsim.schema import Spec

Fields = tuple[tuple[str, str], ...]  # (path, text), in the order in which they are set
Steps = tuple[str, ...]


class FieldSetter:
    """One base design and its copies."""

    def __init__(self, base: Design) -> None:
        self.base = base
        self._value = lru_cache(maxsize=100_000)(self._read)
        self._sections = Bounded[Any](256)
        self._design = lru_cache(maxsize=256)(self._made)

    def design(self, fields: Fields) -> Design:
        """The base with `fields` set. Raises SpecError as `load_design` does."""
        return self._design(fields) if fields else self.base

    def _made(self, fields: Fields) -> Design:
        values: dict[Steps, Any] = {}
        for path, text in fields:
            read = self._value(path, text)
            if read is None:  # a value that needs another one to be set as well
                return load_design(self.base, [f"{p}={t}" for p, t in fields])
            values[read[0]] = read[1]
        found = self._with((), self.base, values)
        assert isinstance(found, Design)
        return found

    def _with(self, above: Steps, spec: Any, values: Mapping[Steps, Any]) -> Any:
        """A copy of the spec or mapping that the steps `above` lead to, in which the attributes at steps
        below hold other values. Many designs have the same sections, which are copied once."""
        by_name: dict[str, dict[Steps, Any]] = {}
        for steps, value in values.items():
            by_name.setdefault(steps[0], {})[steps[1:]] = value
        updates = {}
        for name, below in by_name.items():
            if () in below:
                updates[name] = below[()]
                continue
            here = (*above, name)
            updates[name] = self._sections.once(
                (here, *below.items()), partial(self._with, here, _at(spec, name), below)
            )
        if isinstance(spec, Spec):
            return spec.with_values(updates)
        return type(spec)({**spec, **updates})

    def _read(self, path: str, text: str) -> tuple[Steps, Any] | None:
        """The attributes that lead to a field, and its value; None where the value alone is refused, or is
        no attribute (an entry of a list)."""
        try:
            changed = load_design(self.base, [f"{path}={text}"])
        except SpecError:
            return None
        assert changed.origin is not None
        full, _ = changed.origin.overrides[-1]
        keys = tuple(full.split("."))
        # What the base does not have at all is not a field to be set in a copy.
        above = _find(self.base, keys[:-1])
        return _find(changed, keys) if above is not None and above[1] is not None else None


def _find(spec: Any, keys: Steps) -> tuple[Steps, Any] | None:
    """The value under keys as files write them, and the attribute names on the way."""
    names: list[str] = []
    for key in keys:
        if isinstance(spec, Mapping):
            if key not in spec:
                return None
            names.append(key)
            spec = spec[key]
            continue
        if not isinstance(spec, Spec):
            return None
        name = spec.attribute_of(key)
        if name is None:
            return None
        names.append(name)
        spec = getattr(spec, name)
    return tuple(names), spec


def _at(spec: Any, name: str) -> Any:
    return spec[name] if isinstance(spec, Mapping) else getattr(spec, name)
