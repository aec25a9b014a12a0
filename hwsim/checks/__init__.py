"""Honesty rules: a result is checked against plan, trace and bounds before anyone sees it."""

from hwsim.checks.rules import check_result

__all__ = ["check_result"]
