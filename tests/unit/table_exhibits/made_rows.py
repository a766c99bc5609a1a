"""Made rows and results of the table exhibits, and how their tests read them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pandas as pd
from p4equity.estimates import estimates_table
from p4equity.exhibits.base import Exhibit, TableSpec
from p4equity.exhibits.select import measure_analysis, pooled_analysis
from p4equity.results import Results
from p4equity.study import Analysis, Study

MODULES = ("t3_sensitivity", "t4_power", "t6_threats", "t7_deviations", "t8_payments", "t9_implementation", "t_published")
UNABLE = {"status": "not_estimable", "reason": "1 treated cluster: too few", "estimate": None}


def answer(analysis: Analysis, measure: str, estimate: float = -2.0, half: float = 1.0, **more: Any) -> dict[str, Any]:
    """One row of the estimates: `estimate` with an interval of `half` on both sides."""
    number = more.get("estimate", estimate)
    bounds = {"p_value": 0.02, "std_error": half / 2}
    bounds |= {} if number is None else {"conf_low": number - half, "conf_high": number + half}
    return {
        "analysis_id": analysis.id, "estimand": "effect", "estimator": analysis.estimator, "measure_id": measure,
        "outcome": analysis.outcome, "group": "pooled", "system_id": "all", "sample": "main",
        "race_version": analysis.race_version, "weighting": analysis.weighting,
        "estimate": number, "conf_level": 0.95, "interval": "pointwise",
        "outcome_unit": "percentage points", "inference": analysis.inference[0], "df": 10.0, "n_clusters": 12,
        "n_treated_clusters": 5, "n_members": 4000, "first_year": 2019, "last_year": 2025, "status": "ok",
        "registered": analysis.registered, **bounds, **more,
    }  # fmt: skip


def made(study: Study, rows: list[dict[str, Any]], **tables: pd.DataFrame) -> Results:
    return Results(study, estimates_table(rows), tables, masked=True, synthetic=True)


def build(name: str, results: Results) -> Exhibit:
    exhibit = import_module(f"p4equity.exhibits.{name}").build(results)
    assert exhibit is not None, results.skipped
    return exhibit


def table_of(exhibit: Exhibit) -> TableSpec:
    assert exhibit.table is not None
    return exhibit.table


def lines(exhibit: Exhibit) -> dict[str, tuple[str, ...]]:
    """Rows of a table by their first cell; the last one where a label returns."""
    return {row[0]: row[1:] for row in table_of(exhibit).rows}


def main_rows(study: Study, **more: Any) -> list[dict[str, Any]]:
    """Primary rows of the pooled question and of two measures, by the first inference."""
    pooled, main = pooled_analysis(study), measure_analysis(study)
    assert pooled
    assert main
    first, second = study.measure_sets.contracted[:2]
    return [answer(pooled, "pooled", -3.0), answer(main, first, -4.0, **more), answer(main, second, -1.0, 2.0)]


def power_row(measure: str, gap: float, **more: Any) -> dict[str, Any]:
    return {
        "measure_id": measure, "group": "pooled", "n_contracted": 5, "n_comparison": 7, "mde_low": 3.0, "mde_high": 4.0,
        "tau_low": 0.5, "tau_high": 1.5, "n_assignments": 792, "p_attainable": 0.00126, "baseline_gap": gap,
        "meaningful_change": 0.25 * gap if gap > 0 else None, **more,
    }  # fmt: skip


def gate_row(gate: Any, measure: str, finding: float | None, status: str) -> dict[str, Any]:
    return {
        "row_id": f"gate.{gate.id}.{measure}", "gate_id": gate.id, "measure_id": measure, "finding": finding,
        "finding_unit": "percentage points", "limit": gate.limit, "direction": gate.direction, "status": status,
        "reason": None, "deviation_id": None,
    }  # fmt: skip


def payment(system: str, measure: str, group: str, **more: Any) -> dict[str, Any]:
    return {
        "system_id": system, "measure_id": measure, "group": group, "first_year": 2023, "last_year": 2025, "gap_base": 8.0,
        "narrowing": 3.0, "se_narrowing": 2.0, "overall_change": 1.0, "gate_met": True, "score": 0.5, "shrunken_score": 0.25,
        "expected_by_chance": 0.1, "max_possible": 200_000.0, "earned": 100_000.0, "earned_by_chance": 20_000.0, "status": "ok",
        "reason": None, **more,
    }  # fmt: skip
