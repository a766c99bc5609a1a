"""Every threat of the first study has a test in the plan, and its result in T6; other things that happened, in T20."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_rows import UNABLE, answer, build, gate_row, lines, made, main_rows, table_of
from p4equity.exhibits.base import write_exhibit
from p4equity.exhibits.select import adjusted_analyses
from p4equity.exhibits.t6_threats import NOT_EVALUATED
from p4equity.exhibits.threat_facts import FACTS as CHECKED
from p4equity.results import Results, write_csv
from p4equity.section import held_fixed, open_section
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


def apart(study: Study, *estimates: float) -> list[dict[str, Any]]:
    """Coefficients of the year set apart in the first event study, a group each, and one of another year far from zero."""
    analysis = next(a for a in study.analyses if a.estimator == "event_study" and not a.bounds_trends)
    measure, more = study.measure_ids("contracted")[0], {**PROVENANCE, "plan_hash": study.plan_hash}
    times = [float(study.baseline.apart[0] - study.launch_cohort)] * 3 + [0.0]
    values = zip(times, [*(estimates or (-0.5, 0.25, 0.5)), 9.0], [*study.groups.compared, study.groups.compared[0]], strict=True)
    return [answer(analysis, measure, x, event_time=t, group=g, **more) for t, x, g in values]


def whole(study: Study, **changed: Any) -> Results:
    """Every analysis and gate that is evidence, with a result; `changed`: columns of the first row."""
    items = evidence(study)
    rows = [row for a in study.analyses if a.id in items for row in found(study, a)]
    rows += apart(study)
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
    said = {item: check(whole(study))[0] for item, (_, check) in CHECKED.items()}
    assert said["plan_of_results"].startswith("passed: all ")
    assert said["one_code_version"].startswith("passed: ")
    assert said["deviation_log"] == "no departure from the plan is logged"
    assert CHECKED["plan_of_results"][1](whole(study, plan_hash="other"))[0].startswith("FAILED: 1 of ")
    for column, words in (
        ("code_version", "2 versions of the code and 1 sets"),
        ("data_hash", "1 versions of the code and 2 sets"),
    ):
        assert words in CHECKED["one_code_version"][1](whole(study, **{column: "other"}))[0]
    logged = [{"deviation_id": f"D{i}", "after_outcomes": i == 1} for i in range(3)]
    departed = replace(study, tables={**study.tables, "deviations": logged})
    assert CHECKED["deviation_log"][1](whole(departed))[0] == "3 departures logged, 1 after outcomes were seen"


def test_the_years_set_apart_are_read_from_their_own_coefficients(study: Study) -> None:
    said, ids = CHECKED["years_apart"][1](made(study, [*main_rows(study), *apart(study, -4.0, 0.25, 0.5)]))
    assert said == "2020 against 2022: −4.0 to 0.5 points in 3 series, 1 with an interval of its own that excludes zero"
    assert len(ids) == 3
    none = [row | UNABLE for row in apart(study)]
    assert CHECKED["years_apart"][1](made(study, none))[0] == "not estimable (2020)"
    assert CHECKED["years_apart"][1](made(study, main_rows(study)))[0] == "not evaluated (2020)"


def test_parts_of_a_rate_and_parts_of_a_gap_share_no_range(study: Study) -> None:
    analysis = study.analysis("documentation")
    sizes = {"rate_from_readings": 0.25, "rate_from_control": 2.0, "gap_from_readings": -3.0, "gap_from_control": -5.0}
    rows = [
        answer(analysis, m, size + k, outcome=outcome) for k, m in enumerate(study.measure_sets.contracted[:2])
        for outcome, size in sizes.items()
    ]  # fmt: skip
    exhibit = build("t6_threats", made(study, rows))
    found = exhibit.data.set_index("evidence").loc["documentation", "finding"]
    assert "gap from readings: 2 estimates from −3.0 to −2.0 points" in found
    assert "rate from control: 2 estimates from 2.0 to 3.0 points" in found
    assert "8 estimates" not in found


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
                if a.interaction:
                    more_of_it = {"outcome": "effect_per_dose", "outcome_unit": PER_DOSE}
                    rows.append(answer(a, measure, **{"estimate": -0.5, **more_of_it, **base}))
    return rows


def test_each_fact_held_fixed_has_its_line_beside_the_primary_answer(study: Study) -> None:
    exhibit = build("t20_held_fixed", made(study, [*main_rows(study), *held(study)]))
    table, n = table_of(exhibit), len(adjusted_analyses(study))
    along = sum(a.interaction for a in adjusted_analyses(study))
    assert [at for at, _ in table.row_groups] == [0, n + 1, 2 * n + 1]
    assert len(table.rows) == 2 * n + 1 + along
    assert along == 1
    assert table.columns[1] == "All contracted measures"
    assert [row[1] for row in table.rows[1 : n + 1]] == [
        f"−{2 + k}.0, p 0.02; 0.04\n(−{3 + k}.0 to −{1 + k}.0)" for k in range(n)
    ]
    assert table.rows[-1][1] == "−0.50, p 0.02; 0.04\n(−1.50 to 0.50)"
    assert lines(exhibit)["Per 10 USD a member"][0] == "0.25, p 0.02; 0.04\n(−0.75 to 1.25)"
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
    assert "difference of the effect −0.50" in exhibit.data.set_index("evidence").loc["adjusted_medicaid", "finding"]


def said(study: Study, rows: list[dict[str, Any]], folder: Path) -> str:
    """The paragraphs of the report on a run folder with these rows."""
    results = made(study, [*main_rows(study), *rows])
    (folder / "results").mkdir(parents=True)
    write_csv(results.estimates, folder / "results" / "estimates.csv")
    write_exhibit(build("t20_held_fixed", results), folder / "exhibits")
    (folder / "report.json").write_text(json.dumps({"study": study.id, "synthetic": True, "edition": "draft"}))
    return re.sub(r"\[([^\]]*)\]\{[^}]*\}", r"\1", held_fixed.text(open_section(str(folder), edition="draft")))


def changed(study: Study, outcome: str, covariate: str, **more: Any) -> list[dict[str, Any]]:
    """The made rows with one analysis's pooled answer changed."""
    own = next(a.id for a in adjusted_analyses(study) if a.covariate == covariate)
    return [
        row | (more if (row["analysis_id"], row["measure_id"], row["outcome"]) == (own, "pooled", outcome) else {})
        for row in held(study)
    ]


