"""What the years after an exit could change: the effect over all contract years, those of a system that left within a range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import Changes
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Arms, Context, base_row, failed_rows, no_arm
from p4equity.evaluation.pooled import pooled_fits, stacked_data
from p4equity.evaluation.question import EARLY, left_early
from p4equity.evaluation.tasks import POOLED
from p4equity.evaluation.two_stage import fit_columns, form_question, question_changes, two_stage_fits
from p4equity.inference.missing_years import MOST, at_bound, missing_share, turning_point
from p4equity.inference.random_effects import RandomEffectsFit
from p4equity.study import Analysis

ESTIMAND = "average effect on contracted systems over all contract years, those after an exit within a range"
OUTCOME, TURNING = "gap_bound", "gap_bound_turning"  # the registered outcome, and the least range that undoes the answer
LOWEST, HIGHEST, TURN = "lowest", "highest", "turning"
END = "end"  # the changes at one end of the range, beside those seen, whose weights they take
NONE_LEFT = "no system of this question left before its contract years ended"
ALL_EARLY = f"each system of this question with an exit {EARLY}"
OPEN = "the interval includes zero without the missing years"
NO_RANGE = "the plan registers no range for the years after an exit (population.exit_range)"
Fit = Callable[[float], RandomEffectsFit]


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """Three rows a measure, and for all of them pooled: both bounds, and the range at which an interval reaches zero."""
    asked = [*context.study.measure_ids(analysis.measures), *([POOLED] if analysis.also_pooled else [])]
    return dict.fromkeys(asked, 3 * len(analysis.inference))


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """Estimate and interval when the years after an exit lie at either end of the registered range, and the range that undoes it.

    The contract years that a system was seen in stay as they are; in those after its exit its change in the gap may lie up to
    `exit_range` points to either side of them; the lowest end for contracted systems that left goes with the highest one for
    comparison systems that left. Weights are those of the answer without the missing years: with them nothing in the range leads
    beyond the ends. (Had the years been seen, the system would be measured better and could weigh somewhat more.) The interval at
    an end holds the spread that it brings. The third row is the least range at which an interval at an end includes zero.
    """
    points = context.study.population.exit_range
    try:
        reason, common, fits = _pooled(context, analysis) if measure == POOLED else _of_measure(context, analysis, measure)
        if reason or points is None:
            return _failed(context, analysis, measure, reason or NO_RANGE)
        found = []
        for method in analysis.inference:
            fit = fits(method)
            for sample, shift in ((LOWEST, -points), (HIGHEST, points)):
                found.append({**common, "sample": sample, "inference": method, **fit_columns(fit(shift), method)})
            found.append(_turning({**common, "inference": method}, fit))
    except (P4Error, np.linalg.LinAlgError) as error:
        return _failed(context, analysis, measure, getattr(error, "problem", "too few systems for the pooled regression"))
    return found


def _turning(common: dict[str, Any], fit: Fit) -> dict[str, Any]:
    def interval(points: float) -> tuple[float, float]:
        moved = fit(points)
        return moved.conf_low, moved.conf_high

    found = turning_point(interval)
    row = {**common, "sample": TURN, "outcome": TURNING}
    if not found:
        reason = OPEN if found == 0 else f"at no range up to {MOST:.0f} points does an interval include zero"
        return {**row, "status": "not_estimable", "reason": reason}
    return {**row, "estimate": found}


def _of_measure(context: Context, analysis: Analysis, measure: str) -> tuple[str | None, dict[str, Any], Callable[[str], Fit]]:
    """The reason why there is no answer, the columns all rows share, and the fit at a shift by method: one measure."""
    groups = tuple(g for m, g in baseline_series(context, context.variant(analysis)) if m == measure)
    arms = context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    reason = reason or (None if groups else "no group has a baseline gap above zero")
    if reason:
        return reason, {}, _never
    changes = question_changes(context, analysis, context.panel(context.variant(analysis)), arms, measure, groups)
    question = form_question(context, analysis, changes, arms, measure)
    share = dict(zip(changes.systems, _missing(context, analysis, changes, arms).max(axis=1), strict=True))
    missing = np.array([share[s] for s in question.systems])
    y = question.values["gap"]

    def fits(method: str) -> Fit:
        def fit(points: float) -> RandomEffectsFit:
            values = {"gap": y, END: at_bound(y, missing, question.treated, points)}
            moved = replace(question, values=values, variances=dict.fromkeys(values, question.variances["gap"]))
            return two_stage_fits(context, moved, method, (END,))[END]

        return fit

    common = _common(context, analysis, measure, len(question.systems), int(question.treated.sum()))
    return _none_left(context, analysis, arms, bool(missing.any())), common, fits


def _pooled(context: Context, analysis: Analysis) -> tuple[str | None, dict[str, Any], Callable[[str], Fit]]:
    """The same over all contracted measures."""
    data, arms = stacked_data(context, analysis), context.arms(analysis.model_copy(update={"contracts": "any"}), None)
    if not data.measures:
        return "no group has a baseline gap above zero", {}, _never
    gap, changes = data.sides["gap"], data.changes
    share = _missing(context, analysis, changes, arms)
    at = [changes.systems.index(s) for s in data.systems]
    of_measure = [[j for j, (m, _) in enumerate(changes.series) if m == measure] for measure in data.measures]
    missing = np.stack([share[at][:, j].max(axis=1) for j in of_measure], axis=1)
    mask = gap.included(gap.contracts) if gap.estimable else np.zeros_like(gap.contracts)

    def fits(method: str) -> Fit:
        def fit(points: float) -> RandomEffectsFit:
            moved = {"gap": gap, END: replace(gap, y=at_bound(gap.y, missing, gap.contracts, points))}
            return pooled_fits(context, moved, method, context.study.inference.conf_level, (END,))[END]

        return fit

    counts = int(mask.any(axis=1).sum()), int((mask & gap.contracts).any(axis=1).sum())
    reason = _none_left(context, analysis, arms, bool((missing * mask).any()))
    return reason, _common(context, analysis, POOLED, *counts), fits


def _none_left(context: Context, analysis: Analysis, arms: Arms, missing: bool) -> str | None:
    """Why there is nothing to bound: no system left, or each before a year of its own to stand beside the missing ones."""
    early = left_early(context.windows(analysis, arms))
    return None if missing else ALL_EARLY if early else NONE_LEFT


def _missing(context: Context, analysis: Analysis, changes: Changes, arms: Arms) -> NDArray[np.float64]:
    """(S, J) share of each system's contract years that its exit took, beside those that enter its change."""
    planned = context.windows(analysis.model_copy(update={"exits": "carry"}), arms)
    kept, years = context.windows(analysis, arms), np.asarray(context.panel(context.variant(analysis)).years)
    out = np.zeros(changes.gap.shape)
    for s, system in enumerate(changes.systems):
        if system not in planned:
            continue
        lost = set(planned[system][1]) - set(kept[system][1])
        after = np.isin(years, list(kept[system][1]))
        seen = ((np.nan_to_num(changes.contrasts[s]) > 0) & after).sum(axis=1)
        out[s] = missing_share(seen, np.full(len(seen), len(lost)))
    return out


def _never(method: str) -> Fit:
    raise AssertionError(f"a question without an answer is not fitted ({method})")


def _common(context: Context, analysis: Analysis, measure: str, systems: int, treated: int) -> dict[str, Any]:
    return base_row(
        context, analysis, estimand=ESTIMAND, measure_id=measure, outcome=OUTCOME, group="pooled", n_clusters=systems,
        reference_group=context.study.groups.reference, outcome_unit="percentage points", n_treated_clusters=treated,
    )  # fmt: skip


def _failed(context: Context, analysis: Analysis, measure: str, reason: str) -> list[dict[str, Any]]:
    what = {"estimand": ESTIMAND, "measure_id": measure, "group": "pooled"}
    return [
        row for sample, outcome in ((LOWEST, OUTCOME), (HIGHEST, OUTCOME), (TURN, TURNING))
        for row in failed_rows(context, analysis, reason, **what, outcome=outcome, sample=sample)
    ]  # fmt: skip
