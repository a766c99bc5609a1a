"""T10 and T21: power beside the tests against a margin, what pooled rows are about, and which contrast a line holds."""

from __future__ import annotations

from typing import Any

import pytest
from made_rows import answer, build, made, main_rows, table_of
from p4equity.evaluation.plan import govern
from p4equity.study import Study, load_study


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


def test_power_stands_beside_each_test_against_a_margin(study: Study) -> None:
    quality, measure = study.analysis("overall_quality"), study.measure_ids("contracted")[0]
    unpaid, bare = study.analysis("not_incentivized_pooled"), study.analysis("claims_only")
    rows = [answer(quality, m, 0.2) for m in (measure, "pooled")]
    rows += [answer(quality, m, 0.2, outcome="rate_against_margin", p_value=0.04) for m in (measure, "pooled")]
    empty = {"conf_low": None, "conf_high": None, "p_value": None}
    rows += [answer(quality, m, x, outcome="rate_margin_power") | empty for m, x in ((measure, 0.17), ("pooled", 0.34))]
    rows += [answer(a, "pooled", 0.7) for a in (unpaid, bare)]
    exhibit = build("t10_other_outcomes", made(study, [*main_rows(study), *rows]))
    table = table_of(exhibit)
    at = table.columns.index("Power")
    found = {row[0]: row[at] for row in table.rows}
    assert found["All contracted measures, rate of all members"] == "0.34"
    assert sorted(found.values()) == ["", "0.17", "0.34"]
    assert [row[0] for row in table.rows].count("All of these measures, gap") == 2
    shown = exhibit.data[exhibit.data["analysis_id"] == quality.id].set_index("measure_id")["power"]
    assert shown.to_dict() == {measure: 0.17, "pooled": 0.34}
    ids = {i for line in table.cell_row_ids for cell in line for i in cell.split()}
    assert sum("margin_power" in i for i in ids) == 2


def test_each_contrast_of_paid_measures_says_what_it_sets_apart(study: Study) -> None:
    rows = [answer(study.analysis(a), "pooled", -4.0) for a in ("paid_contrast", "paid_contrast_held")]
    exhibit = build("t21_side_effects", made(study, [*main_rows(study), *rows]))
    table = table_of(exhibit)
    assert [row[0] for row in table.rows] == ["Paid less unpaid, pooled", "Named by the contract less left out, pooled"]
    assert "outside of it" in table.row_groups[1][1]


def test_a_pooled_row_falls_with_the_measures_it_is_about(study: Study) -> None:
    assert study.race is not None
    row: dict[str, Any] = {"measure_id": "pooled", "race_version": study.race.primary, "estimator": "meta_regression"}
    ids = ("pooled", "claims_only", "not_incentivized_pooled")
    bare = study.measure_ids(study.analysis("claims_only").measures)
    failed = {m: {"completeness": "too few"} for m in study.measure_ids("contracted") if m not in bare}
    found = govern([{**row, "analysis_id": i, "status": "ok"} for i in ids], failed, study)
    assert [r["status"] for r in found] == ["not_estimable", "ok", "ok"]
