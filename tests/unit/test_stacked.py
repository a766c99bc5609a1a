"""The pooled question: contract rows, generalized least squares and its permutation."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import StudyError
from p4equity.inference.permutation import permutation_test
from p4equity.inference.random_effects import meta_regression
from p4equity.inference.stacked import (
    Stacked,
    null_problem,
    observed_problem,
    random_covariance,
    restricted_likelihood,
    stacked_component,
    stacked_meta_regression,
    stacked_standard_error,
)
from p4equity.inference.stacked_permutation import (
    assignment_effects,
    attainable,
    contract_patterns,
    count_rows,
    enumerate_rows,
    stacked_permutation,
)

SIZES = np.array([230, 190, 80, 25, 100, 130, 45, 35, 30, 45, 45, 12.0])


def launch_matrix() -> np.ndarray:
    """Contract rows of the program's launch: 5, 3, 2 and 1 treated systems on four measures."""
    contracts = np.zeros((12, 4), bool)
    contracts[:5, 0] = True
    contracts[[2, 3, 4], 1] = True
    contracts[[1, 4], 2] = True
    contracts[4, 3] = True
    return contracts


def draw(seed: int, effect: float = 0.0, tau: float = 0.7) -> Stacked:
    rng = np.random.default_rng(seed)
    V = np.stack([np.diag([2.9, 1.7, 5.3, 1.4]) * 100 / n for n in SIZES])
    contracts = launch_matrix()
    y = np.stack([rng.multivariate_normal(np.zeros(4), V[s] + tau**2 * np.eye(4)) for s in range(12)])
    return Stacked(y + effect * contracts, contracts, V, np.zeros(12, np.int64))


def dense(data: Stacked, tau2: float, correlation: float, weights: np.ndarray) -> tuple[float, float, float]:
    """Estimate, unscaled variance and q of the weighted mean effect from one block-diagonal regression, cell by cell."""
    M = data.y.shape[1]
    keep = [(s, m) for s in range(len(data.y)) for m in range(M) if data.included(data.contracts)[s, m]]
    between = random_covariance(M, tau2, correlation)
    V = np.array([[(data.covariance[s] + between)[m, k] if s == r else 0.0 for r, k in keep] for s, m in keep])
    X = np.array([[*(m == k for k in range(M)), *(data.contracts[s, m] and m == k for k in range(M))] for s, m in keep], float)
    y = np.array([data.y[s, m] for s, m in keep])
    W = np.linalg.inv(V)
    bread = np.linalg.inv(X.T @ W @ X)
    b = bread @ X.T @ W @ y
    L = np.concatenate([np.zeros(M), weights])
    r = y - X @ b
    return float(L @ b), float(L @ bread @ L), float(r @ W @ r) / (len(y) - 2 * M)


def test_whole_rows_of_the_launch_matrix() -> None:
    _, held = contract_patterns(launch_matrix())
    strata = np.zeros(12, np.int64)
    assert count_rows(held, strata) == 47_520
    table = enumerate_rows(held, strata)
    assert len(np.unique(table, axis=0)) == 47_520
    assert (np.sort(table, axis=1) == np.sort(held)).all()


def test_one_measure_is_the_meta_regression() -> None:
    data = draw(1, effect=-2)
    one = Stacked(data.y[:, :1], data.contracts[:, :1], data.covariance[:, :1, :1], data.strata)
    pooled = stacked_meta_regression(one)
    alone = meta_regression(data.y[:, 0], data.contracts[:, 0], data.covariance[:, 0, 0], method="REML")
    assert pooled.df == alone.df
    # Two searches for the same root of the likelihood's slope.
    assert pooled.tau2 == pytest.approx(alone.tau2, rel=1e-11)
    assert pooled.estimate == pytest.approx(alone.estimate, abs=1e-11)
    assert pooled.std_error == pytest.approx(alone.std_error, rel=1e-11)


def test_uncontracted_cells_of_contracted_systems_do_not_enter() -> None:
    data = draw(2)
    moved = data.y.copy()
    moved[0, 1:] += 100  # a system contracted on the first measure only
    again = Stacked(moved, data.contracts, data.covariance, data.strata)
    assert stacked_meta_regression(again).estimate == pytest.approx(stacked_meta_regression(data).estimate, abs=1e-12)


