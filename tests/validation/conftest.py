"""The shipped reference sets are run once for all tests here."""

from __future__ import annotations

import pytest

from hwsim.validate import ValidationReport, validate
from hwsim.validate.eie_paper import EiePaper, compare_eie


@pytest.fixture(scope="session")
def reference_report() -> ValidationReport:
    return validate()


@pytest.fixture(scope="session")
def eie_paper() -> EiePaper:
    """Takes some ten seconds: the patterns of 100 million weights are drawn."""
    return compare_eie()
