"""Whatever a workload file holds, hwsim loads it or says what is wrong: nothing else leaves the library."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import HwsimError
from hwsim.schema import Source
from hwsim.workload import Workload
from hwsim.workload.frontends.onnx import read_onnx
from hwsim.workload.frontends.onnx_table import LOWER
from hwsim.workload.frontends.yaml import read_yaml

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SHELF = Path(__file__).resolve().parents[2] / "workloads"
NUMBERS = [0, -1, 1, 2, 3, 7, 100, 2**31, 2**40, 2**62, -(2**63)]
WORDS = [
    "0",
    "-1",
    "batch",
    "2 * batch",
    "batch // 0",
    "((((",
    "1e9",
    "[]",
    "{}",
    "[1, 2, 3]",
    "true",
    "9" * 90,
    ".nan",
    "",
    "x",
    "prompt - 9999",
    "ceil_div(7, 2)",
]


def load(content: bytes, batch: int) -> None:
    net, told = _loaded(lambda: read_onnx(Path("made.onnx"), content, {"batch": batch}, 0))
    assert told.startswith("made.onnx: ") if net is None else net.astype("int8").content_hash


def _loaded(read: Callable[[], Workload]) -> tuple[Workload | None, str]:
    try:
        return read(), ""
    except HwsimError as error:
        return None, str(error)


@cache
def graph(name: str) -> bytes:
    return (LIGHT / f"light_{name}.onnx").read_bytes()


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_no_bytes_get_through(content: bytes) -> None:
    load(content, 1)


@settings(max_examples=150)
@given(
    st.sampled_from(["bvlc_alexnet", "zfnet512"]),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=3))),
)
def test_no_damaged_bytes_get_through(name: str, damage: list[tuple[int, bytes]]) -> None:
    content = graph(name)
    for place, new in damage:
        content = content[:place] + new + content[place + 1 :]
    load(content, 2)


@settings(max_examples=100)
@given(
    st.sampled_from(["bvlc_alexnet", "squeezenet", "shufflenet"]),
    st.randoms(use_true_random=False),
    st.integers(1, 3),
)
def test_no_changed_graph_gets_through(name: str, chance: random.Random, changes: int) -> None:
    proto = onnx.ModelProto.FromString(graph(name))
    for _ in range(changes):
        _change(proto.graph, chance)
    load(proto.SerializeToString(), chance.choice([1, 3]))


def _change(made: Any, chance: random.Random) -> None:
    """One fault of the kind that exporters and hand edits make."""
    node = chance.choice(made.node)
    what = chance.randrange(6)
    if what == 0 and node.attribute:
        attribute = chance.choice(node.attribute)
        if attribute.ints:
            attribute.ints[chance.randrange(len(attribute.ints))] = chance.choice(NUMBERS)
        elif attribute.type == onnx.AttributeProto.INT:
            attribute.i = chance.choice(NUMBERS)
        else:
            attribute.f = chance.choice([0.0, float("nan"), float("inf")])
    elif what == 1:
        node.op_type = chance.choice(sorted(LOWER))
    elif what == 2 and node.input:
        node.input[chance.randrange(len(node.input))] = chance.choice(chance.choice(made.node).output)
    elif what == 3 and node.input:
        node.input.pop()
    elif what == 4:
        tensor = chance.choice(made.initializer)
        if tensor.data_type == onnx.TensorProto.INT64:
            tensor.raw_data = tensor.raw_data[8:] + struct.pack("<q", chance.choice(NUMBERS))
        else:
            tensor.dims.append(chance.choice(NUMBERS))
    else:
        sizes = made.input[0].type.tensor_type.shape.dim
        chance.choice(sizes).dim_value = chance.choice(NUMBERS)


@settings(max_examples=100)
@given(
    st.sampled_from(["lenet5", "tpu_cnn0", "alexnet", "mobilenet_v2", "shufflenet", "gpt2_decode", "gnmt"]),
    st.randoms(use_true_random=False),
    st.integers(1, 3),
)
def test_no_changed_yaml_gets_through(name: str, chance: random.Random, changes: int) -> None:
    words = (SHELF / f"{name}.yaml").read_text().replace("[", " [ ").replace("{", " { ").split(" ")
    for _ in range(changes):
        words[chance.randrange(len(words))] = chance.choice([*WORDS, chance.choice(words)])
    net, told = _loaded(lambda: read_yaml(Source("made.yaml", " ".join(words).encode(), ""), {}, 0))
    if net is None:
        assert all(line.startswith("made.yaml") for line in told.splitlines())
    else:
        assert net.astype("int8").content_hash
