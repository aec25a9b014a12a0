"""Every field that says how devices share a network has a witness: a run that changes when the field does
(rule 5). The fields of the devices themselves are witnessed where they are alone, in test_witness."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.compress import compress
from hwsim.design import Design, LinkSpec, load_design
from hwsim.library import names
from hwsim.pipeline import run
from hwsim.schema.spec import file_key
from hwsim.workload import load_workload
from tests.networks import sandwich

PAIR = Path(__file__).parents[1] / "pair.yaml"
ON_CPU = "placement.softmax=cpu"

# Another value of each field, and what to set beside it in both runs.
CHANGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "default_device": ("default_device=cpu", ("host_device=other",)),
    "host_device": ("host_device=other", (ON_CPU,)),
    "placement": (ON_CPU, ()),
    "links.between": ("links.wire.between[0]=other", (ON_CPU,)),
    "links.bandwidth": ("links.wire.bandwidth=1 MB/s", ()),
    "links.latency": ("links.wire.latency=1 s", ()),
    "links.technology": ("links.wire.technology=none", ()),
    "technologies": ("technologies.cpu.node=28 nm", ()),
}
# Of the whole design, witnessed where one device runs alone.
ALONE = ("name", "description", "source", "technology", "devices")


def outcome(design: Design) -> tuple[object, ...]:
    found = run(sandwich(), design)
    return (
        found.timing.makespan_ps, found.timing.where, found.timing.busy_ps.tolist(), found.usage.keys,
        found.usage.energy_pj.tolist(), found.area.area_mm2,
    )  # fmt: skip


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """The pair, and a second processor like the first, with links to both."""
    text = PAIR.read_text()
    other = text[text.index("  cpu:\n    kind") :].replace("  cpu:", "  other:", 1)
    links = "  rope:\n    between: [other, array]\n  cord:\n    between: [other, cpu]\n"
    made = "technologies:\n  cpu:\n    node: 45 nm\n"
    path = tmp_path / "three.yaml"
    path.write_text(text.replace("devices:\n", f"{links}{made}devices:\n", 1) + other)
    return path


def test_no_field_is_forgotten() -> None:
    """The table above names them all."""
    fields = {f"links.{file_key(name)}" for name in LinkSpec.declared}
    fields |= {file_key(name) for name in Design.declared} - {"links", *ALONE}
    assert fields == set(CHANGES)


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_has_a_witness(field: str, three: Path) -> None:
    change, beside = CHANGES[field]
    if field == "links.between":  # a list is given as a whole
        text = three.read_text()
        before = load_design(three, beside)
        text = text.replace("[cpu, array]", "[...]").replace("[other, array]", "[cpu, array]")
        three.write_text(text.replace("[...]", "[other, array]"))
        after = load_design(three, beside)
    else:
        before, after = load_design(three, beside), load_design(three, (*beside, change))
    assert outcome(before) != outcome(after)


@pytest.mark.parametrize("name", [n for n in names("designs") if load_design(n).host_device])
def test_shipped_placements_and_technologies_matter(name: str) -> None:
    """Each entry of a shipped design changes a run of a network with such an operator."""
    design = load_design(name)
    work = compress("lenet5", "eie").workload if "conv2d" in design.placement else load_workload("alexnet")
    assert design.placement
    for kind in design.placement:
        other = load_design(name, (f"placement.{kind}={design.device_name}",))
        assert run(work, other).timing.where != run(work, design).timing.where, kind
    for device, technology in design.technologies.items():
        other = load_design(name, (f"technologies.{device}.node={technology.node_nm + 1} nm",))
        assert run(work, other).energy_j != run(work, design).energy_j
