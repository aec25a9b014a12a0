"""The report: a result folder as one page that a person reads. Knows files only, no Result in memory."""

from hwsim.report.page import draw, render

__all__ = ["draw", "render"]
