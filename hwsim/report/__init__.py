"""The report: a folder of results as one page that a person reads. Knows files only, no Result in memory."""

from hwsim.report.compression import Origin, draw_compression
from hwsim.report.draw import draw, render

__all__ = ["Origin", "draw", "draw_compression", "render"]
