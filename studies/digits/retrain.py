"""What retraining may change of a compressed network, and what it must keep: one class a kind of compression.

Forward passes see the compressed weights; gradients reach what is trained behind them. Where rounding stands
between the two, the gradient passes straight through (Bengio et al., arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from hwsim.compress.binarise import TTQ_THRESHOLD, TWN_THRESHOLD
from hwsim.compress.layers import select
from hwsim.compress.quantise import keeps_grid
from hwsim.workload import Workload
from studies.digits.network import Weights, trained_tensors

Made = Callable[[], torch.Tensor]
Rounding = Callable[[torch.Tensor], torch.Tensor]


class Constraint:
    """Nothing is kept: every weight is trained as it is."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self.made: dict[str, Made] = {}

    def trained(self) -> list[torch.Tensor]:
        return list(self.tensors.values())

    def weights(self) -> Weights:
        """What the network multiplies with."""
        return {
            name: self.made[name]() if name in self.made else values for name, values in self.tensors.items()
        }

    def activation(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """What becomes of tensor `name`, once it is computed."""
        del name
        return values


class Masked(Constraint):
    """Pruned weights stay zero (Han et al., "Learning both Weights and Connections", NIPS 2015)."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(trained_tensors(workload))
        for ref in select(workload):
            values = self.tensors[ref.tensor]
            mask = (values != 0).float().detach()
            self.made[ref.tensor] = lambda values=values, mask=mask: values * mask


class Shared(Constraint):
    """Who shares which centroid stays; the centroids are trained, by the sum of the gradients of those that
    share them (Han et al., "Deep Compression", ICLR 2016, section 3.3). Zero stays zero."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(trained_tensors(workload))
        for ref in select(workload):
            values = self.tensors[ref.tensor].detach()
            centroids, places = torch.unique(values, return_inverse=True)
            kept = (centroids != 0).float()
            self.tensors[ref.tensor] = centroids.clone().requires_grad_()
            self.made[ref.tensor] = self._share(self.tensors[ref.tensor], places, kept)

    @staticmethod
    def _share(centroids: torch.Tensor, places: torch.Tensor, kept: torch.Tensor) -> Made:
        return lambda: (centroids * kept)[places]


class Rounded(Constraint):
    """Weights of all layers but the first and the last pass through `rounding` on the way in."""

    def __init__(self, workload: Workload, rounding: Rounding) -> None:
        super().__init__(trained_tensors(workload))
        for ref in select(workload)[1:-1]:
            values = self.tensors[ref.tensor]
            self.made[ref.tensor] = lambda values=values: _straight_through(values, rounding(values))


class BinaryBoth(Rounded):
    """Binary weights, and activations that are their sign times the mean size in the batch. The gradient
    passes where the size is at most 1 (Rastegari et al., section 3.2)."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload, _binary)
        self.computed = {
            op.output
            for op in workload.operators
            if workload.tensors[op.output].dtype == "binary" and not keeps_grid(op)
        }

    def activation(self, name: str, values: torch.Tensor) -> torch.Tensor:
        if name not in self.computed:
            return values
        size = values.detach().abs().mean()
        return _straight_through(values.clamp(-1, 1), torch.where(values < 0, -size, size))


class TrainedTernary(Constraint):
    """Two trained scales a layer (Zhu et al., "Trained Ternary Quantization", ICLR 2017, eqs. 6 to 8)."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(trained_tensors(workload))
        self.scales: list[torch.Tensor] = []
        for ref in select(workload)[1:-1]:
            values = self.tensors[ref.tensor]
            above, below, _ = self._parts(values.detach())
            ends = [values.detach()[above].mean(), -values.detach()[below].mean()]
            scales = [end.clone().requires_grad_() for end in ends]
            self.scales += scales
            self.made[ref.tensor] = lambda values=values, scales=scales: self._make(values, *scales)

    def trained(self) -> list[torch.Tensor]:
        return [*super().trained(), *self.scales]

    @staticmethod
    def _parts(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        least = TTQ_THRESHOLD * values.abs().max()
        return values > least, values < -least, values.abs() <= least

    def _make(self, values: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        above, below, between = self._parts(values.detach())
        slope = (up * above + down * below + between).detach()
        return up * above - down * below + (values - values.detach()) * slope


def constraint_of(kind: str, workload: Workload) -> Constraint:
    """The constraint that keeps `workload`, already compressed, as it is compressed."""
    match kind:
        case "mask":
            return Masked(workload)
        case "codebook":
            return Shared(workload)
        case "binary":
            return Rounded(workload, _binary)
        case "binary both":
            return BinaryBoth(workload)
        case "ternary":
            return Rounded(workload, _ternary)
        case "trained ternary":
            return TrainedTernary(workload)
    raise ValueError(f"no constraint is called {kind!r}")


def _straight_through(values: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    return values + (rounded - values).detach()


def _binary(values: torch.Tensor) -> torch.Tensor:
    """As hwsim.compress.binarise: the sign times the mean size of the filter."""
    sizes = values.abs().mean(dim=tuple(range(1, values.dim())), keepdim=True)
    return torch.where(values < 0, -sizes, sizes)


def _ternary(values: torch.Tensor) -> torch.Tensor:
    """As hwsim.compress.ternarise."""
    kept = values.abs() > TWN_THRESHOLD * values.abs().mean()
    return values.sign() * kept * values.abs()[kept].mean()
