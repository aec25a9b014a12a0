"""ONNX files that keep tensors beside them, and sizes that they leave open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import hwsim.pipeline as pipeline
from hwsim.cli.main import main
from hwsim.errors import HwsimError, SpecError
from hwsim.workload import load_workload
from tests.onnx_graphs import graph, node, save

WEIGHT = np.arange(32, dtype=np.float32).reshape(8, 4) / 10


def with_data(folder: Path, change: Callable[[Any], None] | None = None, name: str = "w.bin") -> Path:
    """A product whose weight lies in `name`, `change` made to what the file says of it."""
    proto = graph([node("MatMul", "x w")], {"x": (2, 8)}, {"w": WEIGHT})
    (tensor,) = proto.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", name), ("offset", "16"), ("length", "128")):
        tensor.external_data.add(key=key, value=value)
    if change is not None:
        change(tensor)
    target = folder / name
    if not Path(name).is_absolute() and ".." not in name and "\0" not in name:
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"\0" * 16 + WEIGHT.tobytes())
    return save(proto, folder)


def test_weights_are_read_from_a_file_beside(tmp_path: Path) -> None:
    net = load_workload(with_data(tmp_path, name="data/w.bin"))
    assert np.array_equal(net.values("w"), WEIGHT)
    assert net.source.weights == str(tmp_path / "data" / "w.bin")


def test_onnx_saves_what_hwsim_reads(tmp_path: Path) -> None:
    proto = graph([node("MatMul", "x w")], {"x": (2, 8)}, {"w": WEIGHT})
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0)
    assert np.array_equal(load_workload(tmp_path / "net.onnx").values("w"), WEIGHT)


def test_changed_data_make_another_workload(tmp_path: Path) -> None:
    path = with_data(tmp_path)
    first = load_workload(path)
    assert load_workload(path).content_hash == first.content_hash
    (tmp_path / "w.bin").write_bytes(b"\0" * 16 + (WEIGHT + 1).tobytes())
    second = load_workload(path)
    assert second.content_hash != first.content_hash
    assert np.array_equal(second.values("w"), WEIGHT + 1)


def set_entry(key: str, value: str) -> Callable[[Any], None]:
    def change(tensor: Any) -> None:
        for entry in tensor.external_data:
            if entry.key == key:
                entry.value = value

    return change


DAMAGED: list[tuple[Callable[[Any], None], str]] = [
    (set_entry("location", "elsewhere.bin"), "there is no such file in"),
    (set_entry("location", "../w.bin"), "outside the folder of the ONNX file"),
    (set_entry("location", "a/../../w.bin"), "outside the folder"),
    (set_entry("location", "/etc/passwd"), "only a path relative"),
    (set_entry("location", "C:\\w.bin"), "only a path relative"),
    (set_entry("location", "\\\\host\\w.bin"), "only a path relative"),
    (set_entry("location", "a\0b"), "only a path relative"),
    (set_entry("location", ""), "only a path relative"),
    (set_entry("location", "."), "there is no such file"),
    (set_entry("offset", "17"), "is cut short, or belongs to another network"),
    (set_entry("offset", "-1"), "a whole number is meant"),
    (set_entry("offset", "9" * 30), "a whole number is meant"),
    (set_entry("length", "127"), "needs 128 bytes and its data file is said to hold 127"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGED, ids=[case[1] for case in DAMAGED])
def test_data_that_are_not_there_are_refused(
    tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    path = with_data(tmp_path, change)
    with pytest.raises(SpecError) as caught:
        load_workload(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: tensor 'w'")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "net"
    inner.mkdir()
    path = with_data(inner)
    (inner / "w.bin").rename(tmp_path / "secret")
    (inner / "w.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(SpecError, match="outside the folder"):
        load_workload(path)


def test_data_cut_short_after_loading_are_refused(tmp_path: Path) -> None:
    net = load_workload(with_data(tmp_path))
    (tmp_path / "w.bin").write_bytes(b"\0" * 20)
    with pytest.raises(SpecError, match="has become shorter since"):
        net.values("w")


# -- open sizes ------------------------------------------------------------------------------------------


def open_graph(folder: Path) -> Path:
    shapes = {"x": ("batch_size", "seq", 8), "m": ("batch_size", 1, "past + seq")}
    nodes = [node("MatMul", "x w", "a"), node("ReduceMean", "m", "b", axes=[2]), node("Add", "a b")]
    return save(graph(nodes, shapes, {"w": WEIGHT}), folder)


def test_dims_are_sizes_by_the_names_that_the_file_has(tmp_path: Path) -> None:
    path = open_graph(tmp_path)
    net = load_workload(path, dims={"seq": 5, "past + seq": 9})
    assert net.tensors["y"].shape == (1, 5, 4)
    assert net.tensors["m"].shape == (1, 1, 9)
    assert net.parameters == {"batch": 1, "seq": 5, "past + seq": 9, "seed": 0}


def test_the_batch_goes_by_its_own_name_too(tmp_path: Path) -> None:
    path = open_graph(tmp_path)
    one = load_workload(path, batch=3, dims={"seq": 5, "past + seq": 9})
    two = load_workload(path, dims={"seq": 5, "past + seq": 9, "batch_size": 3})
    assert one.batch == two.batch == 3
    with pytest.raises(SpecError, match="batch is 2 and batch_size is 3: they are one size"):
        load_workload(path, batch=2, dims={"seq": 5, "past + seq": 9, "batch_size": 3})


def test_sizes_that_follow_from_others_need_not_be_given(tmp_path: Path) -> None:
    shapes = {"x": ("N", "seq", 8), "m": ("N", 1, "2 * seq")}
    nodes = [node("MatMul", "x w", "a"), node("ReduceMean", "m", "b", axes=[2]), node("Add", "a b")]
    net = load_workload(save(graph(nodes, shapes, {"w": WEIGHT}), tmp_path), seq=6)
    assert net.tensors["m"].shape == (1, 1, 12)


def test_sizes_left_open_are_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_workload(open_graph(tmp_path), seq=4)
    told = str(caught.value)
    assert "the sizes 'past + seq' of its inputs are left open" in told
    assert "--dim past + seq=128" in told
    assert "dims={'past + seq': 128}" in told


def test_one_size_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="given twice"):
        load_workload(open_graph(tmp_path), seq=4, dims={"seq": 4})
    with pytest.raises(SpecError, match="give sizes by name"):
        load_workload(open_graph(tmp_path), dims=[4])  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="it must be a whole number of at least 1"):
        load_workload(open_graph(tmp_path), dims={"seq": 0})


def test_the_command_line_takes_dims(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = open_graph(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["describe", str(path), "--dim", "seq=5", "--dim", "past + seq=9"])
    assert ended.value.code == 0
    assert "past + seq" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["describe", str(path), "--dim", "seq=5"])
    assert ended.value.code == 2
    assert "'past + seq' of its inputs are left open" in capsys.readouterr().err


def test_a_batch_inside_recurrent_inputs_is_found() -> None:
    from tests.onnx_graphs import load

    weights = {"w": np.ones((1, 16, 8), np.float32), "r": np.ones((1, 16, 4), np.float32)}
    proto = graph([node("LSTM", "x w r", hidden_size=4)], {"x": ("steps", "N", 8)}, weights)
    net = load(proto, steps=7, batch=3)
    assert net.tensors["x"].shape == (7, 3, 8)


def test_a_mask_of_one_row_stays_one_row_whatever_the_batch() -> None:
    from tests.onnx_graphs import load

    proto = graph([node("Add", "x m")], {"x": ("N", 4, 8), "m": (1, 1, 8)})
    assert load(proto, batch=5).tensors["m"].shape == (1, 1, 8)


def test_dims_run(tmp_path: Path) -> None:
    result = pipeline.run(open_graph(tmp_path), "tpu_v1", **{"seq": 5, "past + seq": 9})
    assert result.timing.makespan_ps > 0
    with pytest.raises(HwsimError, match="left open"):
        pipeline.run(open_graph(tmp_path), "tpu_v1")
