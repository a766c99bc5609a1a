"""The last digits of an estimate: roots of slopes within bounds, and the first of equal values."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.inference.batch_stacked import CORRELATIONS, SHARES, likelihood_grid
from p4equity.inference.stacked import Stacked, null_problem, restricted_likelihood
from p4equity.inference.stationary import first_smallest, stationary
from p4equity.symmetric import symmetric_root

LOWEST = np.array([2.0, -1.0])
STEEP = np.array([[3.0, 1.0], [1.0, 2.0]])


def slopes(x: np.ndarray) -> np.ndarray:
    """Of a quadratic with its minimum at LOWEST."""
    return STEEP @ (x - LOWEST)


def test_a_minimum_inside_is_found_to_all_digits() -> None:
    bounds = np.array([(-5.0, 5.0), (-5.0, 5.0)])
    assert stationary(slopes, LOWEST + 1e-4, bounds) == pytest.approx(LOWEST, abs=1e-14)


def test_on_a_bound_the_others_are_at_their_minimum_given_it() -> None:
    # With the first at most 1, the second is lowest where 1 (1 - 2) + 2 (y + 1) = 0.
    found = stationary(slopes, np.array([0.9999, -0.4]), np.array([(-5.0, 1.0), (-5.0, 5.0)]))
    assert found[0] == 1.0
    assert found[1] == pytest.approx(-0.5, abs=1e-14)


def test_both_bounds_hold() -> None:
    found = stationary(slopes, np.array([0.5, 0.5]), np.array([(-5.0, 1.0), (0.0, 5.0)]))
    assert list(found) == [1.0, 0.0]


def test_a_parameter_that_does_not_matter_stays_at_its_lowest() -> None:
    found = stationary(lambda x: np.array([x[0] - 0.3, 1e-17]), np.array([0.2999, 1e-16]), np.array([(0.0, 1.0), (0.0, 0.95)]))
    assert found == pytest.approx([0.3, 0.0], abs=1e-14)
    assert found[1] == 0.0


def test_of_equal_values_the_first_is_taken_whatever_their_rounding() -> None:
    values = np.array([[3.0, 2.0, 2.0 - 1e-14, 5.0], [3.0, 2.0 - 1e-14, 2.0, 1.9]])
    assert list(first_smallest(values)) == [1, 3]
    assert int(first_smallest(np.array([0.5, 0.2]))) == 1


def two_measures_of_one_system(shift: float) -> Stacked:
    """Only the first system has both measures, and it alone has the second: its residual there is zero, its correlation free."""
    rng = np.random.default_rng(4)
    y = np.full((8, 2), np.nan)
    y[:, 0] = rng.normal(0, 3, 8)
    y[0, 1] = 1.5
    contracts = np.zeros((8, 2), bool)
    contracts[:3, 0] = True
    return Stacked(y * (1 + shift), contracts, np.tile(np.eye(2), (8, 1, 1)), np.zeros(8, np.int64))


def test_an_unidentified_correlation_does_not_hang_on_rounding() -> None:
    fits = [restricted_likelihood(null_problem(two_measures_of_one_system(s), 0.0)) for s in (0.0, 1e-15, -1e-15, 3e-15)]
    assert fits[0][0] > 0
    for tau2, correlation in fits[1:]:
        assert tau2 == pytest.approx(fits[0][0], rel=1e-11)
        assert correlation == fits[0][1]


def test_a_grid_takes_the_first_of_equally_likely_points() -> None:
    cells = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])  # system of each cell: the first has two
    X = np.zeros((9, 2))
    X[1, 1] = X[0, 0] = 1.0
    X[2:, 0] = 1.0
    y = np.random.default_rng(4).normal(0, 3, (200, 9))
    grid = likelihood_grid(X, np.array([1.0, 0.0]), np.eye(9), cells.astype(np.int64), SHARES, CORRELATIONS)
    at, _ = grid.best(y)
    assert set(grid.correlation[at]) == {0.0}
    assert (grid.tau2[at] > 0).any()


@pytest.mark.parametrize("rank", [2, 4])
def test_the_symmetric_root_is_one_root_whatever_basis_its_eigenvectors_have(rank: int) -> None:
    rng = np.random.default_rng(rank)
    a = rng.standard_normal((5, 4, rank))
    covariance = a @ a.transpose(0, 2, 1)
    root = symmetric_root(covariance)
    np.testing.assert_allclose(root @ root, covariance, atol=1e-12)
    np.testing.assert_allclose(root, root.transpose(0, 2, 1), atol=1e-12)
    assert (np.linalg.eigvalsh(root) > -1e-7).all()
    # Equal eigenvalues leave eigenvectors free; the root is not: twice the identity in any basis.
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    np.testing.assert_allclose(symmetric_root(turn @ (4 * np.eye(4)) @ turn.T), 2 * np.eye(4), atol=1e-12)
