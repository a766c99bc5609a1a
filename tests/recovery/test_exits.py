"""A system that leaves, over 20 draws of cells: what happens at its former practices reaches no estimate that ends before."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Study, load_study
from p4equity.synthetic.cell_draws import CellSampler

DRAWS, MEASURE, TRUTH = 20, "COL_50_75", -4.0  # the reference falls by 4 points at contracted systems: truth.toml
SHOCK = 12.0  # points by which the gap at the leaving system's former practices widens after its exit


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


@cache
def sampler(study: Study) -> CellSampler:
    cell, overlap = made_cells(study)
    return CellSampler(study, cell[cell["measure_id"] == MEASURE], overlap[overlap["measure_1"] == MEASURE], scenario="clean")


def shocked(study: Study, cell: pd.DataFrame) -> pd.DataFrame:
    """The same cells with fewer successes of the compared groups where a system has left."""
    gone = np.zeros(len(cell), bool)
    for leave in study.exits:
        gone |= ((cell["system_id"] == leave.system_id) & (cell["year"] >= leave.date.year)).to_numpy()
    hit = gone & cell["group"].isin(study.groups.compared).to_numpy()
    return cell.assign(num=cell["num"].where(~hit, (cell["num"] - SHOCK / 100 * cell["den"]).clip(lower=0).round()))


def answers(context: Context) -> dict[str, float]:
    """Estimate by way to count, the ends of the bounds, and the interval over both ends."""
    found = {}
    main = context.study.analysis("measure").model_copy(update={"measures": (MEASURE,), "inference": ("averaged_t",)})
    for name, change in (
        ("until_exit", {}), ("carry", {"exits": "carry"}), ("drop", {"exits": "drop"}), ("owner", {"clusters": "owner"}),
    ):  # fmt: skip
        rows = analysis_rows(context, main.model_copy(update=change))
        found[name] = next(float(r["estimate"]) for r in rows if r["outcome"] == "gap")
    bounds = context.study.analysis("exit_bounds").model_copy(update={"measures": (MEASURE,), "also_pooled": False})
    for row in analysis_rows(context, bounds):
        if row["outcome"] == "gap_bound":
            found[row["sample"]] = float(row["estimate"])
            found[f"{row['sample']}_end"] = float(row["conf_low" if row["sample"] == "lowest" else "conf_high"])
    return found


@pytest.fixture(scope="module")
def draws(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers of every draw as it is, and with the shock."""
    plain, hit = [], []
    for number in range(DRAWS):
        cell, overlap = sampler(study).draw(np.random.default_rng([5, number]))
        plain.append(answers(Context(study, cell, overlap, "", "")))
        hit.append(answers(Context(study, shocked(study, cell), overlap, "", "")))
    return pd.DataFrame(plain), pd.DataFrame(hit)


def test_years_after_an_exit_do_not_reach_the_estimate(draws: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    plain, hit = draws
    for name in ("until_exit", "drop", "owner", "lowest", "highest"):
        np.testing.assert_allclose(plain[name], hit[name], atol=0.01, err_msg=name)  # weights see other variances


def test_the_planted_effect_is_recovered_by_each_way_that_ends_with_the_exit(draws: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    plain, _ = draws
    for name in ("until_exit", "drop", "owner"):
        error = plain[name].std() / np.sqrt(DRAWS)
        assert abs(plain[name].mean() - TRUTH) < 4 * error, name


def test_a_system_kept_to_the_end_carries_its_shock_into_the_estimate(draws: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """One of three contracted systems, two of its three years: the shock counts two ninths, more or less by precision."""
    plain, hit = draws
    moved = hit["carry"] - plain["carry"]
    assert (moved > 0).all()
    assert moved.mean() == pytest.approx(SHOCK * 2 / 9, rel=0.25)


def test_bounds_hold_the_truth_and_not_what_lies_beyond_their_range(
    study: Study, draws: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Without the contract's effect after the exit the gap lies 4 points off the contract years: within the range of 5."""
    plain, hit = draws
    assert study.population.exit_range == 5.0
    assert ((plain["lowest_end"] <= TRUTH) & (plain["highest_end"] >= TRUTH)).sum() >= DRAWS - 2
    assert plain["lowest"].mean() < plain["carry"].mean() < plain["highest"].mean()
    assert hit["carry"].mean() > hit["highest"].mean()  # 16 points off: beyond
