"""Where does the time of a network of one's own go?

The network is in own_network.yaml beside this file. It runs on the 32 x 32 edge array that ships with hwsim.
"""

from __future__ import annotations

from pathlib import Path

import hwsim

NETWORK = Path(__file__).with_name("own_network.yaml")

# A path, a name or a loaded workload: `run` takes all three. Loading first is good for running it often.
network = hwsim.load_workload(NETWORK)
result = hwsim.run(network, "systolic_32")

print(f"{result.workload} on {result.design}: {result.latency_s * 1e6:.1f} us")
print(f"{result.macs / 1e6:.2f} million MACs, {result.utilization:.1%} of the peak rate")
print(f"busiest part: {result.limit}\n")

# The tables of a result are columns, one entry an operator. `elapsed_ps` shares the run out without gaps.
timing = result.timing
print(f"{'operator':<14} {'MACs':>10} {'of all':>7} {'time':>9} {'of all':>7}  busiest part")
for i, name in enumerate(timing.names):
    elapsed_ps = int(timing.elapsed_ps[i])
    if not elapsed_ps:
        continue  # views cost nothing
    macs = int(timing.macs[i])
    print(
        f"{name:<14} {macs:>10,} {macs / result.macs:>7.1%} {elapsed_ps / 1e6:>6.1f} us "
        f"{elapsed_ps / timing.makespan_ps:>7.1%}  {timing.limits[i]}"
    )

# A depthwise convolution is as many products as channels, each 9 deep and 1 wide: a corner of the array.
packed = hwsim.run(network, "systolic_32", overrides=["array.group_packing=true"])
depthwise = [i for i, name in enumerate(timing.names) if name.startswith("depthwise")]
before_us = sum(int(timing.elapsed_ps[i]) for i in depthwise) / 1e6
after_us = sum(int(packed.timing.elapsed_ps[i]) for i in depthwise) / 1e6
print(f"\nThe depthwise layers take {before_us:.1f} us, and {after_us:.1f} us where groups share the array")
print(f"(array.group_packing). The whole network then takes {packed.latency_s * 1e6:.1f} us.")
