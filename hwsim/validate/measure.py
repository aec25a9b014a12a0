"""`measure`: time matrix products, matrix-vector products, convolutions and elementwise work on this machine,
through numpy and whatever of onnxruntime and torch is installed, and write them in the measurement format.

A figure is the median of repeats behind a warm-up, over the same buffers each time: operands that fit are in
cache, and rows say `hot`. The noise of a row is the distance between its quartiles in percent of the median.
"""

from __future__ import annotations

import csv
import importlib
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.folders import write_text
from hwsim.progress import Progress
from hwsim.validate.rows import SIZES
from hwsim.workload.frontends.onnx_write import conv2d_model, matmul_model, relu_model

COLUMNS = (
    "design", "op", "dtype", *SIZES, "density", "harness", "cache_state", "metric", "value", "noise_pct",
    "source", "licence",
)  # fmt: skip
WARM_UP_S = 0.02
REPEATS = 15  # at most; long operators stop at MEASURE_S, but not before LEAST_REPEATS
LEAST_REPEATS = 5
MEASURE_S = 0.5
SAMPLE_S = (
    2e-4  # a sample runs an operator as often as fills this, so that the clock's grain is no part of it
)
LARGEST_MACS = 4_000_000_000
QUICK = 4  # of a quick run: one in so many problems

Sizes = Mapping[str, int]
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """One operator: median time, and the distance between the quartiles in percent of it."""

    op: str
    sizes: Sizes
    harness: str
    version: str
    median_us: float
    noise_pct: float
    repeats: int


@dataclass(frozen=True, slots=True)
class Harness:
    """A library that runs operators: its name and version, and a maker of calls for the operators it has."""

    name: str
    version: str
    make: Callable[[str, Sizes], Call | None]


def measure(
    output: str | Path | None = None,
    *,
    design: str = "host",
    harnesses: Sequence[str] | None = None,
    quick: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Timing, ...]:
    """Time operators on this machine and write them to `output` as rows of `design`; without `output` only
    return them. `harnesses` are names out of `installed_harnesses` (all of them unless given); `quick` times
    one problem in four. Takes one to three minutes for each harness.

    Raises SpecError for a harness that hwsim does not know, UnsupportedError for one that is not installed,
    OutputError where `output` cannot be written.
    """
    chosen = _chosen(harnesses)
    todo = [(h, op, sizes) for h in chosen for op, sizes in problems(seed, quick=quick)]
    timings: list[Timing] = []
    for index, (harness, op, sizes) in enumerate(todo):
        if progress is not None:
            progress(index, len(todo))
        call = harness.make(op, sizes)
        if call is not None:
            median_us, noise_pct, repeats = time_call(call)
            timings.append(Timing(op, sizes, harness.name, harness.version, median_us, noise_pct, repeats))
    if progress is not None:
        progress(len(todo), len(todo))
    if output is not None:
        write_text(output, rows_text(timings, design))
    return tuple(timings)


def problems(seed: int = 0, *, quick: bool = False) -> Iterator[tuple[str, Sizes]]:
    """Operators to time: products of sides drawn log-uniformly, matrices times vectors, convolutions of
    common networks, and elementwise work. The same for equal seeds."""
    draw = np.random.default_rng(seed)
    found: list[tuple[str, Sizes]] = []
    while len(found) < 60:
        m, n, k = (round(math.exp(side)) for side in draw.uniform(math.log(16), math.log(3072), 3))
        if m * n * k <= LARGEST_MACS:
            found.append(("gemm", {"M": m, "N": n, "K": k}))
    for side in (256, 512, 1024, 2048, 4096, 8192):
        found.append(("gemm", {"M": 1, "N": side, "K": side}))
    for channels, size, kernels, kernel, stride in (
        (3, 224, 64, 7, 2), (64, 56, 64, 3, 1), (64, 56, 256, 1, 1), (128, 28, 128, 3, 1),
        (256, 28, 512, 1, 2), (256, 14, 256, 3, 1), (512, 7, 512, 3, 1), (1024, 14, 256, 1, 1),
    ):  # fmt: skip
        for batch in (1, 4):
            found.append(("conv2d", _conv_sizes(batch, channels, size, kernels, kernel, stride)))
    for power in (12, 16, 20, 23, 25):
        found.append(("elementwise", {"M": 2**power}))
    yield from found[::QUICK] if quick else found


def time_call(call: Call) -> tuple[float, float, int]:
    """Median microseconds of a call, the distance between the quartiles in percent of it, and the number of
    samples. A sample is the mean of as many calls as fill a fifth of a millisecond."""
    begun = time.perf_counter()
    calls = 0
    while calls < 2 or time.perf_counter() - begun < WARM_UP_S:
        call()
        calls += 1
    one_s = (time.perf_counter() - begun) / calls
    inner = max(1, math.ceil(SAMPLE_S / one_s))
    samples: list[float] = []
    begun = time.perf_counter()
    while len(samples) < REPEATS:
        if len(samples) >= LEAST_REPEATS and time.perf_counter() - begun > MEASURE_S:
            break
        started = time.perf_counter()
        for _ in range(inner):
            call()
        samples.append((time.perf_counter() - started) / inner)
    low, median, high = (float(value) for value in np.percentile(samples, (25, 50, 75)))
    return median * 1e6, (high - low) / median * 100, len(samples)


