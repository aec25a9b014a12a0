"""Whatever stands in a file or override, the library answers with a design or an HwsimError."""

from __future__ import annotations

import json
import string
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hwsim.design import Design, load_design
from hwsim.design.load import full_form
from hwsim.errors import HwsimError, SpecError
from hwsim.library import find, names
from hwsim.schema import describe, load_source
from hwsim.schema.load import Source
from hwsim.schema.tree import read_tree

TPU = find("designs", "tpu_v1").read_text()
LINES = TPU.splitlines()
KEYS = sorted({line.split(":")[0].strip() for line in LINES if ":" in line and not line.startswith("#")})

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.sampled_from(
        ["systolic", "unlimited", "ws", "34 GB/s", "24 MiB", "700 MHz", "0 Hz", "-1 B", "nan W", "int8"]
    )
    | st.text(max_size=8)
)
trees = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), below, max_size=6)
    ),
    max_leaves=25,
)


def load_text(text, overrides=()):
    source = Source("f.yaml", text if isinstance(text, bytes) else text.encode("utf-8", "replace"), "0" * 64)
    return load_source(source, Design, overrides, prepare=full_form)


def answers(text, overrides=()):
    """Loads or tells: each problem has a place and one line of bounded length."""
    try:
        assert describe(load_text(text, overrides))
        return
    except SpecError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        assert 0 < len(problem.message) < 1000
        assert "\n" not in problem.message


def dump(tree):
    with tempfile.TemporaryFile("w+") as file:
        YAML(typ="safe", pure=True).dump(tree, file)
        file.seek(0)
        return file.read()


@given(trees)
def test_random_trees(tree):
    answers(dump(tree))


@given(st.binary(max_size=200))
def test_random_bytes(content):
    answers(content)


@given(st.text(alphabet=string.printable + "\x85\u2028\ufeff", max_size=80))
def test_random_text(text):
    answers(text)


@given(
    st.integers(0, len(TPU) - 1),
    st.integers(0, 12),
    st.text(alphabet="{}[]:,#&*!|>'\"%@`-? \n\tab1", max_size=4),
)
def test_a_real_file_with_one_fault(start, length, inserted):
    answers(TPU[:start] + inserted + TPU[start + length :])


@given(st.sampled_from([line for line in LINES if ":" in line and not line.startswith("#")]), scalars)
def test_a_real_file_with_one_other_value(line, value):
    key = line.split(":")[0]
    answers(TPU.replace(line, f"{key}: {dump(value).splitlines()[0] if value != '' else ''}", 1))


paths = st.lists(st.sampled_from([*KEYS, "devices", "systolic"]) | st.text(max_size=4), max_size=4).map(
    ".".join
)


@given(
    st.lists(
        st.tuples(paths, st.text(max_size=8) | scalars.map(str)).map("=".join) | st.text(max_size=9),
        max_size=3,
    )
)
def test_random_overrides(overrides):
    answers(TPU, overrides)


@given(st.text(max_size=12))
def test_random_names(name):
    try:
        load_design(name)
    except HwsimError:
        return
    assert name in names("designs") or Path(name).is_file()


@given(
    st.dictionaries(
        st.text("abc#: '", min_size=1, max_size=5), st.integers() | st.text("ab #:'\"\n", max_size=6)
    )
)
def test_json_is_yaml(tree):
    found, problems = read_tree(json.dumps(tree), "f.yaml")
    assert problems == []
    assert found.plain() == tree
