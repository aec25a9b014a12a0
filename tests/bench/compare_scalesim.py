"""How long SCALE-Sim 3.0.0 takes for the layers of ResNet-50 that hwsim runs, on this machine.

    python tests/bench/compare_scalesim.py [--layers N] [--rows 32] [--cols 32]

Makes an environment of its own in a temporary folder (SCALE-Sim from PyPI, with numpy below 2.4, which it
needs), gives it every convolution and matrix product of the shipped ResNet-50 as an M, N, K row, and times
its compute simulation without traces on disk. hwsim runs the same rows on systolic_plain with the same array
and dataflow, and the cycles of both are compared. Needs a network and some minutes; no test runs it.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
import venv
from pathlib import Path

from hwsim.design import load_design
from hwsim.pipeline import run
from hwsim.workload import load_workload, matmul
from hwsim.workload.operators import Conv2d, Matmul

SCALESIM = ("scalesim==3.0.0", "numpy<2.4")
CONFIG = """[general]
run_name = hwsim_compare
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = 65536
FilterSramSzkB = 65536
OfmapSramSzkB = 65536
IfmapOffset = 0
FilterOffset = 100000000
OfmapOffset = 200000000
Dataflow = {dataflow}
Bandwidth = 1000000
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
FilterCustomLayout = False
IfmapSRAMBankBandwidth = 1000
IfmapSRAMBankNum = 1
IfmapSRAMBankPort = 2
FilterSRAMBankBandwidth = 1000
FilterSRAMBankNum = 1
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = False
SparseRep = ellpack_block
OptimizedMapping = False
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = USER
UseRamulatorTrace = False
"""
DRIVER = """
import sys, time
from scalesim.scale_sim import scalesim
config, topology, out = sys.argv[1:]
begin = time.perf_counter()
s = scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout=topology,
             input_type_gemm=True)
s.run_scale(top_path=out)
print("SECONDS", time.perf_counter() - begin)
"""


def products() -> list[tuple[str, int, int, int]]:
    """(name, M, N, K) of every convolution and matrix product of ResNet-50 at batch 1."""
    rows = []
    for op in load_workload("resnet50").operators:
        p = op.problem
        if isinstance(p, Conv2d):
            rows.append((op.name, p.N * p.P * p.Q, p.K, p.C * p.R * p.S))
        elif isinstance(p, Matmul):
            rows.append((op.name, p.M, p.N, p.K))
    return rows


def time_hwsim(rows: list[tuple[str, int, int, int]], overrides: tuple[str, ...]) -> tuple[float, list[int]]:
    """Seconds for all rows, loading and planning included and compiling not, and each row's cycles."""
    design = load_design("systolic_plain", overrides)
    run(matmul(8, 8, 8), design)
    begin = time.perf_counter()
    cycles = [run(matmul(m, n, k), design).cycles for _, m, n, k in rows]
    return time.perf_counter() - begin, cycles


def time_scalesim(
    rows: list[tuple[str, int, int, int]], size: tuple[int, int], dataflow: str
) -> tuple[float, list[int]]:
    """Seconds as SCALE-Sim's own process takes them without start-up, and each row's compute cycles."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "env", with_pip=True)
        python = next(
            path
            for path in (place / "env" / "bin" / "python", place / "env" / "Scripts" / "python.exe")
            if path.exists()
        )
        subprocess.run([python, "-m", "pip", "install", "-q", *SCALESIM], check=True)
        (place / "scale.cfg").write_text(CONFIG.format(rows=size[0], cols=size[1], dataflow=dataflow))
        table = ["Layer,M,N,K,", *(f"L{i},{m},{n},{k}," for i, (_, m, n, k) in enumerate(rows))]
        (place / "layers.csv").write_text("\n".join(table) + "\n")
        (place / "driver.py").write_text(DRIVER)
        done = subprocess.run(
            [python, "driver.py", "scale.cfg", "layers.csv", "out"],
            cwd=place,
            check=True,
            capture_output=True,
            text=True,
        )
        seconds = float(done.stdout.split("SECONDS")[1])
        report = next(place.glob("out/**/COMPUTE_REPORT.csv"))
        lines = [line.split(",") for line in report.read_text().splitlines()]
        column = next(i for i, name in enumerate(lines[0]) if name.strip().lower() == "total cycles")
        # SCALE-Sim reports the number of the last cycle, counted from 0.
        return seconds, [round(float(line[column])) + 1 for line in lines[1:] if len(line) > column]


def main() -> None:
    """Print both times, their ratio, and how many rows agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=None, help="only the first N rows")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--cols", type=int, default=32)
    parser.add_argument("--dataflow", choices=("ws", "os", "is"), default="ws")
    given = parser.parse_args()
    rows = products()[: given.layers]
    overrides = (f"array.rows={given.rows}", f"array.cols={given.cols}", f"dataflow={given.dataflow}")
    ours, our_cycles = time_hwsim(rows, overrides)
    theirs, their_cycles = time_scalesim(rows, (given.rows, given.cols), given.dataflow)
    agree = sum(a == b for a, b in zip(our_cycles, their_cycles, strict=True))
    print(f"{len(rows)} rows, {given.rows} x {given.cols} {given.dataflow}")
    print(f"hwsim      {ours:10.3f} s   {sum(our_cycles):,} cycles")
    print(f"SCALE-Sim  {theirs:10.3f} s   {sum(their_cycles):,} cycles")
    print(f"ratio      {theirs / ours:10.0f}     rows with the same cycles: {agree} of {len(rows)}")


if __name__ == "__main__":
    main()
