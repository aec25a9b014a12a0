"""`hwsim compress`: what goes to standard output and what to standard error, and the folder it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hwsim.cli.main import main
from hwsim.workload import load_workload

EMBEDDED = """
name: words
inputs: {tokens: {shape: [batch, 3], indices: 100}}
layers:
  - {kind: embedding, vocab: 100, width: 8}
  - {kind: linear, out_features: 4}
"""


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`hwsim ...` in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, words)


def test_the_table_names_layers_parts_and_synthetic_weights(run_here) -> None:
    found = run_here("compress", "lenet5", "--recipe", "deep_compression")
    assert found.exit_code == 0, found.stderr
    shown = " ".join(found.stdout.split())  # lines break where the terminal does
    for words in ("lenet5 by deep_compression", "relative+huffman", "400,000", "8.0 %", "times smaller",
                  "code tables", "output change", "drawn from seed 0", "inertia"):  # fmt: skip
        assert words in shown
    assert not list(Path.cwd().iterdir())


def test_json_is_one_strict_object_and_all_of_standard_output(run_here) -> None:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    done = run_here("compress", "lenet5", "-r", "ternary", "--json", "-o", "out")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout, parse_constant=refuse)
    assert [row["layer"] for row in found["layers"]] == ["conv1", "conv2", "ip1", "ip2"]
    assert found["folder"] == str(Path.cwd() / "out")
    assert found["totals"]["stored_bits"] == sum(row["stored_bits"] for row in found["layers"])


def test_the_folder_is_a_workload_for_the_other_commands(run_here) -> None:
    done = run_here("compress", "lenet300", "-r", "share_4bit", "--out", "small", "--batch", "2", "--quiet")
    assert done.stdout == f"{Path.cwd() / 'small'}\n"
    assert load_workload("small").batch == 2
    shown = run_here("describe", "small")
    assert "compressed  share: codebooks" in " ".join(shown.stdout.split(" ")).replace("   ", "  ")
    assert "workload" in run_here("describe", str(Path("small", "workload.yaml"))).stdout.splitlines()[0]
    again = run_here("describe", "small", "--batch", "4")
    assert again.exit_code == 2
    assert "the shapes of a saved workload are fixed (batch=2, seed=0)" in again.stderr


def test_recipes_are_listed_described_and_have_a_schema(run_here) -> None:
    assert "deep_compression" in run_here("list", "recipes").stdout
    shown = run_here("describe", "deep_compression").stdout
    for words in ("deep_compression: recipe", "ICLR 2016", "vgg16", "by_layer: conv* 8"):
        assert words in shown
    schema = json.loads(run_here("schema", "recipe").stdout)
    assert "steps" in schema["required"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lenet5",), "Missing option '--recipe'"),
        (("lenet5", "-r", "deep"), "there is no recipe called 'deep'"),
        (("lenet", "-r", "eie"), "there is no workload called 'lenet'"),
        (("lenet5", "-r", "eie", "-q"), "name one with --out"),
        (("lenet5", "-r", "eie", "--param", "recipe=3"), "a workload has no such parameter"),
        (("lenet5", "-r", "eie", "--param", "width=3"), "there is no parameter 'width'"),
        (("lenet5", "-r", "eie", "--data", "digits"), "the images of digits (test) have 64 elements"),
        (("lenet5", "-r", "eie", "--seed", "-1"), "at least 0"),
        (("lenet5", "-r", "eie", "--lower", "conv=fft"), "known: direct, im2col, winograd2, winograd4"),
    ],
)
def test_bad_input_is_one_message_and_status_2(run_here, words: tuple[str, ...], message: str) -> None:
    done = run_here("compress", *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_choices_of_lowering_are_saved_and_told(run_here) -> None:
    done = run_here("compress", "lenet300", "-r", "share_4bit", "-o", "small", "--lower", "fusion=off",
                    "--lower", "conv=im2col")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "note pointwise functions are operators of their own" in shown
    assert "note --lower conv=im2col changes nothing: it found no operator to apply to" in shown
    assert "elementwise" in {op.kind for op in load_workload("small").operators}
    assert "elementwise" not in {op.kind for op in load_workload("lenet300").operators}


def test_the_rest_is_told_before_and_after_where_its_format_changes(run_here) -> None:
    Path("words.yaml").write_text(EMBEDDED, encoding="utf-8")
    done = run_here("compress", "words.yaml", "-r", "int8_per_channel", "-o", "small")
    assert done.exit_code == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "times smaller, with 816 B of biases, tables and constants for 3.14 KiB" in shown
    assert "tables and constants for 3.14" in Path("small", "report.html").read_text(encoding="utf-8")
    pruned = run_here("compress", "words.yaml", "-r", "prune_90").stdout
    assert "3.14 KiB of biases, tables and constants" in " ".join(pruned.split())
    assert "constants for" not in " ".join(pruned.split())


def test_a_folder_of_something_else_is_left_alone(run_here) -> None:
    Path("mine").mkdir()
    Path("mine", "notes.txt").write_text("mine")
    done = run_here("compress", "lenet5", "-r", "eie", "-o", "mine")
    assert done.exit_code == 1
    assert "not a workload that hwsim saved (notes.txt)" in done.stderr
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]
