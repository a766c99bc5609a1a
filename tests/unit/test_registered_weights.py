"""Answers weighted by members or all alike, and rates pooled over measures: against sums over cells by another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.changes import rate_changes
from p4equity.disparity.panel import ALL, Panel
from p4equity.errors import StudyError
from p4equity.evaluation.claims import _is_check
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.weighting import fixed_line
from p4equity.study import Study, load_study
from random_cells import random_context


@pytest.fixture(scope="module")
def context(study: Study) -> Context:
    return random_context(study)


def changes(context: Context, group: str | None) -> pd.DataFrame:
    """Change of each system's rate beyond the comparison systems' mean over its own years, a column a measure."""
    study, cell = context.study, context.cell
    used = cell if group is None else cell[cell["group"] == group]
    sums = used.groupby(["system_id", "measure_id", "year"])[["num", "den"]].sum()
    rate = (100 * sums["num"] / sums["den"]).unstack("year")
    comparison = [s.id for s in study.arm_systems("comparison")]
    mean = rate.loc[comparison].groupby("measure_id").mean()
    out = {}
    for (system, measure), own in rate.iterrows():
        line = own - mean.loc[measure]
        left = study.exit_year(str(system)) or max(study.years) + 1
        after = [t for t in study.years if study.launch_cohort <= t < left]
        out[str(system), str(measure)] = line[after].mean() - line[list(study.baseline.pre_years)].mean()
    return pd.Series(out).unstack()


def members(context: Context, groups: tuple[str, ...]) -> pd.DataFrame:
    cell = context.cell
    used = cell[cell["group"].isin(groups) & cell["year"].isin(context.study.baseline.weights_years)]
    return used.groupby(["system_id", "measure_id"])["den"].sum().unstack()


def by_hand(context: Context, change: pd.DataFrame, weights: pd.DataFrame) -> float:
    """Weighted mean over contracted cells of their change less the weighted mean of comparison systems' on the same measure."""
    study = context.study
    comparison = [s.id for s in study.arm_systems("comparison")]
    total, whole = 0.0, 0.0
    for measure in study.measure_ids("contracted"):
        base = np.average(change.loc[comparison, measure], weights=weights.loc[comparison, measure])
        for system in study.arm_systems("participating"):
            if study.cohort_of(system.id, measure) == study.launch_cohort:
                n = weights.loc[system.id, measure]
                total, whole = total + n * (change.loc[system.id, measure] - base), whole + n
    return total / whole


def pooled(context: Context, analysis_id: str, outcome: str, **changed: object) -> float:
    analysis = context.study.analysis(analysis_id).model_copy(update={"inference": ("averaged_t",), **changed})
    rows = [r for r in analysis_rows(context, analysis) if (r["measure_id"], r["outcome"]) == ("pooled", outcome)]
    assert len(rows) == 1
    return float(rows[0]["estimate"])


@pytest.mark.parametrize("weighting", ["patient", "system"])
def test_the_pooled_gap_by_registered_weights_is_a_sum_over_cells(study: Study, context: Context, weighting: str) -> None:
    compared = study.groups.compared
    share = {g: members(context, (g,)).sum() for g in compared}  # of a group in a measure, all systems together
    equal = weighting == "system"
    change, whole = changes(context, study.groups.reference), sum(share.values())
    for group in compared:
        change = change - changes(context, group) * (1 / len(compared) if equal else share[group] / whole)
    weights = members(context, compared)
    expected = by_hand(context, change, weights * 0 + 1 if equal else weights)
    for method in ("averaged_t", "knapp_hartung"):
        found = pooled(context, "sensitivity_patient_weighted", "gap", weighting=weighting, inference=(method,))
        assert found == pytest.approx(expected, abs=1e-10)
    assert abs(expected - pooled(context, "pooled", "gap")) > 1e-3


