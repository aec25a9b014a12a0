"""A small spec that uses everything a spec can declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from hwsim.schema import Spec, by_kind, field, quantity


class Memory(Spec):
    kind: Literal["dram", "sram"]
    size_bytes: int | None = quantity("Room for weights.", unlimited=True, default=None)
    ports: int = field("Requests served at once.", default=1, ge=1, le=64, limit="no part has more")


class Link(Spec):
    kind: Literal["link"]
    bandwidth_bytes_per_s: int = quantity("Bytes a second.")


class Board(Spec):
    power_w: float | None = quantity("Power.", default=None, when_absent="not given")
    layers: tuple[Memory, ...] = field("Memories by position.", default=())


class Machine(Spec):
    name: str = field("What it is called.", descriptive=True)
    clock_hz: int = quantity("Cycles a second.", le=10**10)
    mode: Literal["fast", "slow"] = field("How it runs.", default="fast")
    on: bool = field("Whether it is on.", default=True)
    share: float = field("A share.", default=0.5, gt=0, le=1)
    depth: int | None = field("Depth of a queue.", default=None, unlimited=True, ge=1, le=99)
    dims: tuple[int | str, ...] = field("Sizes or names of parameters.", default=())
    rates: dict[str, int] = field("By name.", default={"x": 1})
    parts: dict[str, Annotated[Memory | Link, by_kind(Memory, Link)]] = field("By name.", default={})
    board: Board = field("A section with a default.", default=Board())
    spare: Memory | None = field("A section that may lack.", default=None)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.mode == "slow" and self.clock_hz > 10**9:
            yield "mode", "a clock above 1 GHz is not slow"
        if self.rates.get("x") == 13:
            yield "rates.x", "must not be 13"
