"""YAML text to trees: values by YAML 1.2, places, comments, and what is refused."""

from __future__ import annotations

import time

import pytest

from hwsim.errors import SpecError
from hwsim.schema.tree import MAX_DEPTH, MAX_VALUES, dotted, read_tree


def tree(text):
    node, problems = read_tree(text, "f.yaml")
    assert problems == []
    return node


def refused(text):
    with pytest.raises(SpecError) as caught:
        read_tree(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1e-9", 1e-9),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2001-01-01", "2001-01-01"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("24 MiB", "24 MiB"),
        ("=", "="),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    found = tree(f"a: {text}\n").plain()["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_and_infinity_are_floats():
    found = tree("[.nan, .inf, -.inf]").plain()
    assert found[0] != found[0]
    assert found[1:] == (float("inf"), float("-inf"))


def test_places_count_from_one():
    root = tree("a:\n  b: [1,\n    2]\n")
    section = root.children["a"]
    assert (section.key_place.line, section.key_place.col) == (1, 1)
    second = section.children["b"].items[1]
    assert (second.place.line, second.place.col) == (3, 5)
    assert dotted(second.path) == "a.b[1]"


@pytest.mark.parametrize(
    ("text", "path", "comment"),
    [
        ("a: 1  # why\n", ("a",), "why"),
        ("a: 'x # y'  # why\n", ("a",), "why"),
        ("a: 'x # y'\n", ("a",), ""),
        ("a: x#y\n", ("a",), ""),
        ("a: {b: 1, c: 2}  # both\n", ("a", "b"), "both"),
        ("a: {b: 1, c: 2}  # both\n", ("a", "c"), "both"),
        ("a:  # section\n  b: 1\n", ("a",), "section"),
        ("a:  # section\n  b: 1\n", ("a", "b"), ""),
        ("a:\n  - 1  # one\n  - {b: 2}  # two\n", ("a", 1, "b"), "two"),
        ("a: 1\n# not this\n", ("a",), ""),
        ("a: |\n  text\nb: 1  # of b\n", ("a",), ""),
        ("- 1  # first\n- 2\n", (0,), "first"),
    ],
)
def test_comments_belong_to_the_value_before_them(text, path, comment):
    node = tree(text)
    for step in path:
        node = node.items[step] if isinstance(step, int) else node.children[step]
    assert node.comment == comment


def test_each_duplicate_key_is_told_with_both_places():
    node, problems = read_tree("a: 1\nb: {c: 1, c: [2]}\na: {x: 1}\nd: 4\n", "f.yaml")
    assert [(p.line, p.col, p.path) for p in problems] == [(2, 11, "b.c"), (3, 1, "a")]
    assert "line 1, column 1" in problems[1].message
    assert node.plain() == {"a": 1, "b": {"c": 1}, "d": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("a: b: c", "f.yaml:1:5: not valid YAML"),
        ("a: [1, 2", "not valid YAML"),
        ("a: 'open", "not valid YAML"),
        ("\ta: 1", "not valid YAML"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second document"),
        ("a: !!python/object:os.system x", "tag"),
        ("a: !!float 1", "tag"),
        ("!include x", "tag"),
        ("a: &x 1\nb: {<<: *x}", "merge keys"),
        ("? [a]\n: b", "a key must be a name"),
        ("? {a: 1}\n: b", "a key must be a name"),
        ("a: *nope", "no anchor"),
        ("a: &x [*x]", "holds the alias itself"),
        ("a: " + "9" * 5000, "5,000 digits"),
        ("a: \x00", "not valid YAML"),
        ("[" * 5000, "levels deep"),
        ("a: " + "!" * 20_000, "20,003 characters"),
        ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, "levels deep"),
    ],
)
def test_what_is_refused(text, message):
    assert message in refused(text)


def test_depth_up_to_the_limit_is_read():
    tree("[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1))


def test_aliases_stand_for_their_anchor():
    assert tree("a: &x {k: [1, 2]}\nb: *x\n").plain() == {"a": {"k": (1, 2)}, "b": {"k": (1, 2)}}


def test_an_alias_bomb_is_refused_at_once():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    begin = time.process_time()
    assert f"more than {MAX_VALUES:,} values" in refused("\n".join(levels))
    assert time.process_time() - begin < 2


def test_depth_counts_through_aliases():
    levels = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, MAX_DEPTH + 5)]
    assert "levels deep" in refused("\n".join(levels))
