"""Topology files of SCALE-Sim and lists of matrix products as CSV: their quirks, and a message with row and
column for each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import CapacityError, HwsimError, SpecError
from hwsim.pipeline import run
from hwsim.workload import Workload, load_workload
from hwsim.workload.folder import save_workload
from hwsim.workload.operators import Conv2d, Matmul

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
GEMM = "Layer,M,N,K,\n"


def load(folder: Path, text: str | bytes, **parameters: int) -> Workload:
    path = folder / "net.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_workload(path, **parameters)


def refusal(folder: Path, text: str | bytes, **parameters: int) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(folder, text, **parameters)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def problems(net: Workload) -> list[object]:
    return [op.problem for op in net.operators]


# -- convolutions ----------------------------------------------------------------------------------------


def test_a_convolution_has_no_padding_of_its_own(tmp_path: Path) -> None:
    net = load(tmp_path, CONV + "Conv2,27,27,5,5,96,256,1,\n")
    (op,) = net.operators
    assert op.problem == Conv2d(1, 96, 27, 27, 256, 5, 5, 23, 23)
    assert (op.name, net.name, net.source.format) == ("Conv2", "net", "csv")
    assert net.macs == 23 * 23 * 256 * 96 * 25
    assert net.parameter_count == 256 * 96 * 25


@pytest.mark.parametrize(
    ("size", "window", "stride", "positions", "beyond"),
    [(224, 11, 4, 55, 3), (224, 7, 2, 110, 1), (56, 1, 2, 29, 1), (227, 11, 4, 55, 0), (7, 3, 5, 2, 1)],
)
def test_a_last_window_that_reaches_past_the_map_counts(
    tmp_path: Path, size: int, window: int, stride: int, positions: int, beyond: int
) -> None:
    """As in SCALE-Sim: ceil((map - window + stride) / stride). The first three are Conv1 of its alexnet.csv,
    and Conv1 and Conv3_s of its resnet18.csv: hwsim's reference cycles have them with 3025, 12100 and 841
    windows."""
    net = load(tmp_path, CONV + f"c,{size},{size},{window},{window},3,8,{stride},\n")
    problem = net.operators[0].problem
    assert isinstance(problem, Conv2d)
    assert (problem.P, problem.Q, problem.pad) == (positions, positions, (0, 0, beyond, beyond))
    assert any("reaches past the map" in note for note in net.notes) == (beyond > 0)


def test_the_sides_of_a_map_are_told_apart(tmp_path: Path) -> None:
    net = load(tmp_path, CONV + "c,1024,16,2,16,1,4,1,\n")
    assert problems(net) == [Conv2d(1, 1, 1024, 16, 4, 2, 16, 1023, 1)]


def test_dp_in_a_name_means_depthwise(tmp_path: Path) -> None:
    net = load(tmp_path, CONV + "Conv_DP_2,30,30,3,3,32,2,1,\ndp,30,30,3,3,32,2,1,\n")
    first, second = net.operators
    assert first.problem == Conv2d(1, 32, 30, 30, 64, 3, 3, 28, 28, groups=32)
    assert second.problem == Conv2d(1, 32, 30, 30, 2, 3, 3, 28, 28)
    assert any(note.startswith("Conv_DP_2 is taken as depthwise") for note in net.notes)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CONV.replace(",\n", "\n") + "c 1,9,8,3,2,4,5,2\n", id="no trailing comma"),
        pytest.param(CONV + "c 1,9,8,3,2,4,5,2, \n", id="a space behind it"),
        pytest.param(CONV.upper() + "c 1,9,8,3,2,4,5,2,", id="capitals, no last newline"),
        pytest.param(CONV.replace(" ", "_") + "c 1 ,9 , 8,3,2,4,5,2,", id="underscores, spaces in cells"),
        pytest.param(CONV + "\n,,,,,,,,\n\tc 1,9,8,3,2,4,5,2,#dw\n\n", id="blank rows, a tab, a remark"),
        pytest.param((CONV + "c 1,9,8,3,2,4,5,2,\n").replace("\n", "\r\n"), id="CRLF"),
        pytest.param((CONV + "c 1,9,8,3,2,4,5,2,\n").replace("\n", "\r"), id="CR"),
        pytest.param(b"\xef\xbb\xbf" + (CONV + "c 1,9,8,3,2,4,5,2,\n").encode(), id="a byte order mark"),
        pytest.param(CONV + '"c 1","9",8,3,2,4,5,2,\n', id="quotes"),
        pytest.param(CONV[:-1] + ",,Eh,Ew\nc 1,9,8,3,2,4,5,2,,,4,4\n", id="a spreadsheet's own columns"),
        pytest.param(
            "Layer name,Channels,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Num Filters,Stride\n"
            "c 1,4,9,8,3,2,5,2\n", id="columns in another order, named a little otherwise",
        ),
        pytest.param(
            "Layer name,IFMAP height,IFMAP width,Filter height,Filter width,Channels,Num filter,"
            "Stride height,Stride width,\nc 1,9,8,3,2,4,5,2,2,\n", id="as SCALE-Sim writes it",
        ),
    ],
)  # fmt: skip
def test_quirks_do_not_change_what_a_file_says(tmp_path: Path, text: str | bytes) -> None:
    net = load(tmp_path, text)
    assert problems(net) == [Conv2d(1, 4, 9, 8, 5, 3, 2, 4, 4, stride=(2, 2))]
    assert [op.name for op in net.operators] == ["c 1"]


def test_what_a_spreadsheet_has_beside_is_said_to_be_unread(tmp_path: Path) -> None:
    net = load(tmp_path, CONV[:-1] + ",,Eh,Batch\nc,9,9,3,3,4,5,2,,,4,16\n")
    assert "behind a column without a name, what follows is not read: Eh, Batch" in net.notes
    assert net.operators[0].problem.N == 1  # type: ignore[union-attr]


def test_the_batch_is_the_file_s_or_the_caller_s(tmp_path: Path) -> None:
    assert load(tmp_path, CONV + "c,9,9,3,3,4,5,2,\n", batch=6).operators[0].problem.N == 6  # type: ignore[union-attr]
    own = CONV[:-1] + "Batch Size,\nc,9,9,3,3,4,5,2,3,\nd,9,9,3,3,4,5,2,,\n"
    assert [p.N for p in problems(load(tmp_path, own))] == [3, 1]  # type: ignore[attr-defined]
    assert refusal(tmp_path, own, batch=2) == [
        "net.csv:1:1: has a batch of its own for each layer: leave out --batch"
    ]
    (said,) = refusal(tmp_path, CONV + "c,9,9,3,3,4,5,2,\n", frames=2)
    assert said.startswith("net.csv: there is no parameter 'frames'")


def test_sparsity_leaves_so_many_weights(tmp_path: Path) -> None:
    net = load(
        tmp_path, CONV[:-1] + "Sparsity,\na,5,5,3,3,2,6,1,2:4,\nb,5,5,3,3,2,6,1,1:1,\nc,5,5,3,3,2,6,1,\n"
    )
    assert [net.tensor(f"{name}.weight").density for name in "abc"] == [0.5, 1.0, 1.0]
    assert int((net.values("a.weight") != 0).sum()) == 54
    assert any(note.startswith("1 layer has N:M sparse weights") for note in net.notes)


# -- matrix products -------------------------------------------------------------------------------------


def test_products_in_both_spellings(tmp_path: Path) -> None:
    """Files of SCALE-Sim say `Layer` or `Layer Name`, end rows with a comma or do not, and repeat names."""
    net = load(tmp_path, "Layer Name, M, N, K, Sparsity,\nGEMM_1, 3, 5, 16, 3:4,\nGEMM_1, 1, 5, 16\n")
    assert problems(net) == [Matmul(1, 3, 5, 16), Matmul(1, 1, 5, 16)]
    assert [op.name for op in net.operators] == ["GEMM_1", "GEMM_1#2"]
    assert net.tensor("GEMM_1.weight").density == 0.75


def test_a_batch_and_repeats_of_products(tmp_path: Path) -> None:
    net = load(tmp_path, "m,k,n,batch,count\n2,3,4,,\n2,3,4,5,\n2,3,4,1,3\n")
    assert problems(net) == [Matmul(1, 2, 4, 3), Matmul(5, 2, 4, 3), *[Matmul(1, 2, 4, 3)] * 3]
    assert [op.name for op in net.operators] == ["gemm1", "gemm2", "gemm3.1", "gemm3.2", "gemm3.3"]
    assert net.parameter_count == 12 * (1 + 5 + 3)


def test_layers_stand_apart(tmp_path: Path) -> None:
    net = load(tmp_path, GEMM + "a,2,3,4,\nb,2,3,4,\n")
    assert net.operands_in_memory
    assert net.inputs == ("a.input", "b.input")
    assert net.outputs == ("a", "b")
    assert net.notes[0].startswith("its layers stand apart")


def test_a_name_that_looks_like_a_numbered_one_is_kept(tmp_path: Path) -> None:
    net = load(tmp_path, GEMM + "a,1,1,1\na#2,1,1,1\na,1,1,1\na,1,1,1\n")
    assert [op.name for op in net.operators] == ["a", "a#2", "a#3", "a#4"]


# -- what is wrong ---------------------------------------------------------------------------------------

CASES: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["net.csv: is empty"]),
    "blank": ("\n , ,\n", ["net.csv: is empty: a header and one row a layer belong here"]),
    "header alone": (CONV, ["net.csv:1:1: holds a header and no rows"]),
    "no header": (
        "Conv1,224,224,11,11,3,96,4,\n",
        ["net.csv:1:1: its first line must name the columns of a SCALE-Sim topology (Layer name, "],
    ),
    "semicolons": ("Layer;M;N;K\na;1;2;3\n", ["separated by commas; its cells seem to be separated by semi"]),
    "missing column": (
        CONV.replace("Channels, ", "") + "c,9,9,3,3,5,1,\n",
        ["net.csv:1:1: column is missing: Channels (found Layer name, IFMAP Height"],
    ),
    "missing strides": (
        CONV.replace("Strides", "Stride width") + "c,9,9,3,3,5,1,1,\n",
        ["net.csv:1:1: column is missing: Strides"],
    ),
    "misspelt column": (
        CONV.replace("Num Filter", "Num Fitler") + "c,9,9,3,3,5,1,1,\n",
        ["Num Fitler: is not a column of a topology of convolutions; did you mean 'Num Filter'?"],
    ),
    "unknown column": (
        "Layer,M,N,K,dtype\na,1,2,3,int8\n",
        ["net.csv:1:1: dtype: is not a column of a list of matrix products; they are Layer name, M, N, K"],
    ),
    "column twice": ("M,N,K,m\n1,2,3,4\n", ["net.csv:1:1: m: means the same column as 'M'"]),
    "columns without end": (",".join(f"c{i}" for i in range(70)) + ",M", ["names 71 columns"]),
    "too many cells": (GEMM + "a,1,2,3,4\n", ["net.csv:2:1: has 5 cells where the header names 4 columns"]),
    "blank cell": (GEMM + "\na,1,,3\n", ["net.csv:3:1: N: is blank: it must be a whole number from 1"]),
    "too few cells": (GEMM + "a,1\n", ["net.csv:2:1: N: is blank", "net.csv:2:1: K: is blank"]),
    "a word": (CONV + "c,9,9,3,x,5,1,1,\n", ["net.csv:2:1: Filter Width: is 'x': it must be a whole"]),
    "zero": (CONV + "c,9,9,3,3,0,1,1,\n", ["net.csv:2:1: Channels: is 0: it must be a whole number"]),
    "negative": (GEMM + "a,-1,2,3\n", ["net.csv:2:1: M: is '-1'"]),
    "a fraction": (GEMM + "a,1.0,2,3\n", ["net.csv:2:1: M: is '1.0'"]),
    "too large": (GEMM + "a,1000000001,2,3\n", ["a whole number from 1 to 1,000,000,000"]),
    "digits of another script": (GEMM + "a,\u0661,2,3\n", ["net.csv:2:1: M: is '\u0661'"]),
    "window larger than the map": (
        CONV + "c,9,9,11,3,5,1,1,\n",
        ["net.csv:2:1: Filter Height: is 11, more than the map's 9: IFMAP sizes include the padding"],
    ),
    "strides twice": (
        CONV.replace("Strides,", "Strides,Stride height,Stride width") + "c,9,9,3,3,5,1,1,2,2\n",
        ["net.csv:2:1: Stride height: stands beside Strides: keep one of the two"],
    ),
    "bad ratio": (
        "M,N,K,Sparsity\n1,2,3,4:2\n1,2,3,half\n",
        ["net.csv:2:1: Sparsity: is '4:2': write N:M", "net.csv:3:1: Sparsity: is 'half'"],
    ),
    "binary": (b"\0\1\2", ["net.csv: is not CSV in UTF-8: it holds binary data"]),
    "another encoding": (b"Layer,M,N,K\n\xe9,1,2,3\n", ["net.csv:2:1: is not CSV in UTF-8: save it as such"]),
    "open quote": (GEMM + '"a,1,2,3\n', ["is not CSV: "]),
    "every row is told of": (
        GEMM + "a,0,2,3\n" * 25,
        [f"net.csv:{line}:1: M: is 0:" for line in range(2, 22)] + ["net.csv: and 5 more problems"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_told_with_its_row_and_column(tmp_path: Path, case: str) -> None:
    text, said = CASES[case]
    found = refusal(tmp_path, text)
    assert len(found) == len(said), found
    for line, words in zip(found, said, strict=True):
        assert words in line


def test_the_sizes_of_products_are_fixed(tmp_path: Path) -> None:
    (said,) = refusal(tmp_path, GEMM + "a,1,2,3\n", batch=2)
    assert said.startswith("net.csv: there is no parameter 'batch': M, N and K are fixed")


def test_what_is_too_large_is_refused_before_it_is_made(tmp_path: Path) -> None:
    for text, words in (
        (GEMM + "a,1000000000,1000000000,1000000000\n", "net.csv:2"),
        (CONV + "a,1000000000,1000000000,1,1,1,1,1\n", "net.csv:2"),
        ("M,N,K,count\n1,2,3,20000\n1,2,3,1\n", "20,001 layers"),
    ):
        with pytest.raises(HwsimError, match=words):
            load(tmp_path, text)
    with pytest.raises(CapacityError, match="repeats included"):
        load(tmp_path, "M,N,K,count\n1,2,3,20000\n1,2,3,1\n")
    with pytest.raises(SpecError, match="holds more than 20,000 rows"):
        load(tmp_path, "M,N,K\n" + "1,2,3\n" * 20_001)
    path = tmp_path / "vast.csv"
    with path.open("wb") as file:
        file.truncate(5 * 2**20)
    with pytest.raises(SpecError, match=r"holds 5\.0 MiB; at most 4 MiB are read"):
        load_workload(path)


def test_a_name_without_ending_is_not_looked_up_among_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Working directories hold tables of other things; `lenet5.csv` there is no network."""
    load(tmp_path, GEMM + "a,1,2,3\n")
    (tmp_path / "net.csv").rename(tmp_path / "lenet5.csv")
    monkeypatch.chdir(tmp_path)
    assert load_workload("lenet5").source.format == "yaml"
    assert load_workload("lenet5.csv").macs == 6


def test_a_saved_topology_still_stands_apart(tmp_path: Path) -> None:
    net = load(tmp_path, GEMM + "a,2,3,4,\nb,2,3,4,\n")
    save_workload(net, tmp_path / "saved")
    again = load_workload(tmp_path / "saved")
    assert again.operands_in_memory
    assert run(again, "tpu_v1").latency_s == run(net, "tpu_v1").latency_s
