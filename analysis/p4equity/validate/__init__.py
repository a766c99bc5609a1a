"""Checks an extract against the data dictionary and the study: every problem in one report."""

from __future__ import annotations

from p4equity.validate.model import Example, Problem, TableSummary, ValidationReport
from p4equity.validate.run import validate

__all__ = ["Example", "Problem", "TableSummary", "ValidationReport", "validate"]
