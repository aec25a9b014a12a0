"""What lowering one layer of a workload file needs: the builder, the layer's name and inputs, its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Distribution, Shape, format_shape
from hwsim.workload import shapes
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.frontends.layer_base import Padding, Window
from hwsim.workload.operators import Pair
from hwsim.workload.weights import Given, WeightsFile, widened


@dataclass(frozen=True, slots=True)
class Context:
    """What lowering one layer needs."""

    builder: GraphBuilder
    name: str
    inputs: tuple[str, ...]
    trained: WeightsFile | None
    notes: dict[str, None]  # what is to be said of the workload
    resolve: Callable[[str], str]  # what a name written in the layer stands for
    ends: tuple[str, ...] = ()  # what else of its result is asked for: see `ends`

    @property
    def label(self) -> Label:
        return Label(self.name)

    def part(self, part: str) -> Label:
        """An operator that belongs to the layer."""
        return Label(f"{self.name}.{part}", "", self.name)

    def shape(self) -> Shape:
        """The shape of the one input."""
        return self.builder.shape(self.only())

    def size(self, worked_out: int | str) -> int:
        """A size of the layer's spec, whose expressions are numbers by now."""
        assert isinstance(worked_out, int)
        return worked_out

    def only(self) -> str:
        """The one input of a layer that takes one."""
        if len(self.inputs) != 1:
            raise SpecError(
                f"layer {self.name!r} takes one input and got {len(self.inputs)}: {', '.join(self.inputs)}"
            )
        return self.inputs[0]

    def weight(
        self,
        part: str,
        shape: Shape,
        distribution: Distribution,
        fan_in: int = 1,
        draws: tuple[float, int] = (1.0, 0),
    ) -> str:
        name = f"{self.name}.{part}"
        if self.trained is None:
            return self.builder.weight(
                name, shape, distribution, fan_in=fan_in, density=draws[0], shared_bits=draws[1]
            )
        if draws != (1.0, 0):
            raise SpecError(
                f"layer {self.name!r}: weight_density and shared_bits are for weights drawn from a seed, and "
                "the network's `weights` are given: leave them out"
            )
        given = Given(widened(self.trained.take(name, shape)))
        return self.builder.weight(name, shape, distribution, fan_in=fan_in, values=given)

    def weight_of(self, written: str, shape: Shape) -> str:
        """The weight of the layer that is called so, which must come before this one and fit."""
        told = f"layer {self.name!r} shares the weight of {written!r}, which"
        name = f"{self.resolve(written)}.weight"
        found = self.builder.tensors.get(name)
        if found is None or found.role != "weight":
            raise SpecError(f"{told} is no layer with a weight that comes before it")
        if found.shape != shape:
            raise SpecError(f"{told} is {format_shape(found.shape)}, and it needs {format_shape(shape)}")
        return name

    def pair(self, worked_out: Window) -> Pair:
        height, width = worked_out if isinstance(worked_out, tuple) else (worked_out, worked_out)
        return self.size(height), self.size(width)

    def pads(self, worked_out: Padding) -> shapes.Pads:
        sides = worked_out if isinstance(worked_out, tuple) else (worked_out,) * 4
        given = tuple(self.size(side) for side in sides)
        top, left, bottom, right = given if len(given) > len(("height", "width")) else given * 2
        return top, left, bottom, right
