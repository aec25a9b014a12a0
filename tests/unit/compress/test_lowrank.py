"""Low rank: MACs by formula, outputs at full rank, names, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.compress.lowrank import low_rank
from hwsim.errors import SpecError
from hwsim.pipeline import run, verify
from hwsim.workload import Workload, matmul
from hwsim.workload.operators import Conv2d
from hwsim.workload.weights import Given
from tests.replaced import difference, layered


@pytest.fixture(scope="module")
def network() -> Workload:
    return layered()


# c1 is 8 -> 12 channels, 3x3, of a map 11 x 9 to 6 x 6 (rows (11 + 3 - 3) // 2 + 1, columns 9 + 1 - 5 + 1),
# N = 2; c2 is 4 groups of 3 -> 2 at 6 x 6; near is 2 groups of 4 -> 3 at 5 x 6; c3 is 6 -> 10 at 5 x 3.
FORMULAS = {
    ("svd", "fc", 3): 2 * 3 * (150 + 7),
    ("svd", "c3", 2): 2 * 5 * 3 * 2 * (6 + 10),
    ("tucker", "c1", (2, 5)): 2 * (11 * 9 * 8 * 2 + 6 * 6 * 2 * 5 * 9 + 6 * 6 * 5 * 12),
    ("tucker", "c1", 4): 2 * (11 * 9 * 8 * 4 + 6 * 6 * 4 * 4 * 9 + 6 * 6 * 4 * 12),
    ("tucker", "c2", (2, 1)): 2 * 6 * 6 * 4 * (3 * 2 + 2 * 1 * 9 + 1 * 2),
    ("cp", "c1", 5): 2 * 5 * (11 * 9 * 8 + 6 * 9 * 3 + 6 * 6 * 3 + 6 * 6 * 12),
    ("cp", "near", 2): 2 * 2 * 2 * (6 * 6 * 4 + 5 * 6 * 3 + 5 * 6 * 3 + 5 * 6 * 3),
    ("separable", "c1", 4): 2 * (6 * 9 * 8 * 4 * 3 + 6 * 6 * 4 * 12 * 3),
    ("separable", "c2", 2): 2 * 4 * (6 * 6 * 3 * 2 * 3 + 6 * 6 * 2 * 2 * 3),
    ("separable", "deep", 1): 2 * 10 * (5 * 3 * 3 + 5 * 3 * 3),
}


@pytest.mark.parametrize(("key", "macs"), FORMULAS.items())
def test_macs_are_those_of_the_formula(network: Workload, key: tuple[str, str, int], macs: int) -> None:
    method, layer, rank = key
    changed = low_rank(network, method, rank=rank, layers=layer)
    before = sum(op.macs for op in network.operators if op.layer == layer)
    assert sum(op.macs for op in changed.operators if op.layer == layer) == macs
    assert changed.macs == network.macs - before + macs
    assert run(changed, "tpu_v1").multiplications >= changed.macs


FULL = [
    ("svd", "fc", 7), ("svd", "c3", 6), ("tucker", "c1", (8, 12)), ("tucker", "c2", (3, 2)),
    ("tucker", "near", (4, 3)), ("cp", "c1", 72), ("cp", "near", 27), ("separable", "c1", 24),
    ("separable", "near", 9), ("separable", "deep", 3),
]  # fmt: skip


@pytest.mark.parametrize(("method", "layer", "rank"), FULL)
def test_full_rank_computes_what_the_layer_did(
    network: Workload, method: str, layer: str, rank: int | tuple[int, int]
) -> None:
    assert difference(low_rank(network, method, rank=rank, layers=layer), network) < 1e-6


def test_less_than_full_rank_does_not(network: Workload) -> None:
    assert difference(low_rank(network, "separable", rank=20, layers="c1"), network) > 1e-3


def test_names_layers_epilogues_and_weights(network: Workload) -> None:
    changed = low_rank(network, "tucker", rank=(2, 5), layers="c1")
    a, b, c = (op for op in changed.operators if op.layer == "c1")
    assert [op.name for op in (a, b, c)] == ["c1.a", "c1.b", "c1.c"]
    assert (a.inputs, b.inputs[0], c.output) == (("x", "c1.weight.a"), a.output, "relu1")
    assert (a.epilogue, b.epilogue) == ((), ())
    assert [step.function for step in c.epilogue] == ["bias", "relu"]
    assert isinstance(b.problem, Conv2d)
    assert (b.problem.stride, b.problem.pad, b.problem.dilation) == ((2, 1), (1, 0, 2, 1), (1, 2))
    assert changed.tensors["c1.weight.b"].shape == (5, 2, 3, 3)
    assert "c1.weight" not in changed.tensors
    assert changed.parameter_count == network.parameter_count - 12 * 8 * 9 + 8 * 2 + 5 * 2 * 9 + 5 * 12
    assert "c1 rank 2x5" in changed.history[-1]
    assert changed.source.format == "compressed"
    assert changed.content_hash != network.content_hash


def test_energy_takes_the_least_rank_that_keeps_it() -> None:
    work = matmul(4, 6, 5)
    # Singular values 4, 2, 1, 0, 0 of 21 squared in all.
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    weights = np.linalg.qr(basis[:5, :5])[0] @ np.diag([4.0, 2.0, 1.0, 0.0, 0.0]) @ basis[:5]
    tensor = replace(work.tensors["b"], values=Given(weights))
    work = replace(work, tensors={**work.tensors, "b": tensor})
    for energy, rank in ((0.5, 1), (16 / 21 - 1e-9, 1), (0.77, 2), (20 / 21 + 1e-6, 3), (1.0, 3)):
        changed = low_rank(work, "svd", energy=energy, layers="matmul")
        assert changed.tensors["b.a"].shape == (rank, 5), energy


@pytest.mark.parametrize(
    ("method", "layer"), [("svd", "fc"), ("tucker", "c1"), ("cp", "c1"), ("separable", "near")]
)
def test_speedup_takes_the_largest_rank_that_reaches_it(network: Workload, method: str, layer: str) -> None:
    def macs(changed: Workload) -> int:
        return sum(op.macs for op in changed.operators if op.layer == layer)

    found = low_rank(network, method, speedup=2, layers=layer)
    assert macs(found) * 2 <= macs(network)
    rank = found.tensors[f"{layer}.weight.a"].shape[0] // (2 if layer == "near" else 1)
    larger = low_rank(network, method, rank=rank + 2, layers=layer)
    assert macs(larger) * 2 > macs(network)


def test_layers_that_no_one_named_stay_where_nothing_is_saved(network: Workload) -> None:
    changed = low_rank(network, "svd", rank=6)
    assert [op.name for op in changed.operators if op.layer in ("c3", "fc")] == ["c3", "fc.a", "fc.b"]
    named = low_rank(network, "svd", rank=6, layers=["c3", "fc"])
    assert [op.name for op in named.operators if op.layer == "c3"] == ["c3.a", "c3.b"]


def test_layers_that_share_a_weight_share_its_factors(network: Workload) -> None:
    fc = next(op for op in network.operators if op.name == "fc")
    twice = replace(
        network,
        operators=(*network.operators, replace(fc, name="again", output="again", layer="again")),
        tensors={**network.tensors, "again": replace(network.tensors["fc"], name="again")},
        outputs=("fc", "again"),
    )
    changed = low_rank(twice, "svd", rank=2, layers="fc")
    first, second = (op for op in changed.operators if op.name in ("fc.b", "again.b"))
    assert first.inputs[1] == second.inputs[1] == "fc.weight.b"
    assert changed.parameter_count == twice.parameter_count - 7 * 150 + 2 * (150 + 7)


REFUSED = {
    "unknown low-rank method 'pca'": {"method": "pca", "rank": 1},
    "give exactly one": {"method": "svd"},
    "exactly one": {"method": "svd", "rank": 1, "energy": 0.5},
    "rank is 0": {"method": "svd", "rank": 0},
    "rank is -2": {"method": "tucker", "rank": (3, -2)},
    r"rank is \(1, 2\): svd takes one number": {"method": "svd", "rank": (1, 2)},
    "energy is 0": {"method": "svd", "energy": 0.0},
    "energy is nan": {"method": "svd", "energy": float("nan")},
    "speedup is 0.5": {"method": "svd", "speedup": 0.5},
    "speedup is inf": {"method": "svd", "speedup": float("inf")},
    "cp has no singular values": {"method": "cp", "energy": 0.9},
    "seed is -1": {"method": "cp", "rank": 1, "seed": -1},
    "no layer 'c9'": {"method": "svd", "rank": 1, "layers": "c9"},
    "'fc'.*rank 8 is above its limit of 7": {"method": "svd", "rank": 8, "layers": "fc"},
    "'c1'.*rank 9 and 2 is above its limit of 8 and 12": {"method": "tucker", "rank": (9, 2), "layers": "c1"},
    "'c1'.*rank 73 is above its limit of 72": {"method": "cp", "rank": 73, "layers": "c1"},
    "svd factors linear layers and 1x1": {"method": "svd", "rank": 1, "layers": "c1"},
    "'fc'.*use svd": {"method": "tucker", "rank": 1, "layers": "fc"},
    "'c3'.*one direction alone": {"method": "separable", "rank": 1, "layers": "c3"},
    "'deep'.*one input channel a group": {"method": "tucker", "rank": 1, "layers": "deep"},
    "'deep'.*depthwise": {"method": "cp", "rank": 1, "layers": "deep"},
    "rank 1 takes .* times fewer": {"method": "svd", "speedup": 1000, "layers": "fc"},
    "nothing to do": {"method": "svd", "rank": 10**6},
}


@pytest.mark.parametrize(("message", "given"), REFUSED.items())
def test_what_cannot_be_is_refused(network: Workload, message: str, given: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=message):
        low_rank(network, **given)  # type: ignore[arg-type]


def test_weights_that_are_no_numbers_are_refused_for_layers_that_no_one_named(network: Workload) -> None:
    weights = np.full((7, 150), np.nan, dtype=np.float32)
    bad = replace(network.tensors["fc.weight"], values=Given(weights))
    broken = replace(network, tensors={**network.tensors, "fc.weight": bad})
    with pytest.raises(SpecError, match="must be finite"):
        low_rank(broken, "svd", rank=2)


def test_a_name_that_is_taken_is_refused(network: Workload) -> None:
    changed = low_rank(network, "svd", rank=2, layers="fc")
    clash = replace(changed.operators[0], name="fc.a.a")
    with pytest.raises(SpecError, match=r"already has a 'fc\.a\.a'"):
        low_rank(replace(changed, operators=(clash, *changed.operators[1:])), "svd", rank=1, layers="fc.a")


@pytest.mark.parametrize("design", ["tpu_v1", "systolic_plain"])
def test_numbers_are_right_on_machines(network: Workload, design: str) -> None:
    changed = low_rank(network, "tucker", rank=(3, 4), layers="c1")
    changed = low_rank(changed, "separable", rank=2, layers="c2")
    changed = low_rank(changed, "cp", rank=3, layers="near")
    changed = low_rank(changed, "svd", rank=3, layers=["c3", "fc"])
    found = verify(changed, design, dtype="int8")
    assert found.exact.all()
    assert len(changed.history) == 5
