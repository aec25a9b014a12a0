"""Lists of matrix products in JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import SpecError
from hwsim.workload import Workload, load_workload
from hwsim.workload.operators import Matmul


def load(folder: Path, text: str) -> Workload:
    path = folder / "net.json"
    path.write_text(text, encoding="utf-8")
    return load_workload(path)


def test_a_list(tmp_path: Path) -> None:
    net = load(tmp_path, '[{"M": 2, "N": 3, "K": 4}, {"name": "fc", "m": 5, "n": 6, "k": 7, "batch": 8}]')
    assert [op.problem for op in net.operators] == [Matmul(1, 2, 3, 4), Matmul(8, 5, 6, 7)]
    assert [op.name for op in net.operators] == ["gemm1", "fc"]
    assert (net.name, net.source.format, net.operands_in_memory) == ("net", "json", True)


def test_an_object_may_name_the_workload(tmp_path: Path) -> None:
    net = load(tmp_path, '{"name": "mine", "gemms": [{"M": 2, "N": 3, "K": 4, "count": 2}]}')
    assert net.name == "mine"
    assert net.macs == 2 * 24


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["net.json: is empty"]),
        ("{", ["net.json:1:2: is not JSON: Expecting property name"]),
        ("[]", ["net.json: must be a list of objects such as"]),
        ("3", ["net.json: must be a list of objects such as"]),
        ('{"gemm": [{"M": 1}]}', ["gemm: is not a key of the file; they are name, gemms", "gemms: must be"]),
        ('{"name": "a b", "gemms": [{"M": 1, "N": 1, "K": 1}]}', ["name: must be 1 to 100 letters"]),
        ('{"name": 7, "gemms": [{"M": 1, "N": 1, "K": 1}]}', ["name: must be 1 to 100 letters"]),
        ("[7]", ["net.json: [0]: is not an object with M, N and K"]),
        ('[{"M": 1, "N": 2}]', ["net.json: [0]: lacks K"]),
        ('{"gemms": [{"M": 1, "N": 2, "K": 0}]}', ["net.json: gemms[0].K: is 0: it must be a whole number"]),
        ('[{"M": 1, "N": 2, "K": "3"}]', ["net.json: [0].K: is '3': it must be a whole number"]),
        ('[{"M": true, "N": 2, "K": 3.0}]', ["[0].M: is True", "[0].K: is 3.0"]),
        ('[{"M": null, "N": [2], "K": {"a": 3}}]', ["[0].M: is None", "[0].N: is [2]", "[0].K: is {'a': 3}"]),
        ('[{"M": 1, "N": 2, "K": 3, "name": 4}]', ["[0].name: is 4: it must be text"]),
        ('[{"M": 1, "N": 2, "K": 3, "coutn": 4}]', ["[0].coutn: is not a key of", ]),
        ('[{"M": 1, "N": 2, "K": 3, "m": 4}]', ["[0].m: means the same key as 'M'"]),
        ('[{"M": 1, "M": 2, "K": 3}]', ["net.json: names the key 'M' twice in one object"]),
        ('[{"M": NaN, "N": 2, "K": 3}]', ["net.json: holds NaN, which is no number of JSON"]),
        ('[{"M": ' + "9" * 5000 + ', "N": 2, "K": 3}]', ["net.json: holds a number of 5,000 digits"]),
        ("[" * 100_000, ["net.json: nests too deeply"]),
        ('[{"M": 1, "N": 2, "K": 1000000001}]', ["from 1 to 1,000,000,000"]),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text)
    found = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert len(found) == len(said), found
    for line, words in zip(found, said, strict=True):
        assert words in line


def test_parameters_are_refused(tmp_path: Path) -> None:
    load(tmp_path, '[{"M": 1, "N": 2, "K": 3}]')
    with pytest.raises(SpecError, match="there is no parameter 'batch': M, N and K are fixed"):
        load_workload(tmp_path / "net.json", batch=2)
