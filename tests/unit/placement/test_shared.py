"""Networks that devices share: who runs what in which format, what is refused, what is checked, and that the
numbers come out right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.compress import compress
from hwsim.design import load_design
from hwsim.errors import CapacityError, CheckError, SpecError, UnsupportedError, VerificationError
from hwsim.functional import verify as checking
from hwsim.functional import verify_program
from hwsim.functional.product_routes import executable
from hwsim.library import find
from hwsim.pipeline import prepare, run, verify
from hwsim.placement import make_machine, place
from hwsim.placement import program as joined
from hwsim.plan import Plan
from hwsim.workload import Workload, load_workload, matvec
from hwsim.workload.operators import Elementwise, Matmul, Softmax
from tests.networks import network, operator
from tests.weighted import weighted

PAIR = Path(__file__).parents[2] / "pair.yaml"
ON_CPU = ("placement.softmax=cpu",)
ROOMY = ("weight_memory.size=unlimited", "unified_buffer.size=1 MiB")
MIXED = (*ON_CPU, "devices.cpu.dtype=fp32")  # the processor computes in fp32, the array in int8


def branches(seed: int = 0) -> Workload:
    """Two products and a softmax of one input, and their sum; with weights."""
    draw = np.random.default_rng(seed)
    return weighted(
        {"x": (4, 6)},
        {"w1": draw.normal(size=(6, 6)), "w2": draw.normal(size=(6, 6)), "w3": draw.normal(size=(6, 5))},
        [
            (operator(Matmul(1, 4, 6, 6), "x w1", "h"), (4, 6)),
            (operator(Softmax(4, 6), "h", "s"), (4, 6)),
            (operator(Matmul(1, 4, 6, 6), "h w2", "k"), (4, 6)),
            (operator(Elementwise("add", 24, 2), "s k", "a"), (4, 6)),
            (operator(Matmul(1, 4, 5, 6), "a w3", "y"), (4, 5)),
        ],
        ["y"],
    )


# -- who runs what -------------------------------------------------------------------------------------


def test_the_host_runs_what_the_default_device_cannot() -> None:
    """A PE of the EIE without pointwise lanes has nothing for a pool; its layers without shared weights go to
    the host too, and the reasons stand in the result."""
    dense = run(load_workload("lenet5"), "cpu_plus_eie")
    assert set(dense.timing.where) == {"cpu"}
    notes = " ".join(dense.provenance.notes)
    assert "different values besides zero" in notes
    assert "cpu runs conv1 and 1 more: placed there by the design" in notes


def test_what_no_device_can_run_is_refused_with_both_reasons() -> None:
    work = matvec(64, 64).astype("int4")
    with pytest.raises(
        UnsupportedError, match=r"array: the array multiplies .*int4.*; cpu: the cores multiply"
    ):
        run(work, PAIR)


def test_what_its_own_device_cannot_run_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="cpu: the cores multiply int8, fp32, not int16"):
        run(branches().astype("int16"), PAIR, overrides=("placement.matmul=cpu",))


def test_devices_without_a_link_cannot_hand_over(tmp_path: Path) -> None:
    text = PAIR.read_text()
    second = text[text.index("  array:\n    kind") : text.index("  cpu:\n    kind")].replace(
        "array:", "other:", 1
    )
    path = tmp_path / "three.yaml"
    path.write_text(f"{text}{second}placement: {{softmax: other}}\n")
    with pytest.raises(
        UnsupportedError, match=r"array makes is needed on other.*`between: \[array, other\]`"
    ):
        run(branches(), path)
    joined = text.replace("devices:\n", "  rope:\n    between: [array, other]\ndevices:\n", 1)
    path.write_text(f"{joined}{second}placement: {{softmax: other}}\n")
    assert set(run(branches(), path).timing.where) == {"array", "cpu", "wire", "rope", "other"}


# -- number formats ------------------------------------------------------------------------------------


def test_the_host_converts_between_formats() -> None:
    """The softmax is computed in fp32; what crosses the wire is int8 both ways."""
    found = run(branches(), PAIR, overrides=MIXED)
    timing = found.timing
    moved = dict(zip(timing.names, timing.moved_bytes.tolist(), strict=True))
    assert {name: count for name, count in moved.items() if count} == {
        "wire:x": 24, "wire:h": 24, "wire:s:int8": 24, "wire:y": 20,
    }  # fmt: skip
    where = dict(zip(timing.names, timing.where, strict=True))
    assert where["h:fp32"] == where["s"] == where["s:int8"] == "cpu"
    elapsed = dict(zip(timing.names, timing.elapsed_ps.tolist(), strict=True))
    assert elapsed["h:fp32"] > 0
    assert elapsed["s:int8"] > 0
    assert found.dtype == "int8"


def test_a_chosen_format_is_every_devices() -> None:
    found = run(branches(), PAIR, dtype="int8", overrides=MIXED)
    assert not any(":" in name for name in found.timing.names if name.startswith(("h", "s")))


def test_weights_in_two_formats_are_refused() -> None:
    work = branches()
    twice = replace(work.operators[2], inputs=("h", "w1"))
    shared = replace(work, operators=(*work.operators[:2], twice, *work.operators[3:]))
    assert run(shared, PAIR, overrides=MIXED).macs == shared.macs
    # Only a placement of single kinds can make devices share a weight: as an operand of a sum.
    added = operator(Elementwise("add", 36, 2), "w1 w1", "ww")
    both = replace(
        work,
        operators=(added, *work.operators),
        tensors={
            **work.tensors,
            "ww": replace(work.tensors["w1"], name="ww", role="activation", values=None),
        },
    )
    with pytest.raises(UnsupportedError, match="w1 is read by ww in fp32 and by h in int8: place both"):
        run(both, PAIR, overrides=(*MIXED, "placement.elementwise=cpu"))


# -- numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), ON_CPU, MIXED, ("placement.elementwise=cpu", *MIXED)])
@pytest.mark.parametrize("room", ["8 KiB", "48 B"])
def test_numbers_are_right_across_devices(overrides: tuple[str, ...], room: str) -> None:
    """With room on chip, and with so little that what crosses goes through the array's memory."""
    found = verify(branches(), PAIR, overrides=(*overrides, f"unified_buffer.size={room}", "bank=8 B"))
    assert not found.unexecuted
    assert "y" in found.outputs


