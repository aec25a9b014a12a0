"""Saved workloads: what is written is what is read, and damage has one clear message."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.compress.encode import encode
from hwsim.compress.prune import prune
from hwsim.compress.quantise import quantise
from hwsim.compress.share import share
from hwsim.errors import OutputError, SpecError
from hwsim.schema.tree import read_tree
from hwsim.tensor.tensor import Tensor
from hwsim.workload import Workload, load_workload
from hwsim.workload.folder import WEIGHTS, WORKLOAD, save_workload
from hwsim.workload.saved_text import block
from tests.networks import network, operator
from tests.weights import linear, of, with_values

SEQUENCES = Path(__file__).resolve().parents[2] / "sequences.yaml"


def deep() -> Workload:
    """LeNet-300 with all that a saved tensor may have: zeros, codebooks, codecs."""
    return encode(share(prune(load_workload("lenet300"), 0.1), 4), "relative", huffman=True)


def same(one: Workload, other: Workload) -> None:
    """Equal in all but the source."""
    assert one.operators == other.operators
    assert dict(one.tensors) == dict(other.tensors)
    for name in ("name", "inputs", "outputs", "description", "synthetic", "notes", "folded_parameters"):
        assert getattr(one, name) == getattr(other, name)
    assert one.formats_chosen == other.formats_chosen
    assert one.history == other.history
    assert dict(one.parameters) == dict(other.parameters)
    for name, tensor in one.tensors.items():
        if tensor.values is not None:
            found = other.tensors[name].values
            assert found is not None
            assert np.array_equal(tensor.values(), found())


@pytest.mark.parametrize("make", [
    deep,
    lambda: load_workload("mobilenet_v1"),  # folded batch norms, groups
    lambda: quantise(load_workload("lenet5"), "int8", symmetric=False),  # grids with zero points, by channel
    lambda: encode(quantise(load_workload("lenet5"), "int8"), "bitmask"),
    lambda: load_workload("resnet50"),  # names with slashes, residuals
    lambda: load_workload(SEQUENCES),  # indices, caches, shared weights, and experts that nothing is sent to
], ids=["deep", "mobilenet", "int8", "stored int8", "resnet", "sequences"])  # fmt: skip
def test_what_is_saved_is_what_is_loaded(make: Callable[[], Workload], tmp_path: Path) -> None:
    workload = make()
    saved = save_workload(workload, tmp_path / "w")
    same(workload, saved)
    loaded = load_workload(tmp_path / "w")
    same(workload, loaded)
    assert not any(t.values().flags.writeable for t in loaded.tensors.values() if t.values is not None)
    assert loaded.content_hash == saved.content_hash
    assert loaded.source == saved.source
    assert loaded.source.format == "compressed"
    assert load_workload(tmp_path / "w" / WORKLOAD).content_hash == saved.content_hash


def test_same_workload_same_bytes_and_again_after_loading(tmp_path: Path) -> None:
    first = save_workload(deep(), tmp_path / "a")
    save_workload(deep(), tmp_path / "b")
    again = save_workload(load_workload(tmp_path / "a"), tmp_path / "c")
    for name in (WORKLOAD, WEIGHTS):
        contents = {(tmp_path / folder / name).read_bytes() for folder in "abc"}
        assert len(contents) == 1
    assert again.content_hash == first.content_hash


def test_other_numbers_are_another_workload(tmp_path: Path) -> None:
    hashes = {
        save_workload(linear([[1.0, value]]), tmp_path / str(value)).content_hash for value in (2.0, 3.0)
    }
    assert len(hashes) == 2


def test_names_and_attributes_of_any_kind_come_back(tmp_path: Path) -> None:
    name = 'we"ird\\ \u2028 \x07 \U0001f600 : # - {name}'
    op = operator(load_workload("lenet300").operators[1].problem, "x w", "y")
    attributes = (("axes", (1, (2, 3))), ("fill", float("-inf")), ("on", True), ("scale", 1e-9), ("t", "1"))
    op = replace(op, name=name, attributes=attributes)
    workload = network({"x": (1, 784)}, {"w": (300, 784)}, [(op, (1, 300))], ["y"])
    workload = with_values(workload, {"w": np.ones((300, 784), np.float32)})
    tensors = dict(workload.tensors)
    tensors[name] = replace(tensors["w"], name=name)
    workload = replace(
        workload, tensors=tensors, description=name, notes=("", "yes", "1e5", " " * 3000 + "x")
    )
    same(workload, save_workload(workload, tmp_path / "w"))
    same(workload, load_workload(tmp_path / "w"))


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=900),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES, min_size=1, max_size=4))
def test_the_writer_of_yaml_is_read_back_exactly(entries: dict[str, object]) -> None:
    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        return tuple(map(plain, value)) if isinstance(value, list | tuple) else value

    try:
        text = block(entries)
        text.encode()
    except UnicodeEncodeError:  # half a character: no file holds one
        return
    node, problems = read_tree(text, "t.yaml")
    assert not problems
    found = node.plain()
    assert found == plain(entries)
    assert repr(found) == repr(plain(entries))  # 1 is not 1.0, nor True


# -- what is wrong -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "w"
    save_workload(deep(), folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "w")
    return tmp_path / "w"


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / WEIGHTS).unlink(), r"weights\.npz: there is no such weights file"),
        (lambda f: edit(f / WEIGHTS, lambda b: b[:-100]), r"weights\.npz: is damaged"),
        (lambda f: edit(f / WEIGHTS, lambda b: b[:5000] + b"x" + b[5001:]), r"weights\.npz"),
        (lambda f: (f / WEIGHTS).write_bytes(b""), r"weights\.npz: is damaged"),
        (lambda f: (f / WORKLOAD).unlink(), r"is a folder without workload\.yaml"),
        (lambda f: edit(f / WORKLOAD, lambda b: b[:-1]), r"workload\.yaml:1:1: saved: the file was changed"),
        (
            lambda f: edit(f / WORKLOAD, lambda b: b.replace(b"density: 0.1", b"density: 0.2")),
            "the file was changed since hwsim wrote it",
        ),
        (lambda f: edit(f / WORKLOAD, lambda b: b.replace(b"seal: ", b"seal: x")), "the file was changed"),
    ],
)
def test_damage_has_one_clear_message(damage: Callable[[Path], object], message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(SpecError, match=message) as caught:
        load_workload(folder)
    assert len(caught.value.problems) == 1


def test_weights_of_another_workload_are_refused(folder: Path, tmp_path: Path) -> None:
    save_workload(linear([[1.0, 2.0]]), tmp_path / "other")
    shutil.copy(tmp_path / "other" / WEIGHTS, folder / WEIGHTS)
    with pytest.raises(SpecError, match=r"is not the file that workload\.yaml was saved with"):
        load_workload(folder)


def rewritten(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change arrays of a folder and say so in its workload.yaml, as nobody but a forger would."""
    import hashlib

    with np.load(folder / WEIGHTS) as archive:
        arrays = dict(archive)
    before = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    change(arrays)
    with zipfile.ZipFile(folder / WEIGHTS, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    after = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    first, rest = (folder / WORKLOAD).read_bytes().split(b"\n", 1)
    rest = rest.replace(before.encode(), after.encode())
    old = first.split(b'seal: "')[1][:64]
    first = first.replace(old, hashlib.sha256(rest).hexdigest().encode())
    (folder / WORKLOAD).write_bytes(first + b"\n" + rest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("fc1.bias"), r"weights\.npz: fc1\.bias: holds no tensor"),
        (lambda a: a.update({"fc1.bias": a["fc1.bias"] * np.nan}), r"fc1\.bias: holds NaN or infinity"),
        (lambda a: a.update({"fc1.bias": a["fc1.bias"][1:]}), r"fc1\.bias: has shape \[299\].*\[300\]"),
        (lambda a: a.update({"fc1.bias": a["fc1.bias"] > 0}), r"fc1\.bias: holds bool"),
        (lambda a: a.update({"fc1.weight:index": a["fc1.weight:index"][:-3]}), r"fc1\.weight: .*damaged"),
        (lambda a: a.pop("fc1.weight:values"), r"fc1\.weight: .*its 'values' is missing"),
        (lambda a: a.pop("fc1.weight::codebook"), r"fc1\.weight::codebook: holds no tensor"),
        (lambda a: a.update({"more": a["fc1.bias"]}), r"more: is in the file"),
    ],
)
def test_forged_arrays_are_told_by_tensor_and_file(
    change: Callable[[dict[str, np.ndarray]], object], message: str, folder: Path
) -> None:
    rewritten(folder, change)
    with pytest.raises(SpecError, match=message):
        load_workload(folder)


