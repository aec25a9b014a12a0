"""Where what ships is found by name: designs, workloads, weights ... A path that is shown, never guessed.

A name is looked up in the working directory, then in each folder of $HWSIM_PATH, then in the installed
package, then in the checkout (an editable install has no copies in the package).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from hwsim.errors import Problem, SpecError

_PACKAGE = Path(__file__).resolve().parent

# Shelf -> its folder below a root, and the extensions of its files in the order they are tried.
SHELVES: dict[str, tuple[str, tuple[str, ...]]] = {
    "designs": ("designs", (".yaml",)),
    "workloads": ("workloads", (".yaml", ".onnx")),
    "technology": ("designs/technology", (".csv",)),
    "weights": ("workloads/weights", (".npz",)),
    "data": ("workloads/data", (".npz",)),
    "recipes": ("recipes", (".yaml",)),
    "spaces": ("spaces", (".yaml",)),
}
# What is a path by its ending alone, though no name is looked up with it: working directories hold tables of
# other things.
PATHS: dict[str, tuple[str, ...]] = {"workloads": (".csv", ".json")}
SAVED = "workload.yaml"  # in the folder of a workload that was saved with its weights
_WORDS = {
    "designs": "design",
    "workloads": "workload",
    "technology": "technology table",
    "weights": "weights file",
    "data": "data set",
    "recipes": "recipe",
    "spaces": "space",
}


def find(shelf: str, name: str | Path) -> Path:
    """The file that `name` means on a shelf (one of SHELVES).

    What has a separator or an extension of the shelf is a path and used as it is; whether it can be read is
    for the reader to find. Raises SpecError, with close names and the places searched, for an unknown name.
    """
    _, extensions = SHELVES[shelf]
    text = os.fspath(name)
    if is_path(shelf, text):
        return Path(text)
    places = list(_folders(shelf))
    if text.strip() and "\0" not in text:
        for folder in places:
            for extension in extensions:
                candidate = folder / f"{text}{extension}"
                if _is_file(candidate):
                    return candidate
            if shelf == "workloads" and _is_file(folder / text / SAVED):
                return folder / text / SAVED
    raise SpecError(Problem("", 0, 0, "", _unknown(shelf, text, places)))


def is_path(shelf: str, text: str) -> bool:
    """Whether `text` is a path rather than a name."""
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    endings = (*SHELVES[shelf][1], *PATHS.get(shelf, ()))
    return text.lower().endswith(endings) or any(separator in text for separator in separators)


def names(shelf: str) -> list[str]:
    """The names shipped with hwsim on a shelf, sorted."""
    return sorted(_stems(shelf, _shipped(shelf)))


def _shipped(shelf: str) -> Iterator[Path]:
    folder, _ = SHELVES[shelf]
    for root in (_PACKAGE / "_shipped", _PACKAGE.parent):
        if _is_folder(root / folder):
            yield root / folder
            return  # never whatever else lies beside an installed package


def _folders(shelf: str) -> Iterator[Path]:
    """Where names are looked up, in order. A root may hold files itself or have the shelf's folder."""
    folder, _ = SHELVES[shelf]
    extra = [entry for entry in os.environ.get("HWSIM_PATH", "").split(os.pathsep) if entry]
    for root in (".", *extra):
        yield Path(root)
        yield Path(root) / folder
    yield from _shipped(shelf)


def _stems(shelf: str, folders: Iterator[Path]) -> set[str]:
    _, extensions = SHELVES[shelf]
    found: set[str] = set()
    for folder in folders:
        try:
            found.update(
                p.stem for p in folder.iterdir() if p.suffix in extensions and not p.name.startswith(".")
            )
        except OSError:  # absent or unreadable: nothing is found there
            continue
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or no permission on the way
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _unknown(shelf: str, name: str, places: list[Path]) -> str:
    known = sorted(_stems(shelf, iter(places)))
    short = name if len(name) <= 80 else f"{name[:80]}..."
    near = difflib.get_close_matches(name.lower()[:80], known, n=3, cutoff=0.5)
    if near:
        cure = f"did you mean {' or '.join(near)}?"
    else:
        shipped = names(shelf)
        cure = f"shipped are {', '.join(shipped)}" if shipped else "none is shipped"
    looked = ", ".join(str(place) for place in places if _is_folder(place))
    return f"there is no {_WORDS[shelf]} called {short!r}; {cure} (looked in {looked})"
