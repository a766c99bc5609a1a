"""What a registered question could detect: by hand, from baseline years alone, and beside the errors of finished cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from even_cells import DEN, MEASURE, made_context
from p4equity.cells import read_cells
from p4equity.diagnostics.findings import detectable_effect, primary_analysis
from p4equity.disparity.panel import ALL, Panel
from p4equity.disparity.planned_panel import PlannedPanel, planned_panel
from p4equity.disparity.precision import change_factor, same_year_correlation
from p4equity.evaluation.context import Context
from p4equity.evaluation.planned import planned_question
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.inference.shocks import PERSISTENCE
from p4equity.study import Study, load_study
from p4equity.summaries.precision import power_table
from scipy import stats

BEFORE, YEARS = (1, 2), (1, 2, 3, 4)


def small_panel() -> Panel:
    """Two systems, two measures of the reference and one group; a third of the members of a year are in the next, half agree."""
    series = tuple((m, g) for m in ("a", "b") for g in ("r", "g", ALL))
    den = np.multiply.outer(np.array([100.0, 400.0]), np.outer(np.arange(1, 7), [1.0, 3.0, 9.0, 9.0]))
    num = den * np.array([0.5, 0.25, 0.4, 0.8, 0.6, 0.7])[None, :, None]
    lag = np.abs(np.subtract.outer(YEARS, YEARS))
    overlap = {g: np.zeros((2, 8, 8)) for g in ("r", "g", ALL)}
    for k, g in enumerate(overlap):
        for a in range(2):
            n1 = den[:, 3 * a + k]
            for b in range(2):
                n2 = den[:, 3 * b + k]
                overlap[g][:, 4 * a : 4 * a + 4, 4 * b : 4 * b + 4] = np.sqrt(n1[:, :, None] * n2[:, None, :]) / 3.0**lag
    spread = {g: np.array([0.5, 0.8] if g == "r" else [0.25, 0.6]) for g in overlap}
    kappa = {}
    for g, p in spread.items():
        one = np.repeat(np.sqrt(p * (1 - p)), 4)
        agree = np.kron(np.array([[1.0, 0.2], [0.2, 1.0]]), np.ones((4, 4)))
        kappa[g] = np.outer(one, one) * agree * np.tile(0.5**lag, (2, 2))
    return Panel(("s", "t"), ("a", "b"), series, YEARS, den, num, overlap, kappa, None)


def test_planned_errors_by_hand() -> None:
    panel: PlannedPanel = planned_panel(small_panel(), ("a", "b"), ("r", "g"), ("s", "t"), BEFORE)
    assert panel.den[0, panel.index("a", "g")].tolist() == [200.0, 600.0, 400.0, 400.0]  # contract years: the mean before
    assert panel.rates == pytest.approx([0.5, 0.25, 0.8, 0.6])
    assert panel.yearly == pytest.approx([1 / 6, 1 / 6], abs=1e-6)  # a third stay, half of what moves them lasts
    assert panel.together[0, 1] == pytest.approx(0.2)
    found = panel.covariances("g", "a", "a")[0]
    assert found[0, 0] == pytest.approx(0.25 * 0.75 / 200)
    assert found[1, 3] == pytest.approx(0.25 * 0.75 / np.sqrt(600 * 400) / 36, rel=1e-5)
    across = panel.covariances("g", "a", "b")[0]
    assert across[2, 3] == pytest.approx(0.2 * np.sqrt(0.25 * 0.75 / 400 * 0.6 * 0.4 / 1000) / 6, rel=1e-5)
    whole = np.block([[panel.covariances("g", a, b)[0] for b in ("a", "b")] for a in ("a", "b")])
    assert np.linalg.eigvalsh(whole).min() > 0


def test_measures_without_common_members_do_not_correlate() -> None:
    assert same_year_correlation(np.zeros((3, 2, 2)), np.zeros((3, 2, 2)), np.ones((3, 2, 2))) == 0.0


def test_detectable_changes_by_hand(study: Study) -> None:
    """Rates 80 and 60%, 900 members, years independent; a system that leaves has fewer years after."""
    measure, group = study.measure_sets.contracted[MEASURE], study.groups.compared[0]
    row = power_table(made_context(study)).set_index(["measure_id", "group"]).loc[(measure, group)]
    yearly, variances, arm = 1e4 * (0.8 * 0.2 + 0.6 * 0.4) / DEN, [], []
    context = made_context(study)
    analysis = primary_analysis(context)
    arms = context.arms(analysis, measure)
    for system, (pre, post) in context.windows(analysis, arms).items():
        shocks = study.inference.shocks[0] ** 2 * change_factor(pre, post, PERSISTENCE)
        variances.append(yearly * change_factor(pre, post, 0.0) + shocks)
        arm.append(system in arms.treated)
    weights, treated = 1 / np.array(variances), np.array(arm)
    error = np.sqrt(1 / weights[treated].sum() + 1 / weights[~treated].sum())
    multiplier = stats.t.ppf(0.975, len(arm) - 2) + stats.t.ppf(0.8, len(arm) - 2)
    assert row["mde_low"] == pytest.approx(multiplier * error, rel=1e-6)
    assert (row["n_contracted"], row["n_comparison"]) == (treated.sum(), (~treated).sum())


@pytest.fixture(scope="module")
def real(small_tier_b: Path) -> Context:
    tables, study = read_cells(small_tier_b).numeric(), load_study("bcbsma_pay_for_equity")
    return Context(study, tables.cell, tables.cell_overlap, "", "")


def test_no_result_and_no_denominator_under_contract_enters(real: Context) -> None:
    """Counts of contract years may be anything: neither the table nor the gate moves."""
    launch = real.study.launch_cohort
    cell, overlap = real.cell.copy(), real.overlap.copy()
    after = cell["year"] >= launch
    cell.loc[after, "num"] = (cell.loc[after, "num"] * 0.7).round().astype(cell["num"].dtype)
    cell.loc[after, "den"] = cell.loc[after, "den"] * 3
    for years, names in ((["year_1"], ["num_den"]), (["year_2"], ["den_num"]), (["year_1", "year_2"], ["num_num", "den_den"])):
        touched = (overlap[years] >= launch).any(axis=1)
        overlap.loc[touched, names] = 0
    other = Context(real.study, cell, overlap, "", "")
    pd.testing.assert_frame_equal(power_table(other), power_table(real))
    assert detectable_effect(other, pd.DataFrame()) == detectable_effect(real, pd.DataFrame())


def test_planned_errors_are_those_of_the_finished_cells(real: Context) -> None:
    """Beside the sampling variances of the changes that came out, which nothing above has seen; small systems' sizes move."""
    analysis, study, ratios = primary_analysis(real), real.study, []
    for measure in study.measure_sets.contracted:
        group, arms = study.groups.compared[0], real.arms(analysis, measure)
        asked = planned_question(real, analysis, measure, (group,))
        assert asked is not None
        changes = question_changes(real, analysis, real.panel(real.variant(analysis)), arms, measure, (group,))
        done = form_question(real, analysis, changes, arms, measure)
        seen = dict(zip(done.systems, done.variances["gap"], strict=True))
        planned = zip(asked.systems, asked.cells.covariance[:, 0, 0], strict=True)
        ratios += [v / seen[s] for s, v in planned if s in seen]
    assert len(ratios) >= 20
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)
    assert np.mean(np.abs(np.log(ratios)) < 0.4) > 0.9
