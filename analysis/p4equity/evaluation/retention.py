"""Differential churn: whether members of a group leave contracted systems more than others do, there and elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from p4equity.disparity.composition import AgeCounts, age_counts
from p4equity.disparity.panel import Array, Panel
from p4equity.disparity.retention import retention_gap
from p4equity.evaluation.composition import LACKING
from p4equity.evaluation.context import POINTS, Context, base_row, failed_rows, no_arm
from p4equity.evaluation.question import question_of
from p4equity.evaluation.two_stage import LABELS, question_answers
from p4equity.study import Analysis

ESTIMAND = "difference in staying between groups, contracted minus comparison systems"
SIDES = {LABELS["reference"]: "retention_reference", LABELS["group"]: "retention_group"}


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One answer a measure, group and inference."""
    each = len(analysis.inference) * len(context.study.groups.compared)
    return dict.fromkeys(context.study.measure_ids(analysis.measures), each)


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """Each group's staying against the reference's, systems as units.

    Of the members in the measure's denominator in the last baseline year: the share who stayed with one practice, with the
    minimum months, to the last year. gap = reference - group. There is one such share a system, so arms are compared as they
    are: a lasting difference between arms counts as churn.
    """
    arms = context.arms(analysis, measure)
    variant = context.variant(analysis)
    aged = context.rows(context.ages, variant)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    reason = reason or (None if len(aged) else LACKING)
    if reason:
        what = {"estimand": ESTIMAND, "measure_id": measure, "outcome": analysis.outcome}
        return [r for g in context.study.groups.compared for r in failed_rows(context, analysis, reason, **what, group=g)]
    panel = context.panel(variant)
    counts = context.once(("ages", variant), lambda: age_counts(panel, aged))
    found = []
    for group in context.study.groups.compared:
        members, stayed = members_and_stayed(context, panel, counts, measure, group)
        sides = retention_gap(members, stayed, context.study.inference.minimum_denominator)
        scaled = {k: (POINTS * value, POINTS**2 * variance) for k, (value, variance) in sides.items()}
        question = question_of(panel.systems, arms, scaled, "percentage points")
        kept = np.isin(panel.systems, question.systems)
        common = base_row(
            context, analysis, estimand=ESTIMAND, measure_id=measure, outcome=analysis.outcome, group=group, sample=question.note,
            reference_group=context.study.groups.reference, outcome_unit=question.unit, n_clusters=len(question.systems),
            n_treated_clusters=int(question.treated.sum()), n_members=int(members[kept].sum()),
            first_year=baseline_year(context), last_year=max(context.study.years),
        )  # fmt: skip
        answers = question_answers(context, analysis, question, common)
        found += [{**row, "outcome": SIDES.get(row["outcome"], row["outcome"])} for row in answers]
    return found


def baseline_year(context: Context) -> int:
    """The year whose members are followed."""
    return max(context.study.baseline.pre_years)


def members_and_stayed(context: Context, panel: Panel, counts: AgeCounts, measure: str, group: str) -> tuple[Array, Array]:
    """(S, 2) members of the reference group and of a group in the denominator of the baseline year, and those who stayed."""
    at, year = [panel.index(measure, g) for g in (str(context.study.groups.reference), group)], baseline_year(context)
    t = panel.years.index(year)
    return counts.den[:, at, t].sum(axis=2), counts.den_stayed[:, at, t].sum(axis=2)
