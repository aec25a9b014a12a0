"""The shape of the package: floors, homes of third-party packages, lazy names, declared dependencies."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
OLDER = {"importlib-metadata", "zipp"}  # what Python 3.11 alone needs
HEAVY = ("numba", "pandas", "matplotlib", "onnx", "simpy", "scipy", "torch", "pymoo")


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml over the package that lies in `checkout`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def in_fresh_python(program: str) -> str:
    """What a program prints that runs in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package alone, where faults can be put into it."""
    checkout = tmp_path_factory.mktemp("floors")
    shutil.copytree(ROOT / "hwsim", checkout / "hwsim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", checkout)
    return checkout


@pytest.mark.parametrize(
    ("place", "line", "broken"),
    [
        ("units_more", "x = 1", "floors"),  # a module without a floor
        ("tensor/fault", "from hwsim.workload.operators import Operator", "floors"),
        ("devices/fault", "from hwsim.sim import simulate", "floors"),
        ("devices/fault", "def late():\n    from hwsim.cost import load_technology", "floors"),
        (
            "sim/fault",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hwsim.devices.base",
            "floors",
        ),
        ("plan/fault", "from hwsim import run", "root"),
        ("plan/fault", "import simpy", "home-of-simpy"),
        ("devices/fault", "from ruamel.yaml import YAML", "home-of-pydantic-and-ruamel"),
        ("workload/fault", "def late():\n    import onnx.helper", "home-of-onnx"),
        ("validate/fault", "import torch.nn", "home-of-torch"),
    ],
)
def test_contracts_can_break(copied: Path, place: str, line: str, broken: str) -> None:
    fault = copied / "hwsim" / f"{place}.py"
    fault.write_text(f'"""A fault."""\n{line}\n', encoding="utf-8")
    try:
        done = lint_imports(copied)
    finally:
        fault.unlink()
    names = {c["id"]: c["name"] for c in PROJECT["tool"]["importlinter"]["contracts"]}
    assert done.returncode != 0
    assert f"{names[broken]} BROKEN" in done.stdout, done.stdout


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every absolute module name that is imported anywhere in a syntax tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.fixture(scope="module")
def third_party() -> dict[str, str]:
    """Top-level package that hwsim imports -> one file that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "hwsim").rglob("*.py")):
        for name in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.partition(".")[0]
            if top != "hwsim" and top not in sys.stdlib_module_names:
                found.setdefault(top, path.relative_to(ROOT).as_posix())
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_imported_packages_are_declared(third_party: dict[str, str]) -> None:
    declared = {canonical(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    # Not only those that are installed here. dask's own package of that name is never imported.
    extra = {canonical(Requirement(line).name) for line in EXTRAS["torch"]} | {"distributed"}
    providers = importlib.metadata.packages_distributions() | {name: [name] for name in extra}
    # pydantic_core is the part of pydantic that its own errors come from; pydantic pins it exactly.
    used = {
        top: {canonical(name) for name in providers[top]} for top in third_party if top != "pydantic_core"
    }
    undeclared = {third_party[top]: top for top, names in used.items() if not names & (declared | extra)}
    assert not undeclared, f"imported but not in pyproject.toml's dependencies: {undeclared}"
    unused = declared - {name for names in used.values() for name in names}
    assert not unused, f"in pyproject.toml's dependencies but never imported: {unused}"


def test_imported_packages_have_a_home(third_party: dict[str, str]) -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    housed = {module for c in contracts if c["type"] == "protected" for module in c["protected_modules"]}
    homeless = {top: file for top, file in third_party.items() if top not in housed | {"numpy"}}
    assert not homeless, f"give these a home-of-... contract in pyproject.toml: {homeless}"


def pins_of(file: str) -> set[str]:
    """The packages that a file of constraints names, each with one version."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {canonical(pin.name): str(pin.specifier) for pin in pins}
    assert all(re.fullmatch(r"==[\w.]+", specifier) for specifier in pinned.values()), pinned
    return set(pinned)


def installed_for(todo: list[str]) -> set[str]:
    """Requirements, those of the extras that they name, and what they require in turn, as it is installed
    here."""
    needed: set[tuple[str, str]] = set()
    while todo:
        requirement = Requirement(todo.pop())
        name = canonical(requirement.name)
        for extra in {"", *requirement.extras} - {extra for known, extra in needed if known == name}:
            needed.add((name, extra))
            below = [Requirement(line) for line in importlib.metadata.requires(name) or []]
            todo += [str(r) for r in below if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in needed}


def test_constraints_pin_what_the_tests_run_on() -> None:
    pinned = pins_of("constraints.txt")
    needed = installed_for([*PROJECT["project"]["dependencies"], *EXTRAS["docs"], *EXTRAS["test"]])
    assert needed <= pinned, f"not in constraints.txt: {needed - pinned}"
    assert pinned <= needed, f"in constraints.txt for nobody: {pinned - needed}"


@pytest.mark.parametrize(
    ("file", "extras", "target"),
    [
        ("constraints-torch.txt", ("torch",), "torch"),
        ("constraints-cluster.txt", ("dask", "parquet"), "cluster"),
    ],
)
def test_constraints_pin_what_extras_need_beside_them(
    file: str, extras: tuple[str, ...], target: str
) -> None:
    wanted = [line for extra in extras for line in EXTRAS[extra]]
    for line in wanted:
        name = Requirement(line).name
        pytest.importorskip(name, reason=f"{name} is not installed: `make {target}` installs it")
    pinned, others = pins_of(file), pins_of("constraints.txt")
    needed = installed_for(wanted)
    assert needed <= pinned | others, f"not in {file}: {needed - pinned - others}"
    unused = pinned - (needed - others) - (OLDER if sys.version_info >= (3, 12) else set())
    assert not unused, f"in {file} for nobody: {unused}"


def test_import_is_light() -> None:
    program = f"import sys, hwsim; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert in_fresh_python(program) == "[]"


def test_public_names_are_loaded_on_first_use() -> None:
    """`Result` needs neither the simulator nor a front end, and nothing is loaded before it is asked for."""
    program = (
        "import sys, hwsim; before = 'hwsim.result' in sys.modules; hwsim.Result; "
        "print(before, 'hwsim.result' in sys.modules, 'hwsim.sim' in sys.modules, 'Result' in vars(hwsim))"
    )
    assert in_fresh_python(program) == "False True False True"


def test_public_names_exist_and_are_typed() -> None:
    import hwsim

    for name in hwsim.__all__:
        assert getattr(hwsim, name) is not None
        assert name in dir(hwsim)
    tree = ast.parse((ROOT / "hwsim" / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    typed = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert typed == hwsim._HOMES, "type checkers and callers must find the same names in the same places"
    assert set(typed) < set(hwsim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'simulate'"):
        hwsim.simulate  # noqa: B018


@pytest.mark.parametrize("first", ["hwsim.validate", "hwsim.pipeline", "hwsim"])
def test_public_names_win_over_subpackages_of_the_same_name(first: str) -> None:
    program = f"import {first}, hwsim; print(type(hwsim.validate).__name__, callable(hwsim.validate))"
    assert in_fresh_python(program) == "function True"
