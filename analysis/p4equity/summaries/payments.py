"""What each contracted system would earn under the study's payment formula, and how much of it chance alone would earn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from p4equity.dictionary import load_dictionary
from p4equity.disparity.changes import contrast
from p4equity.disparity.panel import ALL, Panel, rate_covariance
from p4equity.estimates import NOT_ESTIMABLE, OK
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import POINTS, Context
from p4equity.incentive import gate_met, guard_met
from p4equity.summaries.payment_cells import Key, registered_formulas
from p4equity.summaries.payment_world import World

if TYPE_CHECKING:
    import pandas as pd


def payment_table(context: Context, hidden: Collection[Key] = ()) -> pd.DataFrame:
    """One row a contracted system, measure and group with a baseline gap: gap, narrowing, score, amount, expected by chance.

    Rates, gaps and standard errors in percentage points, amounts in USD. A system is paid on its own change from the baseline
    to the performance years, as the formula says; it is not compared with other systems, so this is no effect. Years before the
    contract or from a system's exit on do not count. The maximum (USD a member-month) is shared equally by the groups of a
    measure. By chance: expected when no rate truly changed, by the simulation of `payment_formula_tables`, so that both tables
    give one figure. hidden: cells that must not be told; they enter nothing. Null wherever the status is not ok. Empty when the
    study has no payment formula or no groups.
    """
    import pandas as pd

    columns = load_dictionary().table("payment_result").names
    plan = context.study.payment
    if plan is None or not context.study.groups.compared:
        return pd.DataFrame(columns=list(columns))
    variant = (context.study.population.map, context.study.race.primary if context.study.race else "frozen")
    panel, series = context.panel(variant), baseline_series(context, variant)
    rows: list[dict[str, Any]] = []
    for contract in context.study.contract_matrix().to_dict("records"):
        measure = str(contract["measure_id"])
        groups = [g for m, g in series if m == measure]
        years = _performance_years(context, str(contract["system_id"]), int(contract["cohort"]))
        rows += [_row(context, panel, str(contract["system_id"]), measure, g, years, len(groups)) for g in groups]
    _score(context, rows, hidden)
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


def _change(row: Mapping[str, Any], side: str) -> float:
    """Points by which the rate of a side of the gap changed."""
    return float(row[f"{side}performance_rate"] - row[f"{side}baseline_rate"])


def _score(context: Context, rows: list[dict[str, Any]], hidden: Collection[Key]) -> None:
    """Add score, amount, expected score and shrunken score to the rows that have a change; those hidden have none."""
    plan = context.study.payment
    assert plan is not None
    world = World.of(context, registered_formulas(plan)[0], hidden)
    columns = (world.scores(shrunken=False), world.scores(shrunken=True), world.by_chance())
    units = zip(world.keys(), *(np.concatenate(c or [np.zeros(0)]) for c in columns), strict=True)
    found = {(c.system, c.measure, g): values for (c, g), *values in units}
    for row in (r for r in rows if r["status"] == OK):
        row["narrowing"] = row["gap_base"] - row["gap_perf"]
        formula, reference, group = world.own.formula, _change(row, "reference_"), _change(row, "")
        row["gate_met"] = bool(gate_met(row["overall_change"], formula) & guard_met(reference, group, formula))
        if (key := (row["system_id"], row["measure_id"], row["group"])) not in found:
            continue
        row["score"], row["shrunken_score"], row["expected_by_chance"] = found[key]
        if row["max_possible"] is not None:
            row["earned"], row["earned_by_chance"] = (row[c] * row["max_possible"] for c in ("score", "expected_by_chance"))
