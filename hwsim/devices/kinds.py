"""The table of device kinds: kind name -> behaviour. A new kind is one row here, one spec and one file."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hwsim.devices.base import Device
from hwsim.devices.cpu import CpuDevice
from hwsim.devices.eie import EieDevice
from hwsim.devices.gpu import GpuDevice
from hwsim.devices.systolic import SystolicDevice

KINDS: dict[str, Callable[[Any], Device]] = {
    "systolic": SystolicDevice,
    "eie": EieDevice,
    "cpu": CpuDevice,
    "gpu": GpuDevice,
}


@lru_cache(maxsize=64)
def make_device(spec: Any) -> Device:
    """The behaviour of a device spec; equal specs share one device, and so its plans."""
    return KINDS[spec.kind](spec)
