"""Measurement files: what is read, what is refused and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import SpecError
from hwsim.validate import validate
from hwsim.validate.rows import read_rows

HEADER = "design,op,dtype,metric,value,M,N,K,overrides\n"
ROW = "systolic_plain,gemm,int8,compute_cycles,40,16,16,10,array.rows=16 array.cols=16 dataflow=os\n"
CONV = (
    "design,op,dtype,batch,in_channels,height,width,out_channels,kernel_h,kernel_w,stride_h,stride_w,pad_h,"
    "pad_w,overrides,metric,value\n"
)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(folder: Path, content: str | bytes) -> str:
    with pytest.raises(SpecError) as caught:
        validate(written(folder, content))
    return str(caught.value)


BAD = {
    "empty": ("", "rows.csv:1:1: is empty"),
    "blank": ("\n \n", "rows.csv:1:1: is empty"),
    "header only": (HEADER, "holds a header and no rows"),
    "binary": (b"\x50\x4b\x03\x04\x00\x00", "is not CSV: it holds binary data"),
    "another encoding": (HEADER.encode() + ROW.encode() + b"\xe9,\n", "rows.csv:3:1: is not CSV in UTF-8"),
    "prose": ("Dear all,\nplease find\n", "columns are missing: design, op, dtype, metric, value"),
    "missing column": (HEADER.replace("metric,", ""), "column is missing: metric"),
    "misspelt column": (HEADER.replace("value", "vlaue"), "vlaue: is not a column; did you mean value?"),
    "misspelt optional": (HEADER.replace("overrides", "overides"), "did you mean overrides?"),
    "column twice": (HEADER.replace("N,K", "M,K"), "M: is the name of two columns"),
    "short row": (
        HEADER + ROW + "systolic_plain,gemm\n",
        "rows.csv:3:1: has 2 fields where the header names 9",
    ),
    "long row": (HEADER + ROW.replace("\n", ",1\n"), "rows.csv:2:1: has 10 fields"),
    "open quote": (HEADER + ROW + 'systolic_plain,"gemm\n', "is not CSV"),
    "blank design": (HEADER + ROW.replace("systolic_plain", " "), "rows.csv:2:1: design: is blank"),
    "blank value": (HEADER + ROW.replace(",40,", ",,"), "rows.csv:2:1: value: is blank"),
    "value in words": (
        HEADER + ROW.replace(",40,", ",fast,"),
        "value: is 'fast': it must be a number above 0",
    ),
    "NaN": (HEADER + ROW + ROW.replace(",40,", ",NaN,"), "rows.csv:3:1: value: is 'NaN'"),
    "infinite": (HEADER + ROW.replace(",40,", ",inf,"), "value: is 'inf'"),
    "too large to hold": (HEADER + ROW.replace(",40,", ",1e999,"), "value: is '1e999'"),
    "underscores": (HEADER + ROW.replace(",40,", ",4_0,"), "value: is '4_0'"),
    "zero": (HEADER + ROW.replace(",40,", ",0,"), "value: is '0': it must be a number above 0"),
    "negative": (HEADER + ROW.replace(",40,", ",-40,"), "value: is '-40'"),
    "size in words": (HEADER + ROW.replace("16,16,10", "16,x,10"), "rows.csv:2:1: N: is 'x'"),
    "size of zero": (HEADER + ROW.replace("16,16,10", "16,0,10"), "N: is '0': it must be a number above 0"),
    "size in parts": (
        HEADER + ROW.replace("16,16,10", "16,1.5,10"),
        "N: is '1.5': it must be a whole number",
    ),
    "size beyond counts": (HEADER + ROW.replace("16,16,10", "16,1e12,10"), "at most 1,000,000,000"),
    "size missing": (HEADER + ROW.replace("16,16,10", "16,16,"), "rows.csv:2:1: gemm needs K"),
    "size columns missing": (
        "design,op,dtype,metric,value\ntpu_v1,gemm,int8,latency_us,1\n",
        "gemm needs M, N, K",
    ),
    "negative padding": (
        CONV + "tpu_v1,conv2d,int8,1,3,8,8,4,3,3,1,1,-1,0,,latency_us,1\n",
        "pad_h: is '-1'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_with_file_and_line(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    assert message in told(tmp_path, content)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = told(tmp_path, HEADER + ROW.replace(",40,", ",0,") + ROW + ROW.replace("16,16,10", "16,x,-1"))
    assert [line.split("rows.csv")[1] for line in text.splitlines()] == [
        ":2:1: value: is '0': it must be a number above 0",
        ":4:1: N: is 'x': it must be a number above 0",
        ":4:1: K: is '-1': it must be a number above 0",
    ]


def test_endless_problems_are_counted(tmp_path: Path) -> None:
    lines = told(tmp_path, HEADER + ROW.replace(",40,", ",0,") * 1000).splitlines()
    assert len(lines) == 21
    assert lines[-1].endswith("and 980 more problems")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.csv", "there is no such file"),
        (".", "is a folder"),
        ("a\0b.csv", "cannot be read"),
        ("/dev/zero", "is not a regular file"),
    ],
)
def test_unreadable_path(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        validate(tmp_path / path)


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    quoted = ROW.replace("\n", ",of a\nletter\n").replace(",of a\nletter", ',"of a\nletter"')
    text = HEADER.replace("\n", ",source\n") + quoted + "\n" + ROW.replace("\n", ",\n")
    rows = read_rows(written(tmp_path, text)).rows
    assert [row.line for row in rows] == [3, 5]  # where each row ends
    assert rows[0].cells["source"] == "of a\nletter"


def test_marks_and_line_ends_of_spreadsheets(tmp_path: Path) -> None:
    text = "\ufeff" + (HEADER + ROW.replace("16,16,10", "16.0,16.0,10.0")).replace("\n", "\r\n")
    report = validate(written(tmp_path, text))
    assert report.exact == 1


def test_overrides_may_hold_spaces(tmp_path: Path) -> None:
    text = HEADER + ROW.replace("array.rows=16 ", "clock=500 MHz  array.rows=16 ")
    (row,) = read_rows(written(tmp_path, text)).rows
    assert row.overrides == ("clock=500 MHz", "array.rows=16", "array.cols=16", "dataflow=os")
