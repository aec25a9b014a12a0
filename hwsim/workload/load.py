"""Loading a workload by name, path, or as it is; parsed files are kept by content."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

from hwsim.errors import Problem, SpecError
from hwsim.library import find
from hwsim.workload.graph import Workload

_KEPT = 32  # parsed workloads
_Key = tuple[str, str, tuple[tuple[str, int], ...], int]
_cache: OrderedDict[_Key, Workload] = OrderedDict()

_YAML = (".yaml", ".yml")


def load_workload(name_or_path: str | Path | Workload, *, seed: int = 0, **parameters: int) -> Workload:
    """The workload called so, at that path, or passed in.

    `parameters` (batch, and what else the file names) replace the file's defaults and all shapes are inferred
    anew; `seed` decides weights that the file does not hold. Loading the same content and parameters
    again returns the same object. Raises SpecError for bad input, UnsupportedError for operators that hwsim
    does not know.
    """
    for name, value in (*parameters.items(), ("seed", seed)):
        least = 0 if name == "seed" else 1
        if type(value) is not int or value < least:
            raise SpecError(f"parameter {name!r} is {value!r}: it must be a whole number of at least {least}")
    if isinstance(name_or_path, Workload):
        _check_same(name_or_path, parameters, seed)
        return name_or_path
    if not isinstance(name_or_path, str | Path):
        raise SpecError(f"a workload is a name, a path or a Workload, not {type(name_or_path).__name__}")
    path = find("workloads", name_or_path)
    if path.suffix.lower() == ".onnx":
        return _load_onnx(path, parameters, seed)
    if path.suffix.lower() in _YAML:
        return _load_yaml(path, parameters, seed)
    raise SpecError(
        Problem(str(path), 0, 0, "", "is neither .yaml nor .onnx, the files hwsim reads workloads from")
    )


def _load_onnx(path: Path, parameters: dict[str, int], seed: int) -> Workload:
    # Importing onnx takes 0.2 s, so it waits until there is an ONNX file.
    from hwsim.workload.frontends.onnx import read_content, read_onnx

    content = read_content(path)
    key = _key(path, hashlib.sha256(content).hexdigest(), parameters, seed)
    return _kept(key) or _keep(key, read_onnx(path, content, parameters, seed))


def _load_yaml(path: Path, parameters: dict[str, int], seed: int) -> Workload:
    from hwsim.schema import read_source
    from hwsim.workload.frontends.yaml import read_yaml

    source = read_source(path)
    key = _key(path, source.sha256, parameters, seed)
    return _kept(key) or _keep(key, read_yaml(source, parameters, seed))


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
