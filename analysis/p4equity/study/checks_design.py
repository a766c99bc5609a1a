"""Checks of questions with a placebo date, or of systems with a counterpart."""

from __future__ import annotations

from p4equity.study.locate import KeyPath
from p4equity.study.plan import Analysis, Plan
from p4equity.study.problems import Problems

FILE = "study.toml"


def check_design(plan: Plan, analysis: Analysis, path: KeyPath, problems: Problems) -> None:
    """Notes a placebo date that is none, and a caliper where no gaps are compared in two stages."""
    if (analysis.estimator == "placebo_date") != (analysis.placebo is not None):
        problems.add(
            FILE, (*path, "placebo"), "the estimator 'placebo_date' has a placebo date, and no other has one",
            expected="a year before the first contract", found=analysis.placebo or "none",
            fix='give placebo with estimator = "placebo_date", and with no other estimator',
        )  # fmt: skip
    if analysis.placebo is not None:
        before = max(analysis.pre_years or plan.baseline.pre_years)
        first = min(analysis.cohorts, default=max(plan.data.years) + 1)
        if not before < analysis.placebo < first or analysis.placebo not in plan.data.years:
            problems.add(
                FILE, (*path, "placebo"), "a placebo date lies after its pre_years and before the contracts asked about",
                expected=f"a year after {before} and before {first}", found=analysis.placebo,
                fix="take an earlier date, or pre_years that end before it",
            )  # fmt: skip
    asked = (analysis.estimator, analysis.outcome, analysis.race_method)
    if analysis.caliper is not None and (asked[:2] != ("meta_regression", "gap") or asked[2] == "imputed"):
        problems.add(
            FILE, (*path, "caliper"), "systems are matched for changes in gaps in two stages, not in every imputation apart",
            expected='estimator = "meta_regression", outcome = "gap", another race_method', found=", ".join(asked),
        )  # fmt: skip
