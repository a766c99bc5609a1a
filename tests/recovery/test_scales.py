"""Planted effects on other scales: each statistic recovers what the planted rates imply; the null measure stays quiet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.disparity.panel import Panel
from p4equity.disparity.scale_changes import scale_changes
from p4equity.evaluation.context import Context
from p4equity.evaluation.scales import OUTCOMES, rows
from p4equity.study import Analysis, Study, load_study
from p4equity.synthetic.build_streams import streams_of
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.rates import build_rates
from p4equity.synthetic.truth import load_truth
from scipy import stats

STUDY, SCENARIO, SEEDS = "bcbsma_pay_for_equity", "clean", 20
STATISTICS = [name for statistics in OUTCOMES.values() for name in statistics]
UNLIKELY = 1e-4  # a correct method fails one of these tests once in some hundred suites


def true_panel(study: Study, panel: Panel) -> Panel:
    """The panel with the planted rates themselves as rates, and no sampling error."""
    assert study.scheme is not None
    num, order, planted = panel.num.copy(), [s.id for s in study.systems], load_truth(study, SCENARIO)
    for i, (measure, group) in enumerate(panel.series):
        if group in study.scheme.ids:
            found = streams_of(study)[study.measure(measure).events]
            made = build_rates(study, planted, found[0], tuple(m.id for m in found), study.data.seed)
            at = [order.index(s) for s in panel.systems]
            num[:, i] = panel.den[:, i] * (made.level + made.effect)[at, study.scheme.ids.index(group)] / 100
    return replace(panel, num=num, kappa={g: np.zeros_like(k) for g, k in panel.kappa.items()})


def implied(context: Context, truth: Panel, analysis: Analysis, measure: str) -> Iterator[tuple[str, float, float]]:
    """Statistic, the mean change of contracted less that of comparison systems at the planted rates, spread over contracted ones.

    With parallel trends in points this is not the planted effect alone: on another scale the common trend itself differs where
    baseline levels do.
    """
    arms = context.arms(analysis, measure)
    windows = dict.fromkeys(truth.systems, ((), ())) | context.windows(analysis, arms)
    treated, compared = np.isin(truth.systems, list(arms.treated)), np.isin(truth.systems, arms.comparison)
    for name, statistic in OUTCOMES[analysis.outcome].items():
        asked = statistic.asked(context, context.variant(analysis), measure)
        assert asked is not None
        minimum = context.study.inference.minimum_denominator
        found = scale_changes(truth, statistic.scale, [asked], windows, arms.comparison, minimum)
        change = statistic.scale.factor * found.gap[:, 0]
        yield name, float(np.nanmean(change[treated]) - np.nanmean(change[compared])), float(np.nanstd(change[treated]))


@cache
def drawn() -> pd.DataFrame:
    """One row a seed, measure and statistic: estimate, what is implied, whether the interval holds it, whether 0 is rejected."""
    study = load_study(STUDY)
    sampler = CellSampler(study, *made_cells(study), scenario=SCENARIO)
    asked = [a.model_copy(update={"inference": ("averaged_t",)}) for a in study.analyses if a.estimator == "scale_change"]
    out = []
    for seed in range(SEEDS):
        context = Context(study, *sampler.draw(np.random.default_rng([20260105, seed])), "", "")
        truth = true_panel(study, context.panel(context.variant(asked[0])))
        for analysis in asked:
            for measure in study.measure_sets.contracted:
                wanted = {name: (effect, spread) for name, effect, spread in implied(context, truth, analysis, measure)}
                for row in rows(context, analysis, measure):
                    assert row["status"] == "ok", row["reason"]
                    effect, spread = wanted[row["outcome"]]
                    out.append(
                        {
                            "statistic": row["outcome"], "measure": measure, "implied": effect, "spread": spread,
                            "estimate": row["estimate"], "error": row["std_error"],
                            "covered": row["conf_low"] <= effect <= row["conf_high"],
                            "rejected": row["p_value"] <= study.inference.alpha,
                        }
                    )  # fmt: skip
    return pd.DataFrame(out)


def test_every_statistic_is_drawn() -> None:
    assert sorted(drawn()["statistic"].unique()) == sorted(STATISTICS)
    assert (drawn().groupby(["statistic", "measure"]).size() == SEEDS).all()


@pytest.mark.parametrize("statistic", STATISTICS)
def test_intervals_cover_what_is_implied(statistic: str) -> None:
    """Counted over seeds and measures, which are drawn apart: no fewer than a binomial of 95% allows."""
    own = drawn()[drawn()["statistic"] == statistic]
    assert own["covered"].sum() >= stats.binom.ppf(UNLIKELY, len(own), 0.95)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_estimates_lie_around_what_is_implied(statistic: str) -> None:
    """Where effects differ between contracted systems, weights by precision may stand off the plain mean by half their spread."""
    own = drawn()[drawn()["statistic"] == statistic]
    for measure, part in own.groupby("measure"):
        error = part["estimate"].std() / np.sqrt(len(part))
        off = (part["estimate"] - part["implied"]).mean()
        assert abs(off) <= stats.t.ppf(1 - UNLIKELY / 2, len(part) - 1) * error + 0.5 * part["spread"].mean(), measure


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_null_measure_stays_quiet(statistic: str) -> None:
    """No effect is planted on A1c control; what trends imply there is a small part of a standard error."""
    own = drawn()[(drawn()["statistic"] == statistic) & (drawn()["measure"] == "HBD_CTRL")]
    assert (own["implied"].abs() < 0.2 * own["error"]).all()
    assert own["rejected"].sum() <= stats.binom.ppf(1 - UNLIKELY, len(own), 0.05)


def test_where_nothing_is_planted_no_statistic_rejects_more_often_than_it_says() -> None:
    """Over seeds and measures, statistic by statistic; the statistics of one draw move together."""
    study = load_study(STUDY)
    sampler = CellSampler(study, *made_cells(study), scenario="nothing")
    asked = [a.model_copy(update={"inference": ("averaged_t",)}) for a in study.analyses if a.estimator == "scale_change"]
    rejected: dict[str, list[bool]] = {name: [] for name in STATISTICS}
    for seed in range(SEEDS):
        context = Context(study, *sampler.draw(np.random.default_rng([20260106, seed])), "", "")
        for analysis in asked:
            for measure in study.measure_sets.contracted:
                for row in rows(context, analysis, measure):
                    rejected[row["outcome"]].append(row["p_value"] <= study.inference.alpha)
    for name, found in rejected.items():
        assert len(found) == SEEDS * len(study.measure_sets.contracted)
        assert sum(found) <= stats.binom.ppf(1 - UNLIKELY, len(found), study.inference.alpha), name


def test_planted_effects_show_on_each_scale_that_can_see_them() -> None:
    """Leveling down narrows the gap on every pairwise scale and leaves the worst-off group where it was."""
    mean = drawn().groupby(["measure", "statistic"])["estimate"].mean()
    implied_mean = drawn().groupby(["measure", "statistic"])["implied"].mean()
    pairwise = ["success_ratio", "failure_ratio", "log_odds_gap", "weighted_mean_gap", "gap_to_best"]
    for measure in ("COL_50_75", "CBP"):
        assert (mean[measure][pairwise] < 0).all()
    assert implied_mean["COL_50_75"]["worst_group_rate"] == pytest.approx(0, abs=1e-9)
    assert abs(mean["COL_50_75"]["worst_group_rate"]) < 2
    assert mean["CBP"]["worst_group_rate"] > 2, "leveling up raises it"
