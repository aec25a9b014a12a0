"""Lists of matrix products in JSON: [{"M": 128, "N": 768, "K": 768}, ...], or {"name": ..., "gemms": [...]}.
The same list as CSV is the GEMM form of a SCALE-Sim topology (`scalesim`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwsim.workload.frontends.apart import build_apart, workload_name
from hwsim.workload.frontends.records import MAX_ROWS, Faults, Record, collect, read_json, record_of
from hwsim.workload.frontends.scalesim import PRODUCTS, check_fixed, product_notes, product_of
from hwsim.workload.graph import Source, Workload

_TOP = ("name", "gemms")
_WANTED = 'a list of objects such as {"name": "fc1", "M": 1, "N": 4096, "K": 9216}, or {"gemms": [...]}'


def read_gemms(path: Path, content: bytes, parameters: Mapping[str, int], seed: int) -> Workload:
    """The workload of a JSON file of matrix products. Raises SpecError with the place of all that is wrong,
    CapacityError for what is too large."""
    held, faults = read_json(path, content)
    check_fixed(faults, parameters)
    name, listed, place = _parts(held, faults, path)
    products = collect(_records(listed, place, faults), product_of, faults)
    source = Source(str(path), "json", hashlib.sha256(content).hexdigest())
    return build_apart(
        name, products, source, faults, parameters={"batch": 1}, seed=seed, notes=product_notes(products)
    )


def _parts(held: Any, faults: Faults, path: Path) -> tuple[str, list[Any], str]:
    """The workload's name, the list, and where in the file the list stands."""
    name, place = workload_name(path), ""
    if isinstance(held, dict):
        for key in held:
            if key not in _TOP:
                faults.add(0, key[:40], f"is not a key of the file; they are {', '.join(_TOP)}")
        named = held.get("name", name)
        if not isinstance(named, str) or workload_name(Path(f"{named}.json")) != named:
            faults.add(0, "name", "must be 1 to 100 letters, digits, underscores, dots and hyphens")
        else:
            name = named
        held, place = held.get("gemms"), "gemms"
    if not isinstance(held, list) or not held:
        faults.add(0, place, f"must be {_WANTED}")
        held = []
    if len(held) > MAX_ROWS:
        faults.add(0, place, f"holds more than {MAX_ROWS:,} products: split the file")
    faults.refuse()
    return name, held, place


def _records(listed: list[Any], place: str, faults: Faults) -> list[Record]:
    records = []
    for index, said in enumerate(listed):
        if isinstance(said, dict):
            records.append(record_of(said, f"{place}[{index}]", index + 1, PRODUCTS, faults))
        else:
            faults.add(0, f"{place}[{index}]", "is not an object with M, N and K")
    return records