def test_the_sides_of_a_patient_weighted_answer_have_its_weights(study: Study, context: Context) -> None:
    gap, reference, group = (
        pooled(context, "sensitivity_patient_weighted", side) for side in ("gap", "reference_rate", "group_rate")
    )
    assert gap == pytest.approx(reference - group, abs=1e-12)
    rows = analysis_rows(context, study.analysis("sensitivity_patient_weighted"))
    for measure in study.measure_ids("contracted"):
        own = {r["outcome"]: r["estimate"] for r in rows if r["measure_id"] == measure}
        assert own["gap"] == pytest.approx(own["reference_rate"] - own["group_rate"], abs=1e-12)


def test_rates_of_all_members_pooled_over_measures(context: Context) -> None:
    change = changes(context, None)
    found = pooled(context, "overall_quality", "rate", weighting="system")
    assert found == pytest.approx(by_hand(context, change, change * 0 + 1), abs=1e-10)
    row = next(
        r for r in analysis_rows(context, context.study.analysis("overall_quality"))
        if (r["measure_id"], r["outcome"], r["inference"]) == ("pooled", "rate", "averaged_t")
    )  # fmt: skip
    assert (row["group"], row["reference_group"]) == (ALL, None)
    assert row["n_treated_clusters"] == len(context.study.arm_systems("participating")) - 1  # all but the later cohort
    assert row["conf_low"] < row["estimate"] < row["conf_high"]


def test_two_measures_of_the_same_members_with_the_same_results_change_together() -> None:
    rng = np.random.default_rng(3)
    den = np.repeat(rng.integers(200, 400, (3, 1, 2)), 2, axis=1).astype(float)
    num = np.round(0.6 * den)
    joint = np.zeros((3, 4, 4))
    for s in range(3):
        joint[s] = np.kron(np.ones((2, 2)), np.diag(den[s, 0]))
    kappa = np.kron(np.ones((2, 2)), 0.24 * np.eye(2))
    panel = Panel(tuple("ABC"), ("M", "N"), (("M", ALL), ("N", ALL)), (2020, 2021), den, num, {ALL: joint}, {ALL: kappa}, None)
    found = rate_changes(panel, ("M", "N"), dict.fromkeys("ABC", ((2020,), (2021,))), ("B", "C"), 11).gap_covariance
    expected = 0.24 * (1 / den[:, 0]).sum(axis=1)
    assert found == pytest.approx(expected[:, None, None] * np.ones((3, 2, 2)))


def test_a_line_gives_zero_for_what_moves_all_systems_in_a_measure() -> None:
    rng = np.random.default_rng(1)
    contracts = np.zeros((6, 3), bool)
    contracts[0, :2], contracts[1, 2] = True, True
    mask = contracts | ~contracts.any(axis=1, keepdims=True)
    line = fixed_line(rng.uniform(1, 9, (6, 3)), contracts, mask)
    assert line.sum(axis=0) == pytest.approx(np.zeros(3))
    assert line[contracts].sum() == pytest.approx(1.0)
    assert not line[~mask].any()


def test_a_permutation_with_registered_weights_is_refused(edited: Callable[[str, str, str], Path]) -> None:
    folder = edited(
        "study.toml", 'the effect on a member instead of a system\ninference = ["averaged_t"]',
        'the effect on a member instead of a system\ninference = ["averaged_t", "permutation"]',
    )  # fmt: skip
    with pytest.raises(StudyError) as error:
        load_study(folder)
    assert "'permutation' has weights of its own" in str(error.value)


def test_other_weights_and_part_of_the_measures_are_checks_without_a_claim(study: Study) -> None:
    checks: Mapping[str, bool] = {a.id: _is_check(study, a) for a in study.analyses}
    assert checks["sensitivity_patient_weighted"]
    assert checks["claims_only"]
    assert not checks["not_incentivized_pooled"]
    assert not checks["pooled"]


def test_measures_that_need_no_reading_are_those_of_the_contracts_without_one(study: Study) -> None:
    bare = tuple(m for m in study.measure_ids("contracted") if not study.measure(m).has_reading)
    assert study.measure_ids(study.analysis("claims_only").measures) == bare
