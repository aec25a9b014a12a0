"""Weights files: trained numbers by tensor name, in numpy's npz, checked before anything trusts them."""

from __future__ import annotations

import difflib
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwsim.errors import Problem, SpecError
from hwsim.files import refusal
from hwsim.tensor.tensor import Array, Shape, format_shape

MAX_BYTES = 2**32  # of all arrays of a file

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Values that a file or a step of compression gave: the same read-only array at each call."""

    array: Array

    def __call__(self) -> Array:
        return self.array


@dataclass(frozen=True, slots=True, eq=False)
class WeightsFile:
    """The arrays of one npz file, read-only, and the hash of its bytes."""

    path: str
    sha256: str
    arrays: Mapping[str, Array]

    def take(self, name: str, shape: Shape) -> Array:
        """The array called `name`. Raises SpecError where it is missing, shaped otherwise, or not finite."""
        found = self.arrays.get(name)
        if found is None:
            raise self.fault(name, f"holds no tensor {name!r}{_nearest(name, self.arrays)}")
        if found.shape != shape:
            raise self.fault(
                name,
                f"has shape {format_shape(found.shape)}, and the network needs {format_shape(shape)}",
            )
        if found.dtype.kind not in "fiu":
            raise self.fault(name, f"holds {found.dtype} where real numbers must stand")
        if not np.isfinite(found).all():
            raise self.fault(name, "holds NaN or infinity: train or save the network anew")
        return found

    def check_used(self, names: Iterable[str]) -> None:
        """Raise SpecError for an array that no tensor of `names` takes."""
        known = list(names)
        for name in self.arrays:
            if name not in known:
                raise self.fault(
                    name, f"is in the file, and the network has no such weight{_nearest(name, known)}"
                )

    def fault(self, name: str, message: str) -> SpecError:
        return SpecError(Problem(self.path, 0, 0, name, message))


def read_weights(path: Path) -> WeightsFile:
    """All arrays of an npz file. Nothing in it is executed (no pickle), and no array is made that the file
    does not hold. Raises SpecError for a missing or damaged file."""
    content = _read(path)
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise ValueError(f"it holds more than {MAX_BYTES / 2**30:.0f} GiB")
            for member in members:
                arrays[member.filename.removesuffix(".npy")] = _read_array(archive, member)
    except _DAMAGE as error:
        raise refusal(path, f"is damaged, or not a file that numpy's savez wrote: {error}") from None
    return WeightsFile(str(path), hashlib.sha256(content).hexdigest(), arrays)


def widened(array: Array) -> Array:
    """Real numbers as fp32 or wider: files may hold fewer bits, and sums in those would overflow."""
    found = array.astype(np.result_type(array, np.float32), copy=False)
    found.setflags(write=False)
    return found


def joint_hash(written: str, trained: str) -> str:
    """What a network is known by whose layers and weights stand in two files."""
    return hashlib.sha256(f"{written} {trained}".encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a weights file. Raises SpecError when it cannot be read."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise refusal(path, "there is no such weights file")
        if path.stat().st_size > MAX_BYTES:
            raise refusal(path, f"is larger than {MAX_BYTES / 2**30:.0f} GiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise refusal(path, f"cannot be read: {reason}") from None


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """One array, once its header asks for as many bytes as the file holds."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"{member.filename} is written in npy version {version}")
        shape, _, dtype = _READERS[version](file)
        held = member.file_size - file.tell()
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != held:
            raise ValueError(f"{member.filename} does not hold the {dtype} array that it announces")
    with archive.open(member) as file:
        found: Array = np.lib.format.read_array(file, allow_pickle=False)
    found.setflags(write=False)
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
