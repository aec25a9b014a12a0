"""Which array size suits ResNet-50, and what limits it there?

The TPU v1 has 256 x 256 multipliers. This keeps its memory, buffer, activation unit and clock, changes the
array alone, and asks what a square millimetre buys.
"""

from __future__ import annotations

import hwsim

BATCH = 8
SIDES = (32, 64, 128, 256, 512)
CAUSES = ("weight_stall", "weight_shift", "vector", "raw", "input")

# An override names a field as the design file does: `hwsim describe tpu_v1` lists them all.
results = {
    side: hwsim.run("resnet50", "tpu_v1", batch=BATCH, overrides=[f"array.rows={side}", f"array.cols={side}"])
    for side in SIDES
}

print(f"ResNet-50, batch {BATCH}, on a TPU v1 with another array; time and energy of one image")
print(
    f"{'array':>9} {'time':>9} {'of peak':>8} {'energy':>8} {'area':>10} {'images/s/mm2':>13}  busiest part"
)
for side, result in results.items():
    time_us = result.latency_s / BATCH * 1e6
    energy_mj = result.energy_j / BATCH * 1e3
    busiest = f"{result.limit}, {result.busy_share[result.limit]:.0%} of the time"
    print(
        f"{f'{side} x {side}':>9} {time_us:>6,.0f} us {result.utilization:>8.1%} {energy_mj:>5.2f} mJ "
        f"{result.area_mm2:>6.1f} mm2 {result.throughput_per_s / result.area_mm2:>13.1f}  {busiest}"
    )

best = max(results, key=lambda side: results[side].throughput_per_s / results[side].area_mm2)
print(f"\nMost images per second and mm2: {best} x {best}.")

# A larger array finishes sooner but stands still for longer. `stalls` says what for, as shares of the run.
print("\nWhat an array of each size waits for, in shares of the run:")
print(f"{'array':>9} {'active':>8}" + "".join(f"{cause:>14}" for cause in CAUSES))
for side, result in results.items():
    shares = "".join(f"{result.stalls[cause]:>14.1%}" for cause in CAUSES)
    print(f"{f'{side} x {side}':>9} {result.stalls['active']:>8.1%}{shares}")
