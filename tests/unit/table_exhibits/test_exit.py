"""T19 and the checks of composition in T3: what stands in which cell, and when there is no such table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_rows import UNABLE, answer, build, made, main_rows, table_of
from p4equity.exhibits import t19_exit
from p4equity.exhibits.base import MISSING
from p4equity.exhibits.select import exit_bounds_analysis, leave_out_analyses, sensitivities
from p4equity.study import Study


@pytest.fixture
def first(study: Study) -> str:
    return study.measure_sets.contracted[0]


def bound_rows(study: Study, measure: str, low: float, high: float, turning: float) -> list[dict[str, Any]]:
    analysis = exit_bounds_analysis(study)
    assert analysis is not None
    more = {"estimator": "exit_bounds", "outcome": "gap_bound"}
    at_turn = {**more, "outcome": "gap_bound_turning", "conf_low": None, "conf_high": None, "p_value": None}
    return [
        answer(analysis, measure, low, sample="lowest", **more), answer(analysis, measure, high, sample="highest", **more),
        answer(analysis, measure, turning, sample="turning", **at_turn),
    ]  # fmt: skip


def all_rows(study: Study) -> list[dict[str, Any]]:
    one, two = study.measure_sets.contracted[:2]
    rows = main_rows(study)
    for k, a in enumerate(sensitivities(study)):
        rows += [answer(a, "pooled", -2.0 - 0.1 * k), answer(a, one, -1.0 - 0.1 * k)]
    for a in leave_out_analyses(study):
        measures = ["pooled"] if a.pooled else [one, two]
        rows += [answer(a, m, -4.0 + n / 10, sample=f"without {s.id}") for m in measures for n, s in enumerate(study.systems)]
    rows += [*bound_rows(study, "pooled", -3.5, -2.5, 30.0), *bound_rows(study, one, -5.0, -3.0, 12.0)]
    return rows


def test_each_way_to_count_has_its_line_and_bounds_their_ends(study: Study, first: str) -> None:
    exhibit = build("t19_exit", made(study, all_rows(study)))
    table = table_of(exhibit)
    cells = {row[0]: row[1:] for row in table.rows}
    column = table.columns[1:].index(study.measure(first).short_title)
    assert cells["Its gaps 5.0 points narrower than in its contract years"][:1] == ("−3.5\n(−4.5 to −2.5)",)
    assert cells["Its gaps 5.0 points wider"][column].startswith("−3.0")
    assert cells["Least range at which an interval includes zero, points"][column] == "12.0"
    assert cells["Each system left out in turn: lowest to highest"][0] == f"−4.0 to −2.8\n({len(study.systems)} estimates)"
    asked = [a for a in sensitivities(study) if a.exits != "until_exit" or a.map != "baseline" or a.clusters == "owner"]
    assert len(table.rows) == 1 + len(asked) + 3 + 1
    assert set(exhibit.row_ids) == {i for row in table.cell_row_ids for cell in row for i in cell.split()}
    assert "−3.5 to −2.5" in exhibit.alt


def test_a_question_in_which_nobody_left_has_no_bounds(study: Study, first: str) -> None:
    analysis = exit_bounds_analysis(study)
    assert analysis is not None
    ends = {"sample": "lowest", "outcome": "gap_bound"}
    rows = [*main_rows(study), *bound_rows(study, "pooled", -3.5, -2.5, 30.0), answer(analysis, first, **ends, **UNABLE)]
    table = table_of(build("t19_exit", made(study, rows)))
    at = next(row for row in table.rows if row[0].startswith("Its gaps 5.0 points narrower"))
    assert at[1 + table.columns[1:].index(study.measure(first).short_title)] == MISSING


def test_a_study_from_which_nobody_leaves_has_no_such_table(study: Study, published_study: Study) -> None:
    for other in (replace(study, exits=()), published_study):
        results = made(other, main_rows(study))
        assert t19_exit.build(results) is None
        assert "leaves" in results.skipped["T19"]


def test_checks_of_composition_stand_in_a_block_of_their_own(study: Study) -> None:
    table = table_of(build("t3_sensitivity", made(study, all_rows(study))))
    starts = [n for n, _ in table.row_groups]
    blocks = dict(
        zip((label for _, label in table.row_groups), zip(starts, [*starts[1:], len(table.rows)], strict=True), strict=True)
    )
    low, high = blocks["Composition: other members, same question"]
    assert [row[0] for row in table.rows[low:high]] == [
        "Rates at the same ages in all years", "Only members who stayed",
        "Members who stayed, weighted for age alone to all at baseline",
    ]  # fmt: skip
