"""The parts of a systolic device that actions are charged to and that take area."""

from __future__ import annotations

from hwsim.design.kinds.systolic import SystolicSpec
from hwsim.plan import Component
from hwsim.tensor.formats import format_bits

SRAM_WIDTH_BITS = 64  # of one access to a bank, as the energy tables give it


def ideal_parts(spec: SystolicSpec) -> tuple[str, ...]:
    """Parts without limit, which so have neither energy nor area."""
    unlimited = {
        "unified_buffer": spec.unified_buffer.size_bytes is None,
        "accumulators": spec.accumulators.rows is None,
        "weight_fifo": spec.weight_fifo.depth_tiles is None,
        "weight_memory": spec.weight_memory.technology == "none",
        "activation_unit": spec.activation_unit.lanes is None,
    }
    return tuple(name for name, free in unlimited.items() if free)


def native_format(spec: SystolicSpec) -> str:
    """The widest format of activations that the array multiplies at its full rate: that of its PEs."""
    fastest = min(spec.array.cycles_per_row.values())
    full_rate = [
        pair.split("x")[0] for pair, cycles in spec.array.cycles_per_row.items() if cycles == fastest
    ]
    return max(full_rate, key=format_bits)


def native_bits(spec: SystolicSpec) -> int:
    """Bits of one operand in a PE."""
    return format_bits(native_format(spec))


def systolic_components(spec: SystolicSpec) -> tuple[Component, ...]:
    """All parts that are not ideal. A PE is as wide as the widest format it multiplies at full rate, and
    holds its stationary operand (twice, with double buffering), one passing operand and one partial sum."""
    array, accumulators, memory = spec.array, spec.accumulators, spec.weight_memory
    pes = array.rows * array.cols
    widest = native_format(spec)
    bits = format_bits(widest)
    held = (2 if array.double_buffer else 1) * bits
    parts = [
        Component("array", "mac", pes, dtype=widest),
        Component("pe_registers", "register", pes, width_bits=held + bits + accumulators.width_bits),
        Component("control", "control"),
    ]
    if spec.activation_unit.lanes is not None:
        parts.append(Component("activation_unit", "vector", spec.activation_unit.lanes, dtype=widest))
    if spec.unified_buffer.size_bytes is not None:
        bank = min(spec.unified_buffer.bank_bytes, spec.unified_buffer.size_bytes)
        banks = -(-spec.unified_buffer.size_bytes // bank)
        parts.append(Component("unified_buffer", "sram", banks, bank, SRAM_WIDTH_BITS))
    if accumulators.rows is not None:
        # Each column of the array has a small memory of its own in each bank.
        column = max(1, accumulators.rows // accumulators.banks) * accumulators.width_bits // 8
        columns = accumulators.banks * array.cols
        parts.append(Component("accumulators", "sram", columns, column, accumulators.width_bits))
    if spec.weight_fifo.depth_tiles is not None:
        tile = -(-pes * bits // 8)
        parts.append(Component("weight_fifo", "sram", spec.weight_fifo.depth_tiles, tile, SRAM_WIDTH_BITS))
    if memory.technology != "none":
        parts.append(Component("weight_memory", "dram", memory.channels, technology=memory.technology))
    if spec.host_link is not None:
        parts.append(Component("host_link", "link", technology="pcie3"))
    return tuple(parts)
