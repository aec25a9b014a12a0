"""The technology tables that points are priced by: part of what they come to, as designs are."""

from __future__ import annotations

from hwsim.cost.table import read_table
from hwsim.design import Design
from hwsim.library import find


def tables_of(design: Design) -> tuple[str, ...]:
    """The tables that a design names."""
    made_in = (design.technology, *design.technologies.values())
    return tuple(dict.fromkeys(technology.table for technology in made_in))


def technology_hash(table: str) -> str:
    """What a table's content comes to. Raises SpecError where there is none, or it is faulty."""
    return read_table(table, find("technology", table)).sha256
