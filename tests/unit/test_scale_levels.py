"""Levels of every disparity before the contracts: from summed counts by hand, with and without what sampling adds; disclosure."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.disclosure import protect_levels
from p4equity.disparity.between_groups import between_group_variance, theil
from p4equity.disparity.measures import log_odds_gap, ratios, worst_group_rate
from p4equity.estimates import estimates_table
from p4equity.evaluation.context import Context
from p4equity.evaluation.scale_level import LEVELS, scale_level_rows
from p4equity.study import load_study
from p4equity.study.scale_names import SCALE_NAMES
from p4equity.synthetic.cell_draws import CellSampler

MEASURE = "CBP"


@cache
def context() -> Context:
    study = load_study("bcbsma_pay_for_equity")
    drawn = CellSampler(study, *made_cells(study), scenario="clean").draw(np.random.default_rng(5))
    return Context(study, *drawn, "data", "code")


@cache
def found() -> pd.DataFrame:
    return pd.DataFrame(scale_level_rows(context()))


def counts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members (G,) and mean rates (G,) of the contracted systems in the baseline years, and members of the weights years."""
    study = context().study
    matrix = study.contract_matrix()
    own = matrix[(matrix["measure_id"] == MEASURE) & (matrix["cohort"] == study.launch_cohort)]["system_id"]
    cell = context().cell[(context().cell["measure_id"] == MEASURE) & context().cell["system_id"].isin(own)]
    sums = cell.groupby(["group", "year"])[["den", "num"]].sum()
    before = sums[sums.index.get_level_values("year").isin(study.baseline.pre_years)]
    rate = (before["num"] / before["den"]).groupby("group").mean()
    weights = sums[sums.index.get_level_values("year").isin(study.baseline.weights_years)]["den"].groupby("group").sum()
    ids = list(study.group_ids)
    return before["den"].groupby("group").sum()[ids].to_numpy(), rate[ids].to_numpy(), weights[ids].to_numpy()


def test_levels_by_hand() -> None:
    members, rate, weights = counts()
    own = found()[found()["measure_id"] == MEASURE].set_index("outcome")
    assert own.loc["worst_group_rate_level", "estimate"] == pytest.approx(100 * worst_group_rate(rate), abs=1e-9)
    assert own.loc["theil_level", "statistic"] == pytest.approx(1000 * float(theil(rate, weights)))
    plain = between_group_variance(members, rate * members, weights)
    assert own.loc["between_group_variance_level", "statistic"] == pytest.approx(1e4 * float(plain.observed))
    assert own.loc["between_group_variance_level", "estimate"] == pytest.approx(1e4 * float(plain.corrected), rel=0.1)
    behind = [g for m, g in _pairs() if m == MEASURE]
    at = [list(context().study.group_ids).index(g) for g in behind]
    assert own.loc["gap_level", "estimate"] == pytest.approx(100 * (rate[0] - rate[at].mean()))
    assert own.loc["log_odds_gap_level", "statistic"] == pytest.approx(float(log_odds_gap(rate[0], rate[at]).mean()))
    found_ratios = ratios(rate[0], rate[at])
    assert own.loc["success_ratio_level", "statistic"] == pytest.approx(-np.log(found_ratios.success).mean())
    assert own.loc["failure_ratio_level", "statistic"] == pytest.approx(np.log(found_ratios.failure).mean())


def _pairs() -> tuple[tuple[str, str], ...]:
    from p4equity.evaluation.baseline import baseline_series

    study = context().study
    return baseline_series(context(), (study.population.map, study.race.primary))


def test_every_statistic_has_a_level_in_every_contracted_measure() -> None:
    measures = context().study.measure_ids("contracted")
    assert set(zip(found()["measure_id"], found()["outcome"], strict=True)) == {
        (m, f"{name}_level") for m in measures for name in SCALE_NAMES
    }
    ok = found()[found()["status"] == "ok"]
    assert (ok["conf_low"] <= ok["estimate"]).all()
    variance = ok[ok["outcome"].isin(["between_group_variance_level", "theil_level"])]
    assert (variance["statistic"] > variance["estimate"]).all()
    linear = ok[ok["outcome"].isin(["gap_level", "worst_group_rate_level", "gap_to_best_level"])]
    np.testing.assert_allclose(linear["statistic"].astype(float), linear["estimate"].astype(float))


def test_a_hidden_rate_of_the_arm_hides_the_levels_of_its_measure() -> None:
    table = estimates_table(found().to_dict("records"))
    rates = pd.DataFrame({"measure_id": ["CBP", "WCV"], "status": ["suppressed", "ok"]})
    out = protect_levels(table, rates)
    hidden = out["measure_id"] == "CBP"
    assert (out.loc[hidden, "status"] == "suppressed").all()
    assert out.loc[hidden, ["estimate", "statistic", "n_members"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(out[~hidden], table[~hidden])
    assert (table["analysis_id"] == LEVELS).all()
