"""Device behaviour, one file a kind: pure functions of a spec, without clock or simulator."""

from __future__ import annotations

from hwsim.devices.base import ChoosesByRates, Device, chooses_by_rates
from hwsim.devices.kinds import make_device

__all__ = ["ChoosesByRates", "Device", "chooses_by_rates", "make_device"]
