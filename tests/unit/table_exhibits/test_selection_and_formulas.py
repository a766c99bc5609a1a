"""T17 and T18 from made rows: which row stands in which cell, totals, what is not there, and masked systems."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from made_rows import UNABLE, answer, build, lines, made, main_rows, table_of
from p4equity.exhibits import t17_selection, t18_formulas
from p4equity.exhibits.base import MISSING
from p4equity.exhibits.select import fresh_baselines, selection_analysis
from p4equity.study import Study

# --- T17


def selection_rows(study: Study, measure: str, shift: float, **more: Any) -> list[dict[str, Any]]:
    """The rows of one measure: expected -1, seen -0.5, shrunken -2, against selected -2.5, each plus `shift`."""
    question = selection_analysis(study)
    assert question
    values = {
        t17_selection.EXPECTED: -1.0, t17_selection.REPLAYED: -0.5, t17_selection.SHRUNKEN: -2.0, t17_selection.AGAINST: -2.5,
    }  # fmt: skip
    none = {"conf_low": None, "conf_high": None, "std_error": None, "p_value": None}
    rows = [answer(question, measure, outcome=k, **{"estimate": v + shift, **more}) for k, v in values.items()]
    rows[0] |= none
    if measure != t17_selection.POOLED:
        for n, system in enumerate(study.arm_systems("participating")[:2]):
            rows.append(answer(question, measure, shift - 1 - n, outcome=t17_selection.EXPECTED, system_id=system.id) | none)
    return rows


def test_selection_stands_beside_the_primary_estimate(study: Study) -> None:
    first, second, third = study.measure_sets.contracted[:3]
    (fresh,) = fresh_baselines(study)
    assert not set(fresh.pre_years) & set(study.baseline.selection_years)
    rows = [*main_rows(study), answer(fresh, "pooled", -3.5), answer(fresh, first, -4.5)]
    rows += [
        *selection_rows(study, "pooled", 0.0),
        *selection_rows(study, first, 0.2),
        *selection_rows(study, second, 0.0, **UNABLE),
    ]
    results = made(study, rows)
    exhibit = build("t17_selection", results)
    found = lines(exhibit)
    assert found["All contracted measures"] == (
        "−3.0\n(−4.0 to −2.0)", "−1.0", "−0.5\n(−1.5 to 0.5)", "−3.5\n(−4.5 to −2.5)", "−2.0\n(−3.0 to −1.0)",
        "−2.5\n(−3.5 to −1.5)",
    )  # fmt: skip
    assert found[study.measure(first).short_title][1] == "−0.8\n(cells −1.8 to −0.8)"
    assert found[study.measure(first).short_title][3] == "−4.5\n(−5.5 to −3.5)"
    assert found[study.measure(second).short_title] == (
        "−1.0\n(−3.0 to 1.0)", "not estimable", "not estimable", MISSING, "not estimable", "not estimable",
    )  # fmt: skip
    assert found[study.measure(third).short_title] == (MISSING,) * 6
    table, ids = table_of(exhibit), results.estimates.set_index(["analysis_id", "measure_id", "outcome", "system_id"])["row_id"]
    question = selection_analysis(study)
    assert question
    assert table.cell_row_ids[0][2] == ids[question.id, "pooled", t17_selection.EXPECTED, "all"]
    assert table.cell_row_ids[0][4] == ids[fresh.id, "pooled", "gap", "all"]
    assert "expected to change gaps by −1.0 points" in exhibit.alt
    assert "from −3.5 to −2.0" in exhibit.alt
    assert "1 treated cluster: too few" in exhibit.footnote
    shown = exhibit.data["system_id"].unique()
    assert not {s.id for s in study.systems} & set(shown)
    assert study.arm_systems("participating")[0].masked_label in shown


def test_a_plan_without_the_question_is_told_why(study: Study) -> None:
    bare = replace(study, analyses=tuple(a for a in study.analyses if a.estimator != "selected_baseline"))
    results = made(bare, main_rows(bare))
    assert t17_selection.build(results) is None
    assert "no question on the selection" in results.skipped["T17"]
    assert t18_formulas.build(results) is None
    assert "no payment formula" in results.skipped["T18"]


# --- T18


def formula(name: str, system: str, **more: Any) -> dict[str, Any]:
    return {
        "formula_id": name, "label": f"Formula {name}", "paid_on": "pairwise_gap", "system_id": system, "n_cells": 10,
        "units_paid": 6, "score": 0.4, "by_simulation": 0.1, "by_comparison": 0.2,
        "by_permutation": 0.25, "as_much_by_permutation": 0.03,
        "shrunken_score": 0.3, "units_unpaid": 2, "units_added": 1, "units_moved": 4, "units_stopped": 0, "max_possible": 1000.0,
        "earned": 400.0, "earned_per_month": 2.0, "status": "ok", "reason": None, **more,
    }  # fmt: skip


def test_formulas_stand_side_by_side(study: Study) -> None:
    system = study.arm_systems("participating")[0]
    numbers = dict.fromkeys(
        ("score", "by_simulation", "by_comparison", "by_permutation", "as_much_by_permutation", "shrunken_score")
    )
    rows = [
        formula("a", "all"), formula("a", system.id, by_permutation=None, as_much_by_permutation=None),
        formula("b", "all", units_stopped=3, score=0.2, by_simulation=0.15),
        formula("c", "all", status="not_estimable", reason="no cell has the minimum denominator", **numbers),
    ]  # fmt: skip
    curve = [
        {"formula_id": f, "label": f"Formula {f}", "true_narrowing": p, "score": 0.1 * (p + 1), "monte_carlo_error": 0.001}
        for f in ("a", "b") for p in (0.0, 1.0, 4.0)
    ]  # fmt: skip
    tables = {"payment_formula": pd.DataFrame(rows), "payment_curve": pd.DataFrame(curve)}
    exhibit = build("t18_formulas", made(study, main_rows(study), **tables))
    table, found = table_of(exhibit), lines(exhibit)
    assert table.columns[7:9] == ("1", "4")  # what is paid at 0 is the simulated share
    assert found["Formula a"] == ("6 of 10", "40", "10", "20", "25", "3", "20", "50", "0", "2", "1", "4")
    assert found["Formula b"][8] == "3"
    assert found["Formula c"] == ("not estimable", *[MISSING] * 11)
    assert "2 formulas would pay 20 to 40% of the maximum" in exhibit.alt
    assert "25 to 75% of what is paid" in exhibit.alt
    assert "minimum denominator" in exhibit.footnote
    assert list(exhibit.data["system"]) == ["all", system.masked_label, "all", "all"]
    assert exhibit.data["expected_at_4"].tolist()[:1] == [0.5]
    assert exhibit.data["expected_at_4"].isna().tolist() == [False, True, False, True]
    assert "llustrative" in exhibit.title
