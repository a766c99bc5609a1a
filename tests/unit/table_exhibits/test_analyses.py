"""Tables of sensitivity analyses, power and threats: what stands in which cell, and what is said without a number."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from itertools import product

import pandas as pd
import pytest
from made_rows import UNABLE, answer, build, gate_row, lines, made, main_rows, power_row, table_of
from p4equity.estimates import estimates_table
from p4equity.exhibits.base import MISSING
from p4equity.exhibits.select import group_analysis, leave_out_analysis, measure_analysis, sensitivities
from p4equity.results import Results
from p4equity.study import Study

# --- T3


def test_every_sensitivity_analysis_has_its_line_and_its_row(study: Study) -> None:
    first, second = study.measure_sets.contracted[:2]
    changed = sensitivities(study)
    rows = [*main_rows(study), *(answer(a, first, -2.0 - k) for k, a in enumerate(changed)), answer(changed[0], second, 0.5)]
    exhibit = build("t3_sensitivity", made(study, rows))
    table = table_of(exhibit)
    headings = [label for _, label in table.row_groups]
    assert headings[:2] == ["The primary question", "One choice changed"]
    start = table.row_groups[1][0]
    assert len(table.rows) - start == len(changed)
    assert [row[2] for row in table.rows[start:]] == [
        f"−{2 + k}.0, p 0.02\n(−{3 + k}.0 to −{1 + k}.0)" for k in range(len(changed))
    ]
    known = dict(zip(exhibit.data["row_id"], exhibit.data["estimate"], strict=True))
    assert known[table.cell_row_ids[start][3]] == 0.5
    assert set(exhibit.row_ids) == {i for row in table.cell_row_ids for cell in row for i in cell.split()}
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
    for part in (
        "Each row: 12 systems, 5 with a contract",
        "10.0 degrees of freedom",
        "averaged over variance patterns",
        "95% intervals",
    ):
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
    methods = ("CR2", "Wild bootstrap", "CR1")
    assert [row[:2] for row in table.rows] == [
        (label, method)
        for weighted in ("Weighted", "Unweighted")
        for label, method in zip((weighted, "", ""), methods, strict=True)
    ]
    assert table.rows[0][2] == "0.080, p 0.02\n(0.030 to 0.130)"
    assert table.rows[1][3] == MISSING
    assert not set(exhibit.data["measure_id"]) & set(study.measure_sets.negative_control)


# --- T4


@pytest.mark.parametrize(
    ("estimate", "half", "gap", "said"),
    [
        (-4.0, 1.0, 8.0, ("yes", "no")),
        (-0.5, 1.0, 8.0, ("no", "yes")),
        (1.5, 1.0, 8.0, ("yes", "yes")),
        (-1.0, 2.0, 8.0, ("no", "no")),
        (1.0, 2.0, -1.0, ("no", MISSING)),
    ],
)
def test_what_the_interval_rules_out(study: Study, estimate: float, half: float, gap: float, said: tuple[str, str]) -> None:
    main, measure = measure_analysis(study), study.measure_sets.contracted[0]
    assert main
    results = made(study, [answer(main, measure, estimate, half)], power=pd.DataFrame([power_row(measure, gap)]))
    exhibit = build("t4_power", results)
    row = table_of(exhibit).rows[0]
    assert row[6:8] == said
    assert row[1] == "5 / 7"
    assert row[3] == (f"{0.25 * gap:.1f}" if gap > 0 else MISSING)
    assert row[4] == "3.0 to 4.0"
    assert row[8:] == ("0.001",)
    assert exhibit.row_ids == tuple(results.estimates["row_id"])


def test_a_group_without_a_gap_is_marked_and_out_of_the_pooled_label(study: Study) -> None:
    main, group, measure = measure_analysis(study), group_analysis(study), study.measure_sets.contracted[0]
    assert main
    assert group
    behind, ahead, *others = study.groups.compared
    gaps = {behind: 6.0, ahead: -3.0, **dict.fromkeys(others, 5.0)}
    rows = [answer(main, measure, -1.0), *(answer(group, measure, -1.0, group=g) for g in gaps)]
    rows += [answer(main, measure, v, group=g) | DESCRIBED | {"row_id": f"gap.{g}"} for g, v in gaps.items()]
    power = pd.DataFrame([power_row(measure, v, group=g) for g, v in gaps.items()] + [power_row(measure, 5.5)])
    results = made(study, rows, power=power)
    names = " and ".join(study.group(g).label for g in (behind, *others))
    for name in ("t2_main_estimates", "t4_power"):
        exhibit = build(name, results)
        shown = lines(exhibit)
        assert shown[study.group(ahead).label][1] == "−3.0†"
        assert shown[study.group(behind).label][1] == "6.0"
        assert shown[f"{names} pooled"][1] == "5.5"
        assert "† The interval of the baseline gap does not lie above zero" in exhibit.footnote


DESCRIBED = {"analysis_id": "baseline_gap", "estimator": "descriptive", "inference": "sampling"}


def test_an_effect_without_number_rules_nothing_out(study: Study) -> None:
    main, measure = measure_analysis(study), study.measure_sets.contracted[0]
    assert main
    exhibit = build("t4_power", made(study, [answer(main, measure, **UNABLE)], power=pd.DataFrame([power_row(measure, 8.0)])))
    assert table_of(exhibit).rows[0][5:7] == ("not estimable", MISSING)
    assert "1 effect without a number" in exhibit.alt


# --- T6


def test_threats_carry_what_their_tests_found(study: Study) -> None:
    gate, first = study.gate("race_data_drift"), study.measure_sets.contracted[0]
    assert gate
    race = next(a for a in sensitivities(study) if a.race_version == "contemporaneous")
    gates = pd.DataFrame([gate_row(gate, "all", 7.5, "FAIL")])
    threats = [dict(row) for row in study.tables["threats"]]
    threats[-1]["evidence"] = None
    study = replace(study, tables={**study.tables, "threats": threats})
    results = made(study, [*main_rows(study), answer(race, first, -1.0)], diagnostics=gates)
    exhibit = build("t6_threats", results)
    found = exhibit.data.set_index(["threat_id", "evidence"])
    drift = found.loc[("race_data", gate.id)]
    assert drift["finding"] == "FAILED; found 7.5 (at most 5.0; percentage points)"
    assert drift["row_ids"] == f"gate.{gate.id}.all"
    assert found.loc[("race_data", race.id), "finding"] == "−1.0 (−2.0 to 0.0) points by averaged t"
    assert found.loc[("race_data", race.id), "row_ids"] in exhibit.row_ids
    unanswered = exhibit.data[exhibit.data["evidence"] == ""]
    assert list(unanswered["threat_id"]) == [threats[-1]["threat_id"]]
    assert set(unanswered["finding"]) == {"not evaluated"}
    assert "race data drift failed" in exhibit.alt
    assert [label for _, label in table_of(exhibit).row_groups] == [
        f"{t['description']}. Direction of bias: {t['direction'][:1].lower()}{t['direction'][1:]}"
        if t["direction"] != "Either"
        else f"{t['description']}. Direction of bias: either way"
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
    assert said == {"test of the years before, p 0.03 to 0.50 in 2 series, 1 below 0.05; 1 not estimable"}
