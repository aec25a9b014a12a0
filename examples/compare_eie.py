"""How much faster is EIE than a CPU and two GPUs, and does the paper agree?

The nine layers of the EIE paper, one input at a time: dense and sparse (CSR) on a Core i7, a Titan X and a
Tegra K1, and on EIE itself. Simulated times stand beside those that the paper measured; four of the layers
have no measurement here. CPU and GPUs have constants that were fitted on these measurements (`hwsim describe
i7_5930k` says which), EIE has none for time.
"""

from __future__ import annotations

from importlib.resources import files
from statistics import geometric_mean

import hwsim
from hwsim.validate.published import eie_published
from hwsim.validate.rows import read_rows

LAYERS = {
    "Alex-6": "eie_alex6", "Alex-7": "eie_alex7", "Alex-8": "eie_alex8", "VGG-6": "eie_vgg6",
    "VGG-7": "eie_vgg7", "VGG-8": "eie_vgg8", "NT-We": "eie_nt_we", "NT-Wd": "eie_nt_wd",
    "NT-LSTM": "eie_nt_lstm",
}  # fmt: skip
# What makes a design multiply a sparse matrix as a dense one, and whose launch cost a GPU's operators pay.
PARTS = {
    "i7_5930k": ("library.sparse_below=0", []),
    "titan_x_maxwell": ("sparse_below=0", ["harness=eie_paper"]),
    "tegra_k1": ("sparse_below=0", ["harness=eie_paper"]),
}

# EIE gets room for the pointers of VGG-6's 25,088 columns: the paper's times know nothing of a limit.
columns = {}
for name, (dense, settings) in PARTS.items():
    columns[name, "dense"] = hwsim.load_design(name, [*settings, dense])
    columns[name, "sparse"] = hwsim.load_design(name, settings)
columns["eie_64pe", "sparse"] = hwsim.load_design("eie_64pe", ["pointer_sram.size=64 KiB"])

comparison = hwsim.compare(list(LAYERS.values()), list(columns.values()))
rows = iter(comparison.rows)  # by workload, then design
simulated = {(layer, column): next(rows) for layer in LAYERS for column in columns}

# The measurements ship with hwsim. Their sources end in the layer, the batch and the form of the matrix.
paper = {}
for (layer, figure), said in eie_published().items():
    if figure == "actual":
        paper[("eie_64pe", "sparse"), layer] = said.value
for row in read_rows(str(files("hwsim.validate") / "sets" / "eie_table4.csv")).rows:
    layer, batch, form = row.cells["source"].split(", ")[-3:]
    if batch == "batch 1":
        paper[(row.design, form), layer] = row.measured

print("Time of one input in us: simulated, and below it as measured")
print(f"{'':24}" + "".join(f"{layer:>9}" for layer in LAYERS))
for column in columns:
    times_us = [simulated[layer, column].figures.latency_s * 1e6 for layer in LAYERS]
    said = [f"{paper[column, layer]:,.1f}" if (column, layer) in paper else "" for layer in LAYERS]
    print(f"{column[0]:16} {column[1]:7}" + "".join(f"{time:>9,.1f}" for time in times_us))
    print(f"{'':24}" + "".join(f"{text:>9}" for text in said).rstrip())

both = [layer for layer in LAYERS if all((column, layer) in paper for column in columns)]
print(f"\nTimes as fast as the dense product on the CPU, geometric mean of {', '.join(both)}:")
base = ("i7_5930k", "dense")
for column in columns:
    ours = geometric_mean(comparison.speedup(simulated[layer, column]) for layer in both)
    theirs = geometric_mean(paper[base, layer] / paper[column, layer] for layer in both)
    print(f"  {column[0]:16} {column[1]:7} {ours:>7.1f}   paper {theirs:>7.1f}")

print("\nEIE with all work spread evenly, as the paper calculates it; as the paper ran it; as hwsim runs it:")
for layer in both:
    theory, actual = eie_published()[layer, "theoretical"].value, eie_published()[layer, "actual"].value
    time_us = simulated[layer, ("eie_64pe", "sparse")].figures.latency_s * 1e6
    print(f"  {layer:8} theoretical {theory:>4.1f} us, actual {actual:>4.1f} us, hwsim {time_us:>4.1f} us")