def test_components_share_the_gap_weights() -> None:
    gap, group = draw(3, effect=-2), draw(4, effect=1)
    reference = Stacked(gap.y + group.y, gap.contracts, gap.covariance, gap.strata)
    fit = stacked_meta_regression(gap)
    sides = [stacked_component(side, fit.weights).estimate for side in (reference, group)]
    assert sides[0] - sides[1] == pytest.approx(fit.estimate, abs=1e-12)


def test_missing_cells_are_left_out() -> None:
    data = draw(5)
    y = data.y.copy()
    y[11, 2] = np.nan
    result = stacked_meta_regression(Stacked(y, data.contracts, data.covariance, data.strata))
    assert np.isfinite(result.estimate)
    assert result.weights[11, 2] == 0


def test_permutation_is_unaffected_by_a_common_shift_and_finds_a_large_effect() -> None:
    data = draw(6, effect=-6)
    first = stacked_permutation(data, limit=3000, seed=1)
    shifted = stacked_permutation(
        Stacked(data.y + np.arange(4), data.contracts, data.covariance, data.strata), limit=3000, seed=1
    )
    assert first.sampled
    assert first.n_assignments == 47_520
    assert first.p_value < 0.01
    assert first.p_value == shifted.p_value
    assert first.conf_high < 0


def test_all_assignments_of_the_launch_are_enumerated() -> None:
    result = stacked_permutation(draw(6, effect=-6))
    assert result.n_assignments == 47_520
    assert not result.sampled


def test_drawn_contract_rows_do_not_depend_on_the_order_of_systems() -> None:
    data = draw(3)
    results = []
    for seed in (0, 1, 2):
        turn = np.random.default_rng(seed).permutation(len(data.y))
        strata = np.where(data.strata == data.strata.max(), seed, 5)[turn]  # other codes for the same strata
        moved = Stacked(data.y[turn], data.contracts[turn], data.covariance[turn], strata)
        results.append(stacked_permutation(moved, limit=2000, seed=1))
    assert results[0].sampled
    for other in results[1:]:
        assert other.p_value == results[0].p_value
        assert (other.conf_low, other.conf_high) == pytest.approx((results[0].conf_low, results[0].conf_high), abs=1e-4)


def test_no_comparison_system() -> None:
    data = draw(7)
    with pytest.raises(StudyError, match="comparison"):
        stacked_meta_regression(Stacked(data.y[:5], data.contracts[:5], data.covariance[:5], data.strata[:5]))


def test_the_pooled_effect_weights_contracted_cells_equally_not_by_precision() -> None:
    data = draw(8, effect=-2)
    covariance = data.covariance + 0.3 * np.sqrt(np.einsum("smm,snn->smn", data.covariance, data.covariance)) * (1 - np.eye(4))
    y = data.y.copy()
    y[11, 2] = np.nan
    gap = Stacked(y, data.contracts, covariance, data.strata)
    fit = stacked_meta_regression(gap)
    estimate, variance, q = dense(gap, fit.tau2, fit.correlation, np.array([5, 3, 2, 1]) / 11)
    assert fit.estimate == pytest.approx(estimate, abs=1e-10)
    assert fit.std_error == pytest.approx(np.sqrt(q * variance), rel=1e-8)
    assert stacked_standard_error(gap, fit.tau2, fit.correlation) == pytest.approx(np.sqrt(variance), rel=1e-10)
    shares = (fit.weights * gap.contracts).sum(axis=0)
    np.testing.assert_allclose(shares, np.array([5, 3, 2, 1]) / 11, atol=1e-12)
    assert (fit.weights * np.where(gap.contracts, np.arange(4) + 1.0, 0.0)).sum() == pytest.approx(21 / 11)


def test_registered_cell_weights_set_the_share_of_a_measure() -> None:
    data = draw(9)
    sizes = np.repeat(SIZES[:, None], 4, axis=1)
    fit = stacked_meta_regression(Stacked(data.y, data.contracts, data.covariance, data.strata, sizes))
    wanted = (sizes * data.contracts).sum(axis=0)
    np.testing.assert_allclose((fit.weights * data.contracts).sum(axis=0), wanted / wanted.sum(), atol=1e-12)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_the_restricted_likelihood_is_at_its_maximum(seed: int) -> None:
    problem = observed_problem(draw(seed, tau=1.5))
    tau2, correlation = restricted_likelihood(problem)
    best = problem.deviance(tau2, correlation)
    grid = [problem.deviance(t, r) for t in np.linspace(0, 8, 161) for r in np.linspace(0, 0.95, 39)]
    assert best <= min(grid) + 1e-6


