"""What is fuzzed: for each kind, how an input is made from a seed, and which public calls it is fed to.

An input is nothing but files and arguments, so that a failing one can be kept and fed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from ruamel.yaml import YAML

from hwsim.cost import load_technology, technology_rows
from hwsim.design import Design, load_design
from hwsim.devices.kinds import KINDS as DEVICES
from hwsim.pipeline import run
from hwsim.report import render
from hwsim.schema import describe
from hwsim.tensor.tensor import read_values
from hwsim.validate import validate
from hwsim.workload import load_workload
from tests.conftest import ROOT
from tests.fuzz.exports import exported
from tests.fuzz.folders import damaged_folder, result_folders
from tests.fuzz.graphs import SIZES, damaged_graph, plain_network, random_graph
from tests.fuzz.large import YAML_BOMBS, many_events, many_layers, many_nodes, many_rows, packed_zeros
from tests.fuzz.layer_lists import damaged_list, large_list, sound_list
from tests.fuzz.machines import FIELDS, other_machine
from tests.fuzz.mutate import (
    NUMBERS,
    damaged_bytes,
    damaged_table,
    damaged_text,
    damaged_tree,
    quantity,
    random_section,
    random_tree,
    scalar,
    yaml_text,
)
from tests.fuzz.networks import FORMATS, random_network

READ_ELEMENTS = 10**5  # tensors up to here have their values read as well


@dataclass(frozen=True)
class Input:
    """Files by name, and what else a call is given."""

    kind: str
    files: Mapping[str, bytes]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The same for equal inputs in every process."""
        said = (self.kind, sorted(self.files.items()), sorted(self.arguments.items()))
        return hashlib.sha256(repr(said).encode("utf-8", "backslashreplace")).hexdigest()

    def write(self, folder: Path) -> None:
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


# -- what ships ------------------------------------------------------------------------------------------


@cache
def shipped(pattern: str) -> dict[str, bytes]:
    """Files of the checkout by name."""
    return {path.name: path.read_bytes() for path in sorted(ROOT.glob(pattern))}


@cache
def trees(pattern: str) -> dict[str, Any]:
    """The same files as plain dicts and lists."""
    reader = YAML(typ="safe", pure=True)
    return {name: reader.load(content) for name, content in shipped(pattern).items()}


@cache
def keys(pattern: str) -> tuple[str, ...]:
    """Every key that the files hold, and the kinds of layers and devices."""
    found: set[str] = set()

    def gather(tree: Any) -> None:
        if isinstance(tree, dict):
            found.update(map(str, tree))
        for below in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
            gather(below)

    for tree in trees(pattern).values():
        gather(tree)
    return tuple(sorted(found))


DESIGNS, WORKLOADS = "designs/*.yaml", "workloads/*.yaml"
GRAPHS = "workloads/*.onnx"
TABLES = "designs/technology/*.csv"
SETS = "hwsim/validate/sets/scalesim_cycles.csv"


def _light_choice(rng: Random, files: Mapping[str, Any], contents: Mapping[str, bytes]) -> Any:
    """One of the files, the chance falling with its size."""
    names = list(files)
    return files[rng.choices(names, [1 / (200 + len(contents[name])) for name in names])[0]]


def _chosen(rng: Random, pattern: str) -> tuple[bytes, Any]:
    contents = shipped(pattern)
    name = _light_choice(rng, {name: name for name in contents}, contents)
    return contents[name], trees(pattern)[name]


# -- designs, workloads and overrides --------------------------------------------------------------------


def _parameters(rng: Random) -> dict[str, int]:
    if rng.random() < 0.6:
        return {}
    return {rng.choice(("batch",) * 9 + ("N", "seed", "x")): rng.choice((*SIZES, 1, 2, 3, 8, 64))}


def random_design(rng: Random) -> Input:
    top = random_section(rng, keys(DESIGNS))
    if rng.random() < 0.5:
        top["kind"] = rng.choice(sorted(DEVICES))
    return Input("random design", {"d.yaml": yaml_text(rng, top)})


def damaged_design(rng: Random) -> Input:
    content, tree = _chosen(rng, DESIGNS)
    return Input("damaged design", {"d.yaml": _damaged_yaml(rng, content, tree, DESIGNS)})


def random_workload(rng: Random) -> Input:
    top = random_section(rng, keys(WORKLOADS))
    if rng.random() < 0.7:
        top |= {"name": "net", "input": {"shape": ["batch", rng.choice(NUMBERS), rng.randint(1, 9)]}}
        top["layers"] = [{"kind": "relu", **random_tree_section(rng)} for _ in range(rng.randrange(4))]
    return Input("random workload", {"w.yaml": yaml_text(rng, top)}, {"parameters": _parameters(rng)})


def random_tree_section(rng: Random) -> dict[str, Any]:
    return {
        rng.choice(keys(WORKLOADS)): random_tree(rng, keys(WORKLOADS), 2) for _ in range(rng.randrange(4))
    }


