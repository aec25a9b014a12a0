"""Operators of sequence models and of image decoders on machines of all kinds, at random: every run keeps the
honesty rules, no operator is free, and both timing paths agree on every start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import CapacityError
from hwsim.pipeline import run
from hwsim.workload import Workload
from hwsim.workload.lowering import plain_attention
from hwsim.workload.operators import Attention
from tests import sequences
from tests.hand_worked import TINY

MACHINES: Mapping[str | Path, Mapping[str, list[object]]] = {
    TINY: {
        "dataflow": ["ws", "is", "os"],
        "array.rows": [1, 3, 8],
        "unified_buffer.size": ["300 B", "900 B", "3000 B", "unlimited"],
        "lanes": [1, 3],
        "weight_memory.bandwidth": ["1 GB/s", "7 GB/s", "unlimited"],
    },
    "eie_64pe": {
        "pes": [1, 8],
        "pointwise_lanes": [1, 3],
        "activations.sram": ["40 B", "160 B", "2 KiB"],
        "io.bandwidth": ["1 GB/s", "unlimited"],
    },
    "v100": {
        "multiprocessors.count": [1, 7, 80],
        "multiprocessors.shared_memory": ["8 KiB", "96 KiB"],
        "l2.size": ["1 KiB", "6 MiB"],
        "library": ["cublas_8", "cublas_11", "cublas_12"],
        "cache_state": ["cold", "hot"],
    },
    "generic_x86": {
        "cores.count": [4, 16],
        "cache.cores_per_cache": [1, 4],
        "cache.size": ["1 KiB", "1 MiB"],
        "cache_state": ["cold", "hot"],
    },
}
FORMATS: Mapping[str | Path, str] = {TINY: "int8", "eie_64pe": "int16", "v100": "fp16", "generic_x86": "fp32"}
few, sizes = st.integers(1, 6), st.integers(1, 40)


@st.composite
def attentions(draw: st.DrawFn, most: int) -> Workload:
    """With up to `most` queries, and as many places before them."""
    groups, queries = draw(st.integers(1, 3)), draw(st.integers(1, most))
    problem = Attention(
        draw(st.integers(1, 3)), groups * draw(st.integers(1, 4)), groups,
        queries, queries + draw(st.integers(0, most)), draw(sizes), draw(sizes),
        draw(st.booleans()), draw(st.sampled_from([0, 1, most // 4])), draw(st.booleans()),
    )  # fmt: skip
    return sequences.attended(problem, cached=draw(st.booleans()))


@st.composite
def workloads(draw: st.DrawFn, machine: str | Path) -> Workload:
    products = ["attention", "decoder"] if machine != "eie_64pe" else []
    kind = draw(st.sampled_from(["norm", "vector", "map", *products]))
    if kind == "norm":
        function = draw(st.sampled_from(["layer_norm", "rms_norm", "group_norm"]))
        return sequences.normed(draw(sizes), draw(sizes), function)
    if kind == "attention":
        return draw(attentions(6 if machine == TINY else 200))
    if kind == "decoder":
        return sequences.decoder(
            batch=draw(few), queries=draw(few), past=draw(st.sampled_from([0, 30])),
            groups=draw(st.sampled_from([1, 4])), inner=16,
        )  # fmt: skip
    rows, cols, more = draw(sizes), draw(sizes), draw(sizes)
    made: list[Callable[[], Workload]] = [
        lambda: sequences.gathered(rows, cols, more),
        lambda: sequences.appended(rows, cols, more),
        lambda: sequences.reduced((rows, cols, 2), "max", 1),
        lambda: sequences.masked_softmax(rows, cols),
        lambda: sequences.rotated(rows, 2 * cols),
    ]
    if kind == "map":
        made = [
            lambda: sequences.resized((1, 2, rows, cols), (more, rows), "linear"),
            lambda: sequences.transposed_conv((1, 3, 1 + rows % 5, 1 + cols % 5), 4, 1 + more % 4, 2),
            lambda: sequences.patches(2, 5 + rows % 5, 1 + more % 4),
        ]
    return draw(st.sampled_from(made))()


@settings(max_examples=40)
@pytest.mark.parametrize("name", MACHINES, ids=lambda name: Path(name).stem)
@given(data=st.data())
def test_runs_keep_the_rules_and_paths_agree(name: str | Path, data: st.DataObject) -> None:
    fields = {path: st.sampled_from([str(v) for v in values]) for path, values in MACHINES[name].items()}
    overrides = data.draw(st.fixed_dictionaries(fields))
    workload = data.draw(workloads(name))
    if name == TINY:
        workload = plain_attention(workload)
    try:
        fast = run(workload, name, dtype=FORMATS[name], overrides=overrides)
    except CapacityError:
        return  # refused with the figure
    events = run(workload, name, dtype=FORMATS[name], overrides=overrides, timing="events")
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert (fast.timing.stalls_ps == events.timing.stalls_ps).all()
    assert fast.stalls.get("other", 0) == 0
    works = [i for i, op in enumerate(fast.timing.kinds) if op not in ("view", "transfer")]
    assert (fast.timing.busy_ps[works].sum(axis=1) > 0).all()
    assert fast.macs == workload.macs
