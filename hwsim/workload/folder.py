"""Folders of workloads with their weights: workload.yaml says all but the numbers, which are in weights.npz.

The YAML file is a readable account of operators and tensors, and it is sealed: what a problem, a storage or
a history says follows from how the workload was made, so a file that was edited is refused.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwsim.errors import Problem, SpecError
from hwsim.folders import FolderKind
from hwsim.library import SAVED
from hwsim.tensor.encoding import chosen_encoding
from hwsim.tensor.storage import Quantisation
from hwsim.tensor.tensor import Array, Tensor, format_shape, read_values
from hwsim.workload.graph import Source, Workload
from hwsim.workload.saved import (
    SEALED,
    SavedTensor,
    TensorEntry,
    assemble,
    read_saved,
    read_storage,
    write_saved,
)
from hwsim.workload.weights import Given, WeightsFile, joint_hash, read_weights

if TYPE_CHECKING:
    from hwsim.tensor.codecs import Encoded

WORKLOAD, WEIGHTS = SAVED, "weights.npz"
TABLE = "compression.csv"  # what compression did to each weight, where it was measured
PAGE = "report.html"  # the same as a page
BESIDE = (TABLE, PAGE)

_KEY = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./-]{0,199}")  # a name that zip archives take as it is
_WRITTEN = (1980, 1, 1, 0, 0, 0)  # same weights, same bytes


@dataclass(frozen=True, slots=True, eq=False)
class Coded(Given):
    """Values that are kept as a codec stores them: `array` is what `encoded` stands for, in reals where that
    holds whole numbers of a grid."""

    encoded: Encoded


def save_workload(
    workload: Workload, folder: str | Path, beside: Mapping[str, bytes] | None = None
) -> Workload:
    """Write a workload and all its weights, and return it as `load_workload` gives it back: the same but for
    its source, which are the two files. `beside` are the contents of further files, of names in BESIDE.

    Weights that a codec stores are written as it stores them, the others as they are. The same workload gives
    the same bytes. Raises SpecError for weights that are not finite numbers, OutputError when the folder
    cannot be written or holds anything else.
    """
    hashes: list[str] = []

    def fill(partial: Path) -> None:
        entries = _write_weights(partial / WEIGHTS, workload)
        weights = _hash(partial / WEIGHTS)
        text = write_saved(workload, entries, weights)
        (partial / WORKLOAD).write_bytes(text)
        for name, content in (beside or {}).items():
            if name not in BESIDE:
                raise ValueError(f"{name} has no place in a workload's folder")
            (partial / name).write_bytes(content)
        hashes.extend((hashlib.sha256(text).hexdigest(), weights))

    final = _KIND.write(folder, fill)
    return replace(workload, source=_source(final / WORKLOAD, *hashes))


def check_folder(folder: str | Path) -> Path:
    """The absolute path that `save_workload` would write; raises OutputError when it already sees why not."""
    return _KIND.check(folder)


def is_saved(content: bytes) -> bool:
    """Whether a file is one that `save_workload` wrote, rather than layers for the front end."""
    return content.startswith(SEALED)


def read_folder(path: Path, content: bytes) -> Workload:
    """The workload of a folder, from `content` of its workload.yaml at `path` and the weights beside it.
    Raises SpecError, naming file and tensor, for whatever is damaged, missing or changed."""
    saved = read_saved(str(path), content)
    weights = read_weights(path.parent / WEIGHTS)
    if weights.sha256 != saved.weights_sha256:
        message = (
            f"is not the file that {WORKLOAD} was saved with: copy both from one folder, or compress again"
        )
        raise SpecError(Problem(weights.path, 0, 0, "", message))
    tensors = {entry.name: _read_tensor(weights, entry) for entry in saved.tensors}
    known = {entry.array for entry in saved.tensors}
    for name in weights.arrays:
        if name.partition(":")[0] not in known:
            raise weights.fault(name, f"is in the file, and no tensor of {WORKLOAD} uses it")
    source = _source(path, hashlib.sha256(content).hexdigest(), weights.sha256)
    return assemble(saved, str(path), tensors, source)


def _source(path: Path, text: str, weights: str) -> Source:
    return Source(str(path), "compressed", joint_hash(text, weights), str(path.parent / WEIGHTS))


def _is_ours(folder: Path) -> bool:
    try:
        with (folder / WORKLOAD).open("rb") as file:
            return is_saved(file.read(len(SEALED)))
    except OSError:
        return False


_HELD = ("weight", "constant", "cache")  # roles of tensors whose numbers are saved
_KIND = FolderKind("a workload that hwsim saved", frozenset((WORKLOAD, WEIGHTS, *BESIDE)), _is_ours)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- arrays of a tensor: `array` itself, `array:part` of a codec, `array::what` of grids and codebooks ------


def _write_weights(path: Path, workload: Workload) -> tuple[TensorEntry, ...]:
    """Write every array of the workload, one at a time, and return what each tensor's are called."""
    entries = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for position, tensor in enumerate(workload.tensors.values()):
            arrays, entry = _arrays(position, tensor)
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy", _WRITTEN)
                with archive.open(member, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
            entries.append(entry)
    return tuple(entries)


def _arrays(position: int, tensor: Tensor) -> tuple[dict[str, Array], TensorEntry]:
    key = tensor.name if _KEY.fullmatch(tensor.name) else f"#{position}"
    arrays: dict[str, Array] = {}
    meta = None
    if isinstance(tensor.values, Coded):
        arrays.update({f"{key}:{part}": a for part, a in tensor.values.encoded.arrays.items()})
        meta = tensor.values.encoded.meta
        _check_finite(tensor.name, tensor.values.array)
    elif tensor.values is not None or tensor.role in _HELD:
        arrays[key] = read_values(tensor)
        _check_finite(tensor.name, arrays[key])
    if tensor.codebook:
        arrays[f"{key}::codebook"] = np.array(tensor.codebook, dtype=np.float64)
    if tensor.quantisation is not None:
        arrays[f"{key}::scales"] = np.array(tensor.quantisation.scales, dtype=np.float64)
        arrays[f"{key}::zero_points"] = np.array(tensor.quantisation.zero_points, dtype=np.int64)
    return arrays, TensorEntry(tensor, key if arrays else "", meta)


def _check_finite(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise SpecError(f"tensor {name!r} holds NaN or infinity: such weights are not saved")


def _read_tensor(weights: WeightsFile, entry: SavedTensor) -> Tensor:
    codebook: tuple[float, ...] = ()
    grid = None
    if entry.codebook:
        found = weights.take(f"{entry.array}::codebook", (entry.codebook,))
        codebook = tuple(float(value) for value in found)
    if entry.grids:
        scales = weights.take(f"{entry.array}::scales", (entry.grids,))
        zeros = weights.take(f"{entry.array}::zero_points", (entry.grids,))
        grid = Quantisation(tuple(scales.tolist()), tuple(zeros.tolist()), entry.axis)
    tensor = Tensor(
        entry.name, entry.shape, entry.dtype, entry.role, entry.density, read_storage(entry), codebook, grid,
        entry.indices,
    )  # fmt: skip
    if entry.codec:
        return replace(tensor, values=_decoded(weights, entry, tensor))
    if entry.array in weights.arrays:
        return replace(tensor, values=Given(weights.take(entry.array, entry.shape)))
    if entry.role in _HELD:
        raise weights.fault(entry.array or entry.name, f"holds no tensor {entry.name!r}")
    return tensor


def _decoded(weights: WeightsFile, entry: SavedTensor, tensor: Tensor) -> Coded:
    from hwsim.tensor.codecs import Encoded, decode

    prefix = f"{entry.array}:"
    arrays = {
        name.removeprefix(prefix): array
        for name, array in weights.arrays.items()
        if name.startswith(prefix) and not name.startswith(f"{prefix}:")
    }
    try:
        values = decode(entry.codec, arrays)
    except SpecError as error:
        raise weights.fault(entry.name, str(error)) from None
    if values.size != tensor.elements or tensor.storage is None:
        shapes = f"{format_shape(values.shape)}, and the network needs {format_shape(entry.shape)}"
        raise weights.fault(entry.name, f"has shape {shapes}")
    if not np.isfinite(values).all():
        raise weights.fault(entry.name, "holds NaN or infinity")
    if tensor.quantisation is not None:  # the codec stores whole numbers of the grid
        values = chosen_encoding(tensor).reals(values).astype(np.float32)
    values = values.reshape(entry.shape)  # a product by patches holds a filter as a row, the codec as it was
    values.setflags(write=False)
    return Coded(values, Encoded(storage=tensor.storage, arrays=arrays, meta=entry.codec))
