"""Every threat of the first study has a test in the plan, and its result in T6; other things that happened, in T20."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pandas as pd
import pytest
from made_rows import UNABLE, answer, build, gate_row, lines, made, main_rows, table_of
from p4equity.exhibits.select import adjusted_analyses
from p4equity.exhibits.t6_threats import NOT_EVALUATED
from p4equity.exhibits.threat_facts import FACTS as CHECKED
from p4equity.results import Results
from p4equity.study import Analysis, Study, load_study
from p4equity.study.vocabulary import FACTS

PER_DOSE = "percentage points per 10 USD a member"
PROVENANCE = {"data_hash": "d", "code_version": "c"}


def evidence(study: Study) -> list[str]:
    return [item.strip() for named in study.threats["evidence"] for item in str(named).split(";")]


def found(study: Study, analysis: Analysis) -> list[dict[str, Any]]:
    """A row for each measure, with the outcome that the analysis's kind writes."""
    more = {**PROVENANCE, "plan_hash": study.plan_hash}
    measures = ["pooled"] if analysis.pooled else study.measure_ids(analysis.measures)
    outcome = f"pretrend_{analysis.outcome}" if analysis.estimator == "event_study" else analysis.outcome
    outcome = f"{analysis.outcome}_breakdown" if analysis.bounds_trends else outcome
    return [answer(analysis, m, outcome=outcome, **more) for m in measures]


def whole(study: Study, **changed: Any) -> Results:
    """Every analysis and gate that is evidence, with a result; `changed`: columns of the first row."""
    items = evidence(study)
    rows = [row for a in study.analyses if a.id in items for row in found(study, a)]
    rows[0] |= changed
    gates = [gate_row(g, "all", 1.0, "PASS") for g in study.gates if g.id in items]
    return made(study, rows, diagnostics=pd.DataFrame(gates))


def test_every_threat_of_the_first_study_has_evidence_that_the_plan_holds(study: Study) -> None:
    assert study.threats["evidence"].notna().all()
    known = {*(a.id for a in study.analyses), *(g.id for g in study.gates), *FACTS}
    assert [item for item in evidence(study) if item not in known] == []
    assert tuple(CHECKED) == FACTS


def test_every_threat_shows_a_result_when_its_tests_have_one(study: Study) -> None:
    exhibit = build("t6_threats", whole(study))
    assert exhibit.data.loc[exhibit.data["finding"].str.contains(NOT_EVALUATED), "evidence"].to_list() == []
    n = len(study.threats)
    assert f"{n} of {n} threats have a test with a result; none could not be evaluated" in exhibit.alt


def test_the_run_checks_that_results_and_plan_code_and_cells_belong_together(study: Study) -> None:
    said = {item: check(whole(study)) for item, (_, check) in CHECKED.items()}
    assert said["plan_of_results"].startswith("passed: all ")
    assert said["one_code_version"].startswith("passed: ")
    assert said["deviation_log"] == "no departure from the plan is logged"
    assert CHECKED["plan_of_results"][1](whole(study, plan_hash="other")).startswith("FAILED: 1 of ")
    for column, words in (
        ("code_version", "2 versions of the code and 1 sets"),
        ("data_hash", "1 versions of the code and 2 sets"),
    ):
        assert words in CHECKED["one_code_version"][1](whole(study, **{column: "other"}))
    logged = [{"deviation_id": f"D{i}", "after_outcomes": i == 1} for i in range(3)]
    departed = replace(study, tables={**study.tables, "deviations": logged})
    assert CHECKED["deviation_log"][1](whole(departed)) == "3 departures logged, 1 after outcomes were seen"


def held(study: Study, **more: Any) -> list[dict[str, Any]]:
    """Both answers of each analysis that holds something fixed: pooled, and the first measure by both inferences."""
    rows = []
    for k, a in enumerate(adjusted_analyses(study)):
        for measure in ("pooled", study.measure_sets.contracted[0]):
            for method in a.inference:
                base = {"inference": method, "p_value": 0.02 if method == a.inference[0] else 0.04, **more}
                rows.append(answer(a, measure, **{"estimate": -2.0 - k, **base}))
                slope = {"outcome": "gap_per_dose", "sample": "comparison systems", "outcome_unit": PER_DOSE}
                rows.append(answer(a, measure, **{"estimate": 0.25 + k, **slope, **base}))
    return rows


def test_each_fact_held_fixed_has_its_line_beside_the_primary_answer(study: Study) -> None:
    exhibit = build("t20_held_fixed", made(study, [*main_rows(study), *held(study)]))
    table, n = table_of(exhibit), len(adjusted_analyses(study))
    assert [at for at, _ in table.row_groups] == [0, n + 1]
    assert len(table.rows) == 2 * n + 1
    assert table.columns[1] == "All contracted measures"
    assert [row[1] for row in table.rows[1 : n + 1]] == [
        f"−{2 + k}.0, p 0.020; 0.040\n(−{3 + k}.0 to −{1 + k}.0)" for k in range(n)
    ]
    assert lines(exhibit)["Per 10 USD a member"][0] == "0.25, p 0.020; 0.040\n(−0.75 to 1.25)"
    assert {len(ids.split()) for row in table.cell_row_ids[1:] for ids in row[1:]} == {2}
    assert set(exhibit.data["row_id"]) == set(exhibit.row_ids)
    assert "−2.0 (grants held fixed)" in exhibit.alt


def test_a_fact_that_cannot_be_held_fixed_says_so_and_a_plan_without_one_has_no_table(study: Study) -> None:
    exhibit = build("t20_held_fixed", made(study, [*main_rows(study), *held(study, **UNABLE)]))
    assert "not estimable" in {row[1] for row in table_of(exhibit).rows}
    assert "1 treated cluster: too few" in exhibit.footnote
    other = made(load_study("castle_doctrine"), [])
    assert import_module("p4equity.exhibits.t20_held_fixed").build(other) is None
    assert "T20" in other.skipped


@pytest.mark.parametrize("analysis_id", ["adjusted_grants", "far_comparison"])
def test_a_threat_answered_by_a_fact_held_fixed_shows_the_effect_and_the_slope(study: Study, analysis_id: str) -> None:
    exhibit = build("t6_threats", made(study, [*main_rows(study), *held(study)]))
    said = exhibit.data.set_index("evidence").loc[analysis_id, "finding"]
    k = [a.id for a in adjusted_analyses(study)].index(analysis_id)
    assert said.startswith(f"effect −{2 + k}.0 (−{3 + k}.0 to −{1 + k}.0) points; comparison systems ")
