"""The pooled question: one effect over all contracted system x measure cells, and the same without each system in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import Changes, gap_changes
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Arms, Context, base_row
from p4equity.evaluation.two_stage import ESTIMAND, LABELS, fit_columns, permutation_columns
from p4equity.inference.stacked import Stacked, stacked_component, stacked_meta_regression, stacked_permutation
from p4equity.study import Analysis

Array = NDArray[np.float64]


def pooled_rows(context: Context, analysis: Analysis) -> list[dict[str, Any]]:
    """Rows of an analysis with `pooled = "measures"`; with `leave_out`, one row for each system left out."""
    if analysis.leave_out is None:
        return _rows(context, analysis, None)
    whole = analysis.model_copy(update={"contracts": "any"})
    return [row for system in context.arms(whole, None).systems for row in _rows(context, analysis, system)]


def stacked_data(
    context: Context, analysis: Analysis, without: str | None = None
) -> tuple[dict[str, Stacked], tuple[str, ...], tuple[str, ...], Arms]:
    """Stacked changes of each side (gap, reference, group) in points, with the systems, the measures and the arms."""
    variant = context.variant(analysis)
    panel = context.panel(variant)
    pairs = baseline_series(context, variant)
    measures = tuple(m for m in context.study.measure_ids(analysis.measures) if any(p[0] == m for p in pairs))
    series = [p for p in pairs if p[0] in measures]
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), None, without)
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(analysis, arms)
    minimum = context.study.inference.minimum_denominator
    changes = gap_changes(panel, series, str(context.study.groups.reference), windows, arms.comparison, minimum)
    at = np.array([panel.systems.index(s) for s in arms.systems if s in panel.systems], int)
    systems = tuple(panel.systems[i] for i in at)
    contracts = np.array([[s in context.arms(analysis, m, without).treated for m in measures] for s in systems], bool).reshape(
        len(systems), len(measures)
    )
    weights = group_weights(context, series, variant)
    sides = {side: _stack(changes, series, measures, weights, side, at, contracts, context.strata(systems)) for side in LABELS}
    return sides, systems, measures, arms


def _stack(
    changes: Changes,
    series: Sequence[tuple[str, str]],
    measures: Sequence[str],
    weights: dict[int, float],
    side: str,
    at: NDArray[np.int64],
    contracts: NDArray[np.bool_],
    strata: NDArray[np.int64],
) -> Stacked:
    values, covariance = getattr(changes, side)[at], getattr(changes, f"{side}_covariance")[at]
    member = np.array([[m == measure for measure, _ in series] for m in measures], float)
    registered = np.array([weights[i] for i in range(len(series))])
    have = np.isfinite(values)
    loading = member[None] * (have * registered)[:, None, :]
    total = loading.sum(axis=2, keepdims=True)
    loading = np.divide(loading, total, out=np.zeros_like(loading), where=total > 0)
    y = np.where(total[:, :, 0] > 0, np.einsum("smj,sj->sm", loading, np.nan_to_num(values)), np.nan)
    V = np.einsum("smj,sjk,snk->smn", loading, covariance, loading)
    return Stacked(POINTS * y, contracts, POINTS**2 * V, strata)


def _rows(context: Context, analysis: Analysis, without: str | None) -> list[dict[str, Any]]:
    plan = context.study.inference
    common = base_row(
        context, analysis, estimand=f"{ESTIMAND}, contracted measures pooled", measure_id="pooled", outcome="gap", group="pooled",
        reference_group=context.study.groups.reference, outcome_unit="percentage points",
        sample="main" if without is None else f"without {without}",
    )  # fmt: skip
    sides, systems, measures, arms = stacked_data(context, analysis, without)
    gap = sides["gap"]
    mask = gap.included(gap.contracts) if len(measures) else np.zeros((0, 0), bool)
    common |= _base(context, analysis, arms, systems, measures, mask)
    rows: list[dict[str, Any]] = []
    try:
        fit = stacked_meta_regression(gap, plan.conf_level)
    except (P4Error, np.linalg.LinAlgError) as error:
        reason = error.problem if isinstance(error, P4Error) else "too few systems for the pooled regression"
        return [{**common, "inference": m, "status": "not_estimable", "reason": reason} for m in analysis.inference]
    if "knapp_hartung" in analysis.inference:
        rows.append({**common, **fit_columns(fit), "inference": "knapp_hartung"})
        if without is None:
            for side in ("reference", "group"):
                part = stacked_component(sides[side], fit.weights, plan.conf_level)
                rows.append({**common, **fit_columns(part), "inference": "knapp_hartung", "outcome": LABELS[side]})
    if "permutation" in analysis.inference:
        result = stacked_permutation(gap, plan.conf_level, plan.permutation_limit, context.seed(analysis.id))
        rows.append({**common, **permutation_columns(result)})
    return rows


def _base(
    context: Context, analysis: Analysis, arms: Arms, systems: Sequence[str], measures: Sequence[str], mask: NDArray[np.bool_]
) -> dict[str, Any]:
    """Counts behind a pooled row: systems, contracted systems, members and cells of the included system-measures."""
    panel = context.panel(context.variant(analysis))
    windows = context.windows(analysis, arms)
    pairs = baseline_series(context, context.variant(analysis))
    members, cells, years = 0.0, 0, set[int]()
    for i, s in enumerate(systems):
        used = sorted({*windows[s][0], *windows[s][1]})
        at = [panel.years.index(t) for t in used]
        for j, m in enumerate(measures):
            if mask[i, j]:
                groups = [g for measure, g in pairs if measure == m] + [str(context.study.groups.reference)]
                block = panel.den[panel.systems.index(s)][np.ix_([panel.index(m, g) for g in groups], at)]
                members, cells, years = members + float(block.sum()), cells + int((block > 0).sum()), years | set(used)
    return {
        "n_clusters": int(mask.any(axis=1).sum()) if len(mask) else 0,
        "n_treated_clusters": sum(s in arms.treated for s in systems),
        "n_members": int(members),
        "n_cells": cells,
        "first_year": min(years, default=None),
        "last_year": max(years, default=None),
    }
