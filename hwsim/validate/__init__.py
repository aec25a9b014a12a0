"""Validation: measured and published figures in, error tables out."""

from hwsim.validate.measured import validate
from hwsim.validate.report import write_reports
from hwsim.validate.score import Outcome, Summary, ValidationReport

__all__ = ["Outcome", "Summary", "ValidationReport", "validate", "write_reports"]
