"""Honesty rules: plans and results are checked against problem, bounds and trace before anyone sees them."""

from hwsim.checks.rules import check_plans, check_result, check_storage, check_transfers

__all__ = ["check_plans", "check_result", "check_storage", "check_transfers"]
