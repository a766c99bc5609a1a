"""Sensitivity sets against linear programs solved by brute force, closed forms, identities and hard cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from p4equity.errors import UsageError
from p4equity.inference.sensitivity import restrictions
from p4equity.inference.sensitivity.conditional_test import accepted, r_normals, truncated_normal_quantile
from p4equity.inference.sensitivity.fixed_length import Frontier, fixed_length, folded_normal_quantile
from p4equity.inference.sensitivity.path import NO_LEAD, Path, path
from p4equity.inference.sensitivity.sets import Sensitivity
from scipy import stats
from scipy.optimize import linprog, minimize

Array = NDArray[np.float64]


def made(before: int, after: int, seed: int, **options: object) -> Path:
    rng = np.random.default_rng(seed)
    n = before + after
    A = rng.standard_normal((n, n + 4))
    V = A @ A.T / (n + 4) * 0.01
    b = rng.multivariate_normal(np.zeros(n), V) + np.r_[np.zeros(before), np.full(after, 0.15)]
    found, reason = path(b, V, np.r_[np.arange(-before - 1, -1), np.arange(after)], **options)
    assert not reason
    return found


def by_linear_program(found: Path, A: Array, limit: Array, theta: float, alpha: float) -> bool:
    """The conditional test with the dual solved by a linear program and its truncation points found by bisection."""
    k, weights = found.before, found.weights[found.before :]
    null = np.linalg.svd(weights[None, :])[2][1:].T  # effects that leave the target as it is
    base = weights / (weights @ weights)
    y = A @ found.estimates - limit - A[:, k:] @ base * theta
    V = A @ found.covariance @ A.T
    sd = np.sqrt(np.diag(V))
    equal = np.vstack([sd, (A[:, k:] @ null).T])

    def dual(moments: Array) -> tuple[Array, float]:
        solved = linprog(-moments, A_eq=equal, b_eq=np.r_[1, np.zeros(len(equal) - 1)], bounds=(0, None), method="highs-ds")
        return solved.x, -solved.fun

    vertex, eta = dual(y)
    variance = vertex @ V @ vertex
    if variance < 1e-12:
        return eta <= 1e-10
    moved = V @ vertex / variance
    rest = y - moved * eta

    def edge(far: float) -> float:
        def same(c: float) -> bool:
            return abs(dual(rest + moved * c)[1] - c) < 1e-9 * max(1, abs(c))

        if same(far):
            return float(np.sign(far) * np.inf)
        near = eta
        for _ in range(30):
            middle = (near + far) / 2
            near, far = (middle, far) if same(middle) else (near, middle)
        return near

    low, high, z = edge(-200.0) / variance**0.5, edge(200.0) / variance**0.5, eta / variance**0.5
    p = (stats.norm.sf(z) - stats.norm.sf(high)) / (stats.norm.sf(low) - stats.norm.sf(high))
    return bool(z <= 0 or p >= alpha)


@pytest.mark.parametrize(("before", "after", "average"), [(3, 3, None), (2, 2, [0]), (1, 3, {0: 0.5, 2: -1.0})])
def test_closed_form_vertices_equal_linear_programs(before: int, after: int, average: object) -> None:
    found = made(before, after, before + 10 * after, average=average)
    changes, limit = restrictions.differences(found), np.zeros(2 * after)
    largest = -0.8 * changes[0]
    pairs = [
        (
            restrictions.relative_magnitudes(found, 0.8)[1],
            np.vstack([changes[before:] - largest, -changes[before:] - largest]),
            limit,
        ),
    ]
    bends = restrictions.slope_changes(found)[0][before - 1 :]
    pairs.append((restrictions.smoothness(found, 0.03)[0], np.vstack([bends, -bends]), limit + 0.03))
    grid = found.target + found.std_error * np.array([-20.0, -8, -4, -2, -1, 0, 0.5, 1, 1.5, 2, 4, 12, 20])
    for functionals, A, d in pairs:
        ours = accepted(functionals, grid, alpha=0.05, kappa=None)
        theirs = [by_linear_program(found, A, d, float(t), 0.05) for t in grid]
        assert ours.tolist() == theirs
        assert 0 < ours.sum() < len(grid)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.sampled_from(["relative_magnitudes", "smoothness"]), st.booleans())
def test_sets_move_with_scale_sign_and_order(seed: int, scale: float, restriction: str, hybrid: bool) -> None:
    found, rng = made(3, 2, seed), np.random.default_rng(seed)
    bound = 0.7 if restriction == "relative_magnitudes" else 0.02
    # The draws behind the hybrid's first stage are not symmetric in the sign (nor are R's): only the conditional test is.
    sign, method = (1.0, "hybrid") if hybrid else (-1.0, "conditional")
    plain = Sensitivity(found, restriction, method).set_at(bound)
    unit = 1.0 if restriction == "relative_magnitudes" else scale
    order = rng.permutation(5)
    V = found.covariance[np.ix_(order, order)] * scale**2
    other, _ = path(sign * scale * found.estimates[order], V, found.event_times[order])
    turned = Sensitivity(other, restriction, method).set_at(bound * unit)
    ends = sorted(sign * scale * x for x in (plain.low, plain.high))
    step = 41 * other.std_error / 999  # rounding may decide a point at the edge
    assert (turned.low, turned.high) == pytest.approx(ends, abs=step)


def test_without_violation_the_set_is_the_interval() -> None:
    found = made(4, 3, 5)
    step = 40 * found.std_error / 999
    for df, quantile in ((None, 1.96), (6.0, stats.t.ppf(0.975, 6))):
        s = Sensitivity(found, "relative_magnitudes", "conditional", df=df).set_at(0.0)
        wide = step * quantile / 1.96
        assert s.low == pytest.approx(found.target - quantile * found.std_error, abs=wide)
        assert s.high == pytest.approx(found.target + quantile * found.std_error, abs=wide)


def exact(event_times: list[float], estimates: list[float], **options: object) -> Path:
    """A path that is all but known."""
    found, reason = path(estimates, 1e-8 * np.eye(len(estimates)), event_times, **options)
    assert not reason
    return found


def test_known_paths_give_the_identified_set() -> None:
    # Changes before: -4 to -2 is +2 over two periods (-3 excluded), -2 to -1 is +0.5; after: effect estimates 1 and 1.
    times, b = [-4.0, -3, -2, 0, 1], [-2.5, 9.0, -0.5, 1.0, 1.0]
    largest = {"per_period": 1.0, "whole": 2.0, "drop": 0.5}
    for gap, change in largest.items():
        s = Sensitivity(exact(times, b, exclude=[-3], average=[0], gap=gap), "relative_magnitudes")
        inside = s.fits(np.array([1 - 0.99 * change, 1 + 0.99 * change]), 1.0)
        outside = s.fits(np.array([1 - 1.01 * change, 1 + 1.01 * change]), 1.0)
        assert inside.all(), gap
        assert not outside.any(), gap
    # The second period after treatment may have parted twice.
    s = Sensitivity(exact(times, b, exclude=[-3], average=[1]), "relative_magnitudes")
    assert s.fits(np.array([1 - 1.98, 1 + 1.98]), 1.0).all()
    assert not s.fits(np.array([1 - 2.02, 1 + 2.02]), 1.0).any()


def test_a_gap_after_treatment_lets_trends_part_for_two_periods() -> None:
    s = Sensitivity(exact([-3.0, -2, 0, 1, 2], [0.0, 1.0, 0.0, 7.0, 3.0], exclude=[1], average=[2]), "relative_magnitudes")
    # Largest change before: 1. From 0 to 2 the difference may move by 2, and by 1 before that.
    assert s.fits(np.array([0.03, 5.97]), 1.0).all()
    assert not s.fits(np.array([-0.03, 6.03]), 1.0).any()


def test_smoothness_extrapolates_a_line_across_a_gap() -> None:
    # Slope 1 from -5 to -1 with a pandemic at -3; linear extrapolation gives 1, 2 after; the effect at 1 is 5 - 2.
    found = exact([-5.0, -4, -3, -2, 0, 1], [-4.0, -3, 50, -1, 1, 5], exclude=[-3], average=[1])
    s = Sensitivity(found, "smoothness", "hybrid")
    assert s.fits(np.array([3.0]), 0.0).all()
    # A bend of M at the reference period and at 0: M x 2 + M x 1 on the second period after it.
    assert s.fits(np.array([3 - 0.297, 3 + 0.297]), 0.1).all()
    assert not s.fits(np.array([3 - 0.303, 3 + 0.303]), 0.1).any()
    fixed = Sensitivity(found, "smoothness").set_at(0.0)
    assert (fixed.low + fixed.high) / 2 == pytest.approx(3.0, abs=1e-6)


def test_the_fixed_length_interval_is_the_shortest() -> None:
    found = made(4, 3, 11)
    rows, scale = restrictions.slope_changes(found)
    given_part = np.linalg.solve(rows[3:, 4:].T, found.weights[4:])
    for bound in (0.0, 0.02):

        def half(c: Array, bound: float = bound) -> float:
            w = rows[3:].T @ given_part + rows[:3].T @ c
            sd = float(np.sqrt(w @ found.covariance @ w))
            bias = bound * float(scale @ np.abs(np.r_[c, given_part]))
            return sd * folded_normal_quantile(0.95, bias / sd)

        ours = fixed_length(found, Frontier(found), bound, alpha=0.05)
        starts = np.random.default_rng(1).standard_normal((3, 3))
        best = min(minimize(half, c, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-12}).fun for c in starts)
        assert (ours.high - ours.low) / 2 == pytest.approx(best, rel=1e-4)
        trend = found.event_times + 1
        assert ours.weights @ trend == pytest.approx(0, abs=1e-9)  # a linear trend does not move it


def test_folded_and_truncated_quantiles() -> None:
    for mean in (0.0, 0.7, 3.0, 40.0):
        q = folded_normal_quantile(0.95, mean)
        assert stats.norm.cdf(q - mean) - stats.norm.cdf(-q - mean) == pytest.approx(0.95, abs=1e-9)
    low, high = np.array([-np.inf, -1.0, 0.5, 5.0, 20.0, 38.0, -9.0]), np.array([np.inf, 2.0, 3.0, np.inf, 20.5, np.inf, -8.0])
    q = truncated_normal_quantile(0.95, low, high)
    assert q[:4] == pytest.approx(stats.truncnorm.ppf(0.95, low[:4], high[:4]), abs=1e-9)
    assert ((q > low) & (q < high)).all()
    # Far in the tail the excess over the truncation point is exponential: its quantile is -log(.05) / point.
    assert q[5] - 38 == pytest.approx(-np.log(0.05) / 38, rel=0.01)


def test_r_normals_are_r_s() -> None:
    assert r_normals(3) == pytest.approx([1.262954285, -0.326233361, 1.329799263], abs=1e-9)  # set.seed(0); rnorm(3)
    assert r_normals(3, 42) == pytest.approx([1.37095845, -0.56469817, 0.36312841], abs=1e-8)


@pytest.mark.parametrize(
    ("restriction", "method"), [("relative_magnitudes", None), ("smoothness", None), ("smoothness", "hybrid")]
)
def test_breakdown_separates_sets_with_and_without_zero(restriction: str, method: str | None) -> None:
    found = made(3, 3, 29)
    shifted = Path(found.estimates + 0.5 * (found.event_times >= 0), found.covariance, found.event_times, -1, found.weights)
    s = Sensitivity(shifted, restriction, method)
    value = s.breakdown()
    assert 0 < value < 20 * s.unit
    assert not s.set_at(value).holds_zero
    assert s.set_at(value + 0.05 * s.unit).holds_zero
    none = Path(found.estimates * 0, found.covariance, found.event_times, -1, found.weights)
    assert Sensitivity(none, restriction, method).breakdown() == 0.0


def test_few_degrees_of_freedom_widen_every_set() -> None:
    found = made(3, 3, 4)
    for restriction, method, bound in (
        ("relative_magnitudes", None, 0.5),
        ("smoothness", None, 0.02),
        ("smoothness", "hybrid", 0.02),
    ):
        plain = Sensitivity(found, restriction, method).set_at(bound)
        small = Sensitivity(found, restriction, method, df=5.0).set_at(bound)
        many = Sensitivity(found, restriction, "hybrid", df=1e9).set_at(bound)
        assert small.low < plain.low, restriction
        assert small.high > plain.high, restriction
        if method == "hybrid" or restriction == "relative_magnitudes":
            assert (many.low, many.high) == pytest.approx((plain.low, plain.high), rel=1e-6)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 2), (3, 1), (2, 5)])
@pytest.mark.parametrize("rank", [2, 9])
def test_short_paths_and_singular_covariances_have_sets(before: int, after: int, rank: int) -> None:
    n = before + after
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, rank)) * 0.1
    found, reason = path(rng.standard_normal(n) * 0.1, A @ A.T, np.r_[np.arange(-before - 1, -1), np.arange(after)])
    assert not reason
    for restriction, methods in (("relative_magnitudes", (None, "conditional")), ("smoothness", (None, "hybrid", "conditional"))):
        for method in methods:
            for bound in (0.0, 0.5):
                s = Sensitivity(found, restriction, method).set_at(bound)
                assert bool(s.reason) == bool(np.isnan(s.low))
                assert s.reason or s.low <= s.high


def test_what_cannot_be_used_says_why() -> None:
    V = np.eye(3)
    assert path([1.0, 2], np.eye(2), [0, 1])[1] == NO_LEAD
    assert path([1.0, 2, 3], V, [-2, 0, 1], exclude=[-2])[1] == NO_LEAD
    assert "covariance" in path([1.0, 2, 3], np.full((3, 3), np.nan), [-2, 0, 1])[1]
    assert "covariance" in path([1.0, 2, 3], -V, [-2, 0, 1])[1]
    for bad in (
        {"gap": "bridge"},
        {"average": [5]},
        {"average": [-2]},
        {"average": {0: 0.0}},
        {"exclude": [-1]},
        {"reference": 0},
    ):
        with pytest.raises(UsageError):
            path([1.0, 2, 3], V, [-2, 0, 1], **bad)
    with pytest.raises(UsageError):
        path([1.0, 2], V, [-2, 0, 1])
    found = made(2, 2, 1)
    for arguments in (("magnitudes",), ("relative_magnitudes", "fixed_length"), ("smoothness", "fixed")):
        with pytest.raises(UsageError):
            Sensitivity(found, *arguments)
    with pytest.raises(UsageError):
        Sensitivity(found, "smoothness").set_at(-1.0)


def test_leads_that_reject_the_restriction_leave_an_empty_set() -> None:
    # One period after treatment: HonestDiD keeps the changes of slope among leads, and these are not linear.
    found = exact([-4.0, -3, -2, 0], [0.0, 5.0, 0.0, 1.0])
    s = Sensitivity(found, "smoothness", "hybrid")
    assert s.set_at(0.0).reason
    assert not s.set_at(0.0).holds_zero
    assert np.isnan(s.breakdown())


def test_whole_gaps_are_paths_without_the_excluded_period() -> None:
    found = made(4, 2, 8)
    V, b = found.covariance, found.estimates
    gap, _ = path(b, V, found.event_times, exclude=[-3], gap="whole")
    kept = found.event_times != -3
    closed, _ = path(b[kept], V[np.ix_(kept, kept)], np.array([-4.0, -3, -2, 0, 1]))
    for restriction, method, bound in (
        ("relative_magnitudes", None, 1.0),
        ("smoothness", None, 0.01),
        ("smoothness", "hybrid", 0.01),
    ):
        one, other = (Sensitivity(p, restriction, method).set_at(bound) for p in (gap, closed))
        assert (one.low, one.high) == (other.low, other.high)
