"""The technology that tests of cost work by hand, in its own node and scaled."""

from __future__ import annotations

import pytest

from hwsim.cost import Technology, load_technology


@pytest.fixture(scope="session")
def at_45() -> Technology:
    return load_technology("horowitz", 45)


@pytest.fixture(scope="session")
def at_28() -> Technology:
    return load_technology("horowitz", 28)
