"""What do a larger buffer and a faster memory buy: time, energy, or nothing?

ResNet-50 on the 32 x 32 edge array. A small buffer cannot hold the feature maps; what does not fit is
spilled to memory, and each byte of it is paid for, in time and in energy.
"""

from __future__ import annotations

import hwsim

DESIGN = "systolic_32"
HEADINGS = f"{'time':>8} {'energy':>8} {'memory':>7} {'leakage':>8} {'traffic':>9} {'spilled':>8}"


def row(label: str, override: str) -> str:
    """One run as one line: time, energy and two of its parts, bytes that cross the memory port."""
    result = hwsim.run("resnet50", DESIGN, overrides=[override])
    memory_j = result.energy_parts["weight_memory"]["dynamic_j"]
    traffic = sum(result.usage.total("weight_memory", action) for action in ("read", "write"))
    return (
        f"{label:>10} {result.latency_s * 1e3:>5.2f} ms {result.energy_j * 1e3:>5.2f} mJ "
        f"{memory_j / result.energy_j:>7.0%} {result.leakage_energy_j / result.energy_j:>8.0%} "
        f"{traffic / 1e6:>6.1f} MB {len(result.spilled):>8}  {result.limit}"
    )


print("Unified buffer, at 12.8 GB/s")
print(f"{'size':>10} {HEADINGS}  busiest part")
for size in ("256 KiB", "512 KiB", "1 MiB", "2 MiB", "4 MiB", "8 MiB"):
    print(row(size, f"unified_buffer.size={size}"))

# A byte costs the same at any rate, so bandwidth changes how long the chip leaks. What is spilled may change
# too: the plan is chosen for time, and where the memory is quick it may spend bytes on it.
print("\nMemory bandwidth, with a buffer of 1 MiB")
print(f"{'rate':>10} {HEADINGS}  busiest part")
for rate in ("3.2 GB/s", "6.4 GB/s", "12.8 GB/s", "25.6 GB/s", "51.2 GB/s"):
    print(row(rate, f"weight_memory.bandwidth={rate}"))
