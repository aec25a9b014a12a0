"""Sequence layers in workload files: the operators and weights they come to, and their numbers, worked out
here in numpy from the papers' equations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.errors import SpecError
from hwsim.functional.execute import activations
from hwsim.workload import Workload, load_workload
from hwsim.workload.operators import Append, Attention, Gather, Matmul, Norm

HEAD = "name: net\nparameters: {batch: 2, places: 5, past: 3}\ninput: {shape: [batch, places, 12]}\n"
TOKENS = "name: net\ninputs: {tokens: {shape: [2, 5], indices: 9}}\n"


def load(tmp_path: Path, layers: str, head: str = HEAD, **parameters: int) -> Workload:
    path = tmp_path / "net.yaml"
    path.write_text(f"{head}layers:\n" + "".join(f"  - {line.strip()}\n" for line in layers.splitlines()))
    return load_workload(path, **parameters)


def refusal(tmp_path: Path, layers: str, head: str = HEAD, **parameters: int) -> str:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, layers, head, **parameters)
    return str(caught.value).replace(f"{tmp_path}/", "")


def results(net: Workload, **inputs: Any) -> NDArray[np.float64]:
    return activations(net, inputs)[net.outputs[0]]


def drawn(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(7).standard_normal(shape)


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.exp(x - x.max(axis=-1, keepdims=True))
    return found / found.sum(axis=-1, keepdims=True)


def turned(head: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """RoFormer's rotation of one head [places, size] by complex numbers."""
    half = head.shape[1] // 2
    angles = np.outer(np.arange(start, start + len(head)), 10_000.0 ** (-np.arange(half) / half))
    found = (head[:, :half] + 1j * head[:, half:]) * np.exp(1j * angles)
    return np.concatenate([found.real, found.imag], axis=1)


def attended(net: Workload, x: NDArray[np.float64], memory: NDArray[np.float64], **how: Any) -> NDArray[Any]:
    """One attention layer called `a`, a batch and a head at a time."""
    heads, kv_heads, past = how["heads"], how.get("kv_heads", how["heads"]), how.get("past", 0)

    def projected(part: str, of: NDArray[np.float64]) -> NDArray[np.float64]:
        bias = f"a.{part}_bias"
        extra = net.values(bias) if bias in net.tensors else 0
        return of @ net.values(f"a.{part}_weight").T.astype(float) + extra

    q, k, v = projected("query", x), projected("key", memory), projected("value", memory)
    size = q.shape[-1] // heads
    found = np.zeros_like(q)
    for b, h in np.ndindex(len(x), heads):
        g = h * kv_heads // heads
        own, other = slice(h * size, (h + 1) * size), slice(g * size, (g + 1) * size)
        queries, keys, values = q[b][:, own], k[b][:, other], v[b][:, other]
        if how.get("rotary"):
            queries, keys = turned(queries, past), turned(keys, past)
        if past:
            keys = np.concatenate([net.values("a.key_cache")[b, g, :past], keys])
            values = np.concatenate([net.values("a.value_cache")[b, g, :past], values])
        scores = queries @ keys.T * how.get("scale", 1 / math.sqrt(size))
        place = np.arange(len(scores))[:, None] + len(keys) - len(scores)
        other_place = np.arange(len(keys))[None]
        if how.get("causal"):
            scores[other_place > place] = -np.inf
        if window := how.get("window"):
            scores[abs(other_place - place) >= window] = -np.inf
        found[b][:, own] = softmax(scores) @ values
    return projected("output", found)


HOWS: list[tuple[str, dict[str, Any]]] = [
    ("heads: 4", {"heads": 4}),
    ("heads: 4, causal: true", {"heads": 4, "causal": True}),
    ("heads: 6, kv_heads: 2, bias: false", {"heads": 6, "kv_heads": 2}),
    ("heads: 3, kv_heads: 1, head_size: 8, rotary: true", {"heads": 3, "kv_heads": 1, "rotary": True}),
    (
        "heads: 2, causal: true, window: 2, scale: 0.3",
        {"heads": 2, "causal": True, "window": 2, "scale": 0.3},
    ),
    ("heads: 2, causal: true, cache: past", {"heads": 2, "causal": True, "past": 3}),
    (
        "heads: 4, kv_heads: 2, head_size: 4, rotary: true, causal: true, cache: past, bias: [query, value]",
        {"heads": 4, "kv_heads": 2, "rotary": True, "causal": True, "past": 3},
    ),
]


@pytest.mark.parametrize(("said", "how"), HOWS, ids=[said for said, _ in HOWS])
def test_attention_computes_what_the_papers_say(tmp_path: Path, said: str, how: dict[str, Any]) -> None:
    net = load(tmp_path, f"{{name: a, kind: attention, {said}}}")
    x = drawn(2, 5, 12)
    np.testing.assert_allclose(results(net, input=x), attended(net, x, x, **how), rtol=1e-6, atol=1e-6)
    biased = {name.removeprefix("a.").removesuffix("_bias") for name in net.tensors if name.endswith("_bias")}
    every = {"query", "key", "value", "output"}
    assert biased == (set() if "bias: false" in said else {"query", "value"} if "bias: [" in said else every)


