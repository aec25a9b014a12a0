"""Designs whose devices share a network: what must hold between them, and that the shipped ones restate the
devices of other designs without a difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from hwsim.design import Design, load_design
from hwsim.design.links import PLACED_KINDS
from hwsim.errors import SpecError
from hwsim.schema import Spec
from hwsim.workload.operators import OperatorProblem

PAIR = Path(__file__).parents[2] / "pair.yaml"


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    text = PAIR.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "changed.yaml"
    path.write_text(text)
    return path


def test_it_loads() -> None:
    design = load_design(PAIR)
    assert design.sharing == ("array", "cpu")
    link = design.links["wire"]
    assert (link.bandwidth_bytes_per_s, link.latency_s, link.technology) == (250 * 10**6, 1e-7, "pcie3")
    assert link.joins("array", "cpu")
    assert design.technology_of("cpu") == design.technology


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("array.rows=4", "devices.array.array.rows"),
        ("devices.array.array.rows=4", "devices.array.array.rows"),
        ("cores.count=4", "devices.cpu.cores.count"),
        ("wire.bandwidth=1 GB/s", "links.wire.bandwidth"),
        ("placement.softmax=cpu", "placement.softmax"),
    ],
)
def test_fields_are_set_by_the_ends_of_their_paths(override: str, found: str) -> None:
    assert load_design(PAIR, (override,)).overrides == (f"{found}={override.partition('=')[2]}",)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("host_device: cpu", "host_device: gpu", "host_device: 'gpu' is none of the devices (array, cpu)"),
        ("host_device: cpu", "host_device: array", "host_device: is the default device array"),
        ("host_device: cpu\n", "", "links: means nothing without host_device"),
        ("between: [cpu, array]", "between: [cpu, tpu]", "links.wire.between: 'tpu' is none of the devices"),
        ("between: [cpu, array]", "between: [cpu, cpu]", "links.wire.between: names cpu twice"),
        ("between: [cpu, array]", "between: [cpu]", "links.wire.between"),
        ("between: [cpu, array]", "between: [cpu, cpu]", "links: none joins array and cpu: add one"),
        ("  wire:\n", "  cpu:\n", "links.cpu: is called as a device is"),
        ("latency: 100 ns", "latency: -1 ns", "links.wire.latency"),
        ("latency: 100 ns", "latency: 100", "links.wire.latency"),
        ("bandwidth: 250 MB/s", "bandwidth: 0 B/s", "links.wire.bandwidth"),
        ("technology: pcie3", "technology: rope", "links.wire.technology"),
        (
            "    host_link:\n      bandwidth: 2 GB/s\n",
            "",
            "devices.array.host_link: is missing: it is the port",
        ),
        (
            "\nlinks:",
            "\nplacement: {softmx: cpu}\nlinks:",
            "placement.softmx: is no kind of operator; did you mean 'softmax'",
        ),
        (
            "\nlinks:",
            "\nplacement: {softmax: gpu}\nlinks:",
            "placement.softmax: 'gpu' is none of the devices",
        ),
        (
            "\nlinks:",
            "\ntechnologies: {gpu: {node: 7 nm}}\nlinks:",
            "technologies.gpu: is none of the devices",
        ),
        (
            "    host_link:\n      bandwidth: 2 GB/s\n",
            "    host_link:\n      bandwidth: 2 GB/s\n    calibration: {host_overlap: 0.5}\n",
            "devices.array.calibration.host_overlap: means nothing where devices share a network",
        ),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        load_design(write(tmp_path, (before, after)))
    assert message in str(error.value)


def test_two_links_between_two_devices_are_one_too_many(tmp_path: Path) -> None:
    path = write(tmp_path, ("devices:\n", "  rope:\n    between: [array, cpu]\ndevices:\n"))
    with pytest.raises(SpecError, match=r"links\.rope\.between: joins what wire joins"):
        load_design(path)


def test_every_kind_of_operator_can_be_placed() -> None:
    """All that there are but views, which cost nothing, and transfers, which nobody writes."""
    kinds = {problem.kind for problem in get_args(OperatorProblem)}
    assert set(PLACED_KINDS) == kinds - {"view", "transfer"}


@pytest.mark.parametrize(
    ("shared", "device", "alone", "left_out"),
    [
        ("xeon_plus_tpu", "tpu", "tpu_v1", {"calibration": {"host_overlap": 0.0}}),
        ("xeon_plus_tpu", "xeon", "xeon_e5_2699v3", {}),
        ("cpu_plus_eie", "eie", "eie_64pe", {"pointwise_lanes": None}),
        ("cpu_plus_eie", "cpu", "i7_5930k", {}),
    ],
)
def test_devices_are_those_of_other_designs(
    shared: str, device: str, alone: str, left_out: dict[str, Any]
) -> None:
    """Field by field, but for what is left out on purpose and what was published of one of them."""
    design, single = load_design(shared), load_design(alone)
    wanted: dict[str, Any] = single.device_spec.model_dump()
    for section, value in left_out.items():
        wanted[section] = {**wanted[section], **value} if isinstance(value, dict) else value
    found: Spec = design.devices[device]
    assert {**found.model_dump(), "published": None} == {**wanted, "published": None}
    assert design.technology_of(device) == single.technology


def test_what_was_published_of_one_device_is_not_said_of_all() -> None:
    made = load_design("tpu_v1")
    assert made.published
    assert not load_design("xeon_plus_tpu").published
    assert isinstance(made, Design)
