"""Topology files run whole, against the cycles that SCALE-Sim 3.0.0 gives for their layers one by one."""

from __future__ import annotations

import csv
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import pytest

from hwsim.pipeline import run

HEADER = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
)
# Rows of topology files of SCALE-Sim (github.com/scalesim-project/SCALE-Sim, MIT licence), by file and layer.
LAYERS = {
    ("conv_nets/alexnet.csv", "Conv1"): "224,224,11,11,3,96,4,",
    ("conv_nets/alexnet.csv", "Conv2"): "27,27,5,5,96,256,1,",
    ("conv_nets/alexnet.csv", "Conv5"): "13,13,3,3,384,256,1,",
    ("ispass25_models/resnet18.csv", "Conv1"): "224,224,7,7,3,64,2,",
    ("ispass25_models/resnet18.csv", "Conv3_s"): "56,56,1,1,64,128,2,",
    ("dlrm/DLRM.csv", "Top_MLP1"): "1024,512,1,512,1,256,1, ",
    ("conv_nets/yolo_tiny.csv", "Conv2"): "208, 208,    3, 3,      16,     32,     1,",
    ("conv_nets/yolo_tiny.csv", "Conv4"): "52,  52,     3, 3,      64,     128,    1,",
    ("conv_nets/yolo_tiny.csv", "Conv7"): "11,  11,     3, 3,      512,    1024,   1, ",
    ("conv_nets/yolo_tiny.csv", "Conv8"): "9,   9,      3, 3,      1024,   1024,   1,",
    ("conv_nets/yolo_tiny.csv", "Conv9"): "7,   7,      1, 1,      1024,   125,    1,",
}

Row = dict[str, str]


def reference_rows() -> dict[str, list[Row]]:
    """Rows of the shipped reference cycles by the machine that they are of."""
    found: dict[str, list[Row]] = defaultdict(list)
    text = (files("hwsim.validate") / "sets" / "scalesim_cycles.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        found[row["overrides"]].append(row)
    return found


def origin(row: Row) -> tuple[str, str]:
    """File and layer that a row is of."""
    file, _, layer = row["source"].removeprefix("SCALE-Sim 3.0.0, ").partition(";")[0].partition(" ")
    return file, layer


def cycles(folder: Path, text: str, machine: str) -> int:
    path = folder / "net.csv"
    path.write_text(text, encoding="utf-8")
    return run(path, "systolic_plain", overrides=machine.split()).cycles


def test_convolutions_take_the_cycles_of_their_layers(tmp_path: Path) -> None:
    checked = set()
    for machine, rows in reference_rows().items():
        known = [row for row in rows if origin(row) in LAYERS]
        text = HEADER + "".join(f"{origin(row)[1]}, {LAYERS[origin(row)]}\n" for row in known)
        if known:
            assert cycles(tmp_path, text, machine) == sum(int(row["value"]) for row in known), machine
        checked |= {origin(row) for row in known}
    assert checked == set(LAYERS)


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_products_take_the_cycles_of_their_layers(tmp_path: Path, dataflow: str) -> None:
    machine = f"array.rows=128 array.cols=128 dataflow={dataflow}"
    rows = reference_rows()[machine]
    assert len(rows) > 100
    text = "Layer,M,N,K,\n" + "".join(f"{origin(row)[1]},{row['M']},{row['N']},{row['K']},\n" for row in rows)
    assert cycles(tmp_path, text, machine) == sum(int(row["value"]) for row in rows)
