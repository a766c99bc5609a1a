"""Every registered question has a row for each of its inferences, also when nothing can be computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import evaluate
from p4equity.evaluation.tasks import OWN, own_question
from p4equity.study import Study, load_study

FEW, MANY = 5, 4000


@pytest.fixture(scope="module")
def study() -> Study:
    whole = load_study("bcbsma_pay_for_equity")
    quick = whole.inference.model_copy(update={"wild_draws": 199, "permutation_limit": 900})
    return replace(whole, inference=quick)


def made_context(study: Study, den: int, without: frozenset[str] = frozenset()) -> Context:
    """Every measure but one, the same denominator everywhere, flat rates without a gap; `without`: systems that have no cells."""
    assert study.race is not None
    sets = study.measure_sets
    measures = [*sets.contracted[1:], *sets.not_incentivized, *sets.negative_control, str(sets.spending)]
    keys = [
        (system.id, measure, group, year, den, round(0.7 * den), *version)
        for system in study.systems if system.id not in without
        for measure in measures for group in study.group_ids for year in study.years
        for version in [(m, r) for m in ("baseline", "as_treated") for r in ("frozen", "contemporaneous")]
    ]  # fmt: skip
    columns = ["system_id", "measure_id", "group", "year", "den", "num", "map", "race_version"]
    cell = pd.DataFrame(keys, columns=columns).assign(with_reading=np.nan)
    pairs = cell[cell["measure_id"] != sets.spending].rename(columns={"measure_id": "measure_1", "year": "year_1"})
    overlap = pairs.assign(
        measure_2=pairs["measure_1"], year_2=pairs["year_1"], den_den=den, num_den=pairs["num"], den_num=pairs["num"],
        num_num=pairs["num"],
    )  # fmt: skip
    return Context(study, cell, overlap, "data", "code")


@pytest.mark.parametrize("den", [FEW, MANY])
def test_each_analysis_measure_and_inference_has_a_row(study: Study, den: int) -> None:
    rows = evaluate(made_context(study, den))
    few = rows["reason"].str.contains("treated clusters?: cluster-robust", na=False)
    assert few.any() == (den == MANY)
    assert not rows["reason"].str.contains("instead", na=False).any()
    have = set(zip(rows["analysis_id"], rows["measure_id"], rows["inference"], strict=True))
    for analysis in study.analyses:
        measures = ["pooled"] if analysis.pooled else study.measure_ids(analysis.measures)
        if analysis.outcome == "companion":
            measures = [m for m in measures if study.measure(m).has_reading]
        if analysis.estimator in OWN:  # these say themselves what they answer; measures pooled by the first inference alone
            measures = list(own_question(analysis.estimator).numbers_of_rows(made_context(study, den), analysis))
            analysis = analysis.model_copy(update={"inference": analysis.inference[:1]})
        missing = [(m, i) for m in measures for i in analysis.inference if (analysis.id, m, i) not in have]
        assert not missing, analysis.id
    unanswered = rows[rows["status"] != "ok"]
    assert len(unanswered)
    assert unanswered["reason"].notna().all()
    assert unanswered[["estimate", "std_error", "p_value", "conf_low"]].isna().all(axis=None)


def test_a_claim_without_its_inferences_is_a_row_that_says_why(study: Study) -> None:
    rows = evaluate(made_context(study, FEW))
    claims = rows[rows["inference"] == "claim"]
    assert set(claims["analysis_id"]) >= {"measure", "pooled"}
    assert (claims["status"] == "not_estimable").all()
    assert claims["p_value"].isna().all()


def test_a_spending_row_without_an_answer_keeps_its_unit(study: Study) -> None:
    rows = evaluate(made_context(study, FEW, frozenset(s.id for s in study.arm_systems("comparison"))))
    spending = rows[(rows["measure_id"] == study.measure_sets.spending) & (rows["analysis_id"] == "spending")]
    assert len(spending)
    power = spending["outcome"] == "spending_margin_power"
    assert (spending.loc[~power, "outcome_unit"] == "USD per member-month").all()
    assert (spending.loc[power, "outcome_unit"] == "share").all()
