"""Paid against unpaid measures over 20 draws: the planted difference is recovered, and none is found where none is planted."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from candidate_cells import candidate_cells
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import load_study
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.truth import load_truth
from scipy import stats

STUDY, DRAWS = "bcbsma_pay_for_equity", 20
UNLIKELY = 1e-4  # a correct method fails one of these tests once in some thousand suites


@cache
def answers(scenario: str) -> list[tuple[float, float, float, float]]:
    """Estimate, interval and planted difference of each draw."""
    study = load_study(STUDY)
    cell, overlap = candidate_cells(study, 1.0)
    sampler = CellSampler(study, cell, overlap, scenario=scenario)
    effects = {e.measure: e.points for e in load_truth(study, scenario).truth.effect if e.system is None}
    found = []
    for number in range(DRAWS):
        drawn = sampler.draw(np.random.default_rng([4, number]))
        context = Context(study, *drawn, "", "")
        row = next(r for r in analysis_rows(context, study.analysis("paid_contrast")) if r["inference"] == "averaged_t")
        found.append((row["estimate"], row["conf_low"], row["conf_high"], planted(context, effects)))
    return found


def planted(context: Context, effects: dict[str, dict[str, float]]) -> float:
    """Mean planted effect on gaps of paid measures, systems equal, over the groups with a baseline gap; unpaid ones have none."""
    study = context.study
    pairs = baseline_series(context, (study.population.map, study.race.primary))
    by_measure = {}
    for measure in study.measure_sets.contracted:
        points, groups = effects.get(measure, {}), [g for m, g in pairs if m == measure]
        if groups:
            reference = points.get(str(study.groups.reference), 0.0)
            by_measure[measure] = float(np.mean([reference - points.get(g, 0.0) for g in groups]))
    systems = [
        [by_measure[m] for m in by_measure if study.cohort_of(s.id, m) == study.launch_cohort]
        for s in study.arm_systems("participating")
    ]
    return float(np.mean([np.mean(own) for own in systems if own]))


def test_the_planted_difference_is_recovered() -> None:
    found = np.array(answers("clean"))
    off = found[:, 0] - found[:, 3]
    assert abs(off.mean()) < stats.t.ppf(1 - UNLIKELY / 2, DRAWS - 1) * off.std(ddof=1) / np.sqrt(DRAWS)
    assert found[:, 3].mean() < -2
    covered = ((found[:, 1] <= found[:, 3]) & (found[:, 3] <= found[:, 2])).sum()
    assert covered >= stats.binom.ppf(UNLIKELY, DRAWS, 0.95)


def test_nothing_is_found_where_nothing_is_planted() -> None:
    found = np.array(answers("nothing"))
    assert found[:, 3] == pytest.approx(0.0)
    rejected = ((found[:, 1] > 0) | (found[:, 2] < 0)).sum()
    assert rejected <= stats.binom.ppf(1 - UNLIKELY, DRAWS, 0.05)