def test_what_cannot_be_executed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a kind whose tiles do not say which elements they work on the reference computes products for the
    others to read; where there are no others, there is nothing to verify."""

    def on_the_array(plan: Plan) -> bool:
        return executable(plan) and "shift" in plan.own_pipeline.stage_names

    monkeypatch.setattr(checking, "executable", on_the_array)
    work = compress("lenet5", "int8_per_channel").workload
    found = verify(work, PAIR, overrides=(*ROOMY, "placement.conv2d=cpu"))
    assert found.unexecuted == ("conv1", "conv2")
    assert "2 (first: conv1) by the reference, unchecked" in found.verdict
    assert not set(found.unexecuted) & set(found.names)
    with pytest.raises(UnsupportedError, match="not which elements"):
        verify(work, PAIR, overrides=(*ROOMY, "placement.conv2d=cpu", "placement.matmul=cpu"))


def test_a_network_on_processor_and_eie_verifies() -> None:
    work = compress("lenet5", "eie").workload
    found = run(work, "cpu_plus_eie", verify=True)
    assert found.dtype == "fp32+int16"
    assert found.verification is not None
    assert found.verification.dtype == found.dtype
    assert found.verification.verdict.startswith("all 9 operators")
    assert {"eie", "cpu", "pcie"} == set(found.timing.where)
    assert min(found.verification.output_sqnr_db.values()) > 20


def test_a_tile_that_is_lost_on_a_shared_machine_is_found() -> None:
    design = load_design(PAIR, ON_CPU)
    ready = prepare(branches(), make_machine(design))
    at = [op.name for op in ready.schedule.operators].index("k")
    takes = ready.program.takes.copy()
    takes[:, ready.program.kind_of_tile[ready.program.first_tile[at]]] = False
    broken = replace(ready.program, takes=takes)
    with pytest.raises(
        VerificationError, match=r"operator [hk]:.*no block of the second operand has arrived"
    ):
        verify_program(
            ready.workload, ready.schedule, broken, accumulator_bits=ready.accumulator_bits, design="pair"
        )


# -- time and bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), ON_CPU, MIXED, ("placement.elementwise=cpu",)])
@pytest.mark.parametrize("room", ["8 KiB", "48 B"])
def test_both_timing_paths_agree(overrides: tuple[str, ...], room: str) -> None:
    settings = (*overrides, f"unified_buffer.size={room}", "bank=8 B")
    fast, events = (run(branches(), PAIR, overrides=settings, timing=path) for path in ("fast", "events"))
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert fast.timing.makespan_ps == events.timing.makespan_ps


def beside(default: str, host: str, folder: Path) -> Path:
    """A design of two shipped ones, of which the second runs softmax."""
    head = "default_device: one\nhost_device: two\nplacement: {softmax: two}\n"
    link = "links:\n  wire:\n    between: [one, two]\n    bandwidth: 1 GB/s\n    technology: pcie3\n"
    lines = [head + link + "devices:"]
    for name, source in (("one", default), ("two", host)):
        text = find("designs", source).read_text()
        lines.append(f"  {name}:")
        lines += [f"    {line}" for line in text[text.index("\nkind:") :].splitlines()]
    path = folder / "beside.yaml"
    path.write_text("\n".join(lines).replace("      host_overlap: 0.2", "      host_overlap: 0"))
    return path


@pytest.mark.parametrize("timing", ["fast", "events"])
@pytest.mark.parametrize(
    ("default", "host"),
    [("v100", "generic_x86"), ("tpu_v1", "p100"), ("generic_x86", "eie_64pe"), ("tpu_v1", "gemmini_16")],
)
def test_devices_of_every_kind_meet(default: str, host: str, timing: str, tmp_path: Path) -> None:
    """Each sends and receives; results go there and back once, at the link's rate or slower."""
    path = beside(default, host, tmp_path)
    if host == "gemmini_16":
        with pytest.raises(SpecError, match=r"devices\.two\.host_link: is missing"):
            run(branches(), path)
        return
    timing_table = run(branches(), path, timing=timing).timing
    busy = timing_table.resource_busy_ps
    for i, where in enumerate(timing_table.where):
        if where == "wire":
            assert busy[i, timing_table.resources.index("wire")] == timing_table.moved_bytes[i] * 1000
            for end in ("one", "two"):
                assert any(busy[i, j] for j, r in enumerate(timing_table.resources) if r.startswith(end))
    assert {"one", "two", "wire"} == set(timing_table.where)


