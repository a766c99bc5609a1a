"""What a synthetic extract was made with, in the terms of the primary questions: the truth that estimates can be held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from p4equity.diagnostics.findings import primary_analysis
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import Context
from p4equity.evaluation.pooled import stacked_data

COLUMNS = ("measure_id", "group", "reference_rate", "group_rate", "gap")
SIDES = {"reference_rate": "effect_reference", "group_rate": "effect_group", "gap": "effect_gap"}


def planted_table(context: Context, truth: Mapping[str, Any]) -> pd.DataFrame:
    """Planted effects in percentage points: pooled over contracted measures, then each measure pooled over groups and by group.

    truth: the extract's `truth.json`. Pooling uses the weights of the estimates, over the groups that enter them.
    """
    variant = context.variant(primary_analysis(context))
    cohort = context.study.launch_cohort
    effect = {(e["measure_id"], e["group"]): e for e in truth["expected"] if e["cohort"] == cohort}
    pairs = [p for p in baseline_series(context, variant) if p in effect]
    weights = group_weights(context, pairs, variant)
    rows: list[dict[str, Any]] = []
    for measure in context.study.measure_sets.contracted:
        own = [i for i, (m, _) in enumerate(pairs) if m == measure]
        if own:
            rows.append(_row(measure, "pooled", [effect[pairs[i]] for i in own], [weights[i] for i in own]))
        rows += [_row(measure, g, [effect[measure, g]], [1.0]) for g in context.study.groups.compared if (measure, g) in effect]
    return pd.DataFrame([*_pooled(context, rows), *rows], columns=list(COLUMNS))


def _row(measure: str, group: str, effects: Sequence[Mapping[str, float]], weights: Sequence[float]) -> dict[str, Any]:
    means = {side: float(np.average([e[key] for e in effects], weights=weights)) for side, key in SIDES.items()}
    return {"measure_id": measure, "group": group, **means}


def _pooled(context: Context, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pooled row: measures weighted as the pooled estimate weights their contracted cells."""
    analysis = next((a for a in context.study.analyses if a.registered == "primary" and a.pooled), None)
    by_measure = {r["measure_id"]: r for r in rows if r["group"] == "pooled"}
    if analysis is None or not by_measure:
        return []
    pooled = stacked_data(context, analysis)
    data, measures = pooled.sides["gap"], pooled.measures
    if not data.estimable or not set(measures) <= set(by_measure):
        return []
    shares = zip(data.measure_weights, measures, strict=True)
    pairs = [(w, by_measure[m]) for w, m in shares]
    means = {side: float(sum(w * row[side] for w, row in pairs)) for side in SIDES}
    return [{"measure_id": "pooled", "group": "pooled", **means}]
