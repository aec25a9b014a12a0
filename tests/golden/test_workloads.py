"""reports/workloads.md against the shelf, and quick rows of it run again: `make workloads` writes it."""

from __future__ import annotations

import pytest

from hwsim.pipeline import run
from hwsim.result.comparison import RAN
from studies.workloads import (
    DESIGNS,
    PHASES,
    REPORTS,
    Phase,
    Row,
    measure,
    measure_phase,
    page,
    read_phases,
    read_rows,
    shipped,
)

ROWS = {(row.workload, row.design): row for row in read_rows()}
AGAIN = [
    ("lenet5", "tpu_v1"), ("tpu_lstm1", "tpu_v1"), ("mobilenet_v2", "v100"), ("gpt2_decode", "v100"),
    ("bert_base", "xeon_e5_2699v3"), ("bert_base", "tpu_v1"), ("eie_alex8", "eie_64pe"),
    ("bert_base", "eie_64pe"), ("llama_70b_decode", "v100"), ("neuraltalk_lstm", "xeon_e5_2699v3"),
]  # fmt: skip


def test_every_shipped_workload_has_a_row_for_each_machine() -> None:
    assert list(ROWS) == [(name, design) for name in shipped() for design in DESIGNS]
    assert [(p.workload, p.design, p.batch) for p in read_phases()] == list(PHASES)


def test_each_pair_has_a_time_or_a_reason() -> None:
    for row in ROWS.values():
        assert bool(row.time_ms and row.limit) == (row.outcome == RAN) == (not row.reason), row


@pytest.mark.parametrize("pair", AGAIN, ids="-".join)
def test_quick_rows_come_out_again(pair: tuple[str, str]) -> None:
    assert measure(*pair) == ROWS[pair]


def test_a_quick_phase_comes_out_again() -> None:
    found = read_phases()[1]
    assert measure_phase(found.workload, found.design, found.batch) == found


def test_a_prompt_asks_for_arithmetic_and_a_token_for_bytes() -> None:
    """A token's bytes are a floor of its time, and memory its limit once a batch shares the launches."""
    for found in read_phases():
        assert float(found.floor_ms) < float(found.time_ms)
        if found.workload.endswith("prefill"):
            assert found.limit != "memory"
            assert float(found.time_ms) > 5 * float(found.floor_ms)
        elif found.batch > 1 or found.workload == "llama_7b_decode":
            assert float(found.time_ms) < 2.2 * float(found.floor_ms)
            assert found.limit == "memory" or found.design == "a100"


@pytest.mark.parametrize("name", ["tpu_lstm0", "tpu_lstm1"])
def test_the_recurrent_stand_ins_wait_for_weights(name: str) -> None:
    """As Table 3 of Jouppi et al. has it of LSTM0 and LSTM1; nothing is fitted to them."""
    assert run(name, "tpu_v1").stalls["weight_stall"] > 0.5


def test_the_page_says_what_the_tables_say() -> None:
    assert (REPORTS / "workloads.md").read_text(encoding="utf-8") == page(list(ROWS.values()), read_phases())


def test_a_page_by_hand() -> None:
    no = "12 operators (first: a.scores): an array has no fused attention"
    rows = [Row("net", 2, DESIGNS[0], "ran", "1.5", "memory", "80", "")]
    rows += [Row("net", 2, design, "unsupported", "", "", "", no) for design in DESIGNS[1:]]
    text = page(rows, [Phase("net", "v100", 64, "3", "memory", "91", "2.5", "7")])
    assert "| net | 2 | 1.5 ms, memory 80 % | unsupported [1] | unsupported [2] | unsupported [3] |" in text
    assert "1 of 4 pairs ran." in text
    assert f"1. {DESIGNS[1]}: an array has no fused attention\n" in text
    assert text.endswith("| net | v100 | 64 | 3 | memory 91 % | 2.5 | 7 |\n")
