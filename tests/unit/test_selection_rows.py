"""Rows of the question on selection: what they start from, what is counted, what has no answer, and plans at odds with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from candidate_cells import candidate_cells
from p4equity.errors import StudyError
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.selection import AGAINST, ESTIMANDS, EXPECTED, REPLAYED, SHRUNKEN
from p4equity.evaluation.selection_cells import selection_cells
from p4equity.study import load_study
from p4equity.synthetic.cell_draws import CellSampler

Rows = dict[tuple[str, str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def context() -> Context:
    """One draw of cells at half of the study's size."""
    study = load_study("bcbsma_pay_for_equity")
    sampler = CellSampler(study, *candidate_cells(study, 0.5), scenario="clean")
    return Context(study, *sampler.draw(np.random.default_rng(8)), "data", "code")


def rows_of(context: Context, analysis: str, **changed: Any) -> Rows:
    """Rows by measure, outcome and system."""
    asked = context.study.analysis(analysis).model_copy(update={"inference": ("averaged_t",), **changed})
    return {(r["measure_id"], r["outcome"], r["system_id"]): r for r in analysis_rows(context, asked)}


def test_the_estimate_against_selected_cells_starts_from_the_primary_one(context: Context) -> None:
    rows = rows_of(context, "selected_baseline")
    primary = rows_of(context, "measure") | rows_of(context, "pooled")
    found = 0
    for measure in ("pooled", *context.study.measure_sets.contracted):
        own, main = (rows[measure, name, "all"] for name in (AGAINST, REPLAYED))
        expected = primary[measure, "gap", "all"]
        assert own["estimate"] + main["estimate"] == pytest.approx(expected["estimate"], abs=1e-9), measure
        assert own["std_error"] == pytest.approx(np.hypot(expected["std_error"], main["std_error"])), measure
        assert own["n_clusters"] == expected["n_clusters"]
        assert own["n_treated_clusters"] == expected["n_treated_clusters"]
        wide = (expected["conf_high"] - expected["conf_low"]) / expected["std_error"]
        assert own["conf_high"] - own["conf_low"] == pytest.approx(wide * own["std_error"])
        found += 1
    assert found == 5


def test_expected_changes_of_cells_add_up_by_their_weights_and_say_how_often_they_are_picked(context: Context) -> None:
    rows = rows_of(context, "selected_baseline")
    measure = context.study.measure_sets.contracted[1]
    cells = [r for (m, name, s), r in rows.items() if m == measure and name == EXPECTED and s != "all"]
    assert {r["system_id"] for r in cells} == set(context.arms(context.study.analysis("measure"), measure).treated)
    values = [r["estimate"] for r in cells]
    assert min(values) < rows[measure, EXPECTED, "all"]["estimate"] < max(values) < 0  # a weighted mean, and all of them narrow
    assert all("of draws" in r["reason"] for r in cells)
    assert rows[measure, EXPECTED, "all"].get("conf_low") is None  # an expectation, no estimate of a population


def test_a_system_contracted_on_all_candidates_was_not_selected(context: Context) -> None:
    assert context.study.selection is not None
    everything = context.study.selection.model_copy(update={"measures": ("contracted",)})
    own = replace(context, study=replace(context.study, selection=everything), memory=dict(context.memory))
    cells = selection_cells(own, own.study.analysis("selected_baseline"))
    all_of_them = (cells.picks == cells.candidates) & (cells.picks > 0)
    assert all_of_them.sum() == 1
    assert cells.expected[all_of_them][cells.contracts[all_of_them]] == pytest.approx(0.0)


def test_a_fixed_number_of_picks(context: Context) -> None:
    assert context.study.selection is not None
    two = context.study.selection.model_copy(update={"worst": 2})
    cells = selection_cells(
        replace(context, study=replace(context.study, selection=two)), context.study.analysis("selected_baseline")
    )
    assert set(cells.picks[cells.picks > 0]) == {2}


def test_cells_below_the_rules_size_are_not_looked_at(context: Context) -> None:
    assert context.study.selection is not None
    none = context.study.selection.model_copy(update={"minimum_size": 10**7})
    cells = selection_cells(
        replace(context, study=replace(context.study, selection=none)), context.study.analysis("selected_baseline")
    )
    assert np.isnan(cells.seen).all()
    own = replace(context, study=replace(context.study, selection=none), memory={})
    rows = rows_of(own, "selected_baseline")
    assert rows["pooled", EXPECTED, "all"]["status"] == "not_estimable"
    assert rows["pooled", AGAINST, "all"]["status"] == "not_estimable"
    assert "no comparison cell" in rows["pooled", AGAINST, "all"]["reason"]
    assert rows["pooled", SHRUNKEN, "all"].get("status") == "ok"  # it needs no rule


def test_without_a_rule_every_row_says_why(context: Context) -> None:
    bare = replace(context, study=replace(context.study, selection=None), memory={})
    rows = rows_of(bare, "selected_baseline")
    measures = ("pooled", *context.study.measure_sets.contracted)
    assert set(rows) == {(m, name, "all") for m in measures for name in ESTIMANDS}
    assert {r["reason"] for r in rows.values()} == {"the plan has no selection rule"}


BAD = [
    ('measures = ["contracted", "not_incentivized"]\nminimum_size', 'measures = ["contracted", "not_paid"]\nminimum_size',
     "selection.measures: unknown measure set"),
    ("selection_years = [2021]", "selection_years = []", "replays a selection rule that the plan does not have"),
    ('worst = "as_contracted"', 'worst = "all"', "selection.worst"),
    ('id = "unguarded"\nlabel', 'id = "default"\nlabel', "duplicate id 'default'"),
    ('id = "best_group"\nlabel = "Gap to the best group"\nstatistic = "gap_to_best"',
     'id = "best_group"\nlabel = "Gap to the best group"\nstatistic = "gap_to_bset"', "did you mean 'gap_to_best'"),
    ("per_year = true", "baseline_years = [2011]", "years outside data.years"),
    ('spending = "SPEND"\n', "", "reads spending, and [measures] names none"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), BAD)
def test_plans_at_odds_with_themselves_are_refused(
    edited: Callable[[str, str, str], Path], old: str, new: str, said: str
) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(edited("study.toml", old, new))
    assert said in str(caught.value)
