"""Dates before any contract in its place, systems with a like gap in the other arm, and the warning of few treated units."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.matching import baseline_gaps, with_counterpart, without
from p4equity.errors import StudyError
from p4equity.estimates import warned
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Analysis, Study, load_study
from p4equity.study.checks_design import check_design
from p4equity.study.problems import Problems

MEASURES, DEN, LAUNCH = ("CBP", "COL_50_75"), 40_000, 2023
EARLY, EFFECT = 3.0, -4.0  # points: gaps of participating systems part from 2021 on, and narrow under contract


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


def made(study: Study, effect: float = EFFECT, early: float = EARLY, levels: dict[str, float] | None = None) -> Context:
    """Gaps of 10 points (or `levels` by system) with a little noise of their own; `early` from 2021, `effect` from 2023."""
    rng, rows = np.random.default_rng(5), []
    noise = {(s.id, m): rng.normal(0, 0.3, len(study.years)) for s in study.systems for m in MEASURES}
    for s, m, group, year in product(study.systems, MEASURES, study.group_ids, study.years):
        gap = (levels or {}).get(s.id, 10.0) + noise[s.id, m][year - study.years[0]]
        gap += (s.arm == "participating") * early * (year >= 2021)
        gap += (study.cohort_of(s.id, m) is not None) * effect * (year >= LAUNCH)
        rows.append((s.id, m, group, year, DEN, round(DEN * (70 - (group != "white") * gap) / 100)))
    cell = pd.DataFrame(rows, columns=["system_id", "measure_id", "group", "year", "den", "num"])
    cell = cell.assign(map="baseline", race_version="frozen", with_reading=np.nan)
    pairs = cell.rename(columns={"measure_id": "measure_1", "year": "year_1"})
    overlap = pairs.assign(measure_2=pairs["measure_1"], year_2=pairs["year_1"], den_den=pairs["den"], num_den=pairs["num"])
    return Context(study, cell, overlap.assign(den_num=overlap["num"], num_num=overlap["num"]), "data", "code")


def answers(context: Context, analysis: Analysis) -> dict[tuple[str, str], dict[str, Any]]:
    asked = analysis.model_copy(update={"measures": MEASURES})
    return {(r["measure_id"], r["outcome"]): r for r in analysis_rows(context, asked)}


def test_a_placebo_date_finds_what_parted_before_and_sees_no_year_under_contract(study: Study) -> None:
    """Gaps that part by 3 points from 2021 on: found at both dates, whatever contracts do; none where nothing parted."""
    for analysis in (a for a in study.analyses if a.placebo is not None):
        here = answers(made(study), analysis)
        assert set(here) == {(m, "placebo_gap") for m in (*MEASURES, "pooled")}
        for row in here.values():
            assert row["estimate"] == pytest.approx(EARLY, abs=0.5)
            assert row["conf_low"] > 0
            assert row["last_year"] < LAUNCH
        elsewhere = answers(made(study, effect=40.0), analysis)
        assert {k: r["estimate"] for k, r in here.items()} == {k: r["estimate"] for k, r in elsewhere.items()}
        nothing = answers(made(study, early=0.0), analysis)
        assert all(abs(r["estimate"]) < 0.5 for r in nothing.values())


def test_a_placebo_answer_of_one_measure_is_the_difference_of_mean_changes(study: Study) -> None:
    """A second way: like systems weigh alike, so the estimate is a difference of two means of changes, by hand."""
    context, analysis = made(study), next(a for a in study.analyses if a.placebo == 2021)
    cell = context.cell[context.cell["measure_id"] == "COL_50_75"].assign(rate=lambda d: 100 * d["num"] / d["den"])
    rate = cell.pivot_table(index=["system_id", "year"], columns="group", values="rate")
    gap = (rate["white"] - rate[list(study.groups.compared)].mean(axis=1)).unstack()
    change = gap[[2021, 2022]].mean(axis=1) - gap[[2018, 2019]].mean(axis=1)
    arms = context.arms(analysis, "COL_50_75")
    by_hand = change[list(arms.treated)].mean() - change[list(arms.comparison)].mean()
    assert answers(context, analysis)["COL_50_75", "placebo_gap"]["estimate"] == pytest.approx(by_hand, abs=0.02)


def test_who_has_a_counterpart_by_hand() -> None:
    gaps = np.array([1.0, 4.0, 9.0, 2.5, 6.1, np.nan])
    treated = np.array([True, True, True, False, False, False])
    found = with_counterpart(gaps, treated, ~treated, 2.0)
    assert found.tolist() == [True, True, False, True, False, False]  # 1-2.5 and 4-2.5 are near; 4-6.1 and 9-6.1 are not
    assert with_counterpart(gaps, treated, ~treated, 2.2).tolist() == [True, True, False, True, True, False]


def test_systems_without_a_counterpart_leave_the_measure_and_no_other(study: Study) -> None:
    """One contracted and one comparison system far from all others leave; the rest answers as if it were alone."""
    analysis = next(a for a in study.analyses if a.caliper is not None)
    far = {"S02": 30.0, "S09": 60.0}
    assert study.cohort_of("S02", "CBP") == LAUNCH
    context = made(study, early=0.0, levels=far)
    row = answers(context, analysis)["CBP", "gap"]
    assert row["sample"] == "without S02, S09 (no counterpart by baseline gap)"
    main = next(a for a in study.analyses if a.id == "measure")
    whole = answers(context, main)["CBP", "gap"]
    assert (row["n_clusters"], row["n_treated_clusters"]) == (whole["n_clusters"] - 2, whole["n_treated_clusters"] - 1)
    kept = made(replace(study, systems=tuple(s for s in study.systems if s.id not in far)), early=0.0)
    panel = context.panel(context.variant(analysis))
    assert np.nanmax(baseline_gaps(panel, "CBP", ["black"], "white", study.baseline.pre_years)) == pytest.approx(0.6, abs=0.01)
    gone = np.array([s in far for s in panel.systems])
    rest = without(panel, "CBP", gone)
    assert (rest.den[gone, panel.index("CBP", "black")] == 0).all()
    assert (rest.den[:, panel.index("COL_50_75", "black")] == DEN).all()
    assert not rest.overlap["black"][gone, panel.at("CBP")].any()
    assert row["estimate"] == pytest.approx(EFFECT, abs=0.5)
    assert kept.panel(context.variant(analysis)).den.shape[0] == len(panel.systems) - 2


def test_matching_on_noisy_gaps_of_arms_with_other_means_makes_an_effect_of_none() -> None:
    """Why both answers are shown (Daw and Hatfield 2018): nothing changes, and only the matched difference finds something."""
    rng = np.random.default_rng(8)
    shown: dict[str, list[float]] = {"all": [], "matched": []}
    treated = np.arange(13) < 6
    for _ in range(2000):
        true = rng.normal(np.where(treated, 8.0, 5.0), 1.0)
        before, after = (true + rng.normal(0, 2.0, 13) for _ in range(2))
        near = with_counterpart(before, treated, ~treated, 1.0)
        if not (near & treated).any():
            continue
        for name, kept in (("all", np.ones(13, bool)), ("matched", near)):
            change = after - before
            shown[name].append(change[kept & treated].mean() - change[kept & ~treated].mean())
    mean = {name: float(np.mean(values)) for name, values in shown.items()}
    error = {name: float(np.std(values) / np.sqrt(len(values))) for name, values in shown.items()}
    assert abs(mean["all"]) < 4 * error["all"] + 0.05  # draws without any counterpart are left out
    assert mean["matched"] > 0.5 + 4 * error["matched"]  # matched gaps were low by chance, and widen again


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"placebo": None}, "has a placebo date"),
        ({"placebo": LAUNCH}, "before the contracts asked about"),
        ({"placebo": 2019}, "lies after its pre_years"),
        ({"placebo": 2020, "estimator": "meta_regression", "outcome": "gap"}, "has a placebo date"),
        ({"caliper": 1.0}, "matched for changes in gaps"),
    ],
)
def test_dates_and_calipers_that_make_no_question_are_refused(study: Study, change: dict[str, Any], said: str) -> None:
    analysis = next(a for a in study.analyses if a.placebo == 2021)
    plan: Any = SimpleNamespace(data=study.data, baseline=study.baseline)
    problems = Problems("study")
    check_design(plan, analysis, ("analysis", 0), problems)
    assert not len(problems)
    check_design(plan, analysis.model_copy(update=change), ("analysis", 0), problems)
    with pytest.raises(StudyError, match=said):
        problems.raise_any()


def test_answers_of_few_contracted_systems_carry_a_warning() -> None:
    row = {"status": "ok", "inference": "averaged_t", "n_treated_clusters": 3}
    assert warned([row])[0]["reason"] == "3 treated systems alone: such a test can reject too often or too rarely"
    assert warned([{**row, "n_treated_clusters": 1}])[0]["reason"].startswith("1 treated system alone: ")
    silent = [
        {**row, "n_treated_clusters": 5}, {**row, "inference": "permutation"}, {**row, "status": "not_estimable"},
        {**row, "n_treated_clusters": None},
    ]  # fmt: skip
    assert all("reason" not in r for r in warned(silent))
    assert warned([{**row, "reason": "said already"}])[0]["reason"] == "said already"
