"""Specs: what YAML files hold, declared once a field, read with every fault told. The only home of pydantic
and ruamel.yaml; it knows nothing of designs or workloads.

    from typing import Annotated, Literal
    from hwsim.schema import Spec, by_kind, field, load_yaml, quantity

    class Memory(Spec):
        kind: Literal["dram"]
        size_bytes: int | None = quantity("Room for weights.", unlimited=True, default=None)  # size: 8 GiB
        ports: int = field("Requests served at once; one, as in most parts.", default=1, ge=1, le=64)

    class Machine(Spec):
        name: str = field("What the machine is called.", descriptive=True)
        clock_hz: int = quantity("Cycles a second.")  # written `clock: 700 MHz`
        memories: dict[str, Annotated[Memory, by_kind(Memory)]] = field("By name.", default={})

        def check(self):  # what one field alone cannot know; optional
            if self.clock_hz > 2e9 and not self.memories:
                yield "memories", "so fast a machine needs a memory"

    machine = load_yaml("machine.yaml", Machine, ["clock=800 MHz"])
    describe(machine)      # rows of path, value, sentence, source (the comment behind the value)
    json_schema(Machine)   # for editors

Rules: lists are `tuple[...]`, mappings `dict[str, ...]`; types are strict (no text for numbers, no numbers
for text, no 1e3 for 1000 in a whole number); `kind` needs no declaration; None is never written: a field that
may be None is left out of the file, or says `unlimited`. An int field should have an upper bound (`le`).
"""

from hwsim.schema.declared import Origin
from hwsim.schema.describe import Row, describe
from hwsim.schema.editor import json_schema
from hwsim.schema.load import (
    Source,
    load_source,
    load_yaml,
    override_spec,
    read_source,
)
from hwsim.schema.overrides import Overrides
from hwsim.schema.spec import Count, Percent, Spec, by_kind, field, file_keys, kind_words, quantity
from hwsim.schema.tree import Node, Place

__all__ = [
    "Count",
    "Node",
    "Origin",
    "Overrides",
    "Percent",
    "Place",
    "Row",
    "Source",
    "Spec",
    "by_kind",
    "describe",
    "field",
    "file_keys",
    "json_schema",
    "kind_words",
    "load_source",
    "load_yaml",
    "override_spec",
    "quantity",
    "read_source",
]
