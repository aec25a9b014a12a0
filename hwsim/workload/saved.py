"""workload.yaml of a saved workload: what it may hold, and how operators and tensors go in and come out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hwsim.errors import Problem, SpecError
from hwsim.schema import Count, Spec, field, load_source
from hwsim.schema import Source as YamlSource
from hwsim.tensor.storage import Storage
from hwsim.tensor.tensor import Tensor
from hwsim.version import __version__
from hwsim.workload.graph import Source, Workload
from hwsim.workload.operators import Operator, OperatorProblem, Step
from hwsim.workload.saved_text import block

SEALED = b"saved: {"  # how the file of a saved workload begins
FORMAT = 1
_SEAL = re.compile(rb'saved: \{[^\n]*seal: "([0-9a-f]{64})"\}\n')
_PROBLEMS: dict[str, type[Any]] = {problem.kind: problem for problem in get_args(OperatorProblem)}
_HEAD = """\
# Made by hwsim from the steps under `history`. The numbers are in weights.npz, under each tensor's `array`.
# Not for editing: what is changed here no longer fits the seal, and the file is refused.
"""

Attributes = dict[str, Any]


class Seal(Spec):
    format: int = field("Version of the form of this file.", ge=FORMAT, le=FORMAT)
    hwsim: str = field("Version of hwsim that wrote it.", descriptive=True)
    seal: str = field("SHA-256 of all that follows this line.")


class SavedStep(Spec):
    function: str = field("What the fused step does.")
    tensor: str = field("Its operand.", default="")
    attributes: Attributes = field("What its numbers need.", default={})


class SavedOperator(Spec):
    name: str = field("What the operator is called.")
    layer: str = field("The layer that it is from.", default="")
    kind: Literal[tuple(_PROBLEMS)] = field("Which operator.")  # type: ignore[valid-type]
    problem: Attributes = field("Its loop bounds.")
    inputs: tuple[str, ...] = field("Tensors it reads.")
    output: str = field("The tensor it makes.")
    epilogue: tuple[SavedStep, ...] = field("Steps fused behind it.", default=())
    attributes: Attributes = field("What its numbers need.", default={})


class SavedStorage(Spec):
    codec: str = field("How the tensor is stored.")
    bits: dict[str, int] = field("Stored bits by part.")


class SavedTensor(Spec):
    name: str = field("What the tensor is called.")
    shape: tuple[Count, ...] = field("Elements in each dimension.")
    dtype: str = field("Its number format.")
    role: Literal["input", "weight", "activation", "constant", "output", "cache"] = field("What it is for.")
    indices: int = field("It holds whole numbers below this; 0 for others.", default=0, ge=0, le=2**40)
    density: float = field("Share of elements that are not zero.", default=1.0, ge=0, le=1)
    array: str = field("What its arrays are called in the weights file.", default="")
    storage: SavedStorage | None = field("Its exact size.", default=None, when_absent="dense")
    codec: Attributes = field("What the codec needs to read its arrays.", default={})
    codebook: int = field("Entries of its codebook.", default=0, ge=0, le=2**20)
    grids: int = field("Scales of its chosen grid; 0 without one.", default=0, ge=0, le=2**30)
    axis: int | None = field("Axis of the scales.", default=None, when_absent="one for the tensor")


class SavedWorkload(Spec):
    saved: Seal = field("How this file was written.")
    name: str = field("What the workload is called.")
    description: str = field("What it is.", default="")
    inputs: tuple[str, ...] = field("Tensors it receives.")
    outputs: tuple[str, ...] = field("Tensors it gives.")
    parameters: dict[str, int] = field("What its shapes were inferred with.")
    synthetic: bool = field("Whether no publication gives its shapes.", default=False)
    folded_parameters: int = field("Trained numbers that folding merged away.", default=0, ge=0)
    formats_chosen: bool = field("Whether someone chose its number formats.", default=False)
    operands_in_memory: bool = field("Whether inputs and outputs lie in the device's memory.", default=False)
    weights_sha256: str = field("SHA-256 of weights.npz.")
    history: tuple[str, ...] = field("What compression did, step by step.", default=())
    notes: tuple[str, ...] = field("What was assumed.", default=())
    operators: tuple[SavedOperator, ...] = field("In the order they run.")
    tensors: tuple[SavedTensor, ...] = field("All tensors.")

    def check(self) -> Iterator[tuple[str, str]]:
        names = [tensor.name for tensor in self.tensors]
        if len(set(names)) < len(names):
            yield "tensors", "two tensors have one name"


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor with the name of its arrays in the weights file and, where a codec stores it, the codec's own
    description."""

    tensor: Tensor
    array: str = ""
    meta: Mapping[str, Any] | None = None


