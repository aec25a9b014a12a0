"""The fields of the eie kind: their bounds, what must go together, and what they are when left out."""

from __future__ import annotations

import pytest

from hwsim.design import load_design
from hwsim.design.kinds.eie import EieSpec
from hwsim.errors import SpecError

# A field out of its bounds -> words of the message.
OUT_OF_BOUNDS = {
    "clock=0 Hz": "above zero",
    "clock=800": "no unit",
    "pes=0": "at least 1",
    "pes=4097": "at most 4096, not 4097 (a larger machine is too large to simulate)",
    "pes=2.5": "whole number",
    "fifo_depth=1": "at least 2",
    "fifo_depth=65537": "at most 65536",
    "usable_slots=0": "at least 1",
    "usable_slots=9": "a queue of 8 places cannot hold 9",
    "credit_cycles=0": "at least 1",
    "credit_cycles=1025": "at most 1024",
    "empty_column_cycles=-1": "at least 0",
    "index_bits=0": "at least 1",
    "index_bits=17": "at most 16",
    "weight_bits=0": "at least 1",
    "weight_bits=9": "at most 8",
    "accumulator_bits=12": "whole bytes",
    "accumulator_bits=136": "at most 128",
    "matrix_sram.size=7 B": "at least 8 B",
    "matrix_sram.width_bits=4": "at least 8",
    "matrix_sram.width_bits=12": "whole bytes",
    "pointer_sram.size=7 B": "at least 8 B",
    "pointer_sram.pointer_bits=33": "at most 32",
    "pointer_sram.pointer_bits=12": "whole bytes",
    "activations.registers=0": "at least 1",
    "activations.registers=65537": "at most 65536",
    "activations.sram=1 B": "at least 8 B",
    "activations.sram_width_bits=24": "a multiple of 16",
    "pointwise_lanes=0": "at least 1",
    "io.bandwidth=0 GB/s": "above zero",
    "io.technology=ddr9": "did you mean",
    "dtype=int8": "did you mean 'int16'",
    "calibration.sram_area=0": "above 0",
    "calibration.sram_energy=11": "at most 10",
    "calibration.clock_energy_pj=-1": "at least 0",
}  # fmt: skip


@pytest.mark.parametrize("setting", OUT_OF_BOUNDS)
def test_out_of_bounds_is_one_clear_message(setting: str) -> None:
    path = setting.partition("=")[0]
    with pytest.raises(SpecError) as told:
        load_design("eie_64pe", (setting,))
    assert len(told.value.problems) == 1
    assert str(told.value).startswith(f"--set {setting}: devices.eie.{path}: ")
    assert OUT_OF_BOUNDS[setting] in str(told.value)


def test_an_access_must_hold_an_entry() -> None:
    assert load_design("eie_64pe", ("matrix_sram.width_bits=8",)).device_spec.entry_bits == 8
    with pytest.raises(SpecError, match=r"matrix_sram\.width_bits: an access must hold an entry of 9 bits"):
        load_design("eie_64pe", ("matrix_sram.width_bits=8", "weight_bits=5"))


def test_what_follows_from_the_fields() -> None:
    """The paper's PE: 131,072 entries of 8 bits, 16,384 pointers, 15 values beside zero, seven of eight
    places."""
    spec = load_design("eie_64pe").device_spec
    assert isinstance(spec, EieSpec)
    assert (spec.matrix_entries, spec.pointers, spec.table_values, spec.slots) == (131_072, 16_384, 15, 7)
    assert load_design("eie_64pe", ("usable_slots=8",)).device_spec.slots == 8
    assert load_design("eie_64pe", ("fifo_depth=2",)).device_spec.slots == 1
