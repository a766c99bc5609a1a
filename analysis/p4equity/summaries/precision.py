"""Precision before outcomes: what each contracted measure and group could detect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from p4equity.diagnostics.findings import primary_analysis
from p4equity.evaluation.baseline import baseline_series, network_gap
from p4equity.evaluation.context import POINTS, Context
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.inference.permutation import attainable_p, count_assignments, enumerate_assignments
from p4equity.power import minimal_detectable_change

COLUMNS = (
    "measure_id", "group", "n_contracted", "n_comparison", "mde_low", "mde_high", "tau_low", "tau_high", "n_assignments",
    "p_attainable", "baseline_gap", "meaningful_change",
)  # fmt: skip
SHOCKS = (0.5, 1.5)  # range of residual shocks in a system's change, percentage points


def power_table(context: Context) -> pd.DataFrame:
    """Detectable change of each contracted measure and group at 80% power, over a range of between-system shocks.

    Uses denominators, baseline rates and the overlap of members; no outcome of a contract year by arm.
    """
    study, analysis = context.study, primary_analysis(context)
    panel = context.panel(context.variant(analysis))
    pairs = baseline_series(context, context.variant(analysis))
    rows: list[dict[str, Any]] = []
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
            low, high = (minimal_detectable_change(v, arm, tau**2, conf_level=study.inference.conf_level) for tau in SHOCKS)
            gaps = [POINTS * network_gap(context, panel, measure, g)[0] for g in groups]
            gap = float(np.mean(gaps))
            rows.append(
                {
                    "measure_id": measure, "group": label, "n_contracted": int(arm.sum()), "n_comparison": int((~arm).sum()),
                    "mde_low": low, "mde_high": high, "tau_low": SHOCKS[0], "tau_high": SHOCKS[1],
                    **_assignments(context, question.systems, arm), "baseline_gap": gap,
                    "meaningful_change": study.inference.meaningful_share * gap if gap > 0 else None,
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _assignments(context: Context, systems: tuple[str, ...], arm: Any) -> dict[str, Any]:
    strata = context.strata(systems)
    total = count_assignments(arm, strata)
    if total > context.study.inference.permutation_limit:
        return {"n_assignments": total, "p_attainable": 1 / total}
    return {"n_assignments": total, "p_attainable": attainable_p(enumerate_assignments(arm, strata).astype(float))}
