"""Inputs that are small to write and vast to read: nesting, aliases, repeats, long lines, packed zeros."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from random import Random

from onnx import TensorProto, helper

from tests.fuzz.mutate import packed

DESIGN = b"kind: systolic\nclock: 1 GHz\n"
WORKLOAD = "name: net\nparameters: {batch: 1}\ninput: {shape: [batch, 8]}\nlayers:\n"
Text = Callable[[Random], bytes]


def _aliases(rng: Random) -> bytes:
    """Nine levels of nine aliases."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, rng.randint(3, 12))]
    return "\n".join(lines).encode()


def _nested(rng: Random) -> bytes:
    return rng.choice((b"[", b"{a: ", b"- ", b"? ", b"[{", b"a:\n  ")) * rng.choice((10, 49, 2000, 100_000))


def _long_line(rng: Random) -> bytes:
    unit = rng.choice(
        (b"a", b"a ", b"'", b'"\\x', b"1", b"#", b"a: ", b"&a ", b"!", b"\xc3\xa9", b"%", b"\\")
    )
    return rng.choice((b"", b"name: ", b'name: "', DESIGN + b"x: ")) + unit * rng.choice(
        (4000, 9000, 600_000)
    )


def _many_lines(rng: Random) -> bytes:
    line = rng.choice(
        ("k{}: 1", "- {}", "k{}: {{a: 1, b: [2, 3]}}", "# {}", "k: {}", "k{}: &a{} x", "", "? k{}")
    )
    return "\n".join(line.replace("{}", str(i)) for i in range(rng.choice((3000, 20_000, 60_000)))).encode()


YAML_BOMBS: tuple[Text, ...] = (_aliases, _nested, _long_line, _many_lines)


def many_layers(rng: Random) -> bytes:
    """A deep or a wide network, written out or by repeats; one time in two an expression of great length."""
    count = rng.choice((300, 2000, 5000))
    relu = "{kind: relu}"
    sizes = ("(" * 90, "9 * " * 20 + "9", "batch + " * 12 + "1", "1099511627776")
    bodies = (
        f"- {relu}\n" * count,
        f"- {{kind: repeat, times: {rng.choice((500, 20_000, 40_000))}, layers: [{relu}]}}\n",
        f"- {{kind: repeat, times: 9, layers: [{{kind: repeat, times: 9, layers: [{relu}]}}]}}\n",
        "- {name: a, kind: relu}\n- {kind: concat, inputs: [" + ", ".join(["a"] * count) + "]}\n",
        "".join(f"- {{name: l{i}, kind: relu, inputs: [{f'l{i + 1}' if i < count - 1 else 'input'}]}}\n"
                for i in range(count)) + "outputs: [l0]\n",
        f"- {{kind: linear, out_features: {rng.choice(sizes)}}}\n" * 3,
    )  # fmt: skip
    return (WORKLOAD + rng.choice(bodies)).encode()


def many_nodes(rng: Random) -> bytes:
    """A graph of many nodes, or one whose few bytes ask for vast tensors."""
    count = rng.choice((1000, 5000))
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(count)]
    what = rng.randrange(3)
    held = []
    if what == 1:
        shape = [rng.choice((2**20, 2**31, 2**40, 2**62))] * rng.choice((1, 2))
        held = [helper.make_tensor("s", TensorProto.INT64, [len(shape)], shape)]
        nodes = [
            helper.make_node("ConstantOfShape", ["s"], ["v"]),
            helper.make_node("MatMul", ["t0", "v"], ["y"]),
        ]
    elif what == 2:
        nodes = [helper.make_node("Concat", ["t0"] * count, ["y"], axis=1)]
    ends = [nodes[-1].output[0]]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, rng.choice((8, 2**20, 2**40))])],
        [helper.make_tensor_value_info(ends[0], TensorProto.FLOAT, None)],
        held,
    )  # fmt: skip
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return made


def many_rows(rng: Random, header: str, row: str) -> bytes:
    """A table of many rows, or of one endless cell."""
    if rng.random() < 0.3:
        return f'{header}\n"{"x" * rng.choice((200_000, 3_000_000))}'.encode()
    return (header + "\n" + f"{row}\n" * rng.choice((3000, 30_000))).encode()


def packed_zeros(rng: Random) -> bytes:
    """Some hundred kilobytes that unpack to gigabytes, or JSON of great depth."""
    if rng.random() < 0.5:
        return packed(b"[" * rng.choice((900, 100_000, 10_000_000)))
    zeros = bytes(2**20)
    unit = packed(zeros * rng.choice((8, 100)), 9)
    return unit * rng.choice((1, 20))


def many_events(rng: Random, trace: bytes) -> bytes:
    """A trace whose events are said again and again."""
    said = json.loads(gzip.decompress(trace))
    said["traceEvents"] = said["traceEvents"] * rng.choice((10, 100))
    return packed(json.dumps(said).encode())
