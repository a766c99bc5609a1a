"""The pooled question: one effect over all contracted system x measure cells, and the same without each system in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import Changes, rate_changes
from p4equity.disparity.panel import ALL, Panel
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Context, base_row
from p4equity.evaluation.margins import pooled_margin_rows
from p4equity.evaluation.two_stage import ESTIMAND, LABELS, changes_of_gaps, count_base, fit_columns, permutation_columns
from p4equity.evaluation.weighting import fixed_line, members_of_cells, weights_of_cells
from p4equity.inference.averaged_t import stacked_averaged_component, stacked_averaged_t
from p4equity.inference.random_effects import RandomEffectsFit
from p4equity.inference.stacked import Stacked, stacked_component, stacked_meta_regression
from p4equity.inference.stacked_permutation import stacked_permutation
from p4equity.study import Analysis

Array = NDArray[np.float64]


def left_out(context: Context, analysis: Analysis, measure: str | None = None) -> tuple[str | None, ...]:
    """The systems without which a measure's question, or the pooled one, is asked in turn; None where it is asked of all."""
    if analysis.leave_out is None:
        return (None,)
    asked = analysis if measure is not None else analysis.model_copy(update={"contracts": "any"})
    return context.arms(asked, measure).systems or (None,)


@dataclass(frozen=True)
class PooledData:
    """Stacked changes of each side (gap, reference, group) in points, and what they were made from.

    Of a question about rates of all members there is one side, called gap, and no reference (""). line: (S, M) registered
    weights of the answer, where precision does not give them.
    """

    sides: dict[str, Stacked]
    systems: tuple[str, ...]
    measures: tuple[str, ...]
    changes: Changes
    panel: Panel
    reference: str
    line: Array | None = None


def stacked_data(context: Context, analysis: Analysis, without: str | None = None) -> PooledData:
    """The pooled question's changes: measures with a baseline gap, systems of both arms, contracts of the cohorts asked about."""
    variant, rates = context.variant(analysis), analysis.outcome == "rate"
    panel, asked = context.panel(variant), context.study.measure_ids(analysis.measures)
    pairs = [(m, ALL) for m in asked if m in context.measures] if rates else baseline_series(context, variant)
    measures = tuple(m for m in asked if any(p[0] == m for p in pairs))
    series = [p for p in pairs if p[0] in measures]
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), None, without)
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(analysis, arms)
    if rates:
        changes = rate_changes(panel, measures, windows, arms.comparison, context.study.inference.minimum_denominator)
    else:
        changes = changes_of_gaps(context, variant, series, windows, arms.comparison)
    at = np.array([panel.systems.index(s) for s in arms.systems if s in panel.systems], int)
    systems = tuple(panel.systems[i] for i in at)
    contracts = np.array([[s in context.arms(analysis, m, without).treated for m in measures] for s in systems], bool).reshape(
        len(systems), len(measures)
    )
    weights = group_weights(context, series, variant, analysis.weighting)
    cells, line = _cell_weights(context, analysis, series, measures, systems), None
    strata = context.strata(systems)
    names = ("gap",) if rates else tuple(LABELS)
    sides = {side: _stack(changes, series, measures, weights, side, at, contracts, strata, cells) for side in names}
    if analysis.estimator == "meta_regression" and analysis.weighting != "random_effects" and sides["gap"].estimable:
        gap = sides["gap"]
        mask = gap.included(gap.contracts) & (gap.measure_weights > 0)
        line = fixed_line(weights_of_cells(context, analysis, series, measures, systems), contracts, mask)
    reference = "" if rates else str(context.study.groups.reference)
    return PooledData(sides, systems, measures, changes, panel, reference, line)


def _cell_weights(
    context: Context, analysis: Analysis, series: Sequence[tuple[str, str]], measures: Sequence[str], systems: Sequence[str]
) -> Array | None:
    """(S, M) registered weights of contracted cells: equal (None), or members of the compared groups in the weights years."""
    if context.study.inference.group_weights == "equal" and analysis.weighting != "patient":
        return None
    return members_of_cells(context, context.variant(analysis), series, measures, systems)


def _stack(
    changes: Changes,
    series: Sequence[tuple[str, str]],
    measures: Sequence[str],
    weights: dict[int, float],
    side: str,
    at: NDArray[np.int64],
    contracts: NDArray[np.bool_],
    strata: NDArray[np.int64],
    cells: Array | None,
) -> Stacked:
    values, covariance = getattr(changes, side)[at], getattr(changes, f"{side}_covariance")[at]
    member = np.array([[m == measure for measure, _ in series] for m in measures], float).reshape(len(measures), len(series))
    registered = member * np.array([weights[i] for i in range(len(series))])
    loading = registered / registered.sum(axis=1, keepdims=True)
    missing = np.einsum("sj,mj->sm", ~np.isfinite(values), member) > 0  # a mean needs all groups of the measure
    y = np.where(missing, np.nan, np.nan_to_num(values) @ loading.T)
    V = np.einsum("mj,sjk,nk->smn", loading, covariance, loading)
    return Stacked(POINTS * y, contracts, POINTS**2 * V, strata, cells)


