"""Precision before outcomes: what each contracted measure and group could detect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.diagnostics.findings import primary_analysis
from p4equity.evaluation.baseline import baseline_series, network_gap
from p4equity.evaluation.context import POINTS, Context
from p4equity.evaluation.pooled import stacked_data
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.inference.permutation import attainable_p, count_assignments, enumerate_assignments
from p4equity.inference.stacked_permutation import contract_patterns, count_rows
from p4equity.power import minimal_detectable_change, stacked_detectable_change

COLUMNS = (
    "measure_id", "group", "n_contracted", "n_comparison", "mde_low", "mde_high", "tau_low", "tau_high", "n_assignments",
    "p_attainable", "baseline_gap", "meaningful_change",
)  # fmt: skip


def power_table(context: Context) -> pd.DataFrame:
    """Detectable change at 80% power: all contracted measures together, then each measure and group.

    Over the range of between-system spread the plan assumes. Uses sampling variances and baseline gaps, never a change.
    """
    study, analysis, plan = context.study, primary_analysis(context), context.study.inference
    panel = context.panel(context.variant(analysis))
    pairs = baseline_series(context, context.variant(analysis))
    rows = _pooled(context)
    for measure in study.measure_sets.contracted:
        own = tuple(g for m, g in pairs if m == measure)
        arms = context.arms(analysis, measure)
        for label, groups in [*((g, (g,)) for g in study.groups.compared), ("pooled", own)]:
            if measure not in context.measures or not groups or not arms.treated or not arms.comparison:
                continue
            changes = question_changes(context, analysis, panel, arms, measure, groups)
            question = form_question(context, analysis, changes, arms, measure)
            if not question.treated.any() or question.treated.all() or len(question.systems) < 3:
                continue
            v, arm = question.variances["gap"], question.treated
            low, high = (minimal_detectable_change(v, arm, tau**2, conf_level=plan.conf_level) for tau in plan.shocks)
            gaps = [POINTS * network_gap(context, context.variant(analysis), measure, g)[0] for g in groups]
            gap = float(np.mean(gaps))
            rows.append(
                {
                    "measure_id": measure, "group": label, "n_contracted": int(arm.sum()), "n_comparison": int((~arm).sum()),
                    "mde_low": low, "mde_high": high, "tau_low": study.inference.shocks[0], "tau_high": study.inference.shocks[1],
                    **_assignments(context, question.systems, arm), "baseline_gap": gap,
                    "meaningful_change": study.inference.meaningful_share * gap if gap > 0 else None,
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _pooled(context: Context) -> list[dict[str, Any]]:
    """The row of the primary question over all contracted measures, when the plan asks it and it can be formed."""
    study = context.study
    analysis = next((a for a in study.analyses if a.registered == "primary" and a.pooled), None)
    if analysis is None:
        return []
    pooled = stacked_data(context, analysis)
    data, measures = pooled.sides["gap"], pooled.measures
    if not data.estimable:
        return []
    arm: NDArray[np.bool_] = np.asarray(data.contracts.any(axis=1), bool)
    low, high = (stacked_detectable_change(data, tau**2, study.inference.conf_level) for tau in study.inference.shocks)
    total = count_rows(contract_patterns(data.contracts)[1], data.strata)
    pairs = [p for p in baseline_series(context, context.variant(analysis)) if p[0] in measures]
    by_measure = [
        np.mean([network_gap(context, context.variant(analysis), m, g)[0] for m, g in pairs if m == measure])
        for measure in measures
    ]
    gap = POINTS * float(np.average(by_measure, weights=data.measure_weights))
    return [
        {
            "measure_id": "pooled", "group": "pooled", "n_contracted": int(arm.sum()), "n_comparison": int((~arm).sum()),
            "mde_low": low, "mde_high": high, "tau_low": study.inference.shocks[0], "tau_high": study.inference.shocks[1],
            "n_assignments": total, "p_attainable": 1 / total, "baseline_gap": gap,
            "meaningful_change": study.inference.meaningful_share * gap,
        }
    ]  # fmt: skip


def _assignments(context: Context, systems: tuple[str, ...], arm: Any) -> dict[str, Any]:
    strata = context.strata(systems)
    total = count_assignments(arm, strata)
    if total > context.study.inference.permutation_limit:
        return {"n_assignments": total, "p_attainable": 1 / total}
    return {"n_assignments": total, "p_attainable": attainable_p(enumerate_assignments(arm, strata).astype(float))}
