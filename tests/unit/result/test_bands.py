"""Error bands: reading the table, and what it says of a run."""

from __future__ import annotations

from dataclasses import replace

from hwsim.result import Result
from hwsim.result.bands import COLUMNS, ErrorBand, error_bands, error_class, read_bands
from tests.samples import sample_result

# The sample: transfer 50 ps, conv2d 1,700 ps, matmul 0 ps of 1,750 ps.
TEXT = ",".join(COLUMNS) + "\nmachine,int8,conv2d,120,5.5,-8,12\nmachine,int8,transfer,7,1,-50,86\n"


def plain_result() -> Result:
    result = sample_result()
    return replace(result, provenance=replace(result.provenance, overrides=()))


def test_a_table_is_read_by_design_format_and_operator() -> None:
    bands = read_bands(TEXT)
    assert bands["machine", "int8", "conv2d"] == ErrorBand(120, 5.5, -8.0, 12.0)
    assert len(bands) == 2


def test_bands_are_averaged_by_time() -> None:
    # (1700 x -8 + 50 x -50) / 1750 = -9.2; (1700 x 12 + 50 x 86) / 1750 = 14.1
    assert error_class(plain_result(), read_bands(TEXT)) == "-9 to +14 %"


def test_what_is_not_covered_is_said() -> None:
    bands = read_bands(TEXT)
    conv = {key: band for key, band in bands.items() if key[2] == "conv2d"}
    assert error_class(plain_result(), conv) == "-8 to +12 %, 97 % of the time"
    assert error_class(plain_result(), {}) == "not validated"
    other = {("machine", "fp32", "conv2d"): ErrorBand(1, 1, 1, 1)}
    assert error_class(plain_result(), other) == "not validated"


def test_an_altered_design_is_not_the_one_that_was_validated() -> None:
    assert error_class(sample_result(), read_bands(TEXT)) == "not validated"


def test_the_shipped_table_can_be_read() -> None:
    for (design, dtype, operator), band in error_bands().items():
        assert design
        assert dtype
        assert operator
        assert band.rows > 0
        assert band.p10_pct <= band.p90_pct
