"""Result folders for the tests of the report, written from results made by hand."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.result.folder import write_folder
from hwsim.result.tables import TimingTable, UsageTable
from hwsim.result.trace import Trace
from tests.samples import sample_result, sample_weights


def sample_folder(path: Path, **changes: Any) -> Path:
    """The sample's folder, without a page."""
    return write_folder(sample_result(**changes), path)


def named_folder(path: Path, names: tuple[str, str, str], **changes: Any) -> Path:
    """The sample's folder with other operator names."""
    result = sample_result()
    timing, usage = replace(result.timing, names=names), replace(result.usage, names=names)
    return sample_folder(path, timing=timing, usage=usage, **changes)


def compressed_folder(path: Path, **changes: Any) -> Path:
    """The sample's folder with compressed weights."""
    return sample_folder(path, weights=sample_weights(), **changes)


def checked_folder(path: Path, exact: tuple[bool, bool] = (True, True)) -> Path:
    """The sample's folder after a check of its last two operators; what is not exact takes 12.5 % of its
    bound. The table is written by hand, with the columns that the report reads."""
    folder = sample_folder(path, verified=True)
    lines = ["operator,results,exact,bound_used"]
    for name, right in zip(("conv1", '"fc, ""two"""'), exact, strict=True):
        lines.append(f"{name},50,{str(right).lower()},{0.0 if right else 0.125}")
    (folder / "verification.csv").write_text("\r\n".join([*lines, ""]), newline="")
    return folder


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Let `change` alter the object in a JSON file, packed or not."""
    packed = path.suffix == ".gz"
    raw = path.read_bytes()
    found = json.loads(gzip.decompress(raw) if packed else raw)
    change(found)
    text = json.dumps(found).encode()
    path.write_bytes(gzip.compress(text) if packed else text)


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))


def edit_csv(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    """Let `change` alter the rows of a CSV file, headings included."""
    rows = rows_of(path)
    change(rows)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    path.write_bytes(text.getvalue().encode())


def wide_folder(path: Path, operators: int) -> Path:
    """A run of many operators, one tile each, one after the other."""
    names = tuple(f"block_{i // 10}/branch_{i % 10}/convolution" for i in range(operators))
    lengths = 1000 + 37 * (np.arange(operators, dtype=np.int64) % 50)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    makespan = int(lengths.sum())
    zeros = np.zeros((operators, 1), dtype=np.int64)
    timing = TimingTable(
        names=names,
        kinds=("conv2d",) * operators,
        layers=names,
        macs=np.full(operators, 4000, dtype=np.int64),
        tiles=np.ones(operators, dtype=np.int64),
        completion_ps=np.cumsum(lengths),
        overlapped=np.zeros(operators, dtype=np.bool_),
        stages=("compute",),
        stage_resources=("array",),
        busy_ps=lengths.reshape(-1, 1),
        causes=("input",),
        active_ps=lengths.copy(),
        stalls_ps=zeros,
        resources=("array",),
        servers=(1,),
        bound_ps=zeros.copy(),
        makespan_ps=makespan,
    )
    usage = UsageTable(
        names,
        (("array", "mac_int8"),),
        np.full((operators, 1), 4000, dtype=np.int64),
        np.array([0.3]),
        ("row 1",),
    )
    trace = Trace(
        ("compute",),
        ("array",),
        np.arange(operators + 1, dtype=np.int64),
        np.arange(operators, dtype=np.int32),
        lengths.reshape(1, -1),
        starts.reshape(1, -1),
        makespan,
        "fast",
    )
    return sample_folder(path, timing=timing, usage=usage, trace=trace)