def test_a_second_input_gives_keys_and_values(tmp_path: Path) -> None:
    head = "name: net\ninputs: {x: {shape: [2, 3, 8]}, m: {shape: [2, 7, 6]}}\n"
    net = load(tmp_path, "{name: a, kind: attention, heads: 2, inputs: [x, m]}", head)
    x, m = drawn(2, 3, 8), drawn(2, 7, 6)
    np.testing.assert_allclose(results(net, x=x, m=m), attended(net, x, m, heads=2), rtol=1e-6, atol=1e-6)
    assert net.tensors["a.key_weight"].shape == (8, 6)


def test_a_cache_holds_all_places_and_takes_in_the_new_ones(tmp_path: Path) -> None:
    net = load(tmp_path, "{name: a, kind: attention, heads: 4, kv_heads: 2, cache: past}", past=7)
    held = {t.name: t.shape for t in net.tensors.values() if t.role == "cache"}
    assert held == {"a.key_cache": (2, 2, 12, 3), "a.value_cache": (2, 2, 12, 3)}
    appends = [op for op in net.operators if isinstance(op.problem, Append)]
    assert [op.problem.elements for op in appends] == [2 * 2 * 5 * 3] * 2
    assert {dict(op.attributes)["start"] for op in appends} == {7}
    scores = next(op.problem for op in net.operators if isinstance(op.problem, Attention))
    assert (scores.Q, scores.S) == (5, 12)


def test_layers_of_one_network_share_their_angles(tmp_path: Path) -> None:
    net = load(tmp_path, "{kind: repeat, times: 3, layers: [{kind: attention, heads: 2, rotary: true}]}")
    assert sum(t.role == "constant" for t in net.tensors.values()) == 2


@pytest.mark.parametrize(("said", "function"), [("", "relu"), (", function: silu, gated: true", "silu")])
def test_feed_forward(tmp_path: Path, said: str, function: str) -> None:
    net = load(tmp_path, f"{{name: f, kind: feed_forward, hidden: 7{said}}}")
    x = drawn(2, 5, 12)

    def linear(part: str, of: NDArray[np.float64]) -> NDArray[np.float64]:
        return of @ net.values(f"f.{part}_weight").T.astype(float) + net.values(f"f.{part}_bias")

    up = linear("up", x)
    if function == "silu":
        gate = linear("gate", x)
        middle = gate / (1 + np.exp(-gate)) * up
    else:
        middle = np.maximum(up, 0)
    np.testing.assert_allclose(results(net, input=x), linear("down", middle), rtol=1e-6, atol=1e-6)


def test_norms(tmp_path: Path) -> None:
    layers = ("{name: a, kind: layer_norm}", "{kind: rms_norm}", "{kind: layer_norm, bias: false}")
    net = load(tmp_path, "\n".join(layers))
    assert [op.problem for op in net.operators] == [
        Norm("layer_norm", 10, 12), Norm("rms_norm", 10, 12, shifted=False),
        Norm("layer_norm", 10, 12, shifted=False),
    ]  # fmt: skip
    assert net.parameter_count == 12 * 4
    head = "name: net\ninput: {shape: [2, 6, 4, 4]}\n"
    group = load(tmp_path, "{kind: group_norm, groups: 3}", head)
    assert group.operators[0].problem == Norm("group_norm", 6, 32)