def rows_text(timings: Iterable[Timing], design: str) -> str:
    """A measurement file, with the noise of each row and what ran it."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for timing in timings:
        writer.writerow(
            {
                "design": design, "op": timing.op, "dtype": "fp32", **timing.sizes, "density": "1",
                "harness": timing.harness, "cache_state": "hot", "metric": "latency_us",
                "value": f"{timing.median_us:.6g}", "noise_pct": f"{timing.noise_pct:.1f}",
                "source": f"hwsim measure; {timing.version}; median of {timing.repeats}", "licence": "own",
            }
        )  # fmt: skip
    return stream.getvalue()


def installed_harnesses() -> tuple[Harness, ...]:
    """numpy, then onnxruntime and torch (and torch_cuda where a GPU answers) if they are installed."""
    makers = (_numpy_harness, _onnxruntime_harness, _torch_harness, _torch_cuda_harness)
    return tuple(found for make in makers if (found := make()) is not None)


HARNESSES = ("numpy", "onnxruntime", "torch", "torch_cuda")


def _chosen(names: Sequence[str] | None) -> list[Harness]:
    found = {harness.name: harness for harness in installed_harnesses()}
    for name in names or ():
        if name not in HARNESSES:
            raise SpecError(f"harness {name!r} is not known; choose of {', '.join(HARNESSES)}")
        if name not in found:
            raise UnsupportedError(f"harness {name} is not installed here; there are {', '.join(found)}")
    return [found[name] for name in names] if names else list(found.values())


def _conv_sizes(batch: int, channels: int, size: int, kernels: int, kernel: int, stride: int) -> Sizes:
    pad = kernel // 2
    return {
        "batch": batch, "in_channels": channels, "height": size, "width": size, "out_channels": kernels,
        "kernel_h": kernel, "kernel_w": kernel, "stride_h": stride, "stride_w": stride,
        "pad_h": pad, "pad_w": pad,
    }  # fmt: skip


def _shapes(sizes: Sizes) -> tuple[list[int], list[int], tuple[int, int], tuple[int, int]]:
    """Of a convolution: input, weight, stride, pad."""
    x = [sizes[name] for name in ("batch", "in_channels", "height", "width")]
    weight = [sizes[name] for name in ("out_channels", "in_channels", "kernel_h", "kernel_w")]
    return x, weight, (sizes["stride_h"], sizes["stride_w"]), (sizes["pad_h"], sizes["pad_w"])


def _numpy_harness() -> Harness:
    def make(op: str, sizes: Sizes) -> Call | None:
        draw = np.random.default_rng(0)
        if op == "gemm":
            a = draw.standard_normal((sizes["M"], sizes["K"]), dtype=np.float32)
            b = draw.standard_normal((sizes["K"], sizes["N"]), dtype=np.float32)
            out = np.empty((sizes["M"], sizes["N"]), dtype=np.float32)
            return lambda: np.matmul(a, b, out=out)
        if op == "elementwise":
            x = draw.standard_normal(sizes["M"], dtype=np.float32)
            y = np.empty_like(x)
            return lambda: np.maximum(x, 0, out=y)
        return None  # numpy has no convolution of its own

    return Harness("numpy", f"numpy {np.__version__}", make)


def _optional(name: str) -> Any:
    """A library that hwsim can use and does not need; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _onnxruntime_harness() -> Harness | None:
    runtime = _optional("onnxruntime")
    if runtime is None:
        return None

    def make(op: str, sizes: Sizes) -> Call | None:
        if op == "gemm":
            shape: list[int] = [sizes["M"], sizes["K"]]
            content = matmul_model(sizes["M"], sizes["N"], sizes["K"])
        elif op == "conv2d":
            shape, weight, stride, pad = _shapes(sizes)
            content = conv2d_model(shape, weight, stride, pad)
        else:
            shape, content = [sizes["M"]], relu_model(sizes["M"])
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        given = {session.get_inputs()[0].name: x}
        return lambda: session.run(None, given)

    return Harness("onnxruntime", f"onnxruntime {runtime.__version__}", make)


def _torch_harness() -> Harness | None:
    torch = _optional("torch")
    return (
        None if torch is None else Harness("torch", f"torch {torch.__version__}", _torch_maker(torch, "cpu"))
    )


def _torch_cuda_harness() -> Harness | None:
    torch = _optional("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    version = f"torch {torch.__version__} on {torch.cuda.get_device_name()}"
    return Harness("torch_cuda", version, _torch_maker(torch, "cuda"))


def _torch_maker(torch: Any, place: str) -> Callable[[str, Sizes], Call | None]:
    def waited(work: Call) -> Call:
        """On a GPU a call returns before its work is done."""
        if place == "cpu":
            return work

        def call() -> None:
            work()
            torch.cuda.synchronize()

        return call

    def make(op: str, sizes: Sizes) -> Call | None:
        if op == "gemm":
            a = torch.randn(sizes["M"], sizes["K"], device=place)
            b = torch.randn(sizes["K"], sizes["N"], device=place)
            return waited(lambda: torch.mm(a, b))
        if op == "conv2d":
            x_shape, weight_shape, stride, pad = _shapes(sizes)
            x, weight = torch.randn(x_shape, device=place), torch.randn(weight_shape, device=place)
            return waited(lambda: torch.nn.functional.conv2d(x, weight, stride=stride, padding=pad))
        flat = torch.randn(sizes["M"], device=place)
        return waited(lambda: torch.relu(flat))

    return make
