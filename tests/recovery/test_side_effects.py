"""Contrasts of paid measures and answers weighted by members over 20 draws: what is planted is recovered, no more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pytest
from candidate_cells import candidate_cells
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.weighting import members_of_cells
from p4equity.study import load_study
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.truth import load_truth
from scipy import stats

STUDY, DRAWS = "bcbsma_pay_for_equity", 20
ASKED = ("paid_contrast", "paid_contrast_held", "sensitivity_patient_weighted")
UNLIKELY = 1e-4  # a correct method fails one of these tests once in some thousand suites
Points = Mapping[str, Mapping[str, float]]


@cache
def answers(scenario: str) -> dict[str, list[tuple[float, float, float, float]]]:
    """Estimate, interval and planted number of each draw, by analysis."""
    study = load_study(STUDY)
    cell, overlap = candidate_cells(study, 1.0)
    sampler = CellSampler(study, cell, overlap, scenario=scenario)
    effects = {e.measure: e.points for e in load_truth(study, scenario).truth.effect if e.system is None}
    found: dict[str, list[tuple[float, float, float, float]]] = {asked: [] for asked in ASKED}
    for number in range(DRAWS):
        context = Context(study, *sampler.draw(np.random.default_rng([4, number])), "", "")
        for asked in ASKED:
            analysis = study.analysis(asked).model_copy(update={"inference": ("averaged_t",)})
            row = next(
                r for r in analysis_rows(context, analysis) if (r["measure_id"], r["outcome"]) == ("pooled", analysis.outcome)
            )
            truth = weighted(context, effects) if asked == ASKED[2] else contrast(context, effects, held=asked == ASKED[1])
            found[asked].append((row["estimate"], row["conf_low"], row["conf_high"], truth))
    return found


def effects_on_gaps(context: Context, effects: Points, weighting: str) -> dict[str, float]:
    """Planted effect on the gap of each contracted measure, over the groups with a baseline gap by their weights."""
    study, variant = context.study, (context.study.population.map, context.study.race.primary)
    found = {}
    for measure in study.measure_sets.contracted:
        series = [p for p in baseline_series(context, variant) if p[0] == measure]
        points, weights = effects.get(measure, {}), group_weights(context, series, variant, weighting)
        if series:
            reference = points.get(str(study.groups.reference), 0.0)
            gaps = [reference - points.get(g, 0.0) for _, g in series]
            found[measure] = float(np.average(gaps, weights=list(weights.values())))
    return found


def contracts(context: Context, measures: Sequence[str]) -> dict[str, list[str]]:
    """Measures of each system contracted in the first cohort."""
    study = context.study
    own = {
        s.id: [m for m in measures if study.cohort_of(s.id, m) == study.launch_cohort] for s in study.arm_systems("participating")
    }
    return {s: named for s, named in own.items() if named}


def contrast(context: Context, effects: Points, *, held: bool) -> float:
    """Mean planted effect on gaps of paid measures, systems equal; others have none. held: systems that leave measures out."""
    by_measure = effects_on_gaps(context, effects, "random_effects")
    own = contracts(context, list(by_measure))
    counted = [named for named in own.values() if not held or len(named) < len(by_measure)]
    return float(np.mean([np.mean([by_measure[m] for m in named]) for named in counted]))


def weighted(context: Context, effects: Points) -> float:
    """Mean planted effect over contracted cells, each by the members of its groups."""
    by_measure = effects_on_gaps(context, effects, "patient")
    own, measures = contracts(context, list(by_measure)), list(by_measure)
    variant = (context.study.population.map, context.study.race.primary)
    series = [p for p in baseline_series(context, variant) if p[0] in measures]
    members = members_of_cells(context, variant, series, measures, list(own))
    paid = np.array([[m in named for m in measures] for named in own.values()])
    return float(np.average(np.tile(list(by_measure.values()), (len(own), 1)), weights=members * paid))


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_planted_is_recovered(asked: str) -> None:
    found = np.array(answers("clean")[asked])
    off = found[:, 0] - found[:, 3]
    assert abs(off.mean()) < stats.t.ppf(1 - UNLIKELY / 2, DRAWS - 1) * off.std(ddof=1) / np.sqrt(DRAWS)
    assert found[:, 3].mean() < -2
    covered = ((found[:, 1] <= found[:, 3]) & (found[:, 3] <= found[:, 2])).sum()
    assert covered >= stats.binom.ppf(UNLIKELY, DRAWS, 0.95)


@pytest.mark.parametrize("asked", ASKED)
def test_nothing_is_found_where_nothing_is_planted(asked: str) -> None:
    found = np.array(answers("nothing")[asked])
    assert found[:, 3] == pytest.approx(0.0)
    rejected = ((found[:, 1] > 0) | (found[:, 2] < 0)).sum()
    assert rejected <= stats.binom.ppf(1 - UNLIKELY, DRAWS, 0.05)
