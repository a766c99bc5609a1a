"""Planted system-year shocks over 20 seeds: how far changes of comparison systems spread beside sampling error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from candidate_cells import candidate_cells
from p4equity.disparity.selection import autoregressive
from p4equity.evaluation.context import Context
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.study import load_study
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.truth import load_truth
from simulation import STUDY

SEEDS, MEASURES, LARGE = 20, ("COL_50_75", "CBP"), 40.0  # times the study's sizes, so that shocks are more than sampling


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """Spread of a change beside sampling over its planted value, one a seed and measure: of the reference, and of the gap."""
    study = load_study(STUDY)
    study = replace(study, measure_sets=study.measure_sets.model_copy(update={"contracted": MEASURES, "not_incentivized": ()}))
    sampler = CellSampler(study, *candidate_cells(study, LARGE), scenario="nothing")
    shocks, asked = load_truth(study, "nothing").truth.shocks, study.analysis("measure")
    years = np.isin(study.years, study.baseline.pre_years), np.array(study.years) >= study.launch_cohort
    line = years[1] / years[1].sum() - years[0] / years[0].sum()
    passing = float(line @ autoregressive(study.years, shocks.autocorrelation) @ line)
    k = len(study.groups.compared)
    found: dict[str, list[float]] = {"reference": [], "gap": []}
    for seed in range(SEEDS):
        context = Context(study, *sampler.draw(np.random.default_rng([7, seed])), "", "")
        for measure in MEASURES:
            arms, panel = context.arms(asked, measure), context.panel(context.variant(asked))
            changes = question_changes(context, asked, panel, arms, measure, study.groups.compared)
            question = form_question(context, asked, changes, arms, measure)
            gap_sd = float(study.measure(measure).synthetic["shock_sd"])
            # A gap's shock is that of the mean of its groups, of which a part is shared.
            planted = {"reference": shocks.level_sd**2, "gap": gap_sd**2 * (shocks.shared + (1 - shocks.shared) / k)}
            for side, variance in planted.items():
                y, v = question.values[side][~question.treated], question.variances[side][~question.treated]
                found[side].append((y.var(ddof=1) - v.mean()) / (variance * passing))
    return {side: np.array(values) for side, values in found.items()}


@pytest.mark.parametrize("side", ["reference", "gap"])
def test_shocks_spread_changes_as_far_as_planted(drawn: dict[str, np.ndarray], side: str) -> None:
    """Mean ratio of 40 spreads, each of some six degrees of freedom: known to 9%; shocks themselves are seen."""
    ratio = drawn[side]
    error = ratio.std(ddof=1) / np.sqrt(len(ratio))
    assert ratio.mean() == pytest.approx(1.0, abs=3 * error)
    assert error < 0.15
    assert ratio.mean() > 4 * error
