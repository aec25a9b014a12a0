"""The shipped reference sets are run once for all tests here."""

from __future__ import annotations

import pytest

from hwsim.validate import ValidationReport, validate


@pytest.fixture(scope="session")
def reference_report() -> ValidationReport:
    return validate()
