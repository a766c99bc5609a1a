"""Selection on noise over 20 seeds of cell-level draws: what it does to estimates, what is expected of it, what is free of it.

First contracts are written by the registered rule itself on draws without any effect: each contracted system gets the measures
whose gap was widest in the selection year, as many as its contract has. Whatever is then found is regression to the mean. Second
the planted scenario, in which contracted gaps bulge in the selection year alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from candidate_cells import candidate_cells
from p4equity.disparity.selection import autoregressive, expected_narrowing, worst
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.pooled import pooled_rows
from p4equity.evaluation.selection_cells import selection_cells
from p4equity.evaluation.tasks import POOLED, Task, task_rows
from p4equity.study import Analysis, Study, load_study
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.truth import load_truth
from simulation import STUDY

SEEDS = 20
KEPT = ("measures", "panel", "baseline_series", "gap")  # of a context: what does not depend on contracts


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(STUDY)


def open_to_all(study: Study) -> Study:
    """Every candidate may be contracted."""
    assert study.selection is not None
    candidates = (*study.measure_sets.contracted, *study.measure_sets.not_incentivized)
    sets = study.measure_sets.model_copy(update={"contracted": candidates, "not_incentivized": ()})
    rule = study.selection.model_copy(update={"measures": ("contracted",)})
    return replace(study, measure_sets=sets, selection=rule)


def selected(study: Study, question: Analysis, cells: pd.DataFrame, overlap: pd.DataFrame) -> Context:
    """The draw with contracts that name each contracted system's widest gaps of the selection year."""
    context = Context(study, cells, overlap, "", "")
    found = selection_cells(replace(context, study=_quick(study)), question)
    contracts = []
    for contract in study.contracts:
        if contract.system_id in found.systems and contract.cohort in question.cohorts:
            s = found.systems.index(contract.system_id)
            picked = np.array(found.measures)[worst(found.seen[s], int(found.picks[s]))]
            contracts.append(contract.model_copy(update={"measures": tuple(picked.tolist())}))
    memory = {k: v for k, v in context.memory.items() if (k if isinstance(k, str) else k[0]) in KEPT}
    return Context(replace(study, contracts=tuple(contracts)), cells, overlap, "", "", memory)


def _quick(study: Study) -> Study:
    """Picking needs no simulated baselines."""
    assert study.selection is not None
    return replace(study, selection=study.selection.model_copy(update={"draws": 1000}))


def estimate(context: Context, analysis: Analysis) -> float:
    return float(next(r["estimate"] for r in pooled_rows(context, analysis) if r["outcome"] == "gap"))


def questions(study: Study) -> tuple[Analysis, Analysis]:
    """The question on selection, and the pooled primary one with a fresh baseline."""
    years = study.analysis("measure_fresh_baseline").pre_years
    main = study.analysis("pooled").model_copy(update={"inference": ("averaged_t",), "pre_years": years})
    return study.analysis("selected_baseline"), main


def draws(study: Study) -> Iterator[dict[str, float]]:
    """Pooled answers of each draw: two a seed, lasting gaps anew with each seed."""
    wide = open_to_all(study)
    question, fresh = questions(wide)
    cells, overlap = candidate_cells(wide, 0.25)
    for seed in range(SEEDS):
        sampler = CellSampler(wide, cells, overlap, scenario="nothing", seed=seed)
        for n in range(2):
            context = selected(wide, question, *sampler.draw(np.random.default_rng([seed, n])))
            yield answers(context, question)
            if n == 0:
                late = answers(context, question.model_copy(update={"id": "late", "pre_years": fresh.pre_years}))
                yield {"expected_fresh": late["expected_spurious_change"], "fresh": late["main"]}


def answers(context: Context, question: Analysis) -> dict[str, float]:
    """Pooled answers by outcome, and the primary estimate that they start from."""
    rows = {r["outcome"]: r["estimate"] for r in task_rows(context, Task(question, POOLED, 4))}
    return rows | {"main": rows["gap_selected_against_selected"] + rows["replayed_spurious_change"]}


def test_measures_selected_by_their_noise_regress_as_expected_and_corrected_estimates_do_not(study: Study) -> None:
    found = pd.DataFrame(list(draws(study)))
    mean, error = found.mean(), found.sem()
    # Nothing happens in these draws: the whole primary estimate is regression to the mean, four Monte Carlo errors from none.
    assert mean["main"] < -4 * error["main"]
    # Bars of three Monte Carlo errors of a mean over 40 draws.
    assert mean["expected_spurious_change"] == pytest.approx(mean["main"], abs=3 * error["main"])
    assert mean["replayed_spurious_change"] == pytest.approx(
        mean["main"], abs=3 * (error["main"] + error["replayed_spurious_change"])
    )
    for name in ("gap_selected_against_selected", "gap_shrunken_baseline"):
        assert abs(mean[name]) < 3 * error[name], name
    # A fresh baseline keeps what bumps that last and members who stay carry on: less than half, and as much as expected.
    assert mean["fresh"] == pytest.approx(mean["expected_fresh"], abs=3 * error["fresh"])
    assert mean["expected_fresh"] > 0.5 * mean["expected_spurious_change"]


def test_the_planted_scenario_biases_as_its_truth_says_and_a_fresh_baseline_is_free(study: Study) -> None:
    paid = study.measure_sets.model_copy(update={"not_incentivized": ()})
    cells, overlap = candidate_cells(replace(study, measure_sets=paid), 0.5)
    samplers = [CellSampler(study, cells, overlap, scenario=name) for name in ("clean", "noise_selected_baselines")]
    question, fresh = questions(study)
    shifts = []
    for seed in range(SEEDS):
        # The same draws of everything else, so that the difference is the planted bulge.
        pair = [Context(study, *s.draw(np.random.default_rng(seed)), "", "") for s in samplers]
        series = baseline_series(pair[0], pair[0].variant(question))
        found = []
        for context in pair:
            context.memory["baseline_series"] = series
            own = answers(context, question)
            found.append([own["main"], estimate(context, fresh), own["gap_selected_against_selected"]])
        shifts.append(np.subtract(found[1], found[0]))
    model = load_truth(study, "noise_selected_baselines").truth.noise_selection
    assert model is not None
    chosen, later = (np.isin(study.years, y) for y in (study.baseline.selection_years, [study.launch_cohort]))
    base = np.isin(study.years, study.baseline.pre_years) / len(study.baseline.pre_years)
    passing = model.sd**2 * autoregressive(study.years, 0.0)
    predicted = -expected_narrowing(0.0, passing, chosen.astype(float), later - base, 1, model.draws)
    mean, error = np.mean(shifts, axis=0), np.std(shifts, axis=0, ddof=1) / np.sqrt(SEEDS)
    assert predicted == pytest.approx(-2.17, abs=0.01)  # 4 times the mean of the largest of 12, over three baseline years
    assert mean[0] == pytest.approx(predicted, abs=3 * error[0] + 0.1)  # 0.1: rates near their bounds give way a little
    assert abs(mean[1]) < 0.05
    # No comparison system ever bulges in this scenario, so that the replay cannot see it: the gate on selection years does.
    assert mean[2] == pytest.approx(mean[0], abs=0.05)
