"""Random workloads that are mostly sound, as trees of YAML files: what a run needs to get far."""

from __future__ import annotations

from random import Random
from typing import Any

LARGE = (10**6, 2**31, 2**40, 2**62)
FORMATS = ("int8", "int8", "int16", "int32", "fp32", "fp16", "bf16", "uint8", "int4", "int9")


def random_network(rng: Random) -> dict[str, Any]:
    """Up to eight layers on a feature map, a sequence or a vector; one in ten holds a vast size."""
    start = rng.randrange(3)
    shape: list[Any] = [
        ["batch", _size(rng, 5), _size(rng, 12), _size(rng, 12)],
        ["batch", _size(rng, 6), _size(rng, 24)],
        ["batch", _size(rng, 40)],
    ][start]
    layers: list[dict[str, Any]] = []
    maps = start == 0
    for _ in range(rng.randrange(1, 9)):
        layer = _layer(rng, rng.choice(_MAPS if maps and rng.random() < 0.97 else _ANY))
        maps &= layer["kind"] != "flatten"
        named = ["input", *(one["name"] for one in layers)]
        if layer["kind"] in _TWO:
            layer["inputs"] = [named[-1], rng.choice((named[-1], named[-1], rng.choice(named)))]
        elif rng.random() < 0.1:
            layer["inputs"] = [rng.choice(named)]
        layers.append({"name": f"l{len(layers)}", **layer})
    taken = {name for layer in layers for name in layer.get("inputs", ())}
    # What nobody takes is an output, so that the graph is whole however its layers are wired.
    ends = [
        layer["name"] for place, layer in enumerate(layers)
        if layer["name"] not in taken and (place + 1 == len(layers) or "inputs" in layers[place + 1])
    ]  # fmt: skip
    made: dict[str, Any] = {"name": "net", "parameters": {"batch": rng.choice((1, 1, 2, 5))}}
    made |= {"input": {"shape": shape}, "layers": layers, "outputs": ends or [layers[-1]["name"]]}
    if rng.random() < 0.1:
        shape[rng.randrange(len(shape))] = rng.choice(LARGE)
    if rng.random() < 0.1:
        made["layers"] = [{"kind": "repeat", "times": rng.choice((1, 2, 50)), "layers": layers}]
        del made["outputs"]
    return made


_TWO = ("add", "mul", "sub", "max", "concat", "matmul")
_MAPS = (
    "conv", "conv", "conv", "max_pool", "average_pool", "batch_norm", "lrn", "relu", "add",
    "global_average_pool", "concat", "flatten", "pad", "slice", "dropout",
)  # fmt: skip
_ANY = (
    "linear", "linear", "relu", "sigmoid", "tanh", "gelu", "softmax", "add", "mul", "concat", "flatten",
    "reshape", "transpose", "matmul", "clip", "relu6",
)  # fmt: skip


def _size(rng: Random, most: int) -> int:
    return rng.randint(1, most)


def _layer(rng: Random, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": kind}
    if kind == "conv":
        made |= {"out_channels": rng.choice((1, 4, 6, 17)), "kernel": rng.choice((1, 3, [1, 3], 5))}
        made |= {"pad": rng.choice((0, 1, 2)), "stride": rng.choice((1, 1, 2))}
        for name, values in (("dilation", (1, 2)), ("groups", (1, 2, 4)), ("bias", (True, False))):
            if rng.random() < 0.2:
                made[name] = rng.choice(values)
    elif kind in ("max_pool", "average_pool"):
        made |= {"kernel": rng.choice((1, 2, 3)), "stride": rng.choice((1, 2)), "pad": rng.choice((0, 0, 1))}
    elif kind == "linear":
        made["out_features"] = rng.choice((1, 8, 33, 300))
    elif kind == "lrn":
        made["size"] = rng.choice((1, 3, 5))
    elif kind in ("softmax", "concat", "flatten"):
        made |= rng.choice(({}, {}, {"axis": rng.choice((-1, 1, 2))}))
    elif kind == "reshape":
        made["shape"] = rng.choice((["batch", -1], [-1], [1, -1, 2]))
    elif kind == "transpose":
        made["perm"] = rng.choice(([1, 0], [0, 2, 1], [0, 2, 3, 1]))
    elif kind == "pad":
        made |= {"before": [0, 0, 1, rng.choice((0, 2))], "after": [0, 0, 1, 0]}
    elif kind == "slice":
        made |= {"axis": 1, "start": 0, "end": rng.choice((1, 2, 3))}
    elif kind == "clip":
        made |= {"min": rng.choice((0, -1.5)), "max": 6}
    return made
