"""What does compressing a network buy, on a machine that is made for it and on one that is not?

LeNet-300-100 is pruned to a tenth of its weights, the rest take 15 values, and they are stored as the EIE
engine reads them. It runs dense and compressed on Google's first TPU and on EIE.
"""

from __future__ import annotations

import textwrap

import hwsim

DESIGNS = ("tpu_v1", "eie_64pe")

compressed = hwsim.compress("lenet300", "eie")

# The table counts every bit that is stored, layer by layer, and says how far the weights moved.
print("LeNet-300-100 after the recipe `eie`, layer by layer")
print(f"{'layer':>6} {'weights':>8} {'not zero':>9} {'stored':>11} {'for fp32':>9} {'SQNR':>7}")
for row in compressed.table.rows:
    print(
        f"{row.layer:>6} {row.weights:>8,} {row.density:>9.1%} {row.stored_bits / 8192:>7.1f} KiB "
        f"{row.ratio:>8.1f}x {row.sqnr_db:>4.1f} dB"
    )
change = compressed.table.output_change
print(f"Output change {change:.2f}: these weights are drawn from a seed, and nobody retrained them.\n")

headings = ("network", "design", "time", "energy", "weights kept in", "moved", "multiplied")
print("{:>10} {:>9} {:>9} {:>8} {:>16} {:>9} {:>11}".format(*headings))
results = {}
for name, network in (("dense", "lenet300"), ("compressed", compressed.workload)):
    for design in DESIGNS:
        try:
            result = hwsim.run(network, design)
        except hwsim.HwsimError:
            print(f"{name:>10} {design:>9}  refused: a PE tells 15 values apart, and these all differ")
            continue
        results[name, design] = result
        weights = result.weights.totals()
        print(
            f"{name:>10} {design:>9} {result.latency_s * 1e6:>6.1f} us {result.energy_j * 1e6:>5.1f} uJ "
            f"{weights['held_bytes'] / 1024:>12.1f} KiB {weights['moved_bytes'] / 1024:>5.1f} KiB "
            f"{result.multiplications / result.macs:>11.1%}"
        )

# A machine that keeps weights dense moves and multiplies as before, and the result says so. EIE's weights lie
# in its PEs before a run begins, so none are moved: `result.provenance.unmodelled` says that, and the rest.
for design in DESIGNS:
    print("\n" + textwrap.fill(results["compressed", design].weights.remark(design), 96))
