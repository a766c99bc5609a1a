"""The implementation strand over 20 seeds: differences between arms in the survey, and coders' agreement, are recovered."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from p4equity.study import load_study
from p4equity.summaries.implementation import implementation_table
from p4equity.summaries.interviews import double_coded, pooled_kappa
from p4equity.synthetic.strands import _AGREEMENT, ITEMS, strand_tables
from scipy import stats
from simulation import STUDY

SEEDS = 20
SPREAD = float(np.sqrt(0.2**2 + 0.5**2 + 0.8**2))  # of an answer before rounding: its system, its person, itself


@cache
def recovered() -> pd.DataFrame:
    """A row a seed: mean of contracted less comparison systems' respondents by item, and the agreement of coders."""
    study, rows = load_study(STUDY), []
    for seed in range(SEEDS):
        small = {name: pd.DataFrame(table) for name, table in strand_tables(study, seed).items()}
        table = implementation_table(study, {"survey_response": small["survey_response"]})
        mean = table[table["indicator"] == "mean"].set_index(["item", "arm"])["value"]
        own = {item: mean[item, "participating"] - mean[item, "comparison"] for item, _, _ in ITEMS}
        codes = small["interview_code"]
        twice = codes[codes.groupby("interview_id")["coder"].transform("nunique") == 2]
        rows.append(own | {"kappa": pooled_kappa(*double_coded(twice))})
    return pd.DataFrame(rows)


def answered(mean: float) -> float:
    """Mean of answers from 1 to 5 to an item whose answers lie around `mean` before they are rounded."""
    edges = np.array([-np.inf, 1.5, 2.5, 3.5, 4.5, np.inf])
    return float(np.diff(stats.norm.cdf((edges - mean) / SPREAD)) @ np.arange(1, 6))


def test_differences_between_arms_in_the_survey_are_recovered() -> None:
    found = recovered()
    for item, mean, difference in ITEMS:
        planted = answered(mean + difference) - answered(mean)
        assert abs(found[item].mean() - planted) < 4 * found[item].sem(), item
    mean = found.drop(columns="kappa").mean()
    assert mean["practice_changed_workflows"] > 4 * found["practice_changed_workflows"].sem()
    assert mean["burden_is_acceptable"] < 0
    assert mean.idxmax() in ("practice_changed_workflows", "leaders_make_equity_a_priority", "uses_stratified_reports")


def test_two_coders_agree_as_often_as_planted_beyond_chance() -> None:
    """The second coder repeats the first in the planted share of segments and else draws anew: that share is kappa."""
    kappa = recovered()["kappa"]
    assert abs(kappa.mean() - _AGREEMENT) < 4 * kappa.sem()
    assert kappa.between(0.7, 0.95).all()