def test_every_assignment_has_the_statistic_of_its_own_regression() -> None:
    data = draw(10, effect=-1)
    y = data.y.copy()
    y[5, 0] = y[6, 3] = np.nan
    data = Stacked(y, data.contracts, data.covariance, data.strata)
    patterns, held = contract_patterns(data.contracts)
    table = enumerate_rows(held, data.strata)[::997]
    tau2, correlation = restricted_likelihood(null_problem(data, 0.0))
    effects, errors = assignment_effects(data, patterns, table, 0.0)
    for i, row in enumerate(table):
        contracts = patterns[row]
        cells = (contracts & data.present).sum(axis=0)
        if not (cells > 0).all():
            assert not np.isfinite(effects[i])
            continue
        own = Stacked(data.y, contracts, data.covariance, data.strata)
        wanted, variance, _ = dense(own, tau2, correlation, data.measure_weights)
        assert effects[i] == pytest.approx(wanted, abs=1e-9)
        assert errors[i] == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_the_permutation_estimate_is_the_null_weighted_one() -> None:
    data = draw(14, effect=-3)
    tau2, correlation = restricted_likelihood(null_problem(data, 0.0))
    result = stacked_permutation(data, limit=2000, seed=3)
    estimate, variance, _ = dense(data, tau2, correlation, data.measure_weights)
    assert result.estimate == pytest.approx(estimate, abs=1e-9)
    assert result.statistic == pytest.approx(estimate / np.sqrt(variance), rel=1e-9)


def _one_row(treated: int, comparison: int, measures: int = 2, seed: int = 0) -> Stacked:
    """Systems with one contract row over all measures, or none."""
    rng, S = np.random.default_rng(seed), treated + comparison
    V = np.array([np.eye(measures) * v for v in rng.uniform(0.3, 2.0, S)])
    contracts = np.zeros((S, measures), bool)
    contracts[:treated] = True
    y = rng.normal(0, 1, (S, measures)) - 30 * contracts  # as extreme as can be
    return Stacked(y, contracts, V, np.zeros(S, np.int64))


@pytest.mark.parametrize(("treated", "comparison", "expected"), [(3, 3, 2 / 20), (4, 4, 2 / 70), (3, 4, 1 / 35), (2, 5, 1 / 21)])
def test_the_smallest_p_counts_the_mirror(treated: int, comparison: int, expected: float) -> None:
    """With arms of the same size every assignment has a mirror of the same size of statistic; the most extreme data reach it."""
    data = _one_row(treated, comparison)
    result = stacked_permutation(data)
    assert result.p_attainable == pytest.approx(expected)
    assert result.p_value == pytest.approx(expected)
    assert attainable(data.contracts, data.present, data.strata, 1_000)[1] == pytest.approx(expected)
    one = permutation_test(data.y[:, 0], data.contracts[:, 0], data.covariance[:, 0, 0])
    assert one.p_attainable == pytest.approx(expected)


def test_a_mirror_must_keep_every_cell_in_place() -> None:
    """Who is contracted on one of two measures leaves the other one: such a row has no mirror, unless that cell is missing."""
    data = _one_row(2, 2)
    contracts = data.contracts.copy()
    contracts[1, 1] = False  # rows 11, 10, 00, 00
    several = Stacked(data.y, contracts, data.covariance, data.strata)
    assert attainable(contracts, several.present, data.strata, 1_000) == (12, 1 / 12)
    assert stacked_permutation(several).p_attainable == pytest.approx(1 / 12)
    y = data.y.copy()
    y[[1, 3], 1] = np.nan  # rows 11, 1-, 00, 0-
    missing = Stacked(y, contracts, data.covariance, data.strata)
    assert attainable(contracts, missing.present, data.strata, 1_000)[1] == 2 / 12
    found = stacked_permutation(missing)
    assert found.p_attainable == pytest.approx(found.p_value)
    strata = np.array([0, 1, 1, 1])
    assert attainable(data.contracts, data.present, strata, 1_000) == (3, 1 / 3)  # nobody to change places with


def test_drawn_assignments_cannot_go_below_one_in_the_draws() -> None:
    data = _one_row(5, 7)
    assert attainable(data.contracts, data.present, data.strata, 100) == (792, 1 / 100)
    assert stacked_permutation(data, limit=100).p_attainable == pytest.approx(1 / 100)
