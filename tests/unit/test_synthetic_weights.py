"""Solver of unit and time weights: against an independent optimizer, one problem at a time, and repeated rows and columns."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from p4equity.inference.resampling import (
    count_placements,
    jackknife_error,
    placebo_rank,
    placements,
    resamples,
    spread,
    spread_error,
)
from p4equity.inference.synthetic_weights import (
    Array,
    Problems,
    effect_curves,
    frank_wolfe,
    penalties,
    simplex_weights,
    sparse,
    synthetic_weights,
)
from scipy.optimize import LinearConstraint, minimize

DECREASE = 1e-18


def problems(seed: int, n: int, k: int, size: int = 3, ridge: float = 0.5, intercept: bool = True) -> Problems:
    rng = np.random.default_rng(seed)
    A, target = rng.normal(size=(n, k)).cumsum(axis=0), rng.normal(size=(size, n)).cumsum(axis=1)
    return Problems(A, target, np.ones((size, n)), np.ones((size, k)), ridge, intercept)


def objective(p: Problems, i: int, x: Array) -> float:
    error = p.A @ x - p.target[i]
    error = error - error.mean() if p.intercept else error
    return float(np.mean(error**2) + p.ridge**2 * x @ x)


def optimum(p: Problems, i: int) -> Array:
    k = p.A.shape[1]
    one = LinearConstraint(np.ones(k), 1, 1)
    start, bounds = np.full(k, 1 / k), [(0, 1)] * k
    options = {"ftol": 1e-15, "maxiter": 2000}
    return np.asarray(
        minimize(lambda x: objective(p, i, x), start, method="SLSQP", bounds=bounds, constraints=one, options=options).x
    )


def equal(p: Problems) -> Array:
    return p.copies / p.copies.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("intercept", [True, False])
def test_with_a_ridge_the_weights_are_the_minimum_of_an_independent_optimizer(seed: int, intercept: bool) -> None:
    p = problems(seed, n=6 + seed, k=4 + 3 * seed, ridge=1.0, intercept=intercept)
    found = simplex_weights(p, equal(p), DECREASE)
    for i, x in enumerate(found):
        best = optimum(p, i)
        assert x == pytest.approx(best, abs=5e-3)
        above = objective(p, i, x) - objective(p, i, best)
        assert -1e-9 < above < 1e-3  # the steps converge slowly: about as the inverse of their number
        # First-order conditions, nearly: the gradient is equal where there is weight and not smaller elsewhere; the difference
        # bounds the distance to the minimum.
        error = p.A @ x - p.target[i]
        error = error - error.mean() if intercept else error
        gradient = p.A.T @ error / len(error) + p.ridge**2 * x
        assert above / 2 - 1e-9 < gradient @ x - gradient.min() < 2e-2
        assert x.min() >= 0
        assert x.sum() == pytest.approx(1, abs=1e-12)


def test_hardly_a_ridge_leaves_the_steps_short_of_the_minimum_but_near_it() -> None:
    p = problems(3, n=8, k=15, ridge=1e-6, intercept=False)
    for i, x in enumerate(simplex_weights(p, equal(p), 1e-10)):
        best = objective(p, i, optimum(p, i))
        assert best - 1e-9 < objective(p, i, x) < best + 1e-3


def test_every_step_lowers_the_objective() -> None:
    p = problems(4, n=7, k=9)
    values = [[objective(p, i, x) for i, x in enumerate(frank_wolfe(p, equal(p), -1.0, limit))] for limit in range(1, 30)]
    assert (np.diff(np.array(values), axis=0) <= 1e-12).all()


def test_a_problem_ends_with_the_step_that_lowers_it_too_little() -> None:
    p = problems(5, n=7, k=9, size=1)
    value = [objective(p, 0, frank_wolfe(p, equal(p), -1.0, limit)[0]) for limit in range(1, 60)]
    falls = -np.diff(value)
    last = int(np.flatnonzero(falls <= 1e-4)[0]) + 2  # the fall from step s to s + 1 ends with step s + 1
    assert 2 < last < 58
    assert frank_wolfe(p, equal(p), 1e-4, 1000) == pytest.approx(frank_wolfe(p, equal(p), -1.0, last), abs=1e-15)


def test_problems_together_are_problems_apart() -> None:
    p = problems(6, n=5, k=12, size=7, ridge=0.2)
    closed = np.random.default_rng(1).random(p.copies.shape) < 0.3
    p = replace(p, copies=np.where(closed, 0.0, 1.0))
    together = simplex_weights(p, equal(p), 1e-10)
    apart = np.concatenate([simplex_weights(p.take(slice(i, i + 1)), equal(p)[[i]], 1e-10) for i in range(7)])
    assert together == pytest.approx(apart, abs=1e-9)
    assert together[closed].tolist() == [0.0] * int(closed.sum())


def test_closed_columns_are_as_if_absent() -> None:
    p = problems(7, n=6, k=8, size=1, ridge=0.3)
    open_ = np.array([True, True, False, True, False, True, True, True])
    found = simplex_weights(replace(p, copies=open_[None].astype(float)), equal(replace(p, copies=open_[None] * 1.0)), 1e-12)
    fewer = replace(p, A=p.A[:, open_], copies=np.ones((1, 6)))
    assert found[:, open_] == pytest.approx(simplex_weights(fewer, equal(fewer), 1e-12), abs=1e-9)


def test_a_row_counted_twice_is_a_row_repeated() -> None:
    p = problems(8, n=5, k=6, size=1, ridge=0.3)
    twice = replace(p, rows=np.array([[1.0, 2, 1, 0, 3]]))
    index = np.repeat(np.arange(5), [1, 2, 1, 0, 3])
    long = replace(p, A=p.A[index], target=p.target[:, index], rows=np.ones((1, 7)))
    assert simplex_weights(twice, equal(p), 1e-14) == pytest.approx(simplex_weights(long, equal(p), 1e-14), abs=1e-9)


def test_copies_of_a_column_share_its_weight() -> None:
    p = problems(9, n=6, k=4, size=1, ridge=1.0)
    copied = replace(p, copies=np.array([[2.0, 1, 3, 1]]))
    index = np.repeat(np.arange(4), [2, 1, 3, 1])
    long = replace(p, A=p.A[:, index], copies=np.ones((1, 7)))
    x, each = simplex_weights(copied, equal(copied), DECREASE), simplex_weights(long, equal(long), DECREASE)
    assert x[0] == pytest.approx(np.bincount(index, each[0]), abs=2e-3)


def test_sparse_weights_by_hand() -> None:
    found = sparse(np.array([[0.5, 0.3, 0.125, 0.075]]), np.ones((1, 4)))
    assert found == pytest.approx(np.array([[0.625, 0.375, 0, 0]]))
    shared = sparse(np.array([[0.5, 0.3, 0.2]]), np.array([[1.0, 3, 0]]))  # .1 a copy is less than a quarter of .5
    assert shared == pytest.approx(np.array([[1.0, 0, 0]]))


def test_penalties_by_hand() -> None:
    p = penalties(np.array([[0.0, 4, 4], [1, 1, 5]]), 2, 8, "sdid")  # differences 4, 0, 0, 4
    assert p.noise == pytest.approx(np.sqrt(16 / 3))
    assert (p.unit, p.time) == pytest.approx((2 * p.noise, 1e-6 * p.noise))
    assert p.decrease == pytest.approx((1e-5 * p.noise) ** 2)
    assert penalties(np.array([[0.0, 4, 4], [1, 1, 5]]), 2, 8, "sc").unit == pytest.approx(1e-6 * p.noise)


def test_a_mixture_of_two_units_is_found_and_its_effect_with_it() -> None:
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(6, 24)).cumsum(axis=1)
    Y[5] = 0.3 * Y[0] + 0.7 * Y[1]
    Y[5, 20:] += 2.5
    controls, treated = np.array([[1.0, 1, 1, 1, 1, 0]]), np.array([[0.0, 0, 0, 0, 0, 1]])
    penalty = penalties(Y[:5, :20], 1, 4, "sc")
    units, times = synthetic_weights(Y, 20, controls, treated, penalty, "sc", None)
    assert units[0] == pytest.approx([0.3, 0.7, 0, 0, 0, 0], abs=1e-3)
    assert effect_curves(Y[None], 20, units, times, treated) == pytest.approx(np.full((1, 1, 4), 2.5), abs=0.02)


@pytest.mark.parametrize(("n", "sizes"), [(6, (2,)), (5, (1, 2)), (6, (2, 1, 1)), (4, (4,))])
def test_placements_are_all_distinct_permutations_of_the_labels(n: int, sizes: tuple[int, ...]) -> None:
    found = placements(n, sizes, 1000, 10, 0)
    labels = [0] * (n - sum(sizes)) + [k for k, size in enumerate(sizes, start=1) for _ in range(size)]
    assert {tuple(row) for row in found.labels.tolist()} == set(permutations(labels))
    assert len(found.labels) == found.total == count_placements(n, sizes)
    assert not found.sampled


def test_drawn_placements_keep_the_sizes_and_follow_the_seed() -> None:
    found = placements(12, (3, 2), 100, 40, 7)
    assert found.sampled
    assert found.total == 220 * 36
    assert all(np.bincount(row).tolist() == [7, 3, 2] for row in found.labels)
    assert (found.labels == placements(12, (3, 2), 100, 40, 7).labels).all()
    assert (found.labels != placements(12, (3, 2), 100, 40, 8).labels).any()


def test_resamples_are_drawn_again_until_usable() -> None:
    found = resamples(4, 50, 0, lambda counts: counts[:, 0] > 0)
    assert found.shape == (50, 4)
    assert (found.sum(axis=1) == 4).all()
    assert (found[:, 0] > 0).all()
    assert len(resamples(4, 50, 0, lambda counts: counts[:, 0] == 5)) == 0


def test_errors_of_replicates_by_hand() -> None:
    assert spread(np.array([1.0, 3.0])) == 1.0
    assert jackknife_error(np.array([1.0, 2.0, 3.0])) == pytest.approx(np.sqrt(2 / 3 * 2))
    draws = np.random.default_rng(0).normal(size=(2000, 100))
    actual = np.std([spread(row) for row in draws])
    assert np.mean([spread_error(row) for row in draws[:200]]) == pytest.approx(actual, rel=0.1)


@pytest.mark.parametrize("n", [4, 19, 20, 39, 40, 41])
def test_rank_and_its_interval_by_brute_force(n: int) -> None:
    rng = np.random.default_rng(n)
    placebo, b = rng.normal(size=n), 1.3
    rank = placebo_rank(b, placebo, 0.95)

    def p(effect: float) -> float:
        return (1 + int((np.abs(placebo) >= abs(b - effect)).sum())) / (n + 1)

    assert rank.p_value == pytest.approx(p(0.0))
    assert rank.p_attainable == 1 / (n + 1)
    grid = np.linspace(-6, 8, 14001)
    kept = grid[np.array([p(e) > 0.05 + 1e-12 for e in grid])]
    if np.isinf(rank.half_width):
        assert len(kept) == len(grid)
        assert n < 19
    else:
        assert (kept.min(), kept.max()) == pytest.approx((b - rank.half_width, b + rank.half_width), abs=2e-3)