def write_saved(workload: Workload, entries: tuple[TensorEntry, ...], weights_sha256: str) -> bytes:
    """The content of workload.yaml. Raises SpecError for a workload too large to be read again."""
    body = block(
        {
            "name": workload.name,
            "description": workload.description,
            "inputs": list(workload.inputs),
            "outputs": list(workload.outputs),
            "parameters": dict(workload.parameters),
            "synthetic": workload.synthetic,
            "folded_parameters": workload.folded_parameters,
            "formats_chosen": workload.formats_chosen,
            "operands_in_memory": workload.operands_in_memory,
            "weights_sha256": weights_sha256,
            "history": workload.history,
            "notes": workload.notes,
            "operators": [_operator(op) for op in workload.operators],
            "tensors": [_tensor(entry) for entry in entries],
        }
    )
    rest = (_HEAD + body).encode()
    seal = hashlib.sha256(rest).hexdigest()
    content = f'saved: {{format: {FORMAT}, hwsim: "{__version__}", seal: "{seal}"}}\n'.encode() + rest
    try:
        read_saved("workload.yaml", content)
    except SpecError as error:
        raise SpecError(f"workload {workload.name} cannot be saved: {error}") from None
    return content


def read_saved(path: str, content: bytes) -> SavedWorkload:
    """A checked workload.yaml. Raises SpecError when it was changed since it was written, or does not say
    what it must."""
    first = _SEAL.match(content)
    if first is None or hashlib.sha256(content[first.end() :]).hexdigest() != first[1].decode():
        raise SpecError(
            Problem(
                path, 1, 1, "saved",
                "the file was changed since hwsim wrote it: compress the network again, or edit the file "
                "that it was made from",
            )
        )  # fmt: skip
    return load_source(YamlSource(path, content, ""), SavedWorkload)


def assemble(saved: SavedWorkload, path: str, tensors: Mapping[str, Tensor], source: Source) -> Workload:
    """The workload that a file describes, of tensors that hold their values."""
    try:
        return Workload(
            saved.name, tuple(_read_operator(op) for op in saved.operators), tensors, saved.inputs,
            saved.outputs, source, saved.description, saved.parameters, saved.synthetic, saved.notes,
            saved.folded_parameters, saved.formats_chosen, saved.history,
            saved.operands_in_memory,
        )  # fmt: skip
    except SpecError as error:
        raise SpecError(Problem(path, 0, 0, "", str(error))) from None


def read_storage(saved: SavedTensor) -> Storage | None:
    return None if saved.storage is None else Storage(saved.storage.codec, tuple(saved.storage.bits.items()))


def _operator(op: Operator) -> dict[str, object]:
    steps = [
        _trimmed({"function": s.function, "tensor": s.tensor, "attributes": dict(s.attributes)})
        for s in op.epilogue
    ]
    return _trimmed(
        {
            "name": op.name,
            "layer": op.layer,
            "kind": op.kind,
            "problem": asdict(op.problem),
            "inputs": list(op.inputs),
            "output": op.output,
            "epilogue": steps,
            "attributes": dict(op.attributes),
        },
        keep=("inputs", "problem"),
    )


def _tensor(entry: TensorEntry) -> dict[str, object]:
    tensor = entry.tensor
    found: dict[str, object] = {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "role": tensor.role,
        "array": entry.array,
    }
    if tensor.density != 1.0:
        found["density"] = float(tensor.density)
    if tensor.storage is not None:
        found["storage"] = {"codec": tensor.storage.codec, "bits": dict(tensor.storage.parts)}
    if entry.meta is not None:
        found["codec"] = dict(entry.meta)
    found["indices"] = tensor.index_range
    found["codebook"] = len(tensor.codebook)
    if tensor.quantisation is not None:
        found["grids"] = len(tensor.quantisation.scales)
        if tensor.quantisation.axis is not None:
            found["axis"] = tensor.quantisation.axis
    return _trimmed(found, keep=("shape", "density", "axis"))


def _trimmed(entries: dict[str, object], keep: tuple[str, ...] = ()) -> dict[str, object]:
    """Without what is empty, as the reader's defaults have it."""
    return {key: value for key, value in entries.items() if value or key in keep}


def _read_operator(saved: SavedOperator) -> Operator:
    kind = _PROBLEMS[saved.kind]
    hints = get_type_hints(kind)
    names = {entry.name for entry in fields(kind)}
    wrong = [
        name for name in saved.problem if name not in names or not _fits(saved.problem[name], hints[name])
    ]
    if wrong or not saved.problem:
        raise SpecError(f"operator {saved.name!r} has no {saved.kind} problem that hwsim knows")
    try:
        problem = kind(**saved.problem)
    except TypeError:
        raise SpecError(f"operator {saved.name!r}: its {saved.kind} problem is not complete") from None
    steps = tuple(Step(s.function, s.tensor, tuple(s.attributes.items())) for s in saved.epilogue)
    return Operator(
        saved.name, problem, saved.inputs, saved.output, saved.layer, steps, tuple(saved.attributes.items())
    )


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        wanted = get_args(hint)
        return (
            isinstance(value, tuple)
            and len(value) == len(wanted)
            and all(_fits(entry, part) for entry, part in zip(value, wanted, strict=True))
        )
    return type(value) is hint