def test_words_and_places(tmp_path: Path) -> None:
    layers = (
        "{name: words, kind: embedding, vocab: 9, width: 6}\n"
        "{name: at, kind: positional, places: 20, start: 4}\n"
        "{name: also, kind: positional, form: sinusoidal}\n"
        "{name: next, kind: linear, out_features: 9, bias: false, weight_of: words}"
    )
    net = load(tmp_path, layers, TOKENS)
    tokens = np.array([[0, 8, 3, 3, 1], [2, 2, 2, 0, 7]])
    table, rows = net.values("words.weight").astype(float), net.values("at.weight").astype(float)
    angles = [[p / 10_000 ** (2 * (i // 2) / 6) for i in range(6)] for p in range(5)]
    waves = [[math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(row)] for row in angles]
    expected = (table[tokens] + rows[4:9] + np.array(waves)) @ table.T
    np.testing.assert_allclose(results(net, tokens=tokens), expected, rtol=1e-6, atol=1e-6)
    assert net.parameter_count == 9 * 6 + 20 * 6  # the output's weight is the table
    assert net.operators[0].problem == Gather(10, 6, 9)


def test_a_class_token_stands_first(tmp_path: Path) -> None:
    net = load(tmp_path, "{name: c, kind: class_token}")
    x = drawn(2, 5, 12)
    token = np.broadcast_to(net.values("c.weight"), (2, 1, 12))
    np.testing.assert_allclose(results(net, input=x), np.concatenate([token, x], axis=1))
    assert net.parameter_count == 12


def test_moe_computes_what_the_paper_says(tmp_path: Path) -> None:
    net = load(tmp_path, "{name: m, kind: moe, experts: 6, top: 2, hidden: 4, skew: 1.0}")
    x = drawn(2, 5, 12)
    shares = softmax(x.reshape(10, 12) @ net.values("m.router_weight").T.astype(float))
    takers = {e: net.values(f"m.{e}.input.places") for e in range(6) if f"m.{e}.input.places" in net.tensors}
    expected = np.zeros((10, 12))
    for place, row in enumerate(x.reshape(10, 12)):
        mine = [e for e, places in takers.items() if place in places]
        assert len(mine) == 2
        for e in mine:
            up, gate, down = (
                net.values(f"m.{e}.{part}_weight").astype(float) for part in ("up", "gate", "down")
            )
            gated = row @ gate.T
            made = (gated / (1 + np.exp(-gated)) * (row @ up.T)) @ down.T
            expected[place] += made * shares[place, e] / shares[place, mine].sum()
    np.testing.assert_allclose(results(net, input=x), expected.reshape(2, 5, 12), rtol=1e-6, atol=1e-6)
    assert "the top 2 of 6 by a standard normal number" in " ".join(net.notes)


def test_experts_that_no_place_takes_are_held_and_not_run(tmp_path: Path) -> None:
    head = "name: net\ninput: {shape: [1, 1, 12]}\n"
    net = load(tmp_path, "{name: m, kind: moe, experts: 8, top: 2, hidden: 4, bias: true}", head)
    weights = [t for t in net.tensors.values() if t.role == "weight"]
    assert net.parameter_count == sum(t.elements for t in weights)
    assert net.parameter_count == 8 * 12 + 8 * (3 * 12 * 4 + 4 + 4 + 12)
    assert sum(isinstance(op.problem, Matmul) for op in net.operators) == 1 + 2 * 3


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            "{kind: attention, heads: 5}",
            "net.yaml:5:5: layers[0]: layer 'attention1' (attention): 5 heads do",
        ),
        ("{kind: attention, heads: 6, kv_heads: 4}", "4 heads of keys and values do not divide 6"),
        ("{kind: attention, heads: 0}", "has 0 heads"),
        (
            "{kind: attention, heads: 4, rotary: true}",
            "turns heads of 3 numbers, which must be an even number",
        ),
        (
            "{kind: attention, heads: 4, cache: pats}",
            "net.yaml:5:40: layers[0].cache: there is no parameter 'pats'",
        ),
        ("{kind: attention, heads: 4, cache: past - 4}", "has a cache of -1 places"),
        ("{kind: attention, heads: 4, head_size: 0}", "has a head_size of 0"),
        ("{kind: attention, heads: 4, window: 0}", "layers[0].window: must be at least 1"),
        ("{kind: attention, heads: 4, rotary_base: 5.0}", "layers[0].rotary_base: changes nothing without"),
        ("{kind: attention, heads: 4, bias: [keys]}", "layers[0].bias[0]"),
        (
            "{kind: attention, heads: 4, cache: 1, inputs: [input, input]}",
            "layers[0].cache: is for attention to its own",
        ),
        ("{kind: attention, heads: 4, inputs: [input, input, input]}", "layers[0].inputs: has 3 names"),
        (
            "{kind: embedding, vocab: 9, width: 4}",
            "looks up indices, and 'input' holds other numbers: declare it",
        ),
        ("{kind: positional, places: 4}", "places 0 to 4 are not in a table of 4 places"),
        ("{kind: positional, form: sinusoidal, places: 4}", "layers[0].places: is for the learned form"),
        ("{kind: moe, experts: 4, top: 5, hidden: 2}", "takes the top 5 of 4 experts"),
        ("{kind: moe, experts: 0, top: 1, hidden: 2}", "has 0 experts"),
        ("{kind: feed_forward, hidden: 0}", "hidden is 0"),
        ("{kind: group_norm, groups: 4}", "4 groups do not divide"),
        ("{kind: flatten}\n{kind: attention, heads: 4}", "takes [batch, places, width] and got [2, 60]"),
        (
            "{kind: linear, out_features: 3, weight_of: words}",
            "shares the weight of 'words', which is no layer",
        ),
        (
            "{name: a, kind: linear, out_features: 3}\n{kind: linear, out_features: 3, weight_of: a}",
            "which is [3, 12], and it needs [3, 3]",
        ),
        (
            "{kind: linear, out_features: 3, weight_of: a, weight_density: 0.5}",
            "layers[0].weight_of: leaves no choice",
        ),
    ],
)
def test_a_fault_has_a_place_and_a_cure(tmp_path: Path, layers: str, message: str) -> None:
    assert message in refusal(tmp_path, layers)


def test_indices_must_be_in_the_table(tmp_path: Path) -> None:
    told = refusal(tmp_path, "{kind: embedding, vocab: 8, width: 4}", TOKENS)
    assert "indices 'tokens' go up to 8" in told
    head = "name: net\ninput: {shape: [2], indices: 3, density: 0.5}\n"
    assert "net.yaml:2:42: input.density: is of numbers" in refusal(tmp_path, "{kind: relu}", head)
