"""Binary and ternary weights by hand, and where they may not be."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.compress.binarise import binarise, binarise_both, ternarise, ternarise_trained
from hwsim.errors import SpecError
from hwsim.functional import execute, execute_stored
from hwsim.tensor.storage import Quantisation
from hwsim.workload import Workload
from hwsim.workload.operators import Conv2d, Elementwise, Pool
from tests.weighted import layer, linear_layers, weighted

MIDDLE = [[1.0, -3.0], [0.5, 0.0]]
NET = linear_layers([[1.0, 0.0], [0.0, 1.0]], MIDDLE, [[1.0, 1.0]])
DRAW = np.random.default_rng(8)


def _values(workload: Workload, tensor: str) -> list[list[float]]:
    return workload.values(tensor).tolist()  # type: ignore[no-any-return]


def test_binary_weights_have_the_mean_size_of_their_filter() -> None:
    found = binarise(NET)
    assert _values(found, "w2") == [[2.0, -2.0], [0.25, 0.25]]
    assert found.tensors["w2"].dtype == "binary"
    assert found.tensors["w2"].quantisation == Quantisation((2.0, 0.25), (0, 0), 0)
    assert found.tensors["w1"] == NET.tensors["w1"]  # first and last stay
    assert found.tensors["w3"] == NET.tensors["w3"]
    # x = [1, 2]: 2 - 4 and 0.25 + 0.5 behind the ReLU.
    assert execute(found, {"x": np.array([[1.0, 2.0]])})["fc3"].tolist() == [[0.75]]


def test_it_is_done_once() -> None:
    for step in (binarise, ternarise):
        once = step(NET)
        assert _values(step(once), "w2") == _values(once, "w2")
        assert step(once).tensors["w2"] == once.tensors["w2"]


def test_the_scale_is_the_best_of_all() -> None:
    """Rastegari et al., section 3.1: no other scale times signs comes closer to the filter."""
    weights = DRAW.standard_normal((4, 30))
    found = binarise(linear_layers(weights), layers="fc1").values("w1")
    best = np.square(weights - found).sum(axis=1)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert (np.square(weights - factor * found).sum(axis=1) > best).all()


def test_convolutions_have_a_scale_a_filter() -> None:
    weights = DRAW.standard_normal((3, 2, 3, 3))
    net = weighted(
        {"x": (1, 2, 5, 5)},
        {"w": weights},
        [(layer(Conv2d(1, 2, 5, 5, 3, 3, 3, 3, 3), "x w", "conv"), (1, 3, 3, 3))],
        ["conv"],
    )
    found = binarise(net, layers="conv")
    for k in range(3):
        size = np.abs(weights[k].astype(np.float32)).astype(np.float64).mean()
        assert np.allclose(np.abs(found.values("w")[k]), size, rtol=1e-12)
        assert np.array_equal(np.sign(found.values("w")[k]), np.sign(weights[k]))


def test_ternary_weights_by_hand() -> None:
    """Mean size 1.125, so 0.7875 and above stay: 1 and -3, of mean size 2."""
    found = ternarise(NET)
    assert _values(found, "w2") == [[2.0, -2.0], [0.0, 0.0]]
    assert found.tensors["w2"].dtype == "ternary"
    assert found.tensors["w2"].quantisation == Quantisation((2.0,), (0,))
    assert found.tensors["w2"].density == 0.5
    assert _values(ternarise(NET, threshold=0.4), "w2") == [[1.5, -1.5], [1.5, 0.0]]


def test_two_scales_are_a_codebook() -> None:
    """A twentieth of 3 is 0.15: 1 and 0.5 stay above, -3 below."""
    found = ternarise_trained(NET)
    assert _values(found, "w2") == [[0.75, -3.0], [0.75, 0.0]]
    assert found.tensors["w2"].codebook == (-3.0, 0.75)
    assert found.tensors["w2"].dtype == "fp32"
    assert found.tensors["w2"].density == 0.75


# -- binary activations ----------------------------------------------------------------------------------


def test_binary_activations_by_hand() -> None:
    """x = [4, -2] twice; fc1 gives [4, -2] without its ReLU: the sign times 3."""
    samples = {"x": np.array([[4.0, -2.0], [4.0, -2.0]])}
    found = binarise_both(NET, samples=samples)
    assert found.tensors["fc1"].dtype == "binary"
    assert found.tensors["fc1"].quantisation == Quantisation((3.0,), (0,))
    assert [len(op.epilogue) for op in found.operators] == [0, 1, 0]
    stored = execute_stored(found, {"x": np.array([[0.5, -9.0]])})
    assert stored["fc1"].values.tolist() == [[1, -1]]
    # 3 * (2 + 2) and 3 * (0.25 - 0.25).
    assert stored["fc2"].reals.tolist() == [[12.0, 0.0]]
    assert "fc1" in found.history[-1]


def test_scales_are_those_of_the_binary_network() -> None:
    """The second binary tensor's scale follows from the first one's signs, not from the float network."""
    net = linear_layers(np.eye(2), [[1.0, 1.0]], [[1.0]], [[1.0]])
    found = binarise_both(net, samples={"x": np.array([[4.0, -2.0], [-1.0, -5.0]])})
    assert found.tensors["fc1"].quantisation == Quantisation((3.0,), (0,))
    # 3 - 3 and -3 - 3, where the float network has 2 and -6.
    assert found.tensors["fc2"].quantisation == Quantisation((3.0,), (0,))


def test_a_pool_between_is_binary_too() -> None:
    net = weighted(
        {"x": (1, 1, 4, 4)},
        {name: DRAW.standard_normal((2, depth, 1, 1)) for name, depth in (("a", 1), ("b", 2), ("c", 2))},
        [
            (layer(Conv2d(1, 1, 4, 4, 2, 1, 1, 4, 4), "x a", "c1", "relu"), (1, 2, 4, 4)),
            (layer(Pool("max", 1, 2, 4, 4, 2, 2, 2, 2, (2, 2)), "c1", "p"), (1, 2, 2, 2)),
            (layer(Conv2d(1, 2, 2, 2, 2, 1, 1, 2, 2), "p b", "c2", "relu"), (1, 2, 2, 2)),
            (layer(Conv2d(1, 2, 2, 2, 2, 1, 1, 2, 2), "c2 c", "c3"), (1, 2, 2, 2)),
        ],
        ["c3"],
    )
    found = binarise_both(net, samples={"x": DRAW.standard_normal((5, 1, 4, 4))})
    assert [found.tensors[name].dtype for name in ("x", "c1", "p", "c2", "c3")] == [
        "fp32", "binary", "binary", "fp32", "fp32",
    ]  # fmt: skip
    assert found.tensors["p"].quantisation == found.tensors["c1"].quantisation is not None


def test_where_binary_activations_may_not_be() -> None:
    with pytest.raises(SpecError, match="fc1 reads 'x', which enters the network"):
        binarise_both(NET, layers="fc1")
    branched = weighted(
        {"x": (1, 2)},
        {"w1": np.eye(2), "w2": np.eye(2), "w3": np.eye(2)},
        [
            *((op, (1, 2)) for op in linear_layers(np.eye(2), np.eye(2)).operators),
            (layer(Elementwise("add", 2, 2), "fc1 fc2", "sum"), (1, 2)),
        ],
        ["sum"],
    )
    with pytest.raises(SpecError, match="'fc1' cannot become binary, because sum reads it too"):
        binarise_both(branched, layers="fc2")
    sigmoid = linear_layers(np.eye(2), np.eye(2), np.eye(2), relu=False)
    operators = tuple(
        layer(op.problem, " ".join(op.inputs), op.output, "sigmoid") for op in sigmoid.operators
    )
    positive = weighted(
        {"x": (1, 2)}, {f"w{i}": np.eye(2) for i in (1, 2, 3)}, [(op, (1, 2)) for op in operators], ["fc3"]
    )
    with pytest.raises(SpecError, match="'fc1' is never negative over the samples"):
        binarise_both(positive, samples={"x": np.array([[1.0, -1.0]])})


def test_networks_without_inner_layers_are_refused() -> None:
    with pytest.raises(SpecError, match="no layer between its first and its last"):
        binarise(linear_layers(MIDDLE, MIDDLE))
    for threshold in (-0.1, 20.0):
        with pytest.raises(SpecError, match="threshold is"):
            ternarise(NET, threshold=threshold)
