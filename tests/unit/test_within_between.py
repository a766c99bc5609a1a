"""The table of an arm's gap within and between systems: it is Kitagawa's decomposition, of released cells alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.diagnostics.findings import primary_analysis
from p4equity.dictionary import load_dictionary
from p4equity.disparity.decomposition import kitagawa
from p4equity.disparity.panel import rate_covariance
from p4equity.evaluation.context import Context
from p4equity.study import load_study
from p4equity.summaries.rates import cell_table
from p4equity.summaries.within_between import FEW, within_between_table
from p4equity.synthetic.cell_draws import CellSampler

MEASURE, GROUP = "CBP", "black"


@cache
def made() -> tuple[Context, pd.DataFrame]:
    """A context, and its cells as if every one were released."""
    study = load_study("bcbsma_pay_for_equity")
    drawn = CellSampler(study, *made_cells(study), scenario="clean").draw(np.random.default_rng(8))
    context = Context(study, *drawn, "data", "code")
    return context, cell_table(context, primary_analysis(context)).assign(status="ok")


def of(table: pd.DataFrame, arm: str, period: str) -> pd.Series:
    at = (table["measure_id"] == MEASURE) & (table["group"] == GROUP) & (table["arm"] == arm) & (table["period"] == period)
    return table[at].iloc[0]


def by_hand(context: Context, cells: pd.DataFrame, systems: list[str], years: list[int]) -> np.ndarray:
    """Gap, within and between of pooled counts, averaged over years."""
    parts = []
    for year in years:
        rows = cells[(cells["measure_id"] == MEASURE) & (cells["year"] == year) & cells["system_id"].isin(systems)]
        pair = [rows[rows["group"] == g].set_index("system_id").loc[systems] for g in (context.study.groups.reference, GROUP)]
        rates = [(p["num"] / p["den"]).to_numpy(float) for p in pair]
        shares = [(p["den"] / p["den"].sum()).to_numpy(float) for p in pair]
        found = kitagawa(*rates, *shares)
        whole = [p["num"].sum() / p["den"].sum() for p in pair]
        assert found.total == pytest.approx(whole[0] - whole[1], abs=1e-12)
        parts.append([100 * float(x) for x in (found.total, found.within, found.between)])
    return np.mean(parts, axis=0)


def test_it_is_the_decomposition_of_pooled_counts() -> None:
    context, cells = made()
    table = within_between_table(context, cells)
    assert list(table.columns) == list(load_dictionary().table("gap_parts").names)
    assert (table["status"] == "ok").any()
    np.testing.assert_allclose(table["within"] + table["between"], table["gap"], atol=1e-9)
    systems = sorted(context.arms(primary_analysis(context), MEASURE).comparison)
    before = by_hand(context, cells, systems, [2019, 2021, 2022])
    after = by_hand(context, cells, systems, [2023, 2024, 2025])
    for period, wanted in (("before", before), ("after", after), ("change", after - before)):
        row = of(table, "comparison", period)
        np.testing.assert_allclose(row[["gap", "within", "between"]].to_numpy(float), wanted, atol=1e-9)
        assert (row["n_clusters"], row["systems_left_out"]) == (len(systems), 0)


def test_a_system_that_leaves_counts_until_it_does() -> None:
    context, cells = made()
    study = context.study
    leaving = next(s.id for s in study.arm_systems("participating") if study.exit_year(s.id) is not None)
    systems = sorted(context.arms(primary_analysis(context), MEASURE).treated)
    assert leaving in systems
    stays = [s for s in systems if s != leaving]
    last = study.exit_year(leaving)
    wanted = np.mean([by_hand(context, cells, systems if year < last else stays, [year]) for year in (2023, 2024, 2025)], axis=0)
    row = of(within_between_table(context, cells), "contracted", "after")
    np.testing.assert_allclose(row[["gap", "within", "between"]].to_numpy(float), wanted, atol=1e-9)


def test_systems_with_a_hidden_cell_do_not_enter() -> None:
    """Whatever a hidden cell holds, the table is the same: so it cannot tell."""
    context, cells = made()
    system = sorted(context.arms(primary_analysis(context), MEASURE).comparison)[0]
    hidden = cells.copy()
    at = (
        (hidden["system_id"] == system)
        & (hidden["measure_id"] == MEASURE)
        & (hidden["group"] == GROUP)
        & (hidden["year"] == 2021)
    )
    assert at.sum() == 1
    hidden.loc[at, "status"] = "suppressed"
    table = within_between_table(context, hidden)
    row, whole = (of(t, "comparison", "before") for t in (table, within_between_table(context, cells)))
    assert (row["n_clusters"], row["systems_left_out"]) == (whole["n_clusters"] - 1, 1)
    assert row["gap"] != pytest.approx(whole["gap"], abs=1e-6)
    other = context.cell.copy()
    same = (other["system_id"] == system) & (other["measure_id"] == MEASURE) & (other["group"] == GROUP) & (other["year"] == 2021)
    other.loc[same, "num"] -= 7
    changed = within_between_table(Context(context.study, other, context.overlap, "", ""), hidden)
    numbers = ["gap", "within", "between"]
    pd.testing.assert_frame_equal(changed[numbers], table[numbers], rtol=1e-12)


def test_an_arm_of_one_system_has_nothing_between_clusters() -> None:
    context, cells = made()
    table = within_between_table(context, cells)
    alone = table[table["n_clusters"] < 2]
    assert (alone["measure_id"] == "WCV").all()
    assert len(alone)
    assert (alone["reason"] == FEW).all()
    assert alone[["gap", "within", "between", "se_gap"]].isna().all(axis=None)


def test_sampling_errors_are_those_of_repeated_draws() -> None:
    """Draws of rates with the panel's own covariance: the spread of levels and changes is the one stated."""
    context, cells = made()
    study = context.study
    panel = context.panel(("baseline", "frozen"))
    rng, found = np.random.default_rng(1), []
    systems = sorted(context.arms(primary_analysis(context), MEASURE).comparison)
    at = [panel.systems.index(s) for s in systems]
    years = [panel.years.index(t) for t in study.years]
    for _ in range(160):
        num = panel.num.copy()
        for g in (str(study.groups.reference), GROUP):
            i = panel.index(MEASURE, g)
            for s in at:
                V = rate_covariance(panel, s, g, MEASURE, MEASURE)
                num[s, i, years] = panel.den[s, i] * rng.multivariate_normal(panel.rate[s, i], V, method="eigh")
        drawn = Context(study, context.cell, context.overlap, "", "")
        drawn.memory.update(context.memory)
        drawn.memory["panel", ("baseline", "frozen")] = replace(panel, num=num)
        table = within_between_table(drawn, cells)
        found.append([of(table, "comparison", p)[["gap", "within", "between"]].to_numpy(float) for p in ("before", "change")])
    spread = np.std(found, axis=0)
    table = within_between_table(context, cells)
    for k, period in enumerate(("before", "change")):
        stated = of(table, "comparison", period)[["se_gap", "se_within", "se_between"]].to_numpy(float)
        np.testing.assert_allclose(spread[k], stated, rtol=0.25)
