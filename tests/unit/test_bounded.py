"""What is kept is kept up to a number, and made once while it is."""

from __future__ import annotations

from hwsim.bounded import Bounded


def test_the_first_one_made_goes_first() -> None:
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    kept = Bounded[str](2)
    for name in ("a", "b", "a", "c", "b", "a"):
        assert kept.once(name, lambda name=name: make(name)) == name.upper()
    assert made == ["a", "b", "c", "a"]


def test_what_cannot_be_made_is_not_kept_and_nothing_is_a_value() -> None:
    kept = Bounded[int | None](1)
    assert kept.once("x", lambda: None) is None
    assert kept.once("x", lambda: 1) is None
    try:
        kept.once("y", lambda: 1 // 0)
    except ZeroDivisionError:
        assert kept.once("y", lambda: 2) == 2


def test_sizes_are_kept_within_the_room() -> None:
    """The oldest go until the rest has room; what alone has none stays, and is the first to go."""
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name

    kept = Bounded[str](6, size=len)
    for name in ("aaa", "bb", "cccc", "bb", "dddddddd", "e", "dddddddd"):
        kept.once(name, lambda name=name: make(name))
    assert made == ["aaa", "bb", "cccc", "dddddddd", "e", "dddddddd"]
    kept.clear()
    for name in ("fff", "ggg", "fff"):
        kept.once(name, lambda name=name: make(name))
    assert made[-2:] == ["fff", "ggg"]
