"""Tests over many draws at once give what the single tests give, one outcome at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from p4equity.inference import batch, batch_stacked
from p4equity.inference.averaged_t import stacked_design
from p4equity.inference.permutation import enumerate_assignments, permutation_test
from p4equity.inference.quadratic import quadratic_forms
from p4equity.inference.random_effects import meta_regression, tau2_estimate
from p4equity.inference.stacked import Stacked, random_covariance, stacked_meta_regression
from p4equity.inference.stacked_permutation import (
    assignment_effects,
    assignment_lines,
    contract_patterns,
    enumerate_rows,
    stacked_permutation,
)
from scipy import stats

N, DRAWS = 9, 12
ARM = np.arange(N) < 3
V = np.array([0.4, 2.0, 1.1, 0.6, 3.0, 0.9, 1.7, 0.5, 2.2])


def outcomes(spread: float, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((DRAWS, N)) * np.sqrt(V + spread) + 0.5 * ARM


@pytest.mark.parametrize("method", ["PM", "DL", "REML"])
@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_variances_between_units_are_those_of_single_outcomes(method: str, spread: float) -> None:
    y = outcomes(spread)
    for arm, X in ((None, np.ones((N, 1))), (ARM, np.column_stack([np.ones(N), ARM]))):
        alone = [tau2_estimate(row, X, V, method) for row in y]
        assert batch.between_variance(y, V, arm, method) == pytest.approx(alone, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("method", ["PM", "DL"])
def test_knapp_hartung_is_that_of_single_outcomes(method: str, truncate: bool) -> None:
    y = outcomes(1.0)
    alone = [meta_regression(row, ARM, V, method=method, truncate=truncate) for row in y]
    estimates, p = batch.knapp_hartung(y, ARM, V, method, truncate)
    assert estimates == pytest.approx([a.estimate for a in alone], rel=1e-9)
    assert p == pytest.approx([a.p_value for a in alone], rel=1e-8)


def test_permutation_is_that_of_single_outcomes() -> None:
    y = outcomes(1.0)
    alone = [permutation_test(row, ARM, V) for row in y]
    table = enumerate_assignments(ARM, np.zeros(N, np.int64))
    estimates, p = batch.permutation(y, ARM, V, table)
    assert estimates == pytest.approx([a.estimate for a in alone], rel=1e-9)
    assert list(p) == [a.p_value for a in alone]


def test_robust_errors_of_one_change_a_unit_are_welchs_with_fixed_degrees_of_freedom() -> None:
    y = outcomes(1.0)
    X = np.column_stack([np.ones(N), ARM])
    estimates, p, df = batch.robust(y, X, np.array([0.0, 1.0]), np.arange(N))
    n1, n0 = ARM.sum(), (~ARM).sum()
    error = np.sqrt(y[:, ARM].var(1, ddof=1) / n1 + y[:, ~ARM].var(1, ddof=1) / n0)
    by_hand = (1 / n1 + 1 / n0) ** 2 / (1 / (n1**2 * (n1 - 1)) + 1 / (n0**2 * (n0 - 1)))
    assert df == pytest.approx(by_hand)
    assert estimates == pytest.approx(y[:, ARM].mean(1) - y[:, ~ARM].mean(1))
    assert p == pytest.approx(2 * stats.t.sf(np.abs(estimates) / error, by_hand))


def test_robust_errors_do_not_exist_for_one_unit_in_an_arm() -> None:
    X = np.column_stack([np.ones(N), np.arange(N) == 0])
    assert np.isnan(batch.robust(outcomes(1.0), X, np.array([0.0, 1.0]), np.arange(N))[1]).all()


def stacked(seed: int, systems: int = 9, measures: int = 3) -> Stacked:
    """Rows of contracts that differ, two cells without a change, sampling errors that are correlated."""
    rng = np.random.default_rng(seed)
    contracts = np.zeros((systems, measures), bool)
    contracts[:4] = [[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]]
    root = rng.standard_normal((systems, measures, measures)) * 0.4
    covariance = root @ root.transpose(0, 2, 1) + np.eye(measures) * rng.uniform(0.5, 2.0, (systems, 1, 1))
    y = np.zeros((systems, measures))
    y[5, 0], y[7, 2] = np.nan, np.nan
    return Stacked(y, contracts, covariance, np.zeros(systems, np.int64))


def draws(data: Stacked, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    errors = np.einsum("smk,rsk->rsm", np.linalg.cholesky(data.covariance), rng.standard_normal((count, *data.y.shape)))
    return np.where(data.present, errors + rng.standard_normal((count, len(data.y), 1)), np.nan)


def test_pooled_knapp_hartung_is_that_of_single_outcomes_up_to_the_grid() -> None:
    """The grid's steps are 30% in the variance and 0.2 in the correlation; p then moves by less than a hundredth or two."""
    data = stacked(1)
    Y = draws(data, 40, 2)
    alone = [stacked_meta_regression(replace(data, y=y)) for y in Y]
    estimates, p = batch_stacked.stacked_knapp_hartung(Y, data)
    assert estimates == pytest.approx([a.estimate for a in alone], abs=0.05)
    differences = np.abs(p - [a.p_value for a in alone])
    assert differences.max() < 0.03
    assert differences.mean() < 0.005


def test_pooled_permutation_is_that_of_single_outcomes_up_to_the_grid() -> None:
    data = stacked(1)
    held = contract_patterns(data.contracts)[1]
    table = enumerate_rows(held, data.strata)
    own = int((table == held).all(axis=1).argmax())
    Y = draws(data, 6, 4)
    alone = [stacked_permutation(replace(data, y=y)) for y in Y]
    estimates, p = batch_stacked.StackedPermutation(data, table)(Y, own)
    assert estimates == pytest.approx([a.estimate for a in alone], abs=0.1)
    assert np.abs(p - [a.p_value for a in alone]).max() < 0.03


def test_lines_of_assignments_give_their_effects() -> None:
    """At the same weights (a variance of zero) effects and errors are those of the exact test."""
    data = replace(stacked(5), y=np.where(stacked(5).present, 1e-9 * np.arange(27).reshape(9, 3), np.nan))
    patterns, held = contract_patterns(data.contracts)
    table = enumerate_rows(held, data.strata)[::50]
    effects, errors = assignment_effects(data, patterns, table, 0.0)
    lines, own = assignment_lines(data, patterns, table, data.covariance + random_covariance(3, 0.0, 0.0))
    found = (lines * np.nan_to_num(data.y)).sum(axis=(1, 2))
    assert np.isfinite(effects).any()
    assert found == pytest.approx(effects, nan_ok=True, rel=1e-9)
    assert own == pytest.approx(errors, nan_ok=True, rel=1e-9)


def test_many_outcomes_of_an_averaged_test_are_each_its_own() -> None:
    data = stacked(1)
    design, mask = stacked_design(data)
    Y = draws(data, 5, 6)[:, mask]
    together = design.mixture(Y)
    for i in range(len(Y)):
        alone = design.mixture(Y[i : i + 1])
        assert together.p_values[i] == pytest.approx(alone.p_values[0], rel=1e-10)
        assert together.weights[i] == pytest.approx(alone.weights[0], rel=1e-9)


def test_quadratic_forms_by_hand() -> None:
    A = np.array([[[2.0, 1.0], [1.0, 3.0]], [[1.0, 0.0], [0.0, 1.0]]])
    assert quadratic_forms(np.array([[1.0, 2.0], [0.0, 1.0]]), A).tolist() == [[18.0, 5.0], [3.0, 1.0]]
