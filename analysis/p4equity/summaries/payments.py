"""What each contracted system would earn under the study's payment formula, and how much of it chance alone would earn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from p4equity.dictionary import load_dictionary
from p4equity.disparity.changes import contrast
from p4equity.disparity.panel import ALL, Array, Panel, rate_covariance
from p4equity.errors import P4Error
from p4equity.estimates import NOT_ESTIMABLE, OK
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import POINTS, Context
from p4equity.incentive import Formula, expected_score_by_chance, gate_met, narrowing, score
from p4equity.inference.random_effects import tau2_estimate
from p4equity.power import shrink

if TYPE_CHECKING:
    import pandas as pd


def payment_table(context: Context) -> pd.DataFrame:
    """One row a contracted system, measure and group with a baseline gap: gap, narrowing, score, amount, expected by chance.

    Rates, gaps and standard errors in percentage points, amounts in USD. A system is paid on its own change from the baseline
    to the performance years, as the formula says; it is not compared with other systems, so this is no effect. Years before the
    contract or from a system's exit on do not count. The maximum (USD a member-month) is shared equally by the groups of a
    measure. Null wherever the status is not ok. Empty when the study has no payment formula or no groups.
    """
    import pandas as pd

    columns = load_dictionary().table("payment_result").names
    plan = context.study.payment
    if plan is None or not context.study.groups.compared:
        return pd.DataFrame(columns=list(columns))
    formula = Formula(plan.threshold, plan.slope, plan.cap, plan.gate_margin, plan.statistic)
    variant = (context.study.population.map, context.study.race.primary if context.study.race else "frozen")
    panel, series = context.panel(variant), baseline_series(context, variant)
    rows: list[dict[str, Any]] = []
    for contract in context.study.contract_matrix().to_dict("records"):
        measure = str(contract["measure_id"])
        groups = [g for m, g in series if m == measure]
        years = _performance_years(context, str(contract["system_id"]), int(contract["cohort"]))
        rows += [_row(context, panel, str(contract["system_id"]), measure, g, years, len(groups)) for g in groups]
    _score(rows, formula)
    frame = pd.DataFrame(rows).reindex(columns=list(columns))
    return _typed(frame).sort_values(["measure_id", "group", "system_id"], ignore_index=True)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as the dictionary has them, without the numbers of rows that are not ok."""
    import pandas as pd

    types = {f.name: f.type for f in load_dictionary().table("payment_result").fields}
    for name in frame.columns:
        if types[name] == "number":
            frame[name] = pd.to_numeric(frame[name]).astype("float64").where(frame["status"] == OK)
        elif types[name] == "integer":
            frame[name] = pd.to_numeric(frame[name]).astype("Int64")
        elif types[name] == "boolean":
            frame[name] = frame[name].astype("boolean").where(frame["status"] == OK)
        else:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return frame


def _performance_years(context: Context, system: str, cohort: int) -> list[int]:
    """Registered performance years under the contract and before the system's exit."""
    assert context.study.payment is not None
    leave = context.study.exit_year(system)
    return [t for t in context.study.payment.performance_years if t >= cohort and (leave is None or t < leave)]


def _row(
    context: Context, panel: Panel, system: str, measure: str, group: str, years: Sequence[int], n_groups: int
) -> dict[str, Any]:
    """Rates, gaps and the sampling error of the change of one cell; not estimable without the minimum denominator."""
    study = context.study
    assert study.payment is not None
    reference = str(study.groups.reference)
    row: dict[str, Any] = {
        "system_id": system, "measure_id": measure, "group": group, "status": NOT_ESTIMABLE,
        "first_year": min(years, default=None), "last_year": max(years, default=None),
    }  # fmt: skip
    if not years:
        return row | {"reason": "no performance year under the contract before the system left"}
    if system not in panel.systems:
        return row | {"reason": "no cells for the system"}
    s = panel.systems.index(system)
    at = {g: panel.index(measure, g) for g in (reference, group)}
    enough = np.min([panel.den[s, i] for i in at.values()], axis=0) >= max(study.inference.minimum_denominator, 1)
    weights = contrast(panel.years, study.payment.baseline_years, years, enough)
    if weights is None:
        return row | {"reason": "no baseline or no performance year with the minimum denominator"}
    before, after = np.where(weights < 0, -weights, 0.0), np.where(weights > 0, weights, 0.0)
    rate = {g: np.where(enough, POINTS * panel.rate[s, i], 0.0) for g, i in at.items()}
    variance = sum(float(weights @ rate_covariance(panel, s, g, measure, measure) @ weights) for g in at)
    if not variance > 0:
        return row | {"reason": "no sampling variance: every member alike"}
    overall = np.nan_to_num(POINTS * panel.rate[s, panel.index(measure, ALL)])
    return row | {
        "status": OK,
        "baseline_rate": before @ rate[group],
        "performance_rate": after @ rate[group],
        "reference_baseline_rate": before @ rate[reference],
        "reference_performance_rate": after @ rate[reference],
        "gap_base": before @ (rate[reference] - rate[group]),
        "gap_perf": after @ (rate[reference] - rate[group]),
        "se_narrowing": POINTS * float(np.sqrt(variance)),
        "overall_change": weights @ overall,
        "max_possible": _maximum(context, panel, s, years, n_groups),
    }


def _maximum(context: Context, panel: Panel, s: int, years: Sequence[int], n_groups: int) -> float | None:
    """USD at stake for one group: the rate per member-month times the system's member-months, shared by the groups."""
    spending, plan = context.study.measure_sets.spending, context.study.payment
    assert plan is not None
    if spending is None or spending not in panel.measures:
        return None
    months = panel.den[s, panel.index(spending, ALL)][np.isin(panel.years, list(years))].sum()
    return float(plan.pmpm_maximum * months / n_groups)


def _score(rows: list[dict[str, Any]], formula: Formula) -> None:
    """Add score, amount, expected score and shrunken score to the rows that have a change."""
    ok = [row for row in rows if row["status"] == OK]
    if not ok:
        return
    points = narrowing([r["gap_base"] for r in ok], [r["gap_perf"] for r in ok])
    errors = np.array([r["se_narrowing"] for r in ok])
    gates = gate_met([r["overall_change"] for r in ok], formula)
    scores = score(points, formula) * gates
    chance = expected_score_by_chance(errors, formula)
    measures = np.array([r["measure_id"] for r in ok])
    shrunk = np.concatenate([_shrunken(points[measures == m], errors[measures == m]) for m in dict.fromkeys(measures)])
    back = np.argsort(np.concatenate([np.flatnonzero(measures == m) for m in dict.fromkeys(measures)]))
    shrunken = score(shrunk[back], formula) * gates
    for i, row in enumerate(ok):
        row |= {
            "narrowing": points[i],
            "score": scores[i],
            "gate_met": bool(gates[i]),
            "shrunken_score": shrunken[i],
            "expected_by_chance": chance[i],
        }
        if row["max_possible"] is not None:
            row |= {"earned": scores[i] * row["max_possible"], "earned_by_chance": chance[i] * row["max_possible"]}


def _shrunken(points: Array, errors: Array) -> Array:
    """Empirical-Bayes narrowing of a measure's cells around their mean; unchanged when there are too few cells to shrink."""
    try:
        between = tau2_estimate(points, np.ones((len(points), 1)), errors**2, "PM")
    except P4Error:
        return points
    return shrink(points, errors**2, max(between, 1e-12))[0]
