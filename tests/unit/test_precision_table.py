"""What each system could be paid on, from made cells: numbers by hand, blindness to outcomes, the plan's rule, disclosure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from even_cells import DEN, MEASURE, STAY, made_context
from p4equity.dictionary import load_dictionary
from p4equity.disclosure import protect_precision
from p4equity.disparity.precision import change_factor, level_factor
from p4equity.section import phrases, precision
from p4equity.study import Study
from p4equity.summaries.cell_precision import precision_table


def one(table: pd.DataFrame, study: Study, system: str, group: str) -> pd.Series:
    where = (table["system_id"] == system) & (table["group"] == group)
    found = table[where & (table["measure_id"] == study.measure_sets.contracted[MEASURE])]
    assert len(found) == 1
    return found.iloc[0]


@pytest.fixture
def first(study: Study) -> str:
    return study.systems[0].id


def test_numbers_by_hand(study: Study, first: str) -> None:
    """900 members, rates 0.80 and 0.60, results of a member independent between years: no correlation."""
    plan = study.precision
    assert plan is not None
    row = one(precision_table(made_context(study)), study, first, study.groups.compared[0])
    year = (0.80 * 0.20 + 0.60 * 0.40) / DEN * 100**2
    assert row["correlation"] == pytest.approx(0.0, abs=1e-6)
    assert row["se_level"] == pytest.approx(np.sqrt(year / len(plan.baseline_years)))
    assert row["se_change"] == pytest.approx(np.sqrt(year * (1 / len(plan.baseline_years) + 1 / len(plan.performance_years))))
    assert row["detectable_change"] == pytest.approx(2.8016 * row["se_change"], rel=1e-4)
    assert row["reliability_change"] == pytest.approx(plan.change_sd**2 / (plan.change_sd**2 + row["se_change"] ** 2))
    assert row["baseline_gap"] == pytest.approx(20.0)
    assert row["sd_level"] == pytest.approx(0.0)
    assert row["reliability_level"] == pytest.approx(0.0)
    assert row["detectable"]
    assert row["payable"] == (row["reliability_change"] >= plan.reliability)


def test_the_mean_gap_counts_the_reference_once(study: Study, first: str) -> None:
    plan, groups = study.precision, len(study.groups.compared)
    assert plan is not None
    row = one(precision_table(made_context(study)), study, first, "pooled")
    year = (0.80 * 0.20 + 0.60 * 0.40 / groups) / DEN * 100**2
    assert row["se_change"] == pytest.approx(np.sqrt(year * change_factor(plan.baseline_years, plan.performance_years, 0.0)))
    assert row["mean_members"] == groups * DEN
    assert row["would_carry"]


def test_overlap_and_persistence_are_in_the_errors(study: Study, first: str) -> None:
    """The same cells with members who keep their result: the change is known better, the mean of two years less well."""
    plan = study.precision
    assert plan is not None
    context = made_context(study)
    lasting = context.overlap.copy()
    apart = lasting["year_1"] != lasting["year_2"]
    lasting.loc[apart, "num_num"] = lasting.loc[apart, "num_den"]
    row = one(precision_table(replace(context, overlap=lasting, memory={})), study, first, study.groups.compared[0])
    assert row["correlation"] == pytest.approx(STAY, rel=0.01)
    year = (0.80 * 0.20 + 0.60 * 0.40) / DEN * 100**2
    factor = change_factor(plan.baseline_years, plan.performance_years, row["correlation"])
    assert row["se_change"] == pytest.approx(np.sqrt(year * factor))
    assert row["se_level"] == pytest.approx(np.sqrt(year * level_factor(plan.baseline_years, row["correlation"])))


def test_no_year_under_contract_enters(study: Study) -> None:
    """Neither outcomes nor members nor overlap of contract years move a digit."""
    plain, context = precision_table(made_context(study, tilt=0.1)), made_context(study, tilt=0.1, after=0.1)
    context.cell.loc[context.cell["year"] >= study.launch_cohort, ["den", "num"]] *= 3
    pd.testing.assert_frame_equal(plain, precision_table(context))


def test_systems_that_differ_beyond_sampling_have_reliable_levels(study: Study, first: str) -> None:
    row = one(precision_table(made_context(study, tilt=0.1)), study, first, study.groups.compared[0])
    assert row["sd_level"] == pytest.approx(5.0, rel=0.15)  # gaps of 15 and 25 points
    assert row["reliability_level"] == pytest.approx(row["sd_level"] ** 2 / (row["sd_level"] ** 2 + row["se_level"] ** 2))


def test_the_spread_of_changes_is_estimated_where_the_plan_gives_none(study: Study, first: str) -> None:
    assert study.precision is not None
    plain = replace(study, precision=study.precision.model_copy(update={"change_sd": None, "level_sd": 4.0}))
    row = one(precision_table(made_context(plain)), study, first, study.groups.compared[0])
    assert row["sd_change"] == pytest.approx(0.0)  # no system's gap moves between the baseline years
    assert row["sd_level"] == 4.0


def test_small_cells_have_a_reason_and_no_number(study: Study, first: str) -> None:
    group = study.groups.compared[0]
    table = precision_table(made_context(study, sizes={(first, group): 5}))
    row = one(table, study, first, group)
    assert row["status"] == "not_estimable"
    assert "minimum denominator" in row["reason"]
    assert row[[c for c in table.columns if c.startswith(("se_", "rel", "det"))]].isna().all()
    assert one(table, study, first, "pooled")["mean_members"] == DEN * (len(study.groups.compared) - 1)


def test_a_system_of_one_large_group_carries_nothing(study: Study, first: str) -> None:
    sizes = {(first, g): 20 for g in study.groups.compared[1:]}
    row = one(precision_table(made_context(study, low=0.2, sizes=sizes)), study, first, "pooled")
    assert row["status"] == "ok"
    assert not row["would_carry"]


def test_columns_and_empty_tables(study: Study, published_study: Study) -> None:
    names = list(load_dictionary().table("precision").names)
    assert list(precision_table(made_context(study)).columns) == names
    without = made_context(replace(study, precision=None))
    assert precision_table(without).empty
    assert published_study.precision is None


def test_a_hidden_denominator_hides_what_would_tell_it(study: Study, first: str) -> None:
    """The group's row, the system's mean gap, and all its rows where the reference is hidden; nobody else's."""
    table = precision_table(made_context(study))
    group, measure = study.groups.compared[0], study.measure_sets.contracted[MEASURE]
    second = study.systems[1].id
    cells = pd.DataFrame(
        [(first, measure, group, 2021, "suppressed"), (second, measure, study.groups.reference, 2022, "suppressed")],
        columns=["system_id", "measure_id", "group", "year", "status"],
    )
    out = protect_precision(table, cells, (2021, 2022), study.group_ids)
    hidden = out["status"] == "suppressed"
    seen = {(s, g) for s, g in zip(out.loc[hidden, "system_id"], out.loc[hidden, "group"], strict=True)}
    assert seen == {(first, group), (first, "pooled")} | {(second, g) for g in (*study.groups.compared, "pooled")}
    open_ones = ["system_id", "arm", "measure_id", "group", "contracted", "status", "reason"]
    assert out.loc[hidden].drop(columns=open_ones).isna().all(axis=None)
    pd.testing.assert_frame_equal(out.loc[~hidden], table.loc[~hidden], check_dtype=False)
    other = protect_precision(table, cells.assign(year=2019), (2021, 2022), study.group_ids)
    assert (other["status"] != "suppressed").all()


