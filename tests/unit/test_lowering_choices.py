"""Choices of lowering as `run` takes them: what they change, what they never change, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import hwsim
from hwsim.compress.lowering import CHOICES, read_choices
from hwsim.errors import SpecError
from hwsim.result.folder import default_name


def test_choices_are_read_from_texts_and_mappings() -> None:
    assert read_choices(["fusion=off", "attention = unfused"]) == (
        ("attention", "unfused"), ("fusion", "off"),
    )  # fmt: skip
    assert read_choices({"conv": "im2col"}) == (("conv", "im2col"),)
    assert read_choices("recurrent=batched") == (("recurrent", "batched"),)
    assert read_choices(()) == ()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["fusion"], "write name=choice"),
        (["fuse=off"], "did you mean fusion"),
        (["attention=flash"], "known: auto, fused, unfused"),
        (["conv=im2col", "conv=direct"], "chosen twice"),
    ],
)
def test_what_is_no_choice_is_refused(given: list[str], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        read_choices(given)


def run(network: str, design: str, **lower: str) -> hwsim.Result:
    return hwsim.run(network, design, lower=lower)


def moved(result: hwsim.Result, component: str) -> int:
    columns = [i for i, key in enumerate(result.usage.keys) if key[0] == component]
    return int(result.usage.counts[:, columns].sum())


def test_a_machine_without_fused_attention_runs_its_parts_and_says_so() -> None:
    result = run("gpt2_decode", "tpu_v1")
    assert "attention" not in result.timing.kinds
    assert any("no fused form" in note for note in result.provenance.notes)
    with pytest.raises(hwsim.UnsupportedError, match="no fused attention"):
        run("gpt2_decode", "tpu_v1", attention="fused")


def test_fused_attention_keeps_the_scores_out_of_memory() -> None:
    """One layer's scores, heads x places x places in fp16, are far more than the cache holds."""
    spelled = {"attention": "unfused"}
    fused, apart = (hwsim.run("bert_large", "t4", batch=32, lower=lower) for lower in ({}, spelled))
    assert fused.macs == apart.macs
    assert moved(fused, "memory") < moved(apart, "memory")


def test_functions_apart_move_more_and_compute_the_same() -> None:
    fused, apart = run("vgg16", "systolic_32"), run("vgg16", "systolic_32", fusion="off")
    assert fused.macs == apart.macs
    assert apart.latency_s > fused.latency_s
    assert moved(apart, "unified_buffer") > moved(fused, "unified_buffer")
    assert any("keeps" in note for note in fused.provenance.notes)


@pytest.mark.parametrize("conv", [c for c in CHOICES["conv"] if c != "direct"])
def test_every_form_of_a_convolution_gives_the_same_numbers(conv: str) -> None:
    found = hwsim.verify("digits_cnn", "systolic_32", dtype="int8", lower={"conv": conv})
    assert found.exact.all()
    result = run("digits_cnn", "systolic_32", conv=conv)
    assert result.macs == run("digits_cnn", "systolic_32").macs


def test_winograd_multiplies_less_and_patches_move_more() -> None:
    plain = run("vgg16", "tpu_v1")
    assert run("vgg16", "tpu_v1", conv="winograd2").multiplications < plain.multiplications
    assert moved(run("vgg16", "tpu_v1", conv="im2col"), "unified_buffer") > moved(plain, "unified_buffer")


def test_recurrent_layers_take_the_form_that_is_asked_for() -> None:
    stepwise, batched = (run("tpu_lstm0", "tpu_v1", recurrent=form) for form in ("stepwise", "batched"))
    assert stepwise.macs == batched.macs
    assert batched.timing.kinds.count("matmul") > stepwise.timing.kinds.count("matmul")


@pytest.mark.parametrize(
    ("network", "choice"),
    [
        ("lenet5", "recurrent=batched"),
        ("lenet5", "recurrent=stepwise"),
        ("lenet5", "attention=unfused"),
        ("lenet5", "attention=fused"),
        ("lenet5", "conv=winograd2"),  # its windows are 5x5
        ("lenet300", "conv=im2col"),
    ],
)
def test_a_choice_that_changes_nothing_is_said(network: str, choice: str) -> None:
    plain, chosen = (hwsim.run(network, "tpu_v1", lower=lower) for lower in ((), choice))
    said = f"--lower {choice} changes nothing: it found no operator to apply to"
    assert set(chosen.provenance.notes) - set(plain.provenance.notes) == {said}
    assert chosen.latency_s == plain.latency_s


@pytest.mark.parametrize("choice", ["attention=auto", "conv=direct", "recurrent=written", "fusion=on"])
def test_choosing_what_holds_anyway_says_nothing(choice: str) -> None:
    plain, chosen = (hwsim.run("lenet5", "tpu_v1", lower=lower) for lower in ((), choice))
    assert chosen.provenance.notes == plain.provenance.notes


def test_fused_attention_that_is_there_is_no_choice_in_vain() -> None:
    notes = run("gpt2_decode", "t4", attention="fused").provenance.notes
    assert not any("changes nothing" in note for note in notes)


def test_a_result_knows_its_choices_and_has_a_folder_of_its_own() -> None:
    plain, chosen = run("lenet5", "tpu_v1"), run("lenet5", "tpu_v1", conv="im2col", fusion="off")
    assert chosen.provenance.lowering == ("conv=im2col", "fusion=off")
    assert default_name(plain) != default_name(chosen)


def test_compare_lowers_as_run_does() -> None:
    found = hwsim.compare(["lenet5", "lenet300"], "tpu_v1", lower="conv=im2col")
    for row in found.rows:
        single = run(row.workload, "tpu_v1", conv="im2col")
        assert row.figures is not None
        assert (row.figures.latency_s, row.figures.energy_j) == (single.latency_s, single.energy_j)
    assert found.rows[0].figures != hwsim.compare("lenet5", "tpu_v1").rows[0].figures
    assert found.lowering == ("conv=im2col",)
    assert found.default_name() != hwsim.compare(["lenet5", "lenet300"], "tpu_v1").default_name()
    with pytest.raises(SpecError, match="did you mean conv"):
        hwsim.compare("lenet5", "tpu_v1", lower="con=im2col")


@pytest.mark.parametrize("lower", [("conv=im2col",), ("conv=winograd2",), ("fusion=off",), ()])
def test_compress_lowers_what_the_recipe_leaves_as_run_does(lower: tuple[str, ...], tmp_path: Path) -> None:
    plain = hwsim.compress("digits_cnn", "share_4bit").workload
    made = hwsim.compress("digits_cnn", "share_4bit", lower=lower)
    saved = hwsim.load_workload(made.save(tmp_path / "small"))
    ours, theirs = hwsim.run(saved, "systolic_32"), hwsim.run(plain, "systolic_32", lower=lower)
    assert ours.timing.names == theirs.timing.names
    assert (ours.latency_s, ours.energy_j) == (theirs.latency_s, theirs.energy_j)
    done = [note for note in theirs.provenance.notes if note in made.table.notes]
    assert bool(done) == bool(lower)


def test_compress_refuses_what_is_no_choice_before_any_work() -> None:
    with pytest.raises(SpecError, match="known: on, off"):
        hwsim.compress("vgg16", "deep_compression", lower=["fusion=maybe"])
