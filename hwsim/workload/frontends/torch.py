"""PyTorch modules: exported to ONNX in memory by torch.onnx and read as any ONNX file is. The only place that
imports torch, and only when a module is handed in."""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.errors import CapacityError, SpecError, UnsupportedError
from hwsim.tensor.tensor import Shape, format_shape
from hwsim.units import format_bytes
from hwsim.workload.frontends.apart import workload_name
from hwsim.workload.graph import Source, Workload

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

# The exporter of torch.export ("dynamo") turns these into ONNX with onnxscript.
NEEDED = ("torch", "onnxscript")
INSTALL = "pip install 'hwsim[torch]'"


def from_torch(
    module: Module,
    example_input: Tensor | tuple[Any, ...] | Mapping[str, Any],
    *,
    name: str | None = None,
) -> Workload:
    """A PyTorch module as a workload, with the module's own weights, in evaluation mode.

    `example_input` is a tensor, a tuple of what `forward` takes in order, or a mapping of what it takes by
    name; its sizes are the workload's (for another batch, give another example), and its values do not
    matter. `name` is what the workload is called, the class of the module unless given. The module is
    exported by torch.onnx.export, in memory, and left as it was.

    Raises UnsupportedError where PyTorch is not installed, the module cannot be exported, or holds what hwsim
    does not know; SpecError for other arguments, CapacityError for more weights than a graph in memory holds.
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise SpecError(f"a module is a torch.nn.Module, not {type(module).__name__}")
    args, kwargs = _arguments(torch, example_input)
    called = workload_name(Path(f"{type(module).__name__ if name is None else name}.pt"))
    if name not in (None, called):
        allowed = "1 to 100 letters, digits, underscores, dots and hyphens, a letter or digit first"
        raise SpecError(f"name is {name!r}: it must be {allowed}")
    _check_size(module, called)
    from hwsim.workload.frontends.onnx import read_onnx

    _refuse_projections(torch, module, called)
    content, shapes = _exported(torch, module, called, args, kwargs)
    found = read_onnx(Path(called), content, {}, 0)
    made = [found.tensors[output].shape for output in found.outputs]
    if shapes is not None and made != shapes:
        raise UnsupportedError(
            f"{called} gives {_shapes(shapes)}, and what torch.onnx.export makes of it {_shapes(made)}: it "
            "does not export this module rightly; give the part that you want to run, or write it as a "
            "workload file"
        )
    return _with_origin(found, module, content)


def _with_origin(found: Workload, module: Module, content: bytes) -> Workload:
    """The workload as the module's. Trained numbers that the graph has not, or has once for several that are
    equal, still count as the network's: the exporter, too, folds batch norms."""
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    source = Source(kind, "torch", hashlib.sha256(content).hexdigest())
    held = found.parameter_count - found.folded_parameters
    folded = max(0, sum(p.numel() for p in module.parameters()) - held)
    notes = found.notes
    if folded > found.folded_parameters:
        gone = folded - found.folded_parameters
        why = "they are folded, equal to others, or not used"
        notes = (*notes, f"{gone:,} trained numbers of the module are not in its exported graph: {why}")
    return replace(found, source=source, folded_parameters=folded, notes=notes)


def _torch() -> Any:
    """The torch package. Raises UnsupportedError, with the cure, where it or its exporter is missing."""
    found = []
    for needed in NEEDED:
        try:
            found.append(importlib.import_module(needed))
        except ImportError as error:
            missing = f"{needed} cannot be imported here ({error})"
            raise UnsupportedError(f"from_torch needs PyTorch, and {missing}: {INSTALL}") from None
    return found[0]


def _arguments(torch: Any, given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `forward` is called with, in order and by name."""
    args = given if isinstance(given, tuple) else ()
    kwargs = dict(given) if isinstance(given, Mapping) else {}
    if isinstance(given, torch.Tensor):
        args = (given,)
    if not any(isinstance(one, torch.Tensor) for one in (*args, *kwargs.values())):
        raise SpecError(
            f"example_input is {type(given).__name__}: give a tensor, or a tuple or mapping with tensors"
        )
    if not all(isinstance(key, str) for key in kwargs):
        raise SpecError("example_input maps what is no name: its keys must be names that forward takes")
    return args, kwargs


def _check_size(module: Module, called: str) -> None:
    """Refuse weights that no ONNX file in memory holds, before anything is copied."""
    from hwsim.workload.frontends.onnx import MAX_FILE_BYTES

    held = sum(p.numel() * p.element_size() for p in (*module.parameters(), *module.buffers()))
    if held > MAX_FILE_BYTES:
        raise CapacityError(
            f"{called} holds {format_bytes(held)} of weights, and a graph in memory at most "
            f"{format_bytes(MAX_FILE_BYTES)}: give a part of it, such as one of its equal blocks, or export "
            "it with torch.onnx.export(..., external_data=True) and load the .onnx file"
        )


def _refuse_projections(torch: Any, module: Module, called: str) -> None:
    """The exporter leaves the projection of an LSTM out, without a word (seen in 2.13)."""
    if any(isinstance(part, torch.nn.LSTM) and part.proj_size for part in module.modules()):
        raise UnsupportedError(
            f"{called} holds an LSTM with proj_size, which torch.onnx.export exports without its projection: "
            "write it as an LSTM and a linear layer in a workload file"
        )


def _exported(
    torch: Any, module: Module, called: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bytes, list[Shape] | None]:
    """The module as ONNX bytes, the same for the same module in every process, and the shapes that it gives,
    where it gives nothing but tensors."""
    with _evaluating(module), _silence(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            results = module(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a module is anyone's code and raises anything
            told = f"{type(error).__name__}: {_first_line(error)}"
            raise SpecError(f"{called} does not run on its example input: {told}") from None
        try:
            program = torch.onnx.export(module, args, kwargs=kwargs, dynamo=True, verbose=False)
        except Exception as error:  # noqa: BLE001
            raise UnsupportedError(
                f"torch.onnx.export cannot export {called}: {_reason(error)}. torch.export.export(module, "
                "args) shows where; rewrite that part without branches on values and without operators of "
                "your own, or export the module yourself and load the .onnx file"
            ) from None
    proto = program.model_proto
    # Where the exporter ran and which source lines it saw, which differ from machine to machine.
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    content: bytes = proto.SerializeToString(deterministic=True)
    leaves = list(_leaves(results))
    tensors = all(isinstance(leaf, torch.Tensor) for leaf in leaves)
    return content, [tuple(leaf.shape) for leaf in leaves] if tensors else None


def _leaves(results: Any) -> Iterator[Any]:
    """What a module gives, one by one, in the order in which the exporter lists it."""
    if isinstance(results, Mapping):
        results = tuple(results.values())
    if isinstance(results, tuple | list):
        for part in results:
            yield from _leaves(part)
    else:
        yield results


def _shapes(shapes: list[Shape]) -> str:
    return ", ".join(format_shape(shape) for shape in shapes[:4]) + (", ..." if len(shapes) > 4 else "")


@contextmanager
def _evaluating(module: Module) -> Iterator[None]:
    """Evaluation mode, as in `module.eval()`; afterwards each part is in the mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    for part, _ in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is printed, warned of or logged: the exporter tells its progress and its packages' news."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _reason(error: BaseException) -> str:
    """What went wrong first, in a line: the exporter wraps it several times, in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    """The first line of a message that says something, without colours and at most 200 characters."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    line = next((line.strip() for line in plain.splitlines() if line.strip()), "it gives no reason")
    return line.rstrip(".") if len(line) <= 200 else f"{line[:200]}..."
