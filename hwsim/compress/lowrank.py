"""Low rank: linear layers and convolutions replaced by chains of smaller ones. The graph changes, and so do
the MACs. `compress.schemes` says which chains there are; here is which layers get one, and of which rank."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.compress import factors
from hwsim.compress.layers import Patterns, held, read_weight
from hwsim.compress.schemes import SCHEMES, Problem, Ranks, Scheme
from hwsim.compress.surgery import (
    Replacement,
    Site,
    UnsuitableError,
    between,
    new_weight,
    refused,
    replaced,
    settled,
    sites,
)
from hwsim.errors import SpecError
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Attributes, Conv2d, Matmul, Operator

Rank = int | tuple[int, int]

PARTS = "abcd"  # what the factors of a layer are called, in order


def low_rank(
    workload: Workload,
    method: str,
    *,
    rank: Rank | None = None,
    energy: float | None = None,
    speedup: float | None = None,
    layers: Patterns = None,
    seed: int = 0,
) -> Workload:
    """`workload` with layers replaced by factors of low rank. Of `layers` (names or patterns; all without):

    - "svd": linear layers and 1x1 convolutions become two of rank `rank`;
    - "tucker": convolutions become 1x1 to `rank` channels, the window, and 1x1 (`rank` may be a pair:
      channels in, channels out);
    - "cp": 1x1 to `rank` channels, a column and a row filter for each of them, and 1x1 (seeded by `seed`);
    - "separable": column filters to `rank` channels, then row filters.

    Ranks count for one group of channels. One of three decides: `rank`; `energy`, in (0, 1], the share of
    squared singular values that the least rank must keep; `speedup`, at least 1, how many times fewer MACs
    the largest rank may take ("tucker" shrinks both channels alike). Operators are named layer.a, layer.b
    and so on; stride, padding, dilation and groups stay with the window, bias and activation with the last
    factor.

    A layer that is named gets its factors whatever they cost. Of layers that a pattern or nothing selects,
    those that do not factor, or whose factors save no MACs, stay as they are. Raises SpecError for wrong
    arguments, a rank above a layer's limit, a speed-up that rank 1 does not reach, a named layer that does
    not factor, and when nothing is left to do.
    """
    scheme = _checked(method, rank, energy, speedup)
    if type(seed) is not int or seed < 0:
        raise SpecError(f"seed is {seed!r}: it must be a whole number of at least 0")
    chosen: dict[str, Replacement] = {}
    told: list[str] = []
    left: list[tuple[str, str]] = []
    for site in sites(workload, layers):
        try:
            ranks, weight = _decide(workload, site, scheme, rank, energy, speedup)
        except UnsuitableError as error:
            if site.named:
                raise SpecError(f"layer {site.ref.operator!r} ({method}): {error}") from None
            left.append((site.ref.operator, str(error)))
            continue
        made, error_share = _factored(workload, site, scheme, ranks, weight, seed)
        chosen |= made
        before = sum(op.macs for op in site.operators)
        after = sum(op.macs for found in made.values() for op in found.operators)
        shown = "x".join(map(str, ranks))
        cost = f"{after:,} of {before:,} MACs"
        told.append(f"{site.ref.operator} rank {shown}, {cost}, error {error_share:.3g}")
    if not chosen:
        raise refused(f"low rank ({method})", workload, left)
    given = {"rank": rank, "energy": energy, "speedup": speedup, "seed": seed if method == "cp" else None}
    how = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    return replaced(workload, chosen, f"low rank by {method} ({how}): {'; '.join(told)}")


def _checked(method: str, rank: Rank | None, energy: float | None, speedup: float | None) -> Scheme:
    if method not in SCHEMES:
        raise SpecError(f"unknown low-rank method {method!r}: hwsim knows {', '.join(SCHEMES)}")
    if sum(given is not None for given in (rank, energy, speedup)) != 1:
        raise SpecError("low rank takes one of `rank`, `energy` and `speedup`: give exactly one")
    if energy is not None and not 0.0 < energy <= 1.0:
        raise SpecError(f"energy is {energy}: it must be above 0 and at most 1")
    if speedup is not None and not 1.0 <= speedup < float("inf"):
        raise SpecError(f"speedup is {speedup}: it must be a number of at least 1")
    if isinstance(rank, tuple) and (method != "tucker" or len(rank) != 2):
        takes = "one number or two" if method == "tucker" else "one number"
        raise SpecError(f"rank is {rank}: {method} takes {takes}")
    if energy is not None and method == "cp":
        raise SpecError("cp has no singular values to keep a share of: give `rank` or `speedup`")
    for one in rank if isinstance(rank, tuple) else () if rank is None else (rank,):
        if type(one) is not int or one < 1:
            raise SpecError(f"rank is {one!r}: it must be a whole number of at least 1")
    return SCHEMES[method]


# -- which rank ------------------------------------------------------------------------------------------


def _decide(
    workload: Workload,
    site: Site,
    scheme: Scheme,
    rank: Rank | None,
    energy: float | None,
    speedup: float | None,
) -> tuple[Ranks, Float64Array]:
    """The ranks of a layer, and its weight as [groups, outputs, inputs, height, width]. Raises
    UnsuitableError with the reason to leave it."""
    shape = _grouped_shape(site)
    if fault := scheme.fault(shape[1:]):
        raise UnsuitableError(fault)
    limits = scheme.limits(shape[1:])
    problems = [_problem(op) for op in site.operators]

    def gain(ranks: Ranks) -> float:
        """How many times fewer MACs."""
        after = sum(part.macs for problem in problems for part in scheme.problems(problem, ranks))
        return sum(problem.macs for problem in problems) / after

    if rank is not None:
        ranks = rank if isinstance(rank, tuple) else (rank,) * len(limits)
        if any(one > most for one, most in zip(ranks, limits, strict=True)):
            known = " and ".join(map(str, limits))
            asked = " and ".join(map(str, dict.fromkeys(ranks)))
            raise UnsuitableError(f"rank {asked} is above its limit of {known}, where the factors are exact")
    elif speedup is not None:
        ranks = _fastest(gain, limits, speedup)
    if find_format(site.weight.dtype).kind == "levels":
        raise UnsuitableError(f"its weights are {site.weight.dtype}, which factors cannot be: factor first")
    weight = _grouped(settled(site.weight, read_weight(workload, site.ref)), site, shape)
    if energy is not None:
        spectra = zip(*(scheme.spectra(group) for group in weight), strict=True)
        ranks = tuple(factors.kept_rank(list(groups), energy) for groups in spectra)
    if not site.named and gain(ranks) <= 1:
        raise UnsuitableError(f"factors of rank {'x'.join(map(str, ranks))} would save no MACs")
    return ranks, weight


def _fastest(gain: Callable[[Ranks], float], limits: Ranks, speedup: float) -> Ranks:
    """The largest ranks, in proportion to their limits, with which MACs shrink by `speedup`."""
    most = max(limits)

    def scaled(part: int) -> Ranks:
        return tuple(max(1, limit * part // most) for limit in limits)

    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if gain(scaled(middle)) >= speedup else (low, middle - 1)
    if not low:
        most_gain = gain(scaled(1))
        raise UnsuitableError(f"rank 1 takes {most_gain:.3g} times fewer MACs, which is below {speedup:g}")
    return scaled(low)


# -- from weights to operators -----------------------------------------------------------------------------


def _factored(
    workload: Workload, site: Site, scheme: Scheme, ranks: Ranks, weight: Float64Array, seed: int
) -> tuple[dict[str, Replacement], float]:
    """What stands in for each operator of a weight, and the relative error of the factors (Frobenius)."""
    start = (seed, zlib.crc32(site.weight.name.encode()))
    groups = [scheme.factors(group, ranks, (*start, i)) for i, group in enumerate(weight)]
    parts = [np.concatenate(part) for part in zip(*groups, strict=True)]
    size = sum(float(np.vdot(group, group)) for group in weight)
    error = 0.0
    for group, made in zip(weight, groups, strict=True):
        rest = scheme.product(made)
        rest -= group
        error += float(np.vdot(rest, rest))
    if isinstance(_problem(site.operators[0]), Matmul):
        parts = [part[:, :, 0, 0] for part in parts]
    tensors = [
        new_weight(site.weight, name, part.shape, held(part.astype(np.float32)))
        for name, part in zip(PARTS, parts, strict=False)
    ]
    chains: dict[str, Replacement] = {}
    for i, op in enumerate(site.operators):
        found = _chain(workload, op, scheme.problems(_problem(op), ranks), tensors)
        # Operators that share a weight share its factors.
        chains[op.name] = replace(found, tensors=(*found.tensors, *(tensors if i == 0 else ())))
    return chains, (error / size) ** 0.5 if size else 0.0


def _chain(
    workload: Workload, op: Operator, problems: Sequence[Problem], weights: Sequence[Tensor]
) -> Replacement:
    """Operators in a row in place of `op`: the first reads what it read, the last makes what it made."""
    out = workload.tensors[op.output]
    steps = [between(op, name, _result(p, out), out) for name, p in zip(PARTS, problems[:-1], strict=False)]
    names = [op.inputs[0], *(tensor.name for tensor in steps), op.output]
    operators = []
    for i, (problem, weight, (source, target)) in enumerate(
        zip(problems, weights, pairwise(names), strict=True)
    ):
        attributes: Attributes = ()
        if isinstance(problem, Matmul):
            kept = [("trans_a", True)] if i == 0 and dict(op.attributes).get("trans_a") else []
            attributes = (*kept, ("trans_b", True))
        steps_behind = op.epilogue if i == len(problems) - 1 else ()
        name, layer = f"{op.name}.{PARTS[i]}", op.layer or op.name
        operators.append(
            Operator(name, problem, (source, weight.name), target, layer, steps_behind, attributes)
        )
    return Replacement(tuple(operators), tuple(steps))


def _result(problem: Problem, out: Tensor) -> tuple[int, ...]:
    """The shape of what a factor makes, where the whole layer makes `out`."""
    if isinstance(problem, Conv2d):
        return problem.N, problem.K, problem.P, problem.Q
    return (*out.shape[:-1], problem.N)


def _problem(op: Operator) -> Problem:
    assert isinstance(op.problem, Conv2d | Matmul)
    return op.problem


def _grouped_shape(site: Site) -> tuple[int, ...]:
    """[groups, outputs, inputs, height, width] of a weight. Raises UnsuitableError where it is none."""
    if not site.operators:
        raise UnsuitableError("its weight is the first operand of a product, and not the second")
    if not isinstance(site.operators[0].problem, Conv2d | Matmul):
        raise UnsuitableError(f"it is a {site.operators[0].kind} layer, whose weights stay whole")
    problem, shape = _problem(site.operators[0]), site.weight.shape
    if len({_reading(op) for op in site.operators}) > 1:
        raise UnsuitableError("its weight is shared by operators that read it in different ways")
    if isinstance(problem, Conv2d):
        return (problem.groups, shape[0] // problem.groups, *shape[1:])
    if len(shape) != 2 or problem.B != 1:
        raise UnsuitableError(f"its weight has {len(shape)} dimensions, and a linear layer's has two")
    return 1, problem.N, problem.K, 1, 1


def _reading(op: Operator) -> tuple[object, ...]:
    """What decides how an operator takes its weight."""
    if isinstance(op.problem, Conv2d):
        return "conv2d", op.problem.groups
    return "matmul", bool(dict(op.attributes).get("trans_b"))


def _grouped(values: Array, site: Site, shape: tuple[int, ...]) -> Float64Array:
    """The weight's numbers in that shape."""
    turned = values.T if _reading(site.operators[0]) == ("matmul", False) else values
    return np.ascontiguousarray(turned, dtype=np.float64).reshape(shape)
