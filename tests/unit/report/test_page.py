"""The page as text: what it says, that nothing in it can act, how large and quick it is, and its contrast."""

from __future__ import annotations

import html
import itertools
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwsim.cli.main import main
from hwsim.errors import SpecError
from hwsim.report import draw, render
from hwsim.result.folder import FILES, write_folder
from tests.processes import printed
from tests.samples import sample_result
from tests.unit.report.folders import (
    checked_folder,
    compressed_folder,
    edit_json,
    named_folder,
    sample_folder,
    wide_folder,
)

ROOT = Path(__file__).parents[3]
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;{{ 7*7 }}</title></style>\u202e\0"


class Reader(HTMLParser):
    """Tags with attributes, and the text outside of scripts and styles."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(page.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside in self.raw:
            self.raw[inside].append(data)
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def test_the_page_says_how_weights_are_stored_and_that_it_helps_nothing(tmp_path: Path) -> None:
    page = Reader(draw(compressed_folder(tmp_path / "out")))
    said = (
        "Compressed weights help nothing here: machine keeps weights dense (7.81 KiB moved for 1.46 KiB "
        "stored) and multiplies their zeros."
    )
    assert page.text.count(said) == 2  # on the first screen, and above the table
    assert "Weights as stored" in page.text
    for cell in ("conv1 and 1 more", "bitmask, 15 shared", "dense int8, own grid", "on chip", 'fc "2".w'):
        assert cell in page.text
    ids = [attributes.get("id") for tag, attributes in page.tags if tag == "table"]
    assert ids.count("weighttable") == 1


def test_a_page_of_dense_weights_does_not_speak_of_them(tmp_path: Path) -> None:
    page = Reader(draw(sample_folder(tmp_path / "out")))
    assert "weights.csv" not in page.text
    assert "Weights as stored" not in page.text
    assert all(attributes.get("id") != "weighttable" for _, attributes in page.tags)


def test_the_page_says_what_the_run_found(tmp_path: Path) -> None:
    said = Reader(draw(sample_folder(tmp_path / "out", synthetic=True, spilled=("t1", "t2")))).text
    for words in (
        "sample on machine", "batch 2, int8, rows=2", "Synthetic workload", "1.75 ns", "2 cycles at 1 GHz",
        "1.14 G/s", "203 pJ", "102 pJ each", "2.6 % of it leakage", "116 mW",
        "published: 1 W idle, 2 W busy", "2 mm\u00b2", "memory", "array", "the busiest, 48.6 %", "10 MAC",
        "the arithmetic was not executed",
        "a note", "refresh", "2 tensors had no room on chip", "t1, t2", "horowitz", "row 1", "row 4",
        "ab" * 32, "sample.yaml", "batch = 2", "input:x", 'fc, "two"',
    ):  # fmt: skip
        assert words in said.replace("\u202f", " "), words


@pytest.mark.parametrize(
    ("verified", "exact", "said"),
    [
        (None, None, "Verified no the arithmetic was not executed"),
        (True, (True, True), "Verified yes 2 operators computed, bit for bit as the reference"),
        (
            True,
            (True, False),
            "Verified yes 2 operators computed, within the bounds of the format (at most 12.5 %",
        ),
        (False, None, "Verified failed the numbers computed are not"),
    ],
)
def test_the_page_says_whether_and_how_numbers_were_checked(
    tmp_path: Path, verified: bool | None, exact: tuple[bool, bool] | None, said: str
) -> None:
    out = tmp_path / "out"
    folder = checked_folder(out, exact) if exact else sample_folder(out, verified=verified)
    found = Reader(draw(folder))
    assert said in found.text.replace("\u202f", " ")
    assert ("verified" in [a.get("data-column") for _, a in found.tags]) == bool(exact)
    if exact == (True, False):
        assert "12.5 % of bound" in found.text.replace("\u202f", " ")


def test_no_text_of_a_folder_becomes_markup(tmp_path: Path) -> None:
    provenance = sample_result().provenance
    hostile = type(provenance)(
        HOSTILE,
        HOSTILE,
        HOSTILE,
        HOSTILE,
        HOSTILE,
        (HOSTILE,),
        {HOSTILE: 1},
        HOSTILE,
        HOSTILE,
        (HOSTILE,),
        (HOSTILE,),
    )
    calm = Reader(draw(named_folder(tmp_path / "calm", ("a", "b", "c"))))
    page = draw(
        named_folder(
            tmp_path / "out",
            (HOSTILE, HOSTILE + "b", HOSTILE + "c"),
            workload=HOSTILE,
            design=HOSTILE,
            dtype=HOSTILE,
            provenance=hostile,
            published={HOSTILE: 1.0},
            spilled=(HOSTILE,),
        )
    )
    found = Reader(page)
    assert "onerror=alert(1)" in found.text
    assert "{{ 7*7 }}" in found.text
    assert "\u202e" not in page.decode()
    assert "\0" not in page.decode()
    assert [tag for tag, _ in found.tags if tag in ("script", "img")] == ["script"]
    assert found.raw == calm.raw, "scripts and styles hold nothing of the folder"
    allowed = {name for _, attributes in calm.tags for name in attributes}
    assert {name for _, attributes in found.tags for name in attributes} <= allowed
    assert not [name for name in allowed if name.startswith("on") or name == "style"]


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    found = Reader(draw(sample_folder(tmp_path / "out")))
    links = [
        value
        for _, attributes in found.tags
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster")
        if (value := attributes.get(name)) is not None and not value.startswith("#")
    ]
    assert sorted(set(links)) == ["data:,", "https://ui.perfetto.dev", "operators.csv"]  # an icon, two links
    assert not re.search(r"url\((?!#)|@import", "".join(found.raw["style"]))
    policy = next(a["content"] for _, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_anchors_and_labels_lead_somewhere_and_ids_are_single(tmp_path: Path) -> None:
    found = Reader(draw(wide_folder(tmp_path / "out", 30)))
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in found.tags:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(name, ids[0]) in ids
        target = attributes.get("href") or ""
        if target.startswith("#"):
            assert target[1:] in ids
    heads = [(tag, a) for tag, a in found.tags if tag == "th"]
    assert all(a.get("scope") in ("row", "col") for _, a in heads)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path / "out")
    code = "import sys; from hwsim.report import draw; sys.stdout.buffer.write(draw(sys.argv[1]))"
    pages = [printed(code, str(folder), hash_seed=seed) for seed in (0, 9)]
    assert pages[0] == pages[1] == draw(folder)


def test_render_writes_the_page_beside_the_files_and_again(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path / "out")
    assert render(folder) == folder / "report.html"
    first = (folder / "report.html").read_bytes()
    assert first == draw(folder)
    (folder / "report.html").write_text("old")
    render(str(folder))
    assert (folder / "report.html").read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "report.html"])
    write_folder(sample_result(batch=3), folder)  # a folder with a page in it is a result still
    assert not (folder / "report.html").exists()


def test_a_large_run_makes_a_page_of_bounded_size_in_bounded_time(tmp_path: Path) -> None:
    folder = wide_folder(tmp_path / "out", 4000)
    draw(folder)
    began = time.process_time()
    page = draw(folder)
    assert time.process_time() - began < 3
    assert len(page) < 1.5e6
    said = Reader(page).text
    assert "3,000 operators that took least time are only there" in said
    assert "25 to a column" in said


def test_a_run_that_takes_no_time_has_a_page(tmp_path: Path) -> None:
    """Every resource of a design may be unlimited."""
    result = sample_result()
    zeros = np.zeros_like
    timing, trace = result.timing, result.trace
    timing = replace(
        timing, completion_ps=zeros(timing.completion_ps), busy_ps=zeros(timing.busy_ps),
        active_ps=zeros(timing.active_ps), stalls_ps=zeros(timing.stalls_ps), makespan_ps=0,
        macs=zeros(timing.macs),
    )  # fmt: skip
    trace = replace(
        trace, durations_ps=zeros(trace.durations_ps), start_ps=zeros(trace.start_ps), makespan_ps=0
    )
    said = Reader(draw(sample_folder(tmp_path / "out", timing=timing, trace=trace))).text
    assert "No part of the machine took any time" in said
    assert not re.search(r"\b(nan|inf)\b", said)


def test_the_command_draws_again_and_refuses_what_is_no_result(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path / "out")
    done = CliRunner().invoke(main, ["report", str(folder)])
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{folder}/report.html\n", "")
    edit_json(folder / "result.json", lambda found: found.pop("machine"))
    for wrong, words in ((folder, "machine: is missing"), (tmp_path, "result.json: there is no such file")):
        refused = CliRunner().invoke(main, ["report", str(wrong)])
        assert refused.exit_code == 2
        assert refused.stderr.startswith("hwsim: error: ")
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_run_writes_the_page_that_report_draws(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = CliRunner().invoke(main, ["run", "lenet5", "-d", "tpu_v1", "-q", "--out", str(folder)])
    assert done.exit_code == 0, done.stderr
    assert (folder / "report.html").read_bytes() == draw(folder)


def colours(scheme: str) -> dict[str, str]:
    """The custom colours of one scheme, as the style sheet sets them."""
    style = (ROOT / "hwsim" / "report" / "page.css").read_text(encoding="utf-8")
    blocks = {
        "light": style.split("@media", 1)[0],
        "dark": style.split("prefers-color-scheme: dark", 1)[1].split("\n}", 1)[0],
        "print": style.split("@media print", 1)[1],
    }
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme]))
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks["light"])) | found


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, WCAG 2.2, "contrast ratio" and "relative luminance"."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_colours_have_the_contrast_that_wcag_aa_asks(scheme: str) -> None:
    c = colours(scheme)
    for ink, ground in itertools.product(("ink", "dim", "link"), ("page", "card", "track")):
        assert contrast(c[ink], c[ground]) >= 4.5, (ink, ground)
    for shade in ("t0", "t1"):
        assert contrast(c["in"], c[shade]) >= 4.5, shade
        assert contrast(c[shade], c["track"]) >= 3, shade
    for mark in range(8):
        for ground in ("card", "track"):
            assert contrast(c[f"c{mark}"], c[ground]) >= 3, (mark, ground)
    assert contrast(c["focus"], c["card"]) >= 3
    assert len({c[f"c{mark}"] for mark in range(8)}) == 8


def test_escapes_are_not_doubled(tmp_path: Path) -> None:
    page = draw(sample_folder(tmp_path / "out", workload="a & b")).decode()
    assert html.escape("a & b") in page
    assert "&amp;amp;" not in page


def test_a_page_that_cannot_be_drawn_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = write_folder(sample_result(), tmp_path / "out", draw)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {*FILES, "report.html"}

    def broken(_: Path) -> bytes:
        raise SpecError("no")

    with pytest.raises(SpecError):
        write_folder(sample_result(batch=9), folder, broken)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
