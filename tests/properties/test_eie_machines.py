"""Engines on compressed matrices and sparse products at random: every run keeps the honesty rules, every
cycle and stall has a name, both timing paths agree on every start, the numbers are right, and floors fall
with more room."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import CapacityError
from hwsim.pipeline import run, verify
from hwsim.result import Result
from hwsim.workload import Source, Workload, matvec
from hwsim.workload.builder import GraphBuilder, Label

FIELDS = {
    "pes": [1, 2, 3, 8, 64],
    "fifo_depth": [2, 3, 8],
    "credit_cycles": [1, 2, 5],
    "empty_column_cycles": [0, 1, 3],
    "index_bits": [1, 3, 4, 8],
    "weight_bits": [2, 4, 6],
    "accumulator_bits": [40, 64],
    "matrix_sram.size": ["40 B", "200 B", "1 KiB", "128 KiB"],
    "matrix_sram.width_bits": [16, 64],
    "pointer_sram.size": ["12 B", "40 B", "32 KiB"],
    "activations.registers": [1, 4, 64],
    "activations.sram": ["40 B", "160 B", "2 KiB"],
    "activations.sram_width_bits": [16, 64],
    "pointwise_lanes": [1, 3],
    "io.bandwidth": ["1 GB/s", "6.4 GB/s", "unlimited"],
    "clock": ["700 MHz", "1 GHz"],
}
machines = st.fixed_dictionaries(
    {path: st.sampled_from([str(v) for v in values]) for path, values in FIELDS.items()}
)
sizes = st.integers(1, 40)
shares = st.sampled_from([0.05, 0.3, 1.0])
seeds = st.integers(0, 99)


@st.composite
def products(draw: st.DrawFn) -> Workload:
    return matvec(
        draw(sizes), draw(sizes), density=draw(shares), act_density=draw(shares),
        batch=draw(st.sampled_from([1, 2, 7])), shared_bits=draw(st.sampled_from([2, 4])), seed=draw(seeds),
    )  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> Workload:
    """A convolution of any sort, a relu that makes zeros, perhaps a pool, and a linear layer with a bias."""
    groups = draw(st.sampled_from([1, 2]))
    builder = GraphBuilder("random", dtype="int16", seed=draw(seeds))
    x = builder.input("x", (draw(st.integers(1, 2)), 4, draw(st.integers(3, 7)), draw(st.integers(3, 7))))
    outputs, kernel = draw(st.sampled_from([4, 6])), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    w = builder.weight(
        "w",
        (outputs, 4 // groups, *kernel),
        fan_in=9,
        density=draw(shares),
        shared_bits=draw(st.sampled_from([2, 4])),
    )
    y = builder.conv2d(
        Label("c"), x, w, builder.weight("b", (outputs,), "bias"), stride=(draw(st.integers(1, 2)), 1),
        pad=(draw(st.integers(0, 1)), 0, 1, draw(st.integers(0, 1))), groups=groups,
    )  # fmt: skip
    y = builder.unary(Label("r"), y, "relu")
    if draw(st.booleans()) and min(builder.shape(y)[2:]) > 1:
        y = builder.pool(Label("p"), y, "max", (2, 2), stride=(1, 1))
    y = builder.view(Label("f"), y, "flatten")
    features = builder.shape(y)[-1]
    v = builder.weight("v", (draw(sizes), features), fan_in=features, density=draw(shares), shared_bits=4)
    y = builder.matmul(Label("l"), y, v, transpose_b=True)
    return builder.build([y], Source("builtin", "constructor", ""))


@settings(max_examples=120)
@given(machine=machines, workload=products() | networks())
def test_runs_keep_the_rules_paths_agree_and_numbers_are_right(
    machine: dict[str, str], workload: Workload
) -> None:
    try:
        fast = run(workload, "eie_64pe", overrides=machine)
    except CapacityError:
        return  # refused with the figure: a column, a row of a softmax, or sums have no room
    events = run(workload, "eie_64pe", overrides=machine, timing="events")
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert (fast.timing.stalls_ps == events.timing.stalls_ps).all()
    assert fast.stalls.get("other", 0) == 0
    assert verify(workload, "eie_64pe", overrides=machine).exact.all()


MORE = {
    "matrix_sram.size": ["40 B", "100 B", "400 B", "4 KiB"],
    "pointer_sram.size": ["12 B", "40 B", "100 B", "4 KiB"],
    "activations.sram": ["16 B", "64 B", "256 B", "2 KiB"],
    "io.bandwidth": ["1 GB/s", "3 GB/s", "unlimited"],
    "clock": ["500 MHz", "900 MHz"],
    "pes": [2, 4, 8, 16],
}


@settings(max_examples=60)
@given(machine=machines, workload=products(), path=st.sampled_from(sorted(MORE)))
def test_floors_and_bytes_fall_with_more(machine: dict[str, str], workload: Workload, path: str) -> None:
    """Of memory, bandwidth and clock: all floors, and bytes moved. Of PEs: their own floor alone, since each
    has pointers of its own, which come in where the matrix does."""
    before: Result | None = None
    for value in MORE[path]:
        try:
            found = run(workload, "eie_64pe", overrides={**machine, path: str(value)})
        except CapacityError:
            assert before is None, "what fits a smaller machine fits a larger one"
            continue
        if before is not None:
            was, now = before.timing.bound_ps.sum(axis=0), found.timing.bound_ps.sum(axis=0)
            kept = [i for i, name in enumerate(found.timing.resources) if path != "pes" or name == "pes"]
            assert (now[kept] <= was[kept]).all()
            # Other cuts round other bits up to bytes, each at most one.
            assert path == "pes" or moved(found) <= moved(before) + found.trace.tiles
        before = found


def moved(result: Result) -> int:
    """Bytes through the way in and out."""
    return result.usage.total("outside", "read") + result.usage.total("outside", "write")