def test_nothing_is_read_before_it_has_come() -> None:
    """Every reader on another device begins after the whole transfer, its latency included."""
    found = run(branches(), PAIR, overrides=ON_CPU)
    timing, trace = found.timing, found.trace
    done = dict(zip(timing.names, timing.completion_ps.tolist(), strict=True))
    first = dict(zip(timing.names, trace.first_tile[:-1].tolist(), strict=True))
    stages = {name: trace.start_ps[row] for row, name in enumerate(trace.stages)}
    for transfer, reader, stage in (
        ("wire:x", "h", "array.compute"), ("wire:h", "s", "cpu.launch"), ("wire:s", "a", "array.drain"),
    ):  # fmt: skip
        assert stages[stage][first[reader]] >= done[transfer]


def test_a_slow_end_is_waited_for_too() -> None:
    """With a link faster than the array's port, a result is there when the port has moved it."""
    slow = ("wire.bandwidth=1 TB/s", "wire.latency=0 s", "host_link.bandwidth=1 MB/s", *ON_CPU)
    found = run(branches(), PAIR, overrides=slow)
    ends = dict(zip(found.timing.names, found.timing.completion_ps.tolist(), strict=True))
    assert ends["h"] - ends["wire:x"] < 10**6
    assert ends["wire:h"] - ends["h"] == 24 * 10**6  # a microsecond a byte
    assert ends["s"] > ends["wire:h"]


def test_more_bandwidth_lowers_the_links_bound() -> None:
    bounds = []
    for rate in ("100 MB/s", "200 MB/s", "unlimited"):
        timing = run(branches(), PAIR, overrides=(*ON_CPU, f"wire.bandwidth={rate}")).timing
        bounds.append(int(timing.bound_ps[:, timing.resources.index("wire")].sum()))
    assert bounds == [92 * 10_000, 92 * 5_000, 0]


def test_a_transfer_that_moves_too_little_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    widen = joined._Widened._transfer

    def short(self: object, one: object) -> object:
        plan = widen(self, one)  # type: ignore[arg-type]
        row = plan.pipeline.stage_index("wire.transfer")
        demands = plan.demands.copy()
        demands[row] -= 1
        return replace(plan, demands=demands)

    monkeypatch.setattr(joined._Widened, "_transfer", short)
    with pytest.raises(CheckError, match=r"x: 23 bytes cross wire.transfer of 24"):
        run(replace(branches(), name="short"), PAIR)


def test_a_transfer_that_an_end_does_not_charge_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    widen = joined._Widened._placed

    def free(self: object, device: str, own: object) -> object:
        plan = widen(self, device, own)  # type: ignore[arg-type]
        if device == "cpu":
            plan = replace(plan, demands=plan.demands * 0, actions={})
        return plan

    monkeypatch.setattr(joined._Widened, "_placed", free)
    with pytest.raises(CheckError, match="its 24 bytes are charged nowhere on cpu"):
        run(replace(branches(), name="free"), PAIR)


def test_an_operator_on_the_host_is_never_free() -> None:
    """Every operator but views and the network's own inputs and outputs takes time wherever it runs."""
    found = run("alexnet", "xeon_plus_tpu")
    timing = found.timing
    for name, kind, busy in zip(timing.names, timing.kinds, timing.busy_ps.sum(axis=1), strict=True):
        assert busy > 0 or kind == "view" or name.startswith(("input:", "output:")), name
    where = dict(zip(timing.names, timing.where, strict=True))
    assert {name for name, device in where.items() if device == "xeon" and ":" not in name} == {
        "norm1", "norm2", "softmax1",
    }  # fmt: skip
    assert found.macs == 724_406_816


def test_each_memory_holds_what_its_device_needs() -> None:
    """Weights lie with the device that multiplies with them, and what does not fit names it."""
    work = network(
        {"x": (4, 600)}, {"w": (600, 600)}, [(operator(Matmul(1, 4, 600, 600), "x w", "y"), (4, 600))], ["y"]
    )
    small = ("weight_memory.size=300 KiB",)
    with pytest.raises(CapacityError, match=r"device array: small needs 352 KiB of device memory"):
        run(work, PAIR, overrides=small)
    assert run(work, PAIR, overrides=(*small, "placement.matmul=cpu")).macs == work.macs


def test_views_stay_where_their_elements_are() -> None:
    placed = place(load_workload("lenet5"), make_machine(load_design("xeon_plus_tpu")))
    for op in placed.workload.operators:
        if op.kind == "view":
            assert placed.home[op.output] == placed.home[op.inputs[0]]
