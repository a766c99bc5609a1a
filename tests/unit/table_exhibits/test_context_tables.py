"""Tables of deviations, payments, implementation and published coefficients."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from made_rows import UNABLE, answer, build, lines, made, main_rows, payment, table_of
from p4equity.estimates import estimates_table
from p4equity.exhibits.base import MISSING
from p4equity.exhibits.t8_payments import own_years
from p4equity.results import Results
from p4equity.study import Study, load_study

# --- T7


def test_no_deviation_is_said_with_date_and_hash_of_the_plan(study: Study) -> None:
    exhibit = build("t7_deviations", made(study, main_rows(study)))
    assert table_of(exhibit).rows == (("None", study.info.registered_at, "November 23, 2026", study.plan_hash[:12]),)
    assert exhibit.data.iloc[0].tolist()[-1] == study.plan_hash


def test_deviations_stand_in_order_with_what_they_are_about(edited: Callable[[str, str, str], Path]) -> None:
    header = "deviation_id,date,item_id,description,reason,after_outcomes,consequence"
    later = "D2,2026-10-02,measure,Other years,A late file,true,"
    sooner = "D1,2026-09-30,balance,Limit raised,Small arms,false,Rows stand"
    study = load_study(edited("deviations.csv", header, f"{header}\n{later}\n{sooner}"))
    rows = table_of(build("t7_deviations", made(study, main_rows(study)))).rows
    assert [r[0] for r in rows] == ["D1", "D2"]
    gate = study.gate("balance")
    assert gate
    assert rows[0][1:3] == ("September 30, 2026", f"Gate: {gate.question}")
    assert rows[1][2] == "Analysis: Measure"
    assert [r[5] for r in rows] == ["no", "yes"]
    assert rows[1][6] == MISSING


# --- T8


def test_payments_add_up_and_weigh_by_what_is_at_stake(study: Study) -> None:
    first, second = [s.id for s in study.arm_systems("participating")[:2]]
    measure, (low, high) = study.measure_sets.contracted[1], study.groups.compared[:2]
    none = dict.fromkeys(("narrowing", "se_narrowing", "score", "shrunken_score", "expected_by_chance", "gate_met", *AMOUNTS))
    rows = [
        payment(first, measure, low),
        payment(first, measure, high, max_possible=600_000.0, earned=0.0, score=0.0, gate_met=False, earned_by_chance=60_000.0),
        payment(second, measure, low, status="suppressed", reason="a count below the disclosure threshold", **none),
    ]
    exhibit = build("t8_payments", made(study, main_rows(study), payment_result=pd.DataFrame(rows)))
    table = table_of(exhibit)
    assert [label for _, label in table.row_groups] == [*sorted(study.label(s, True) for s in (first, second)), "All systems"]
    total = table.rows[-1]
    assert total == ("Total", "", "1 of 2", "12", "25", "10", "100 / 800", "80")
    name = f"{study.measure(measure).short_title}, {study.group(low).label}"
    assert (name, "3.0 (2.0)", "yes", "50", "25", "10", "100 / 200", "20") in table.rows
    assert (name, "suppressed", *[MISSING] * 6) in table.rows
    assert "below the disclosure threshold" in exhibit.footnote
    assert "illustrative" in exhibit.title
    assert first not in exhibit.data.to_csv()
    assert study.payment is not None
    assert ("or when the group’s own does not rise" in exhibit.footnote) == (study.payment.group_gain is not None)


def test_a_system_with_fewer_years_than_the_formula_is_named_with_its_own() -> None:
    rows = [("a", 2023, 2025), ("b", 2024, 2025), ("c", 2023, 2023), ("d", None, None)]
    paid = pd.DataFrame(rows, columns=["system_id", "first_year", "last_year"])
    assert own_years(paid, (2023, 2024, 2025)) == {"b": [2024, 2025], "c": [2023]}


AMOUNTS = ("max_possible", "earned", "earned_by_chance")


# --- T9


def test_implementation_by_arm_with_suppressed_counts(study: Study) -> None:
    def row(part: str, indicator: str, arm: str, n: Any, value: Any, unit: str, **more: Any) -> dict[str, Any]:
        base = {"section": part, "indicator": indicator, "arm": arm, "item": "all", "n": n, "value": value, "unit": unit}
        return {**base, "basis": "reports", "status": "ok", "reason": None, **more}

    hidden = {"status": "suppressed", "reason": "a count below the disclosure threshold", "item": "exec"}
    table = pd.DataFrame(
        [
            row("adoption", "reports_opened", "participating", 146, 72.6, "percent of reports delivered"),
            row("adoption", "reports_opened", "comparison", 195, 78.9, "percent of reports delivered"),
            row("grants", "grants", "participating", 6, 10_600_000.0, "USD"),
            row("interviews", "interviews", "participating", None, None, "minutes", **hidden),
            row("interviews", "segments", "participating", 20, 0.4, "mean valence", item="inner_culture"),
        ]
    )
    exhibit = build("t9_implementation", made(study, main_rows(study), implementation=table))
    shown = lines(exhibit)
    assert table_of(exhibit).columns == ("Indicator", "Participating", "Comparison")
    assert shown["Opened, of those delivered"] == ("146 (73%)", "195 (79%)")
    assert shown["Grants (million USD)"] == ("6 (10.60)", MISSING)
    assert shown["Interviews: executive"] == ("suppressed", MISSING)
    assert len(shown) == 3  # segments by code are a table of their own
    assert "1 count is suppressed" in exhibit.alt


# --- T_PUB


def test_published_coefficients_stand_beside_their_row(published_study: Study) -> None:
    study = published_study
    rows = {}
    for item in study.published:
        analysis = study.analysis(item.analysis_id)
        value = item.estimate if item.same_specification else 0.05
        key = (analysis.id, item.measure_id)
        if key not in rows or item.same_specification:
            rows[key] = answer(analysis, item.measure_id, value, 0.02, group="all", inference="cr1", outcome_unit="log points")
    exhibit = build("t_published", Results(study, estimates_table(rows.values()), {}, masked=False))
    table = table_of(exhibit)
    assert len(table.rows) == len(study.published)
    same = table.rows[: sum(p.same_specification for p in study.published)]
    assert [label.split(",")[0] for _, label in table.row_groups] == ["The same specification", "Another specification"]
    assert table.row_groups[1][0] == len(same)
    assert {row[3] for row in same} == {"0.0000"}
    for row, ids, record in zip(table.rows, table.cell_row_ids, exhibit.data.to_dict("records"), strict=True):
        assert row[4] == f"{record['source']}: {record['place']}"
        assert ids[2] == record["row_id"]
    assert f"The {len(same)} coefficients with the same specification differ by less than 0.0001" in exhibit.alt


def test_a_published_row_without_ours_says_so(published_study: Study) -> None:
    study = published_study
    item = study.published[0]
    rows = [answer(study.analysis(item.analysis_id), item.measure_id, group="all", outcome_unit="log points", **UNABLE)]
    table = table_of(build("t_published", Results(study, estimates_table(rows), {}, masked=False)))
    cells = {row[2] for row in table.rows}
    assert cells == {"not estimable", MISSING}
    assert {row[3] for row in table.rows} == {MISSING}


# --- T13


def test_planted_effects_stand_beside_what_was_found(study: Study) -> None:
    first, second = study.measure_sets.contracted[:2]
    planted = pd.DataFrame(
        [
            {"measure_id": "pooled", "group": "pooled", "reference_rate": 0.0, "group_rate": 2.5, "gap": -2.5},
            {"measure_id": first, "group": "pooled", "reference_rate": -4.0, "group_rate": 0.0, "gap": -4.0},
            {"measure_id": second, "group": "pooled", "reference_rate": 0.0, "group_rate": 9.0, "gap": -9.0},
        ]
    )
    exhibit = build("t13_planted", made(study, main_rows(study), planted=planted))
    assert [row[1:3] for row in table_of(exhibit).rows] == [
        ("−2.5", "−3.0 (−4.0 to −2.0)"), ("−4.0", "−4.0 (−5.0 to −3.0)"), ("−9.0", "−1.0 (−3.0 to 1.0)")
    ]  # fmt: skip
    assert exhibit.alt == "2 of 3 intervals hold the planted value."
    real = made(study, main_rows(study))
    assert import_module("p4equity.exhibits.t13_planted").build(real) is None
    assert "not synthetic" in real.skipped["T13"]
