"""Grants with an effect of their own, and a contract that reaches systems nearby: 20 seeds, with the covariate and without."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_cells import VARIANT, made_cells
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.covariates import covariate_values
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.two_stage import form_question, question_changes, two_stage_fits
from p4equity.study import Analysis, Study, load_study
from p4equity.study.names import covariate_name
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.places import real_sizes
from p4equity.synthetic.truth import load_truth
from simulation import STUDY, true_gap_effect

SEEDS = 20
MEASURES = ("CBP", "COL_50_75")
GENEROUS = 2.5  # grants of contracted systems in this test, times those of the study: both arms have about the same there


@cache
def generous() -> Study:
    study = load_study(STUDY)
    own = {c.system_id for c in study.contracts}
    more = [g.model_copy(update={"amount": g.amount * GENEROUS}) if g.system_id in own else g for g in study.grants]
    return replace(study, grants=tuple(more))


def spending(study: Study) -> pd.DataFrame:
    """Member-months, from which the dose is made."""
    rows = [
        {**VARIANT, "system_id": s.id, "group": g, "measure_id": study.measure_sets.spending, "year": t, "num": 1, "num_sq": 1}
        | {"den": round(12 * size * s.synthetic.race_mix[g])}
        for s, size in zip(study.systems, real_sizes(study), strict=True)
        for g in study.scheme.ids
        for t in study.years
    ]  # fmt: skip
    return pd.DataFrame(rows)


@cache
def drawn(scenario: str, covariate: str) -> pd.DataFrame:
    """Error of the estimate without and with the covariate, and the slope, of each draw and measure."""
    study = generous()
    cells, overlap = made_cells(study)
    sampler, months = CellSampler(study, cells, overlap, scenario=scenario), spending(study)
    rows = []
    for seed in range(SEEDS):
        cell, found = sampler.draw(np.random.default_rng([5, seed]))
        context = Context(study, pd.concat([cell, months]), found, "", "")
        first = [study.analysis("measure"), next(a for a in study.analyses if a.covariate == covariate)]
        asked = [a.model_copy(update={"inference": ("averaged_t",), "measures": MEASURES, "also_pooled": False}) for a in first]
        pairs = baseline_series(context, tuple(VARIANT.values()))
        for row in [row for a in asked for row in analysis_rows(context, a)]:
            if row["outcome"] not in ("gap", "adjusted_gap", "gap_per_dose"):
                continue
            groups = [g for m, g in pairs if m == row["measure_id"]]
            truth = true_gap_effect(study, scenario, row["measure_id"], groups)
            apart = arms_apart(context, first[1], row["measure_id"], tuple(groups)) if row["outcome"] == "gap" else 0.0
            rows.append({"seed": seed, "truth": truth, "groups": tuple(groups), "apart": apart, **row})
    return pd.DataFrame(rows)


def errors(table: pd.DataFrame, measure: str, outcome: str) -> np.ndarray:
    own = table[(table["measure_id"] == measure) & (table["outcome"] == outcome)]
    assert len(own) == SEEDS
    return (own["estimate"] - own["truth"]).to_numpy()


def slopes(table: pd.DataFrame, measure: str) -> np.ndarray:
    return table.loc[(table["measure_id"] == measure) & (table["outcome"] == "gap_per_dose"), "estimate"].to_numpy()


def holds(values: np.ndarray) -> bool:
    """Whether the mean over draws is zero but for chance."""
    return bool(abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(len(values)))


def gap_points(points: dict[str, float], groups: tuple[str, ...]) -> float:
    return float(np.mean([points.get("white", 0.0) - points.get(g, 0.0) for g in groups]))


def arms_apart(context: Context, asked: Analysis, measure: str, groups: tuple[str, ...]) -> float:
    """Covariate of contracted less that of comparison systems, in steps, under the weights of the estimate without it."""
    main = context.study.analysis("measure")
    arms, panel = context.arms(main, measure), context.panel(context.variant(main))
    question = form_question(context, main, question_changes(context, main, panel, arms, measure, groups), arms, measure)
    weights = two_stage_fits(context, question, "averaged_t", ("gap",))["gap"].weights
    return float(weights @ covariate_values(context, asked, question.systems)) / covariate_name(asked.covariate).step


@pytest.mark.parametrize("measure", MEASURES)
def test_grants_that_work_bias_the_answer_as_predicted_unless_their_dose_is_held_fixed(measure: str) -> None:
    table = drawn("grant_effect", "grant_per_member")
    points = load_truth(generous(), "grant_effect").truth.grant_effect.points
    own = table[(table["measure_id"] == measure) & (table["outcome"] == "gap")]
    slope = np.array([gap_points(points, groups) for groups in own["groups"]])
    without, predicted = errors(table, measure, "gap"), slope * own["apart"].to_numpy()
    assert predicted.mean() < -1.0
    assert without.mean() < -1.0
    assert holds(without - predicted)
    assert holds(errors(table, measure, "adjusted_gap"))
    assert holds(slopes(table, measure) - slope)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_contract_that_reaches_systems_nearby_biases_the_answer_as_predicted_unless_far_ones_are_compared(measure: str) -> None:
    table = drawn("spillover", "near_contracted")
    own = table[(table["measure_id"] == measure) & (table["outcome"] == "gap")]
    near = load_truth(generous(), "spillover").truth.spillover.share * own["truth"].to_numpy()
    without, predicted = errors(table, measure, "gap"), near * own["apart"].to_numpy()  # toward no effect
    assert predicted.mean() > 0.2
    assert holds(without - predicted)
    assert holds(errors(table, measure, "adjusted_gap"))
    assert holds(slopes(table, measure) - near)
