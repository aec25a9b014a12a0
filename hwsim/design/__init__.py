"""Designs: what machines are, as data. `load_design` reads one; how it behaves lives in `hwsim.devices`."""

from hwsim.design.links import LinkSpec
from hwsim.design.load import HOST, design_schema, design_text, load_design
from hwsim.design.spec import Design, DeviceSpec, TechnologySpec

__all__ = [
    "HOST",
    "Design",
    "DeviceSpec",
    "LinkSpec",
    "TechnologySpec",
    "design_schema",
    "design_text",
    "load_design",
]