def pooled_rows(context: Context, analysis: Analysis, without: str | None = None) -> list[dict[str, Any]]:
    """Rows of the question over all measures, without one system where one is named."""
    plan = context.study.inference
    data = stacked_data(context, analysis, without)
    paid = set(context.study.measure_ids(analysis.measures)) <= set(context.study.measure_sets.contracted)
    common = base_row(
        context, analysis, estimand=f"{ESTIMAND}, {'contracted ' if paid else ''}measures pooled", measure_id="pooled",
        outcome=analysis.outcome, group="pooled" if data.reference else ALL, reference_group=data.reference or None,
        outcome_unit="percentage points", sample="main" if without is None else f"without {without}",
    )  # fmt: skip
    gap = data.sides["gap"]
    common |= pooled_base(data)
    rows: list[dict[str, Any]] = []
    try:
        for method in analysis.inference:
            if method == "permutation":
                result = stacked_permutation(gap, plan.conf_level, plan.permutation_limit, context.seed(analysis.id))
                rows.append({**common, **permutation_columns(result)})
                continue
            first = without is None and all(r["inference"] == "permutation" for r in rows)
            wanted = tuple(data.sides) if first else ("gap",)
            for side, fit in pooled_fits(context, data.sides, method, plan.conf_level, wanted, data.line).items():
                rows.append({**common, **fit_columns(fit, method), "inference": method})
                if side != "gap":
                    rows[-1]["outcome"] = LABELS[side]
    except (P4Error, np.linalg.LinAlgError) as error:
        reason = error.problem if isinstance(error, P4Error) else "too few systems for the pooled regression"
        rows = [{**common, "inference": m, "status": "not_estimable", "reason": reason} for m in analysis.inference]
    return rows + pooled_margin_rows(context, analysis, gap, rows)


def pooled_fits(
    context: Context,
    sides: dict[str, Stacked],
    method: str,
    conf_level: float,
    wanted: Sequence[str],
    line: Array | None = None,
) -> dict[str, RandomEffectsFit]:
    """The pooled answer for the gap, and its weights applied to the other sides wanted; a registered `line` weighs all sides."""
    gap, others = sides["gap"], [side for side in wanted if side != "gap"]
    varying, plain = method == "averaged_t_varying", method in ("knapp_hartung", "none")

    def component(side: str, given: Array) -> RandomEffectsFit:
        if plain:
            return stacked_component(sides[side], given, conf_level)
        return stacked_averaged_component(sides[side], given, conf_level, varying)

    if line is not None:
        return {side: component(side, line) for side in dict.fromkeys(["gap", *wanted])}
    weights = () if gap.cell_weights is None else (gap.cell_weights,)
    own = context.fitted(
        "pooled, " + ("knapp_hartung" if plain else method), (gap.y, gap.contracts, gap.covariance, gap.strata, *weights),
        lambda: stacked_meta_regression(gap, conf_level) if plain else stacked_averaged_t(gap, conf_level, varying),
    )  # fmt: skip
    return {"gap": own, **{side: component(side, own.weights) for side in others}}


def pooled_base(data: PooledData) -> dict[str, Any]:
    """Counts behind a pooled row: systems, contracted systems, members and cells of the included system-measures."""
    gap, panel = data.sides["gap"], data.panel
    members, cells, years = 0.0, 0, set[int]()
    n_clusters = n_treated = 0
    if gap.estimable:
        mask = gap.included(gap.contracts)
        n_clusters, n_treated = int(mask.any(axis=1).sum()), int((mask & gap.contracts).any(axis=1).sum())
        for j, measure in enumerate(data.measures):
            own = data.changes.of_measure(measure)
            found = count_base(
                own,
                panel,
                [s for s, used in zip(data.systems, mask[:, j], strict=True) if used],
                [data.reference] if data.reference else [],
            )
            members, cells, years = members + found[0], cells + found[1], years | found[2]
    return {
        "n_clusters": n_clusters,
        "n_treated_clusters": n_treated,
        "n_members": int(members),
        "n_cells": cells,
        "first_year": min(years, default=None),
        "last_year": max(years, default=None),
    }
