"""How much of the change in rates and gaps comes from readings that reach the payer, and how much from better control."""

from __future__ import annotations

from typing import Any

import numpy as np

from p4equity.disparity.panel import ALL, Array
from p4equity.disparity.readings import PARTS, reading_changes
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Arms, Context, base_row, failed_rows, no_arm
from p4equity.evaluation.question import question_of
from p4equity.evaluation.two_stage import question_answers
from p4equity.study import Analysis

ESTIMAND = "part of the effect that comes from {part}"
UNIT = "percentage points"
SIDES = ("rate", "gap")  # of all members; reference less compared groups


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """Two parts of the rate and two of the gap, by each inference; one answer where nothing can be split."""
    sides = len(SIDES) if context.study.groups.compared else 1
    each = {
        m: sides * len(PARTS) if context.study.measure(m).has_reading else 1 for m in context.study.measure_ids(analysis.measures)
    }
    return {m: n * len(analysis.inference) for m, n in each.items()}


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """Both parts of the effect on the rate of all members, then of the effect on the gap, by the registered inferences."""
    arms = context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    if not context.study.measure(measure).has_reading:
        identity = {
            "estimand": ESTIMAND.format(part="readings"),
            "measure_id": measure,
            "outcome": analysis.outcome,
            "group": ALL,
        }
        return failed_rows(context, analysis, "the measure has no reading to split its rate by", **identity)
    found = []
    for side in SIDES if context.study.groups.compared else SIDES[:1]:
        for i, part in enumerate(PARTS):
            identity = {
                "estimand": f"{ESTIMAND.format(part=part)}, {side}", "measure_id": measure, "outcome": f"{side}_from_{part}",
                "group": ALL if side == "rate" else "pooled",
            }  # fmt: skip
            found += _part_rows(context, analysis, measure, arms, side, i, identity, reason)
    return found


def _part_rows(
    context: Context, analysis: Analysis, measure: str, arms: Arms, side: str, part: int, identity: dict[str, Any],
    reason: str | None,
) -> list[dict[str, Any]]:  # fmt: skip
    made = None if reason else _changes(context, analysis, measure, arms, side)
    if made is None:
        return failed_rows(context, analysis, reason or "no group has a baseline gap above zero", **identity)
    systems = context.panel(context.variant(analysis)).systems
    sides = {"gap": (POINTS * made[0][:, part], POINTS**2 * made[1][:, part])}
    question = question_of(systems, arms, sides, UNIT)
    reference = context.study.groups.reference if side == "gap" else None
    common = base_row(
        context, analysis, **identity, reference_group=reference, sample=question.note, outcome_unit=UNIT,
        n_clusters=len(question.systems),
        n_treated_clusters=int(question.treated.sum()),
    )  # fmt: skip
    return question_answers(context, analysis, question, common)


def _changes(context: Context, analysis: Analysis, measure: str, arms: Arms, side: str) -> tuple[Array, Array] | None:
    """(S, 2) parts and variances of the rate of all members, or of the reference group less the registered mean of the others."""
    variant = context.variant(analysis)
    panel = context.panel(variant)
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(analysis, arms)
    minimum = context.study.inference.minimum_denominator

    def of(group: str) -> tuple[Array, Array]:
        return reading_changes(panel, measure, group, windows, arms.comparison, minimum)

    if side == "rate":
        return of(ALL)
    series = [p for p in baseline_series(context, variant) if p[0] == measure]
    if not series:
        return None
    weights = np.array(list(group_weights(context, series, variant).values()))
    parts, variances = of(str(context.study.groups.reference))
    for share, (_, group) in zip(weights / weights.sum(), series, strict=True):
        own = of(group)
        parts, variances = parts - share * own[0], variances + share**2 * own[1]
    return parts, variances
