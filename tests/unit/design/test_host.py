"""A design of the machine at hand, from made-up facts and from this machine's own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.design import host
from hwsim.design.host import HostFacts, LastCache, host_design, read_host
from hwsim.design.kinds.cpu import CpuSpec
from hwsim.schema import Node, load_source, read_source

FACTS = HostFacts(
    model="Some CPU @ 2.50GHz",
    cores=6,
    flags=frozenset({"sse2", "avx2"}),
    base_hz=2_500_000_000,
    boost_hz=4_000_000_000,
    cache=LastCache(12 * 2**20, 12),
    memory_bytes=16 * 2**30,
    copied_bytes_per_s=20_000_000_000,
    operations_per_s=1e11,
)


def device_spec(text: str, folder: Path) -> CpuSpec:
    """The device of a one-device design file."""
    path = folder / "host.yaml"
    path.write_text(text)

    def device_only(tree: Node) -> Node:
        keys = {
            key: node
            for key, node in (tree.children or {}).items()
            if key not in ("name", "description", "source")
        }
        return replace(tree, children=keys)

    return load_source(read_source(path), CpuSpec, (), prepare=device_only)


def test_facts_become_a_design(tmp_path: Path) -> None:
    spec = device_spec(host_design(FACTS), tmp_path)
    assert (spec.cores.count, spec.cores.boost_clock_hz) == (6, 4_000_000_000)
    assert (spec.vector.width_bits, spec.vector.fma_ports) == (256, 2)
    assert (spec.library.vector_extent, spec.library.broadcast_extent) == (16, 6)
    # Threads that share a cache are more than cores; the caches are of cores.
    assert (spec.cache.size_bytes, spec.cache.cores_per_cache) == (12 * 2**20, 6)
    assert spec.memory.bandwidth_bytes_per_s == 20_000_000_000


def test_the_clock_is_no_lower_than_a_product_shows(tmp_path: Path) -> None:
    # Nine tenths of 6 cores x 2 ports x 8 lanes x 2 operations at 5 GHz.
    fast = replace(FACTS, operations_per_s=0.9 * 6 * 2 * 8 * 2 * 5e9)
    assert device_spec(host_design(fast), tmp_path).cores.boost_clock_hz == pytest.approx(5e9, rel=1e-3)


def test_wider_registers_and_dot_products(tmp_path: Path) -> None:
    spec = device_spec(
        host_design(replace(FACTS, flags=frozenset({"avx2", "avx512f", "avx512_vnni"}))), tmp_path
    )
    assert spec.vector.width_bits == 512
    assert spec.vector.products_per_lane == {"fp32": 1.0, "int8": 4.0}


def test_names_of_models_cannot_break_the_file(tmp_path: Path) -> None:
    text = host_design(replace(FACTS, model='evil" \n name: other \\'))
    assert device_spec(text, tmp_path).cores.count == 6


def test_the_system_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sockets of two cores with two threads each, and a third-level cache of four of the processors."""
    blocks = [
        f"processor\t: {number}\nmodel name\t: Some CPU @ 2.50GHz\nphysical id\t: {number // 4}\n"
        f"core id\t\t: {number // 2 % 2}\nflags\t\t: sse2 avx2\n"
        for number in range(8)
    ]
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("\n".join(blocks))
    caches = [
        ("1", "Data", "32K", "0-1"),
        ("1", "Instruction", "64K", "0-1"),
        ("3", "Unified", "12288K", "0-3"),
    ]
    for index, (level, kind, size, shared) in enumerate(caches):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cache/index{index}"
        folder.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
            (folder / name).write_text(f"{text}\n")
    (tmp_path / "sys/devices/system/cpu/cpu0/cpufreq").mkdir()
    (tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").write_text("3900000\n")
    monkeypatch.setattr(host, "_usable", lambda: 8)
    monkeypatch.setattr(host, "COPY_BYTES", 2**16)
    monkeypatch.setattr(host, "PRODUCT_SIDE", 8)
    facts = read_host(tmp_path)
    assert (facts.cores, facts.base_hz, facts.boost_hz) == (4, 2_500_000_000, 3_900_000_000)
    assert facts.cache == LastCache(12 * 2**20, 4)
    assert not facts.guessed
    assert facts.copied_bytes_per_s > 0


def test_a_system_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "COPY_BYTES", 2**16)
    monkeypatch.setattr(host, "PRODUCT_SIDE", 8)
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    facts = read_host(tmp_path)
    assert facts.cores >= 1
    assert (facts.base_hz, facts.memory_bytes, facts.cache) == (10**9, 2**30, LastCache(2**20, 1))
    assert facts.guessed == {"cores", "flags", "cache", "memory"}
    text = host_design(facts)
    assert device_spec(text, tmp_path).vector.width_bits == 128
    assert text.count("# assumed: the system does not say") == 6
    assert "/proc" not in text
    assert "/sys/" not in text
