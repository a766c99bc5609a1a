"""The primary question with a fact about systems held fixed: the facts, rows, reasons; what grants and nearness plant."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from p4equity.errors import StudyError
from p4equity.evaluation.adjusted import numbers_of_rows
from p4equity.evaluation.context import Context
from p4equity.evaluation.covariates import covariate_values
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Analysis, Study, load_study
from p4equity.study.checks_scales import check_scale
from p4equity.study.names import COVARIATE_NAMES
from p4equity.study.problems import Problems
from p4equity.study.roster import near_contracted
from p4equity.study.vocabulary import Covariate
from p4equity.synthetic.beside import grant_doses, grant_effects
from p4equity.synthetic.rates import build_rates
from p4equity.synthetic.truth import load_truth

MEASURE, MONTHS, OTHER = "CBP", "SPEND", "BCS"
DEN, SLOPE = 40_000, -0.5  # points of change in the gap for every 10 USD a member


@pytest.fixture(scope="module")
def study() -> Study:
    whole = load_study("bcbsma_pay_for_equity")
    return replace(whole, inference=whole.inference.model_copy(update={"wild_draws": 199}))


def facts(study: Study, covariate: str) -> Analysis:
    found = next(a for a in study.analyses if a.covariate == covariate)
    return found.model_copy(update={"measures": (MEASURE,)})


def made(study: Study) -> Context:
    """A gap of 10 points that changes with grants a member, and with the contract by -3; every system has 1,000 members."""
    rng, rows = np.random.default_rng(3), []
    noise = {s.id: rng.normal(0, 0.4) for s in study.systems}
    for s, group, year in product(study.systems, study.group_ids, study.years):
        after = year >= study.launch_cohort
        dose = sum(g.amount for g in study.grants if g.system_id == s.id) / 1000
        change = after * (SLOPE * dose / 10 - 3 * (study.cohort_of(s.id, MEASURE) is not None) + noise[s.id])
        rate = 70 - (group != "white") * (10 + change)
        rows.append((s.id, MEASURE, group, year, DEN, round(DEN * rate / 100)))
        rows.append((s.id, OTHER, group, year, DEN, round(DEN * (60 + int(s.id[1:])) / 100)))
        rows.append((s.id, MONTHS, group, year, 12 * 250, 1))
    cell = pd.DataFrame(rows, columns=["system_id", "measure_id", "group", "year", "den", "num"])
    cell = cell.assign(map="baseline", race_version="frozen", with_reading=np.nan)
    pairs = cell[cell["measure_id"] != MONTHS].rename(columns={"measure_id": "measure_1", "year": "year_1"})
    overlap = pairs.assign(measure_2=pairs["measure_1"], year_2=pairs["year_1"], den_den=pairs["den"], num_den=pairs["num"])
    return Context(study, cell, overlap.assign(den_num=overlap["num"], num_num=overlap["num"]), "data", "code")


@pytest.fixture(scope="module")
def cheap(study: Study) -> Study:
    """Grants of a few USD a member in a system of 1,000."""
    return replace(study, grants=tuple(g.model_copy(update={"amount": g.amount / 25}) for g in study.grants))


def test_the_facts_of_systems(cheap: Study) -> None:
    context, ids = made(cheap), ["S01", "S07", "S09", "S12"]
    amounts = {g.system_id: g.amount for g in cheap.grants}
    doses = covariate_values(context, facts(cheap, "grant_per_member"), ids)
    assert doses == pytest.approx([amounts["S01"] / 1000, amounts["S07"] / 1000, amounts["S09"] / 1000, 0.0])
    assert covariate_values(context, facts(cheap, "medicaid_share"), ids) == pytest.approx([18, 10, 15, 25])
    assert covariate_values(context, facts(cheap, "baseline_quality"), ids) == pytest.approx([61, 67, 69, 72], abs=0.01)
    assert covariate_values(context, facts(cheap, "near_contracted"), ids).tolist() == [0, 1, 1, 0]


def test_every_fact_has_a_name_of_its_own_and_a_value_of_its_own(cheap: Study) -> None:
    context, words = made(cheap), get_args(Covariate)
    assert set(words) == set(COVARIATE_NAMES)
    analysis, ids = facts(cheap, "medicaid_share"), [s.id for s in cheap.systems if s.stratum == "adult"]
    values = {tuple(covariate_values(context, analysis.model_copy(update={"covariate": w}), ids)) for w in words}
    assert len(values) == len({(n.prose, n.per) for n in COVARIATE_NAMES.values()}) == len(words)


def test_what_is_not_known_is_no_zero(cheap: Study) -> None:
    silent = tuple(s.model_copy(update={"counties": ()}) if s.id == "S07" else s for s in cheap.systems)
    unknown = tuple(g.model_copy(update={"amount": None}) if g.system_id == "S08" else g for g in cheap.grants)
    study = replace(cheap, systems=silent, grants=unknown)
    context = made(cheap)
    context.study = study
    ids = ["S07", "S08", "S09"]
    assert np.isnan(covariate_values(context, facts(study, "near_contracted"), ids)).tolist() == [True, False, False]
    assert np.isnan(covariate_values(context, facts(study, "grant_per_member"), ids)).tolist() == [False, True, False]
    rows = analysis_rows(context, facts(study, "grant_per_member").model_copy(update={"also_pooled": False}))
    effect = [r for r in rows if r["outcome"] == "adjusted_gap"]
    assert {r["sample"] for r in effect} == {"without S08 (grant money per attributed member not known)"}
    assert {r["n_clusters"] for r in effect} == {11}
    context.study = replace(cheap, grants=())
    reasons = {r.get("reason") for r in analysis_rows(context, facts(cheap, "grant_per_member"))}
    assert reasons == {"grant money per attributed member: known for no system"}


def test_the_effect_and_the_slope_are_found(cheap: Study) -> None:
    context, analysis = made(cheap), facts(cheap, "grant_per_member")
    rows = analysis_rows(context, analysis)
    assert len(rows) == sum(numbers_of_rows(context, analysis).values()) == 8
    for measure in (MEASURE, "pooled"):
        own = {(r["outcome"], r["inference"]): r for r in rows if r["measure_id"] == measure}
        for method in analysis.inference:
            effect, slope = own[("adjusted_gap", method)], own[("gap_per_dose", method)]
            assert effect["conf_low"] < -3 < effect["conf_high"] < 0
            assert slope["conf_low"] < SLOPE < slope["conf_high"] < 0
            assert (effect["n_clusters"], effect["n_treated_clusters"]) == (12, 5)
            assert (slope["n_clusters"], slope["n_treated_clusters"], slope["sample"]) == (7, 0, "comparison systems")
            assert slope["outcome_unit"] == "percentage points per 10 USD a member"
            assert 0 < effect["p_value"] < 0.05


def test_too_few_systems_have_a_reason_a_measure_each(cheap: Study) -> None:
    gone = {"S08", "S09", "S10", "S11", "S13"}
    study = replace(cheap, systems=tuple(s for s in cheap.systems if s.id not in gone))
    rows = analysis_rows(made(study), facts(study, "medicaid_share"))
    slopes = [r for r in rows if r["outcome"] == "gap_per_dose"]
    assert {r["status"] for r in slopes} == {"not_estimable"}
    assert {r["reason"] for r in slopes} == {"too few systems for a covariate: 2, and 5 are needed"}
    assert {r["status"] for r in rows if r["outcome"] == "adjusted_gap"} == {"ok"}


def checked(analysis: Analysis, **changes: Any) -> Problems:
    problems = Problems("study")
    check_scale(analysis.model_copy(update=changes), ("analysis", 0), problems)
    return problems


def test_a_plan_must_name_the_fact_and_only_this_estimator_takes_one(study: Study) -> None:
    own, main = facts(study, "near_contracted"), study.analysis("measure")
    checked(own).raise_any()
    for analysis, changes in ((own, {"covariate": None}), (main, {"covariate": "medicaid_share"})):
        with pytest.raises(StudyError, match="holds one covariate fixed, and no other does"):
            checked(analysis, **changes).raise_any()


# What the synthetic extract plants


def test_grants_move_rates_of_both_arms_by_their_dose_after_the_award(study: Study) -> None:
    planted, groups = load_truth(study, "grant_effect"), study.scheme.ids
    effect = grant_effects(study, planted, groups)
    dose = dict(zip([s.id for s in study.systems], grant_doses(study), strict=True))
    assert dose["S04"] == pytest.approx(60)  # 1.5 million USD, 25,000 members
    assert dose["S12"] == 0
    at = {s.id: i for i, s in enumerate(study.systems)}
    black = groups.index("black")
    assert effect[at["S04"], black].tolist() == pytest.approx([0] * 5 + [0.6 * 6] * 3)
    assert effect[at["S07"], black, -1] == pytest.approx(0.6 * 1_700_000 / 130_000 / 10)
    assert not effect[:, groups.index("white")].any()
    assert not effect[[at["S12"], -1]].any()
    assert not grant_effects(study, load_truth(study, "clean"), groups).any()


def test_half_of_an_effect_reaches_comparison_systems_nearby(study: Study) -> None:
    measure = study.measure(MEASURE)
    rates = build_rates(study, load_truth(study, "spillover"), measure, (MEASURE,), 1)
    near = near_contracted(study.systems, [c.system_id for c in study.contracts])
    assert near == {"S07", "S09", "S10"}
    black = study.scheme.ids.index("black")
    for i, system in enumerate(study.systems):
        wanted = [0] * 5 + [2.0] * 3 if system.id in near else [0] * 8
        assert rates.beside[i, black].tolist() == pytest.approx(wanted), system.id