def damaged_workload(rng: Random) -> Input:
    if rng.random() < 0.3:
        tree = random_network(rng)
        content = yaml_text(rng, tree)
    else:
        content, tree = _chosen(rng, WORKLOADS)
    made = _damaged_yaml(rng, content, tree, WORKLOADS)
    return Input("damaged workload", {"w.yaml": made}, {"parameters": _parameters(rng)})


def layer_list(rng: Random) -> Input:
    """A topology or a list of products."""
    made = damaged_list(rng) if rng.random() < 0.8 else sound_list(rng)
    return Input("layer list", made, {"parameters": _parameters(rng)})


def _damaged_yaml(rng: Random, content: bytes, tree: Any, pattern: str) -> bytes:
    what = rng.random()
    if what < 0.45:
        return yaml_text(rng, damaged_tree(rng, tree))
    if what < 0.9:
        return damaged_text(rng, content.decode("utf-8", "replace"))
    return damaged_bytes(rng, content, list(shipped(pattern).values()))


def settings(rng: Random) -> Input:
    """`--set` strings, on a design that is loaded and on one that is read with them."""
    made = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        path = rng.choice(tuple(FIELDS))
        if rng.random() < 0.4:
            path = ".".join(rng.choice(keys(DESIGNS)) for _ in range(rng.choice((1, 1, 2, 3))))
        value = rng.choice((quantity(rng), scalar(rng), rng.choice(FIELDS.get(path, ("1",)))))
        text = f"{path}={value}"
        if rng.random() < 0.2:
            text = damaged_bytes(rng, text.encode("utf-8", "replace")).decode("utf-8", "replace")
        made.append(text)
    names = sorted(Path(name).stem for name in shipped(DESIGNS))
    return Input("settings", {}, {"design": rng.choice(names), "overrides": made, "read": rng.random() < 0.2})


# -- ONNX ------------------------------------------------------------------------------------------------


def onnx_bytes(rng: Random) -> Input:
    return Input("ONNX bytes", {"w.onnx": damaged_bytes(rng, _graph(rng))}, {"parameters": _parameters(rng)})


def onnx_fields(rng: Random) -> Input:
    content = _graph(rng)
    made = content if rng.random() < 0.2 else damaged_graph(rng, content)
    return Input("ONNX fields", {"w.onnx": made}, {"parameters": _parameters(rng)})


def _graph(rng: Random) -> bytes:
    if rng.random() < 0.3:
        return exported(rng)
    what = rng.random()
    if what < 0.04:
        return next(iter(shipped(GRAPHS).values()))
    return random_graph(rng) if what < 0.7 else plain_network(rng, rng.choice((1, 3)), rng.choice((1, 6)))


# -- tables ----------------------------------------------------------------------------------------------


def measurements(rng: Random) -> Input:
    lines = shipped(SETS)["scalesim_cycles.csv"].decode().splitlines()
    small = [lines[0], *rng.sample(_small_rows(), rng.randrange(1, 5))]
    return Input("measurements", {"m.csv": damaged_table(rng, small)})


@cache
def _small_rows() -> tuple[str, ...]:
    """Products of a few thousand MACs, and a convolution."""
    start = "systolic_plain,gemm,int8"
    return tuple(
        f"{start},{m},{n},{k},array.rows=16 array.cols=16 dataflow={flow},compute_cycles,{100 + m},made,none"
        for m, n, k, flow in ((1, 10, 40, "ws"), (20, 3, 7, "os"), (16, 16, 16, "is"), (5, 90, 2, "ws"))
    ) + tuple(shipped(SETS)["scalesim_cycles.csv"].decode().splitlines()[1:4])


def technology(rng: Random) -> Input:
    lines = next(iter(shipped(TABLES).values())).decode().splitlines()
    node = rng.choice((45, 28, 7, 16, 130, *NUMBERS))
    return Input("technology", {"t.csv": damaged_table(rng, lines)}, {"node_nm": node})


# -- runs ------------------------------------------------------------------------------------------------


def whole_run(rng: Random) -> Input:
    """A small network, mostly sound, on a design of which mostly sound fields are changed."""
    tree = random_network(rng)
    files: dict[str, bytes] = {"d.yaml": other_machine(rng, _chosen(rng, DESIGNS)[1])}
    if rng.random() < 0.25:
        content = plain_network(rng, rng.choice((1, 3, 8)), rng.choice((1, 6, 17)))
        content = exported(rng) if rng.random() < 0.4 else content
        files["w.onnx"] = content if rng.random() < 0.6 else damaged_graph(rng, content)
    elif rng.random() < 0.2:
        files |= sound_list(rng)
    else:
        files["w.yaml"] = json.dumps(
            tree if rng.random() < 0.8 else damaged_tree(rng, tree), indent=0
        ).encode()
    arguments: dict[str, Any] = {"parameters": _parameters(rng) if rng.random() < 0.3 else {}}
    if rng.random() < 0.3:
        arguments["dtype"] = rng.choice(FORMATS)
    if rng.random() < 0.1:
        arguments["weight_dtype"] = rng.choice(FORMATS)
    arguments["timing"] = rng.choice(("auto", "auto", "fast", "events"))
    return Input("run", files, arguments)


