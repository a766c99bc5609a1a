"""Selection on noise over 20 seeds of cell-level draws: what it does to estimates, what is expected of it, what is free of it.

First contracts are written by the registered rule itself on draws without any effect: each contracted system gets the measures
whose gap was widest in the selection year, as many as its contract has. Whatever is then found is regression to the mean. Second
two planted scenarios. In `rule_selected_baselines` gaps of all systems bulge in the selection year and contracts name the
largest: what the rule replayed on comparison systems is made for. In `noise_selected_baselines` contracted gaps alone bulge, so
that no comparison system can show it: the replay sees nothing, a shrunken baseline takes out half, a fresh baseline is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from candidate_cells import candidate_cells
from p4equity.diagnostics.findings import selection_regression
from p4equity.disparity.selection import autoregressive, expected_narrowing, mean_of_largest, worst
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.pooled import pooled_rows
from p4equity.evaluation.selection_cells import selection_cells
from p4equity.evaluation.tasks import POOLED, Task, task_rows
from p4equity.study import Analysis, Study, load_study
from p4equity.synthetic.bumps import candidate_streams
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.truth import load_truth
from simulation import STUDY, _pooled_truth

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


def gate_fires(context: Context) -> bool:
    """Whether any measure fails the gate on the selection years."""
    limit = next(g.limit for g in context.study.gates if g.id == "selection_regression")
    return any(f.value is not None and f.value > limit for f in selection_regression(context, pd.DataFrame()))


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


def test_bulges_of_contracted_systems_alone_bias_as_the_truth_says_and_only_a_fresh_baseline_is_free(study: Study) -> None:
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
            found.append(answers(context, question) | {"fresh": estimate(context, fresh), "gate": gate_fires(context)})
        shifts.append({name: found[1][name] - found[0][name] for name in found[0]} | {"false": found[0]["gate"]})
    model = load_truth(study, "noise_selected_baselines").truth.noise_selection
    assert model is not None
    chosen, later = (np.isin(study.years, y) for y in (study.baseline.selection_years, [study.launch_cohort]))
    base = np.isin(study.years, study.baseline.pre_years) / len(study.baseline.pre_years)
    passing = model.sd**2 * autoregressive(study.years, 0.0)
    predicted = -expected_narrowing(0.0, passing, chosen.astype(float), later - base, 1, model.draws)
    mean, error = pd.DataFrame(shifts).mean(), pd.DataFrame(shifts).sem()
    assert predicted == pytest.approx(-2.17, abs=0.01)  # 4 times the mean of the largest of 12, over three baseline years
    assert mean["main"] == pytest.approx(predicted, abs=3 * error["main"] + 0.1)  # 0.1: rates near bounds give way a little
    assert abs(mean["fresh"]) < 0.05
    # No comparison system ever bulges in this scenario, so that neither what the rule is expected to do nor its replay shows it:
    # the gate on selection years does, in every seed, and without bulges hardly ever.
    assert mean["gate"] + mean["false"] == 1.0
    assert mean["false"] <= 0.1
    assert abs(mean["expected_spurious_change"]) < 0.05
    assert mean["gap_selected_against_selected"] == pytest.approx(mean["main"], abs=0.05)
    # Baselines are drawn by what comparison systems' baselines are worth, and those do not bulge: half of the bulge stays.
    assert 0.4 < mean["gap_shrunken_baseline"] / mean["main"] < 0.8


def test_bulges_of_all_systems_of_which_contracts_named_the_largest_are_taken_out_by_every_remedy(study: Study) -> None:
    """The scenario that the rule's replay is made for: biased as predicted; a fresh baseline is free, the others nearly so.

    The scenario's contracts looked at bulges alone, the rule looks at whole gaps, in which sampling error and shocks regress,
    too: what is expected and what is replayed is more than the bulge (by 0.4 of 1.2 points in 40 draws), the shrunken baseline
    leaves 0.3 of it.
    """
    quick = _quick(study)
    cells, overlap = candidate_cells(quick, 1.0)
    question, fresh = questions(quick)
    found, fired, truths = [], [], {}
    for seed in range(SEEDS):
        sampler = CellSampler(quick, cells, overlap, scenario="rule_selected_baselines", seed=seed)
        context = Context(quick, *sampler.draw(np.random.default_rng([3, seed])), "", "")
        pairs = baseline_series(context, context.variant(question))
        own = answers(context, question)
        own |= {"corrected": own["main"] - own["expected_spurious_change"], "fresh": estimate(context, fresh)}
        if pairs not in truths:
            truths[pairs] = _pooled_truth(study, "clean", pairs)
        found.append({name: value - truths[pairs] for name, value in own.items()})
        fired.append(gate_fires(context))
    off, bias = pd.DataFrame(found).mean(), predicted_bulge(study)
    error = pd.DataFrame(found).sem()
    assert bias == pytest.approx(-1.23, abs=0.01)
    assert off["main"] == pytest.approx(bias, abs=3 * error["main"])
    assert off["main"] < -4 * error["main"]
    assert abs(off["fresh"]) < 3 * error["fresh"]
    for name in ("corrected", "gap_selected_against_selected", "gap_shrunken_baseline"):
        assert abs(off[name]) < abs(bias) / 2, name
    # Comparison systems bulge, too: against their spread the gate sees the contracted ones' excess less often.
    assert SEEDS / 3 < sum(fired) < SEEDS


def predicted_bulge(study: Study) -> float:
    """Pooled bias of the planted bulges: a system's contracted cells have its largest of seven, a third of it in the baseline."""
    planted = load_truth(study, "rule_selected_baselines")
    assert planted.truth.rule_selection is not None
    of = len(candidate_streams(study, planted))
    matrix = study.contract_matrix()
    named = matrix[matrix["cohort"] == study.launch_cohort].groupby("system_id").size()
    mean = sum(k * mean_of_largest(int(k), of) for k in named) / named.sum()
    return -float(mean) * planted.truth.rule_selection.sd / len(study.baseline.pre_years)
