"""Run the registered plan: every analysis to rows, gates applied, one checked table out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from p4equity.estimates import NOT_ESTIMABLE, estimates_table
from p4equity.evaluation.baseline import baseline_rows
from p4equity.evaluation.by_system import system_rows
from p4equity.evaluation.claims import claim_rows
from p4equity.evaluation.context import Context, alone, check_study_arms
from p4equity.evaluation.pooled import pooled_rows
from p4equity.evaluation.two_stage import two_stage_rows
from p4equity.study import Analysis, Study

Progress = Callable[[str, int, int], None]


def evaluate(
    context: Context, *, failed: Mapping[str, Mapping[str, str]] | None = None, progress: Progress | None = None
) -> pd.DataFrame:
    """Every registered analysis of the context's study on its cells, as the estimates table.

    failed: what failed gates govern, as {"all": {gate: reason}, measure: {gate: reason}, "race_sensitivity": {...}}.
    Linear algebra runs on one thread, so that results do not depend on the machine's cores.
    """
    study = context.study
    check_study_arms(study)
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):
        rows += baseline_rows(context) if study.data.kind == "counts" else []
        for done, analysis in enumerate(study.analyses):
            if progress:
                progress(analysis.id, done, len(study.analyses))
            rows += analysis_rows(context, analysis)
        # What a failed gate governs has no answer, so it is no part of a hierarchy either.
        rows = govern(rows, failed or {}, study)
        rows += claim_rows(context, [row for row in rows if row["estimator"] == "meta_regression"])
    return estimates_table(rows)


def analysis_rows(context: Context, analysis: Analysis) -> list[dict[str, Any]]:
    """Rows of one analysis, by its estimator."""
    if analysis.estimator == "meta_regression":
        each = [] if analysis.pooled else two_stage_rows(context, analysis)
        return each + (pooled_rows(context, analysis) if analysis.pooled or analysis.also_pooled else [])
    if analysis.estimator == "system_change":
        return system_rows(context, analysis)
    from p4equity.evaluation.regression import regression_rows

    return regression_rows(context, analysis)


def govern(rows: list[dict[str, Any]], failed: Mapping[str, Mapping[str, str]], study: Study) -> list[dict[str, Any]]:
    """Rows that a failed gate governs become not estimable, with the gate as the reason. Descriptive rows stay."""
    out = []
    for row in rows:
        scopes = ["all", row["measure_id"], alone(row["measure_id"])]
        if row["measure_id"] == "pooled":
            scopes += list(study.measure_sets.contracted)
        if study.race and row["race_version"] != study.race.primary:
            scopes.append("race_sensitivity")
        reasons = [f"gate {gate} failed: {why}" for scope in scopes for gate, why in failed.get(scope, {}).items()]
        if reasons and row["estimator"] != "descriptive":
            row = {**row, "status": NOT_ESTIMABLE, "reason": "; ".join(dict.fromkeys(reasons))}
        out.append(row)
    return out
