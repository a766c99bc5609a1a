"""Table exhibits on small made results: what stands in which cell, where it comes from, and what is said without a number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from p4equity.estimates import estimates_table
from p4equity.exhibits.base import MISSING, Exhibit, TableSpec, write_exhibit
from p4equity.exhibits.select import group_analysis, leave_out_analysis, measure_analysis, pooled_analysis, sensitivities
from p4equity.results import Results
from p4equity.study import Analysis, Study, load_study

MODULES = ("t3_sensitivity", "t4_power", "t6_threats", "t7_deviations", "t8_payments", "t9_implementation", "t_published")
UNABLE = {"status": "not_estimable", "reason": "1 treated cluster: too few", "estimate": None}


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


@pytest.fixture(scope="module")
def published_study() -> Study:
    return load_study("castle_doctrine")


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


# --- T3


def test_every_sensitivity_analysis_has_its_line_and_its_row(study: Study) -> None:
    first, second = study.measure_sets.contracted[:2]
    changed = sensitivities(study)
    rows = [*main_rows(study), *(answer(a, first, -2.0 - k) for k, a in enumerate(changed)), answer(changed[0], second, 0.5)]
    exhibit = build("t3_sensitivity", made(study, rows))
    table = table_of(exhibit)
    headings = [label for _, label in table.row_groups]
    assert headings[:2] == ["The registered primary question", "One choice changed"]
    start = table.row_groups[1][0]
    assert len(table.rows) - start == len(changed)
    assert [row[3].split("\n")[0] for row in table.rows[start:]] == [
        f"−{2 + k}.0 (−{3 + k}.0 to −{1 + k}.0)" for k in range(len(changed))
    ]
    known = dict(zip(exhibit.data["row_id"], exhibit.data["estimate"], strict=True))
    assert known[table.cell_row_ids[start][4]] == 0.5
    assert set(exhibit.row_ids) == {i for row in table.cell_row_ids for i in row if i}
    assert f"Of {len(changed) + 1} checks with a number, {len(changed)} have the sign" in exhibit.alt


def test_leaving_one_out_shows_both_ends_under_labels(study: Study) -> None:
    leave, systems = leave_out_analysis(study), study.arm_systems("participating")[:3]
    assert leave
    rows = main_rows(study)
    rows += [answer(leave, "pooled", -2.0 - k, sample=f"without {s.id}") for k, s in enumerate(systems)]
    exhibit = build("t3_sensitivity", made(study, rows))
    shown = lines(exhibit)
    labels = [study.label(s.id, True) for s in systems]
    assert f"Lowest: without {labels[2]}" in shown
    assert f"Highest: without {labels[0]}" in shown
    assert "from −4.0 to −2.0 points" in exhibit.alt
    assert not any(s.id in str(table_of(exhibit).rows) for s in systems)


def test_what_has_no_number_says_so_in_its_cell_and_why_below(study: Study) -> None:
    group = group_analysis(study)
    assert group
    first = study.measure_sets.contracted[0]
    other = next(a for a in study.analyses if a.estimator == "did" and a.groups == "each")
    name = study.groups.compared[0]
    rows = [*main_rows(study), answer(group, first, -1.0, group=name), answer(other, first, group=name, **UNABLE)]
    exhibit = build("t3_sensitivity", made(study, rows))
    assert [row for row in table_of(exhibit).rows if "not estimable" in row]
    assert UNABLE["reason"] in exhibit.footnote
    assert "1 could not be estimated" in exhibit.alt
    for part in ("12, of them with a contract: 5", "degrees of freedom 10", "Knapp-Hartung", "95% intervals"):
        assert part in exhibit.footnote


def test_a_plan_without_checks_has_no_sensitivity_table(study: Study) -> None:
    results = made(study, main_rows(study))
    assert import_module("p4equity.exhibits.t3_sensitivity").build(results) is None
    assert "no check" in results.skipped["T3"]


def test_without_groups_estimators_and_weights_are_compared(published_study: Study) -> None:
    study = published_study
    rows = []
    for a in study.analyses:
        if a.estimator != "did":
            continue
        for m, i in product(study.measure_ids(a.measures), a.inference):
            rows.append(answer(a, m, 0.08, 0.05, group="all", inference=i, outcome_unit="log points"))
    exhibit = build("t3_sensitivity", Results(study, estimates_table(rows), {}, masked=False))
    table = table_of(exhibit)
    assert table.columns[2:] == tuple(study.measure(m).short_title for m in study.measure_ids("contracted"))
    assert [row[:2] for row in table.rows] == [
        (weighted, method) for weighted in ("Weighted", "Unweighted") for method in ("CR2", "Wild bootstrap", "CR1")
    ]
    assert table.rows[0][2] == "0.080 (0.030 to 0.130)\np 0.020"
    assert table.rows[1][3] == MISSING
    assert not set(exhibit.data["measure_id"]) & set(study.measure_sets.negative_control)


# --- T4


def power_row(measure: str, gap: float, **more: Any) -> dict[str, Any]:
    return {
        "measure_id": measure, "group": "pooled", "n_contracted": 5, "n_comparison": 7, "mde_low": 3.0, "mde_high": 4.0,
        "tau_low": 0.5, "tau_high": 1.5, "n_assignments": 792, "p_attainable": 0.00126, "baseline_gap": gap,
        "meaningful_change": 0.25 * gap if gap > 0 else None, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("estimate", "half", "gap", "said"),
    [
        (-4.0, 1.0, 8.0, "no change"),
        (-0.5, 1.0, 8.0, "a meaningful narrowing"),
        (1.5, 1.0, 8.0, "both"),
        (-1.0, 2.0, 8.0, "neither"),
        (1.0, 2.0, -1.0, "neither"),
    ],
)
def test_what_the_interval_rules_out(study: Study, estimate: float, half: float, gap: float, said: str) -> None:
    main, measure = measure_analysis(study), study.measure_sets.contracted[0]
    assert main
    results = made(study, [answer(main, measure, estimate, half)], power=pd.DataFrame([power_row(measure, gap)]))
    exhibit = build("t4_power", results)
    row = table_of(exhibit).rows[0]
    assert row[6] == said
    assert row[1] == "5 / 7"
    assert row[3] == (f"{0.25 * gap:.1f}" if gap > 0 else MISSING)
    assert row[4] == "3.0 to 4.0"
    assert row[7:] == ("792", "0.001")
    assert exhibit.row_ids == tuple(results.estimates["row_id"])


def test_an_effect_without_number_rules_nothing_out(study: Study) -> None:
    main, measure = measure_analysis(study), study.measure_sets.contracted[0]
    assert main
    exhibit = build("t4_power", made(study, [answer(main, measure, **UNABLE)], power=pd.DataFrame([power_row(measure, 8.0)])))
    assert table_of(exhibit).rows[0][5:7] == ("not estimable", MISSING)
    assert "1 effect without a number" in exhibit.alt


# --- T6


def gate_row(gate: Any, measure: str, finding: float | None, status: str) -> dict[str, Any]:
    return {
        "row_id": f"gate.{gate.id}.{measure}", "gate_id": gate.id, "measure_id": measure, "finding": finding,
        "finding_unit": "percentage points", "limit": gate.limit, "direction": gate.direction, "status": status,
        "reason": None, "deviation_id": None,
    }  # fmt: skip


def test_threats_carry_what_their_tests_found(study: Study) -> None:
    gate, first = study.gate("race_data_drift"), study.measure_sets.contracted[0]
    assert gate
    race = next(a for a in sensitivities(study) if a.race_version == "contemporaneous")
    gates = pd.DataFrame([gate_row(gate, "all", 7.5, "FAIL")])
    results = made(study, [*main_rows(study), answer(race, first, -1.0)], diagnostics=gates)
    exhibit = build("t6_threats", results)
    found = exhibit.data.set_index(["threat_id", "evidence"])
    drift = found.loc[("race_data", gate.id)]
    assert drift["finding"] == "FAILED; found 7.5 (at most 5.0; percentage points)"
    assert drift["row_ids"] == f"gate.{gate.id}.all"
    assert found.loc[("race_data", race.id), "finding"] == "−1.0 (−2.0 to 0.0) points by Knapp-Hartung"
    assert found.loc[("race_data", race.id), "row_ids"] in exhibit.row_ids
    unanswered = exhibit.data[exhibit.data["evidence"] == ""]
    assert set(unanswered["threat_id"]) == set(study.threats.loc[study.threats["evidence"].isna(), "threat_id"])
    assert set(unanswered["finding"]) == {"not evaluated"}
    assert "race data drift failed" in exhibit.alt
    assert [label for _, label in table_of(exhibit).row_groups] == [
        f"{t['description']} (would push results: {t['direction'][:1].lower()}{t['direction'][1:]})"
        for t in study.threats.to_dict("records")
    ]


def test_pretrends_are_counted_not_judged(study: Study) -> None:
    analysis = next(a for a in study.analyses if a.estimator == "event_study")
    groups, measure = study.groups.compared, study.measure_sets.contracted[0]
    found = zip(groups, (0.03, 0.5, 0.9), strict=True)
    tests = [answer(analysis, measure, group=g, outcome="pretrend_gap", p_value=p) for g, p in found]
    tests[2] |= UNABLE
    exhibit = build("t6_threats", made(study, tests))
    said = set(exhibit.data.loc[exhibit.data["evidence"] == analysis.id, "finding"])
    assert said == {"test of the years before, p 0.030 to 0.50 in 2 series, 1 below 0.05; 1 not estimable"}


# --- T7


def test_no_deviation_is_said_with_date_and_hash_of_the_plan(study: Study) -> None:
    exhibit = build("t7_deviations", made(study, main_rows(study)))
    assert table_of(exhibit).rows == (("None", study.info.registration, "1 November 2026", study.plan_hash[:12]),)
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
    assert rows[0][1:3] == ("30 September 2026", f"Gate: {gate.question}")
    assert rows[1][2] == "Analysis: Measure"
    assert [r[5] for r in rows] == ["no", "yes"]
    assert rows[1][6] == MISSING


# --- T8


def payment(system: str, measure: str, group: str, **more: Any) -> dict[str, Any]:
    return {
        "system_id": system, "measure_id": measure, "group": group, "first_year": 2023, "last_year": 2025, "gap_base": 8.0,
        "narrowing": 3.0, "se_narrowing": 2.0, "overall_change": 1.0, "gate_met": True, "score": 0.5, "shrunken_score": 0.25,
        "expected_by_chance": 0.1, "max_possible": 200_000.0, "earned": 100_000.0, "earned_by_chance": 20_000.0, "status": "ok",
        "reason": None, **more,
    }  # fmt: skip


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
    same = [row for row in table.rows if row[5] == "yes"]
    assert same == list(table.rows[: len(same)])
    assert {row[4] for row in same} == {"0.0000"}
    for row, ids, record in zip(table.rows, table.cell_row_ids, exhibit.data.to_dict("records"), strict=True):
        assert row[6] == f"{record['source']}: {record['place']}"
        assert ids[3] == record["row_id"]
    assert f"The {len(same)} coefficients with the same specification differ by less than 0.0001" in exhibit.alt


def test_a_published_row_without_ours_says_so(published_study: Study) -> None:
    study = published_study
    item = study.published[0]
    rows = [answer(study.analysis(item.analysis_id), item.measure_id, group="all", outcome_unit="log points", **UNABLE)]
    table = table_of(build("t_published", Results(study, estimates_table(rows), {}, masked=False)))
    cells = {row[3] for row in table.rows}
    assert cells == {"not estimable", MISSING}
    assert {row[4] for row in table.rows} == {MISSING}


# --- all of them


@pytest.mark.parametrize("name", [m for m in MODULES if m not in ("t6_threats", "t7_deviations")])
def test_a_study_without_the_tables_is_told_why(study: Study, name: str) -> None:
    bare = made(replace(study, published=()), main_rows(study))
    module = import_module(f"p4equity.exhibits.{name}")
    assert module.build(bare) is None
    assert bare.skipped[module.ID]


def groups_of(study: Study) -> tuple[str, ...]:
    return ("pooled", *study.groups.compared)


def full_results(study: Study) -> Results:
    """Every registered analysis under each of its inferences, one answer in seven without a number, and all other tables."""
    rows: list[dict[str, Any]] = []
    for a in study.analyses:
        measures = ["pooled"] if a.pooled else study.measure_ids(a.measures)
        groups = study.groups.compared if a.groups == "each" else [a.groups]
        samples = [f"without {s.id}" for s in study.arm_systems("comparison")] if a.leave_out else ["main"]
        for m, g, s, i in product(measures, groups, samples, a.inference):
            n = len(rows)
            more = UNABLE if n % 7 == 6 else {"estimate": n % 5 - 3.0}
            rows.append(answer(a, m, group=g, sample=s, inference=i, **more))
    first = study.measure_sets.contracted[0]
    systems = [s.id for s in study.arm_systems("participating")]
    reached = {"section": "reach", "indicator": "systems_contracted", "arm": "all", "item": "all", "n": 5, "basis": "systems"}
    return made(
        study,
        rows,
        diagnostics=pd.DataFrame([gate_row(g, first, g.limit, "PASS") for g in study.gates]),
        power=pd.DataFrame([power_row(m, 6.0, group=g) for m in study.measure_sets.contracted for g in groups_of(study)]),
        payment_result=pd.DataFrame([payment(s, first, g) for s in systems for g in study.groups.compared]),
        implementation=pd.DataFrame([{**reached, "value": 40.0, "unit": "percent of systems", "status": "ok", "reason": None}]),
    )


@pytest.mark.parametrize("name", [m for m in MODULES if m != "t_published"])
def test_tables_are_traceable_masked_and_written_alike(tmp_path: Path, study: Study, name: str) -> None:
    results = full_results(study)
    for folder in ("a", "b"):
        write_exhibit(build(name, results), tmp_path / folder)
    exhibit = build(name, results)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("a", "b"))
    assert first == second
    document = json.loads(first[f"{exhibit.id}.json"])
    known = set(results.estimates["row_id"]) | set(results.table("diagnostics")["row_id"])
    traced = {i for row in document["cell_row_ids"] for cell in row for i in cell.split()}
    assert traced <= known
    assert set(exhibit.row_ids) == traced & set(results.estimates["row_id"])
    assert bool(traced) == (name in ("t3_sensitivity", "t4_power", "t6_threats"))
    assert exhibit.alt.strip() not in ("", exhibit.title)
    shown = json.dumps([document["rows"], document["row_groups"], exhibit.alt, exhibit.footnote], ensure_ascii=False)
    for system in study.systems:
        assert not re.search(rf"\b({system.id}|{re.escape(system.label)})\b", shown)
