"""Result folders that runs write, and faults put into them."""

from __future__ import annotations

import gzip
import json
from contextlib import chdir
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hwsim.pipeline import run
from hwsim.result.folder import write_folder
from tests.conftest import ROOT
from tests.fuzz.mutate import NUMBERS, damaged_bytes, damaged_table, damaged_tree, packed, scalar


@cache
def result_folders() -> tuple[dict[str, bytes], ...]:
    """What three runs write. Results say where files were, so they are made in one place."""
    found = []
    for workload, design, verify in (
        ("lenet300", "systolic_32", True), ("lenet5", "gemmini_16", True), ("tpu_mlp0", "tpu_v1", False),
    ):  # fmt: skip
        with TemporaryDirectory() as made, chdir(ROOT):
            result = run(f"workloads/{workload}.yaml", f"designs/{design}.yaml", verify=verify)
            folder = write_folder(result, Path(made) / "result")
            found.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    return tuple(found)


def damaged_folder(rng: Random) -> dict[str, bytes]:
    """A result folder with one or two damaged files, or with one thing said otherwise in all of them."""
    files = dict(rng.choice(result_folders()[:2] if rng.random() < 0.9 else result_folders()))
    if rng.random() < 0.4:
        return _said_everywhere(rng, files)
    for name in rng.sample(sorted(files), rng.choice((1, 1, 2))):
        what = rng.random()
        unpacked = name.endswith(".gz") and what > 0.3
        content = gzip.decompress(files[name]) if unpacked else files[name]
        if what < 0.05:
            del files[name]
            return files
        if what < 0.1:
            content = rng.choice(result_folders()).get(name, b"")
        elif what < 0.4:
            content = damaged_bytes(rng, content)
        elif ".json" in name:
            content = json.dumps(damaged_tree(rng, json.loads(content))).encode("utf-8", "surrogatepass")
        else:
            content = damaged_table(rng, content.decode().splitlines())
        files[name] = packed(content) if unpacked else content
    return files


def _said_everywhere(rng: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """One cell or value exchanged in all files alike, so that they still agree with one another."""
    texts = {name: (gzip.decompress(c) if name.endswith(".gz") else c).decode() for name, c in files.items()}
    words = texts["operators.csv"].replace("\r\n", ",").split(",")
    words += map(str, json.loads(texts["result.json"])["summary"].values())
    for old in rng.sample(sorted({word for word in words if len(word) > 1}), rng.choice((1, 1, 2, 4))):
        new = str(rng.choice(NUMBERS))
        if rng.random() < 0.6:
            text = rng.choice((str(scalar(rng)), "<script>", "</script><b>", "a,b", "\u202e" * 9, ""))
            new = json.dumps(text)[1:-1]
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    raw = {name: text.encode("utf-8", "surrogatepass") for name, text in texts.items()}
    return {name: packed(c) if name.endswith(".gz") else c for name, c in raw.items()}