# -- result folders, and what is large -------------------------------------------------------------------


def result_folder(rng: Random) -> Input:
    return Input("result folder", damaged_folder(rng))


def large(rng: Random) -> Input:
    """Little to write and much to read, for the calls of another kind."""
    what = rng.randrange(9)
    text = rng.choice(YAML_BOMBS)(rng)
    if what == 0:
        return Input("large", {"d.yaml": text}, {"as": "damaged design"})
    if what == 1:
        return Input("large", {"w.yaml": text}, {"as": "damaged workload", "parameters": {}})
    if what == 2:
        return Input("large", {"w.yaml": many_layers(rng)}, {"as": "damaged workload", "parameters": {}})
    if what == 3:
        return Input("large", {"w.onnx": many_nodes(rng)}, {"as": "ONNX fields", "parameters": {}})
    if what == 4:
        said = {"design": "tpu_v1", "overrides": [text.decode("utf-8", "replace")], "read": False}
        return Input("large", {}, {"as": "settings", **said})
    if what == 5:
        header = shipped(SETS)["scalesim_cycles.csv"].decode().splitlines()[0]
        return Input("large", {"m.csv": many_rows(rng, header, _small_rows()[0])}, {"as": "measurements"})
    if what == 6:
        files = {"d.yaml": shipped(DESIGNS)["systolic_32.yaml"], "w.yaml": many_layers(rng)}
        return Input("large", files, {"as": "run", "parameters": {}})
    if what == 7:
        return Input("large", large_list(rng), {"as": "layer list", "parameters": {}})
    files = dict(result_folders()[0])
    trace = files["trace.json.gz"]
    files["trace.json.gz"] = packed_zeros(rng) if rng.random() < 0.5 else many_events(rng, trace)
    return Input("large", files, {"as": "result folder"})


# -- feeding ---------------------------------------------------------------------------------------------


@cache
def _design(name: str) -> Design:
    return load_design(name)


def _feed_design(_: Input, folder: Path) -> None:
    describe(load_design(folder / "d.yaml"))


def _feed_workload(given: Input, folder: Path) -> None:
    path = next(iter(given.files))
    graph = load_workload(folder / path, **given.arguments["parameters"])
    graph.astype("int8").content_hash  # noqa: B018 (computed when it is asked for)
    for tensor in graph.tensors.values():
        if tensor.values is not None and tensor.elements <= READ_ELEMENTS:
            read_values(tensor)


def _feed_settings(given: Input, _: Path) -> None:
    name = given.arguments["design"]
    load_design(name if given.arguments["read"] else _design(name), given.arguments["overrides"])


def _feed_run(given: Input, folder: Path) -> None:
    workload = folder / next(name for name in given.files if name != "d.yaml")
    said = {name: value for name, value in given.arguments.items() if name != "as"}
    result = run(workload, folder / "d.yaml", verify=None, **said.pop("parameters"), **said)
    json.dumps(result.summary())


def _feed_table(given: Input, folder: Path) -> None:
    technology_rows(str(folder / "t.csv"))
    load_technology(str(folder / "t.csv"), given.arguments["node_nm"])


Make = Callable[[Random], Input]
Feed = Callable[[Input, Path], object]

# Kind -> how many of two thousand inputs, how they are made, and what they are fed to.
KINDS: Mapping[str, tuple[int, Make, Feed]] = {
    "random design": (100, random_design, _feed_design),
    "damaged design": (240, damaged_design, _feed_design),
    "random workload": (120, random_workload, _feed_workload),
    "damaged workload": (240, damaged_workload, _feed_workload),
    "layer list": (160, layer_list, _feed_workload),
    "ONNX bytes": (280, onnx_bytes, _feed_workload),
    "ONNX fields": (320, onnx_fields, _feed_workload),
    "settings": (240, settings, _feed_settings),
    "measurements": (100, measurements, lambda _, folder: validate(folder / "m.csv")),
    "technology": (60, technology, _feed_table),
    "run": (220, whole_run, _feed_run),
    "result folder": (80, result_folder, lambda _, folder: render(folder)),
    "large": (1, large, lambda given, folder: KINDS[given.arguments["as"]][2](given, folder)),
}


def make_input(seed: int, number: int) -> Input:
    """Input `number` of the series that `seed` begins: the same in every process."""
    rng = Random(f"{seed}:{number}")
    kind = rng.choices(list(KINDS), [share for share, _, _ in KINDS.values()])[0]
    return KINDS[kind][1](rng)


def feed(given: Input, folder: Path) -> None:
    """Give an input whose files lie in `folder` to the library."""
    KINDS[given.kind][2](given, folder)
