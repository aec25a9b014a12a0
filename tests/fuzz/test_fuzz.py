"""A short run of what `make fuzz` does at length, and planted faults that it must notice."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.devices.kinds import KINDS as DEVICES
from hwsim.errors import CheckError, HwsimError, SpecError, VerificationError
from tests.fuzz import judge as judging
from tests.fuzz.__main__ import campaign
from tests.fuzz.inputs import DESIGNS, KINDS, WORKLOADS, Input, keys, make_input
from tests.fuzz.judge import judge
from tests.fuzz.mutate import NUMBERS, WORDS, packed, yaml_text
from tests.fuzz.planted import ALLOCATES, DIES, HANGS, SEED, SWELLS
from tests.fuzz.worker import MOST_TILES, VERIFIES_WITHIN_S
from tests.processes import printed

QUICK = sorted(kind for kind in KINDS if kind != "large")


@pytest.fixture(autouse=True, scope="module")
def _low_limits() -> Iterator[None]:
    """Those of the worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwsim.plan.program.MAX_TILES", MOST_TILES)
        patch.setattr("hwsim.pipeline.VERIFIES_WITHIN_S", VERIFIES_WITHIN_S)
        yield


def is_answered(made: Input) -> None:
    with TemporaryDirectory() as folder:
        made.write(Path(folder))
        verdict = judge(made, Path(folder))
    assert verdict.answer in ("accepted", "refused"), f"{verdict.signature}\n{verdict.story}"


# Drawing each chance of an input by itself, as st.randoms does, takes ten times as long as the library.
chances = st.integers(0, 2**64 - 1).map(Random)


@pytest.mark.parametrize("kind", QUICK)
@settings(max_examples=25)
@given(chance=chances)
def test_every_input_is_answered(kind: str, chance: Random) -> None:
    is_answered(KINDS[kind][1](chance))


def trees(pattern: str) -> st.SearchStrategy[Any]:
    """YAML trees that Hypothesis can make smaller, below keys that files have."""
    scalars = (
        st.sampled_from([*NUMBERS, *WORDS]) | st.none() | st.booleans() | st.floats() | st.text(max_size=8)
    )
    named = st.sampled_from(keys(pattern)) | st.text(max_size=5)
    below = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(named, inner, max_size=6),
        max_leaves=20,
    )
    return st.dictionaries(named, below, min_size=1, max_size=8)


@settings(max_examples=40)
@given(tree=trees(WORKLOADS), chance=chances)
def test_every_tree_is_answered_as_a_workload(tree: dict[str, Any], chance: Random) -> None:
    whole = {"name": "net", "input": {"shape": ["batch", 4]}, "layers": [{"kind": "relu"}, tree]}
    for content in (yaml_text(chance, tree), yaml_text(chance, whole)):
        is_answered(Input("random workload", {"w.yaml": content}, {"parameters": {}}))


@settings(max_examples=30)
@given(tree=trees(DESIGNS), kind=st.sampled_from(sorted(DEVICES)), chance=chances)
def test_every_tree_is_answered_as_a_design(tree: dict[str, Any], kind: str, chance: Random) -> None:
    is_answered(Input("random design", {"d.yaml": yaml_text(chance, {"kind": kind, **tree})}))


DIGESTS = """
from tests.fuzz.inputs import make_input
print("".join(make_input(5, number).sha256 for number in range(120)))
"""


def test_a_number_of_a_seed_is_the_same_input_in_every_process() -> None:
    made = [make_input(5, number) for number in range(120)]
    assert {one.kind for one in made} >= set(QUICK)
    digests = "".join(one.sha256 for one in made)
    assert printed(DIGESTS, hash_seed=1).decode().strip() == digests
    assert digests != "".join(make_input(6, number).sha256 for number in range(120))


def test_a_packed_file_does_not_hold_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    before = packed(b"a trace")
    monkeypatch.setattr("time.time", lambda: 1e9)
    assert packed(b"a trace") == before


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (SpecError("said well"), "refused"),
        (SpecError(" "), "fault"),
        (CheckError("a sum is wrong"), "fault"),
        (VerificationError("l0", (0,), 1.0, 2.0, 0, "compute", "a tile was dropped"), "fault"),
        (VerificationError("l0", (0,), 1, 2, 0, "compute", "its sum overflows an accumulator"), "refused"),
        (IndexError("list index out of range"), "fault"),
        (MemoryError(), "fault"),
        (RecursionError(), "fault"),
        (UserWarning("odd"), "fault"),
        (None, "accepted"),
    ],
)
def test_a_verdict_follows_from_what_leaves_the_library(
    error: Exception | None, answer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def feed(_: Input, __: Path) -> None:
        if isinstance(error, Warning):
            warnings.warn(error, stacklevel=1)
        elif error is not None:
            raise error

    monkeypatch.setattr(judging, "feed", feed)
    verdict = judge(Input("settings", {}), tmp_path)
    assert verdict.answer == answer
    assert bool(verdict.signature) == (answer == "fault")
    assert isinstance(error, HwsimError) or answer != "refused"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing limits what a worker may ask for")
def test_a_campaign_notices_what_ends_or_swells_a_worker(tmp_path: Path) -> None:
    tally = campaign(SEED, 8, math.inf, tmp_path, worker="tests.fuzz.planted")
    assert tally.inputs == 8
    assert {number: signature for signature, number in tally.firsts.items()} == {
        HANGS: "its processor time ran out",
        SWELLS: "more than 256 MiB resident",
        DIES: "the process ended with status 9",
        ALLOCATES: "MemoryError",
    }
    said = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/input.json")]
    assert sorted(one["number"] for one in said) == sorted((HANGS, SWELLS, DIES, ALLOCATES))
    for one in said:
        made = make_input(SEED, one["number"])
        kept = next(tmp_path.glob(f"*/{one['number']}"))
        assert {name: (kept / name).read_bytes() for name in made.files} == made.files
    assert any("MemoryError" in line for line in tally.lines())
