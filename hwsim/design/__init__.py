"""Designs: what machines are, as data. `load_design` reads one; how it behaves lives in `hwsim.devices`."""

from hwsim.design.load import design_schema, load_design
from hwsim.design.spec import Design, DeviceSpec, TechnologySpec

__all__ = ["Design", "DeviceSpec", "TechnologySpec", "design_schema", "load_design"]