def test_the_paragraphs_say_whether_the_answer_stays_and_whether_the_contract_reached_others(
    study: Study, tmp_path: Path
) -> None:
    text = said(study, held(study), tmp_path / "stays")
    assert "**The primary answer stays when other things that happened are held fixed, one at a time.**" in text
    assert "−2.0 points (−3.0 to −1.0) with grant money per attributed member held fixed" in text
    assert "+0.25 points (−0.75 to 1.25) per 10 USD a member" in text
    assert "**Whether gaps of comparison systems moved with any of them, the data cannot tell** (Holm’s rule over three" in text
    clear = said(study, held(study, p_value=0.01), tmp_path / "clear")
    assert "**Among comparison systems gaps moved with grant money per attributed member, the share of patients" in clear
    assert "**No spillover to neighbours is shown**." in text
    assert "The effect itself differs by −0.50 points (−1.50 to 0.50) per 10 points of Medicaid share" in text
    assert "[@tbl:T20]" in text
    weak = said(study, changed(study, "adjusted_gap", "grant_per_member", conf_high=0.5), tmp_path / "weak")
    assert "keeps its sign, but not its certainty, with grant money per attributed member held fixed" in weak
    turned = said(study, changed(study, "adjusted_gap", "medicaid_share", estimate=1.0), tmp_path / "turned")
    assert "changes sign with the share of patients covered by Medicaid held fixed" in turned
    near = changed(study, "gap_per_dose", "near_contracted", estimate=-1.0, conf_low=-1.5, conf_high=-0.5)
    assert "**The contract seems to reach its neighbours** (one test at 5%)." in said(study, near, tmp_path / "near")
    none = said(study, [row | UNABLE for row in held(study)], tmp_path / "none")
    assert "**No fact about them could be held fixed, one at a time.**" in none
    assert "**Whether the contract reached others has no answer.** Not estimable (1 treated cluster: too few)." in none


def test_where_all_measures_have_an_answer_together_it_alone_is_shown(study: Study) -> None:
    analysis = next(a for a in study.analyses if a.clusters == "owner")
    more = [answer(analysis, "pooled", -4.0), answer(analysis, "pooled", -4.5, inference=analysis.inference[1])]
    exhibit = build("t6_threats", made(study, [*main_rows(study), *found(study, analysis), *more]))
    shown = exhibit.data.set_index("evidence").loc[analysis.id]
    assert shown["finding"] == (
        "All contracted measures −4.0 (−5.0 to −3.0) points by averaged t; −4.5 (−5.5 to −3.5) points by permutation"
    )
    assert len(shown["row_ids"].split()) == 2


def test_a_gate_says_why_some_measures_have_no_finding(study: Study) -> None:
    gate = study.gate("reading_completeness")
    assert gate is not None
    first, second = study.measure_sets.contracted[:2]
    rows = [
        gate_row(gate, first, None, "NOT EVALUATED") | {"reason": "the measure has no reading"},
        gate_row(gate, second, 0.9, "PASS"),
    ]
    exhibit = build("t6_threats", made(study, main_rows(study), diagnostics=pd.DataFrame(rows)))
    found = exhibit.data.set_index("evidence").loc[gate.id, "finding"]
    assert found.startswith("no finding, the measure has no reading (Colorectal 50-75), passed (Blood pressure); found 0.9")
