"""How much of the change in rates and gaps comes from readings that reach the payer, and how much from better control."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from p4equity.disparity.changes import Changes, combine
from p4equity.disparity.panel import ALL, Array, Panel
from p4equity.disparity.readings import PARTS, reading_crosses, split_change
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Arms, Context, base_row, failed_rows, no_arm
from p4equity.evaluation.question import TOO_SMALL, Question, left_early, question_of
from p4equity.evaluation.two_stage import ONE_TREATED, count_base, fit_columns, question_answers, question_changes, two_stage_fits
from p4equity.study import Analysis

ESTIMAND = "part of the effect that comes from {part}"
UNIT = "percentage points"
SIDES = ("rate", "gap")  # of all members; reference less compared groups
NO_READING = "a year without any reading"


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
        made = (reason, None, {}) if reason else _question(context, analysis, measure, arms, side)
        for part in PARTS:
            identity = {
                "estimand": f"{ESTIMAND.format(part=part)}, {side}", "measure_id": measure, "outcome": f"{side}_from_{part}",
                "group": ALL if side == "rate" else "pooled",
            }  # fmt: skip
            found += _part_rows(context, analysis, made, part, identity)
    return found


Asked = tuple[str | None, Question | None, dict[str, Any]]  # why there is none; the question; counts behind it


def _part_rows(context: Context, analysis: Analysis, made: Asked, part: str, identity: dict[str, Any]) -> list[dict[str, Any]]:
    """One part by each inference, with the weights of the whole change: estimates add up. A permutation tests the part alone."""
    reason, question, base = made
    if question is None:
        return failed_rows(context, analysis, str(reason), **identity)
    common = base_row(context, analysis, **identity, **base)
    own = replace(question, values={"gap": question.values[part]}, variances={"gap": question.variances[part]})
    few = {"reason": ONE_TREATED} if question.treated.sum() == 1 else {}
    found = []
    for method in analysis.inference:
        if method == "permutation":
            found += question_answers(context, analysis.model_copy(update={"inference": (method,)}), own, common)
            continue
        try:
            fit = two_stage_fits(context, question, method, ("gap", part))[part]
            found.append({**common, **few, **fit_columns(fit, method), "inference": method})
        except P4Error as error:
            found.append({**common, "inference": method, "status": "not_estimable", "reason": error.problem})
    return found


def _question(context: Context, analysis: Analysis, measure: str, arms: Arms, side: str) -> Asked:
    """The whole change as the primary analysis forms it, with both of its parts as further sides."""
    variant = context.variant(analysis)
    panel = context.panel(variant)
    groups = tuple(g for m, g in baseline_series(context, variant) if m == measure) if side == "gap" else ()
    if side == "gap" and not groups:
        return "no group has a baseline gap above zero", None, {}
    changes = question_changes(context, analysis, panel, arms, measure, groups)
    weights = group_weights(context, changes.series, variant)
    whole, variance = combine(changes, weights, "gap")
    share = np.array([weights[j] for j in range(len(changes.series))])
    crossed, spread = _crossed(context, panel, changes, arms, share / share.sum())
    lacking = np.isfinite(whole) & ~np.isfinite(crossed)
    parts = dict(zip(PARTS, split_change(whole, crossed), strict=True))
    sides = {"gap": (np.where(lacking, np.nan, POINTS * whole), POINTS**2 * variance)}
    sides |= {part: (POINTS * np.asarray(parts[part]), POINTS**2 * spread[:, i]) for i, part in enumerate(PARTS)}
    unread = {s for s, no in zip(changes.systems, lacking, strict=True) if no}
    early = left_early(context.windows(analysis, arms))
    why = partial(_why, unread)
    question = question_of(changes.systems, arms, sides, UNIT, why, early)
    reference = str(context.study.groups.reference) if side == "gap" else None
    members, cells, years = count_base(changes, panel, question.systems, [reference] if reference else [])
    return None, question, {
        "reference_group": reference, "sample": question.note, "outcome_unit": UNIT, "n_clusters": len(question.systems),
        "n_treated_clusters": int(question.treated.sum()), "n_members": int(members), "n_cells": cells,
        "first_year": min(years, default=None), "last_year": max(years, default=None),
    }  # fmt: skip


def _why(unread: Collection[str], lost: Sequence[str]) -> str:
    return NO_READING if set(lost) <= set(unread) else TOO_SMALL


def _crossed(context: Context, panel: Panel, changes: Changes, arms: Arms, share: Array) -> tuple[Array, Array]:
    """(S,) crossed means of the reference group less the registered mean of the others, or of all members; variances (S, 2)."""
    reference = str(context.study.groups.reference)
    size = len(changes.systems)
    crossed, own, shared = np.zeros(size), np.zeros((size, 2)), np.zeros((size, 2))
    for j, (measure, group) in enumerate(changes.series):
        x, variance = reading_crosses(panel, measure, group, changes.contrasts[:, j], arms.comparison)
        if group == ALL:
            return x, variance
        ref, ref_variance = reading_crosses(panel, measure, reference, changes.contrasts[:, j], arms.comparison)
        crossed = crossed + share[j] * (ref - x)
        own += share[j] ** 2 * variance
        shared += share[j] * np.sqrt(ref_variance)  # the same members in every gap
    return crossed, own + shared**2
