"""Whether systems attract or shed members of a group under contract: the group's share of attributed members as an outcome."""

from __future__ import annotations

from typing import Any

from p4equity.disparity.attributed_share import share_changes
from p4equity.evaluation.context import POINTS, Context, base_row, failed_rows, no_arm
from p4equity.evaluation.question import left_early, question_of
from p4equity.evaluation.two_stage import count_base, question_answers
from p4equity.study import Analysis

ESTIMAND = "effect on a group's share of attributed members"
UNIT = "percentage points"


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One answer a group and inference; the measure is the one in whose denominator every attributed member counts."""
    each = len(analysis.inference) * len(context.study.group_ids)
    return dict.fromkeys(context.study.measure_ids(analysis.measures), each)


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """Change in each group's share at contracted systems beyond comparison systems, by the registered inferences."""
    groups, arms = context.study.group_ids, context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    if reason:
        return [
            {**row, "outcome_unit": UNIT} for g in groups
            for row in failed_rows(
                context, analysis, reason, estimand=ESTIMAND, measure_id=measure, outcome=analysis.outcome, group=g
            )
        ]  # fmt: skip
    panel = context.panel(context.variant(analysis))
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(analysis, arms)
    minimum = context.study.inference.minimum_denominator
    found = []
    for group in groups:
        changes = share_changes(panel, measure, (group,), windows, arms.comparison, minimum)
        sides = {"gap": (POINTS * changes.gap[:, 0], POINTS**2 * changes.gap_covariance[:, 0, 0])}
        question = question_of(changes.systems, arms, sides, UNIT, early=left_early(windows))
        n_members, n_cells, years = count_base(changes, panel, question.systems, [])
        common = base_row(
            context, analysis, estimand=ESTIMAND, measure_id=measure, outcome=analysis.outcome, group=group, outcome_unit=UNIT,
            sample=question.note, n_clusters=len(question.systems), n_treated_clusters=int(question.treated.sum()),
            n_members=int(n_members), n_cells=n_cells, first_year=min(years, default=None), last_year=max(years, default=None),
        )  # fmt: skip
        found += question_answers(context, analysis, question, common)
    return found
