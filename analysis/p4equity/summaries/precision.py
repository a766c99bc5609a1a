"""Precision before outcomes: what each contracted measure and group could detect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from p4equity.diagnostics.findings import primary_analysis
from p4equity.evaluation.baseline import baseline_series, network_gap
from p4equity.evaluation.context import POINTS, Context
from p4equity.evaluation.planned import PlannedQuestion, planned_question, planned_stack
from p4equity.inference.stacked_permutation import attainable
from p4equity.power import minimal_detectable_change, stacked_detectable_change
from p4equity.study import Analysis

COLUMNS = (
    "measure_id", "group", "n_contracted", "n_comparison", "mde_low", "mde_high", "tau_low", "tau_high", "n_assignments",
    "p_attainable", "baseline_gap", "meaningful_change",
)  # fmt: skip
POOLED = "pooled"


def power_table(context: Context) -> pd.DataFrame:
    """Detectable change at 80% power: all contracted measures together, then each measure and group.

    Over the range of yearly shocks the plan assumes. Denominators, rates, overlap and gaps are those of baseline years: no
    result of a year under contract enters.
    """
    study, analysis = context.study, primary_analysis(context)
    pairs = baseline_series(context, context.variant(analysis))
    rows = _pooled(context)
    for measure in study.measure_sets.contracted:
        own = tuple(g for m, g in pairs if m == measure)
        for label, groups in [*((g, (g,)) for g in study.groups.compared), (POOLED, own)]:
            asked = planned_question(context, analysis, measure, groups)
            if asked is None:
                continue
            arm = asked.treated
            spreads = [asked.with_shocks(shock).covariance[:, 0, 0] for shock in study.inference.shocks]
            found = [minimal_detectable_change(v, arm, 0.0, conf_level=study.inference.conf_level) for v in spreads]
            gap = float(np.mean([_gap(context, analysis, measure, g) for g in groups]))
            rows.append({"measure_id": measure, "group": label} | _row(context, asked, found, gap))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _pooled(context: Context) -> list[dict[str, Any]]:
    """The row of the primary question over all contracted measures, when the plan asks it and it can be formed."""
    study = context.study
    analysis = next((a for a in study.analyses if a.registered == "primary" and a.pooled), None)
    asked = None if analysis is None else planned_stack(context, analysis)
    if analysis is None or asked is None:
        return []
    spreads = [asked.with_shocks(shock) for shock in study.inference.shocks]
    found = [stacked_detectable_change(cells, 0.0, study.inference.conf_level) for cells in spreads]
    pairs = baseline_series(context, context.variant(analysis))
    by_measure = [np.mean([_gap(context, analysis, m, g) for m, g in pairs if m == measure]) for measure in asked.measures]
    gap = float(np.average(by_measure, weights=asked.cells.measure_weights))
    return [{"measure_id": POOLED, "group": POOLED} | _row(context, asked, found, gap)]


def _gap(context: Context, analysis: Analysis, measure: str, group: str) -> float:
    """Baseline gap over all systems, points."""
    return POINTS * network_gap(context, context.variant(analysis), measure, group)[0]


def _row(context: Context, asked: PlannedQuestion, found: list[float], gap: float) -> dict[str, Any]:
    """Arms, detectable changes over the range of shocks, what a permutation can give at best, and the gap to close."""
    plan, arm, cells = context.study.inference, asked.treated, asked.cells
    counted = cells.present & (cells.measure_weights > 0)
    total, smallest = attainable(cells.contracts, counted, cells.strata, plan.permutation_limit)
    return {
        "n_contracted": int(arm.sum()), "n_comparison": int((~arm).sum()), "mde_low": found[0], "mde_high": found[1],
        "tau_low": plan.shocks[0], "tau_high": plan.shocks[1], "n_assignments": total, "p_attainable": smallest,
        "baseline_gap": gap, "meaningful_change": plan.meaningful_share * gap if gap > 0 else None,
    }  # fmt: skip
