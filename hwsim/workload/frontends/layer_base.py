"""What all specs of layers in a workload file share: sizes that may be expressions, and common fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from hwsim.schema import Count, Spec, field


@dataclass(frozen=True, slots=True)
class Expression:
    """Marks text in a spec that `expressions` works out: sizes by the names of parameters, such as
    `2 * batch`. What it comes to must be at least `least`, where that is given."""

    least: int | None = None


Size = Annotated[int, "whole number"] | Annotated[str, Expression()]
Extent = Count | Annotated[str, Expression(1)]
Window = Extent | tuple[Extent, ...]
Padding = Size | tuple[Size, ...]


class Layer(Spec):
    """What every layer may say."""

    name: str | None = field(
        "What the layer and its result are called.", default=None, descriptive=True,
        when_absent="its kind and a number: relu3 is the third relu",
    )  # fmt: skip
    inputs: tuple[str, ...] = field(
        "Whose results it takes, by name; the layer before it if left out.", default=()
    )


class Weighted(Layer):
    """A layer with weights that are multiplied."""

    weight_density: float = field(
        "Share of the weights that are not zero, when they are drawn from a seed; all unless stated.",
        default=1.0,
        gt=0,
        le=1,
    )
    shared_bits: int | None = field(
        "Bits of the index of the values that seeded weights share; 2^bits - 1 of them beside zero.",
        default=None,
        when_absent="each weight has a value of its own",
        ge=1,
        le=8,
    )

    @property
    def draws(self) -> tuple[float, int]:
        """Density and index bits of seeded weights, 0 where they are not shared."""
        return self.weight_density, self.shared_bits or 0


class Windowed(Layer):
    """A layer that slides a window over a feature map."""

    kernel: Window = field("Height and width of the window; one number for a square.")
    pad: Padding = field(
        "Places around the map: all sides, [height, width] or [top, left, bottom, right].", default=0
    )

    def check(self) -> Iterator[tuple[str, str]]:
        for name in ("kernel", "stride", "dilation"):
            written = getattr(self, name, None)
            if isinstance(written, tuple) and len(written) != 2:
                yield name, f"must be one number or [height, width], not {len(written)} numbers"
        if isinstance(self.pad, tuple) and len(self.pad) not in (2, 4):
            sides = "one number, [height, width] or [top, left, bottom, right]"
            yield "pad", f"must be {sides}, not {len(self.pad)} numbers"