def test_shapes_are_fixed(folder: Path) -> None:
    assert load_workload(folder, batch=1).batch == 1
    with pytest.raises(
        SpecError, match=r"batch=4 is asked for, and the shapes of a saved workload are fixed"
    ):
        load_workload(folder, batch=4)
    with pytest.raises(SpecError, match="seed=3 is asked for"):
        load_workload(folder, seed=3)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="tensor 'b' holds NaN or infinity"):
        save_workload(linear([[1.0, np.inf]]), tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_only_what_hwsim_saved_is_replaced(tmp_path: Path) -> None:
    save_workload(linear([[1.0]]), tmp_path / "w")
    save_workload(linear([[2.0]]), tmp_path / "w")
    assert of(load_workload(tmp_path / "w"), "b").tolist() == [[2.0]]
    (tmp_path / "w" / "mine.txt").write_text("")
    with pytest.raises(OutputError, match=r"not a workload that hwsim saved \(mine\.txt\)"):
        save_workload(linear([[1.0]]), tmp_path / "w")


def test_a_folder_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_workload(linear([[1.0]]), tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    assert load_workload("small").source.path == "small/workload.yaml"
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match="there is no workload called 'empty'"):
        load_workload("empty")


def test_tensors_that_nobody_can_fill_are_refused(tmp_path: Path) -> None:
    workload = linear([[1.0]])
    lost = {**workload.tensors, "b": Tensor("b", (1, 1), "fp32", "weight")}
    with pytest.raises(SpecError, match=r"tensor 'b' has no values of its own"):
        save_workload(replace(workload, tensors=lost), tmp_path / "w")
