"""What contracted systems did before their contracts: a trend of their own, and a part of the effect ahead of time. 20 seeds."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_cells import VARIANT, made_cells
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.two_stage import form_question, question_changes, two_stage_fits
from p4equity.study import Study, load_study
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.truth import load_truth
from simulation import STUDY, true_gap_effect

SEEDS = 20
MEASURES = ("CBP", "COL_50_75")
ASKED = ("measure", "sensitivity_anticipation", "placebo_2022")


@cache
def drawn(scenario: str) -> pd.DataFrame:
    """Answers on the gap of each draw, measure and question, with the planted effect and the groups beside them."""
    study = load_study(STUDY)
    sampler, rows = CellSampler(study, *made_cells(study), scenario=scenario), []
    for seed in range(SEEDS):
        context = Context(study, *sampler.draw(np.random.default_rng([7, seed])), "", "")
        pairs = baseline_series(context, tuple(VARIANT.values()))
        for name in ASKED:
            more = {"inference": ("averaged_t",), "measures": MEASURES, "also_pooled": False}
            for row in analysis_rows(context, study.analysis(name).model_copy(update=more)):
                if row["outcome"] in ("gap", "placebo_gap"):
                    groups = [g for m, g in pairs if m == row["measure_id"]]
                    truth = true_gap_effect(study, scenario, row["measure_id"], groups)
                    span = years_apart(context, row["measure_id"], tuple(groups)) if name == "measure" else 0.0
                    rows.append({"seed": seed, "asked": name, "truth": truth, "groups": tuple(groups), "span": span, **row})
    return pd.DataFrame(rows)


def years_apart(context: Context, measure: str, groups: tuple[str, ...]) -> float:
    """Years between baseline and contract years of contracted systems, under the weights of the estimate; one leaves early."""
    asked = context.study.analysis("measure")
    arms, panel = context.arms(asked, measure), context.panel(context.variant(asked))
    question = form_question(context, asked, question_changes(context, asked, panel, arms, measure, groups), arms, measure)
    weights = two_stage_fits(context, question, "averaged_t", ("gap",))["gap"].weights
    windows = [context.study.compared_years(s, measure) for s in question.systems]
    spans = [
        np.mean(after) - np.mean(before) if s in arms.treated else 0.0
        for s, (before, after) in zip(question.systems, windows, strict=True)
    ]
    return float(weights @ np.array(spans))


def answers(scenario: str, asked: str, measure: str) -> pd.DataFrame:
    table = drawn(scenario)
    own = table[(table["asked"] == asked) & (table["measure_id"] == measure)]
    assert len(own) == SEEDS
    return own


def holds(values: pd.Series) -> bool:
    """Whether the mean over draws is zero but for chance."""
    return bool(abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(len(values)))


def slope(study: Study, groups: tuple[str, ...]) -> float:
    """Points by which the planted trend moves a contracted system's gap a year."""
    model = load_truth(study, "prior_trend").truth.prior_trend
    assert model is not None
    return float(np.mean([model.points.get(str(study.groups.reference), 0.0) - model.points.get(g, 0.0) for g in groups]))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_trend_from_before_counts_as_an_effect_and_the_placebo_date_shows_it(measure: str) -> None:
    study = load_study(STUDY)
    found = answers("prior_trend", "measure", measure)
    yearly = np.array([slope(study, groups) for groups in found["groups"]])
    assert (yearly < 0).all()
    assert (found["span"] > 2).all()
    error = found["estimate"] - found["truth"]
    assert error.mean() < -1.0
    assert holds(error - yearly * found["span"])
    placebo = answers("prior_trend", "placebo_2022", measure)
    asked = study.analysis("placebo_2022")
    assert asked.placebo == study.baseline.reference_year  # the one year after the date that no contract touches
    assert holds(placebo["estimate"] - yearly * (asked.placebo - np.mean(asked.pre_years)))
    assert placebo["estimate"].mean() < -1.0


@pytest.mark.parametrize("measure", MEASURES)
def test_an_effect_ahead_of_time_is_lost_unless_the_baseline_ends_before(measure: str) -> None:
    study = load_study(STUDY)
    early = load_truth(study, "anticipation").truth.anticipation
    assert early is not None
    found = answers("anticipation", "measure", measure)
    share = early.share * early.years / len(study.baseline.pre_years)  # of the effect, that the baseline has already
    error = found["estimate"] - found["truth"]
    assert (found["truth"] < 0).all()
    assert error.mean() > 0.2  # toward no effect
    assert holds(error + share * found["truth"])
    assert holds(answers("anticipation", "sensitivity_anticipation", measure).pipe(lambda t: t["estimate"] - t["truth"]))


@pytest.mark.parametrize("measure", MEASURES)
def test_without_them_the_same_questions_are_free(measure: str) -> None:
    for asked in ("measure", "sensitivity_anticipation"):
        found = answers("clean", asked, measure)
        assert holds(found["estimate"] - found["truth"])
    assert holds(answers("clean", "placebo_2022", measure)["estimate"])
