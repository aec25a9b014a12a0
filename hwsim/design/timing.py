"""What of a design decides its times. Designs that are alike in that are one machine to a stopwatch, whatever
they are called and whatever their energy costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hwsim.design.load import HOST, HOST_PLACE, load_design
from hwsim.design.spec import Design, DeviceSpec
from hwsim.schema import Spec
from hwsim.schema.spec import file_key

# How a time is taken, and in which number format, is no part of the machine: measurements state their own.
CONDITIONS = ("cache_state", "harness", "launch", "dtype")
# Sections and fields of a device that price what it does, or take area, and change no time.
PRICES = {
    "gpu": ("memory.technology", "memory.channels"),
    "cpu": ("memory.technology", "memory.channels", "power"),
    "eie": ("calibration", "io.technology"),
    "systolic": (),
}
_DIGITS = 16  # of the hash; enough to tell some dozen designs apart


@lru_cache(maxsize=64)
def timing_key(spec: DeviceSpec) -> str:
    """A short hash over the values of a device that decide its times, defaults included."""
    values = _decisive(spec)
    for path in (*CONDITIONS, *PRICES[spec.kind]):
        _drop(values, path.split("."))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def known_as(design: Design) -> str:
    """What measurements know a design by: its timing key, or HOST for the machine at hand, whose description
    is another on each machine."""
    key = timing_key(design.device_spec)
    if design.path == HOST_PLACE and key == timing_key(load_design(HOST).device_spec):
        return HOST
    return key


def _decisive(spec: Spec) -> dict[str, Any]:
    """All values by the keys of a file, without descriptive fields."""
    kept: dict[str, Any] = {}
    for name, said in spec.declared.items():
        if not said.descriptive:
            kept[file_key(name)] = _plain(getattr(spec, name))
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return _decisive(value)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value


def _drop(values: dict[str, Any], path: list[str]) -> None:
    """Remove one field, where it is there."""
    *sections, name = path
    place: Any = values
    for section in sections:
        place = place.get(section)
        if not isinstance(place, dict):
            return
    place.pop(name, None)
