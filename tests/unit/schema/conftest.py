"""Reading a text as the sample spec."""

from __future__ import annotations

import pytest

from hwsim.errors import SpecError
from hwsim.schema import load_yaml
from tests.unit.schema.samples import Machine


@pytest.fixture
def load(tmp_path):
    def read(text, *overrides, spec=Machine):
        path = tmp_path / "m.yaml"
        path.write_text(text)
        return load_yaml(path, spec, overrides)

    return read


@pytest.fixture
def problems(load, tmp_path):
    """The problems of a text as lines, without the folder."""

    def read(text, *overrides):
        with pytest.raises(SpecError) as caught:
            load(text, *overrides)
        return [str(p).replace(f"{tmp_path}/", "") for p in caught.value.problems]

    return read
