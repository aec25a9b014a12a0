"""Loading a workload by name, path, or as it is; parsed files are kept by content."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from hwsim.errors import Problem, SpecError
from hwsim.files import read_file
from hwsim.library import SAVED, find
from hwsim.workload.graph import Workload

_KEPT = 32  # parsed workloads
_Key = tuple[str, str, tuple[tuple[str, int], ...], int]
_cache: OrderedDict[_Key, Workload] = OrderedDict()

_YAML = (".yaml", ".yml")
_LAYERS = (".csv", ".json")
FILES = (*_YAML, ".onnx", *_LAYERS)


def load_workload(
    name_or_path: str | Path | Workload,
    /,
    *,
    seed: int = 0,
    dims: Mapping[str, int] | None = None,
    **parameters: int,
) -> Workload:
    """The workload called so, at that path (a file, or a folder that `save_workload` wrote), or passed in.

    `parameters` (batch, and what else the file names) replace the file's defaults and all shapes are inferred
    anew; `dims` are parameters too, for names that Python cannot write, as files call their open sizes.
    `seed` decides weights that the file does not hold. Loading the same content and parameters
    again returns the same object. Raises SpecError for bad input, UnsupportedError for operators that hwsim
    does not know.
    """
    if not isinstance(dims, Mapping | None):
        raise SpecError(f"dims are {dims!r}: give sizes by name, such as {{'seq': 128}}")
    if twice := sorted(set(dims or ()) & set(parameters)):
        raise SpecError(f"parameter {twice[0]!r} is given twice: once by name and once in dims")
    parameters = {**parameters, **(dims or {})}
    for name, value in (*parameters.items(), ("seed", seed)):
        least = 0 if name == "seed" else 1
        if type(value) is not int or value < least:
            raise SpecError(f"parameter {name!r} is {value!r}: it must be a whole number of at least {least}")
    if isinstance(name_or_path, Workload):
        _check_same(name_or_path, parameters, seed)
        return name_or_path
    if not isinstance(name_or_path, str | Path):
        raise SpecError(f"a workload is a name, a path or a Workload, not {type(name_or_path).__name__}")
    path = _in_folder(find("workloads", name_or_path))
    if path.suffix.lower() == ".onnx":
        return _load_onnx(path, parameters, seed)
    if path.suffix.lower() in _YAML:
        return _load_yaml(path, parameters, seed)
    if path.suffix.lower() in _LAYERS:
        return _load_layers(path, parameters, seed)
    what = f"is a folder without {SAVED}, and" if path.is_dir() else "is"
    raise SpecError(
        Problem(
            str(path), 0, 0, "", f"{what} none of the files hwsim reads workloads from: {', '.join(FILES)}"
        )
    )


def load_with(name_or_path: str | Path | Workload, parameters: Mapping[str, int]) -> Workload:
    """As `load_workload`, with all parameters in one mapping, the seed among them."""
    sizes = {name: value for name, value in parameters.items() if name != "seed"}
    return load_workload(name_or_path, seed=parameters.get("seed", 0), dims=sizes)


def _in_folder(path: Path) -> Path:
    """The file that stands for a folder: its workload.yaml, if it has one."""
    try:
        return path / SAVED if path.is_dir() and (path / SAVED).exists() else path
    except OSError:  # for the reader to tell
        return path


def _load_onnx(path: Path, parameters: dict[str, int], seed: int) -> Workload:
    # Importing onnx takes 0.2 s, so it waits until there is an ONNX file.
    from hwsim.workload.frontends.onnx import read_content, read_onnx

    content = read_content(path)
    key = _key(path, hashlib.sha256(content).hexdigest(), parameters, seed)
    if found := _kept(key):
        return found
    made = read_onnx(path, content, parameters, seed)
    # Not kept with tensors in other files: those may change, and a hash of them is as much work as loading.
    return made if made.source.weights else _keep(key, made)


def _load_layers(path: Path, parameters: dict[str, int], seed: int) -> Workload:
    from hwsim.workload.frontends.gemms import read_gemms
    from hwsim.workload.frontends.records import MAX_FILE_BYTES
    from hwsim.workload.frontends.scalesim import read_topology

    content = read_file(path, MAX_FILE_BYTES)
    key = _key(path, hashlib.sha256(content).hexdigest(), parameters, seed)
    read = read_topology if path.suffix.lower() == ".csv" else read_gemms
    return _kept(key) or _keep(key, read(path, content, parameters, seed))


def _load_yaml(path: Path, parameters: dict[str, int], seed: int) -> Workload:
    from hwsim.schema import read_source
    from hwsim.workload.folder import is_saved, read_folder
    from hwsim.workload.frontends.yaml import read_yaml
    from hwsim.workload.weights import hash_file, joint_hash

    source = read_source(path)
    if is_saved(source.content):
        # Not kept: its weights would stay in memory.
        saved = read_folder(path, source.content)
        _check_fixed(saved, parameters, seed)
        return saved
    key = _key(path, source.sha256, parameters, seed)
    found = _kept(key)
    if found is not None and (weights := found.source.weights):
        # The weights stand in a file of their own, which may have changed since.
        now = joint_hash(source.sha256, hash_file(Path(weights)))
        found = found if now == found.source.sha256 else None
    return found or _keep(key, read_yaml(source, parameters, seed))


def _key(path: Path, sha256: str, parameters: dict[str, int], seed: int) -> _Key:
    return str(path), sha256, tuple(sorted(parameters.items())), seed


def _kept(key: _Key) -> Workload | None:
    found = _cache.get(key)
    if found is not None:
        _cache.move_to_end(key)
    return found


def _keep(key: _Key, workload: Workload) -> Workload:
    _cache[key] = workload
    while len(_cache) > _KEPT:
        _cache.popitem(last=False)
    return workload


def _check_same(workload: Workload, parameters: dict[str, int], seed: int) -> None:
    """A loaded workload no longer knows its file's sizes by name, so only its own parameters are taken."""
    asked = {**parameters, **({"seed": seed} if seed else {})}
    for name, value in asked.items():
        if workload.parameters.get(name) != value:
            raise SpecError(
                f"workload {workload.name!r} is loaded already, with {name} "
                f"{workload.parameters.get(name, 'unset')}: give {name}={value} when loading it"
            )


def _check_fixed(workload: Workload, parameters: dict[str, int], seed: int) -> None:
    """The shapes of a saved workload are what they were when it was made."""
    asked = {**parameters, **({"seed": seed} if seed else {})}
    for name, value in asked.items():
        if workload.parameters.get(name) != value:
            made = ", ".join(f"{key}={number}" for key, number in workload.parameters.items())
            raise SpecError(
                f"{workload.source.path}: {name}={value} is asked for, and the shapes of a saved workload "
                f"are fixed ({made or 'it has no parameters'}): make it anew with {name}={value}"
            )