def said(study: Study, table: pd.DataFrame, folder: Path) -> str:
    """The paragraph on a precision table, as a section writes it."""
    (folder / "results").mkdir()
    table.to_csv(folder / "results" / "precision.csv", index=False)
    read = pd.read_csv(folder / "results" / "precision.csv")
    return precision.summary(SimpleNamespace(study=study, run_dir=folder, results=lambda _: read.copy()))  # type: ignore[arg-type]


def test_the_paragraph_counts_what_could_be_paid_on(study: Study, tmp_path: Path) -> None:
    """Twenty points of gap and 900 members: every change of half the gap would be seen, none is reliable."""
    table = precision_table(made_context(study))
    rows = table[table["status"] == "ok"]
    single = rows[rows["contracted"].astype(bool) & (rows["group"] != "pooled")]
    means = rows[(rows["group"] == "pooled") & ~rows["contracted"].astype(bool)]
    text = said(study, table, tmp_path)
    assert f"**None of {len(single)} gaps under contract could reliably be paid on**" in text
    assert f"of its baseline gap in all {len(single)}." in text
    assert text.endswith(f"and {phrases.count(len(means))} that systems do not have (blood pressure).")


def test_without_rows_there_is_no_paragraph(study: Study, published_study: Study, tmp_path: Path) -> None:
    assert precision.table(SimpleNamespace(study=published_study, run_dir=tmp_path)) is None  # type: ignore[arg-type]
    assert precision.table(SimpleNamespace(study=study, run_dir=tmp_path)) is None  # type: ignore[arg-type]
