"""Power of pretests against closed forms, normal probabilities of boxes, and simulation by another route."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.pretest import pretest_power
from p4equity.inference.sensitivity.path import Path, path
from scipy import stats
from scipy.optimize import brentq

Z = stats.norm.isf(0.025)


def made(before: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    n = before + 3
    A = rng.standard_normal((n, n + 4))
    found, reason = path(np.zeros(n), A @ A.T / (n + 4) * 0.01, np.r_[np.arange(-before - 1, -1), np.arange(3)])
    assert not reason
    return found


def test_one_lead_in_closed_form() -> None:
    found, _ = path([0.0, 0.0], np.array([[1.0, 0.5], [0.5, 2.0]]) * 0.01, [-2, 0])
    for answer in pretest_power(found):
        p = answer.power
        mean = brentq(lambda m, p=p: stats.norm.sf(Z - m) + stats.norm.cdf(-Z - m) - p, 0, 9)
        assert answer.slope == pytest.approx(0.1 * mean, abs=5 * answer.slope_error + 1e-5)
        assert answer.bias == pytest.approx(answer.slope)
        # The lead -slope is seen only where it lies above -1.96: a truncated normal, with which the estimate moves by 0.5.
        inside = stats.norm.cdf(Z + mean) - stats.norm.cdf(-Z + mean)
        shift = (stats.norm.pdf(-Z + mean) - stats.norm.pdf(Z + mean)) / inside
        assert answer.bias_if_passed == pytest.approx(answer.slope + 0.5 * 0.1 * shift, abs=5 * answer.bias_error + 2e-5)


@pytest.mark.parametrize("error", [0.0, 1e-17])
def test_errors_of_rounding_leave_no_path(error: float) -> None:
    assert path([1.0, 1.0], np.diag([0.01, 0.01]), [-2, 0])[1] == ""
    for lead, effect in ((error, 0.1), (error, 1e-16)):
        assert path([1.0, 1.0], np.diag([lead, effect]) ** 2, [-2, 0])[1].startswith(
            "not available, because the outcomes leave no"
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_individual_tests_as_the_normal_probability_of_a_box(seed: int) -> None:
    found = made(4, seed)
    V, leads = found.covariance[:4, :4], found.event_times[:4] + 1
    box = Z * np.sqrt(np.diag(V))
    for answer in pretest_power(found, seed=seed):
        passed = stats.multivariate_normal.cdf(
            box, mean=answer.slope * leads, cov=V, lower_limit=-box, abseps=1e-6, maxpts=400_000, rng=np.random.default_rng(0)
        )
        assert 1 - passed == pytest.approx(answer.power, abs=1.5e-3)


@pytest.mark.parametrize("df", [None, 6.0])
def test_joint_test_as_a_noncentral_distribution(df: float | None) -> None:
    found = made(4, 3)
    leads = found.event_times[:4] + 1
    per_slope = leads @ np.linalg.solve(found.covariance[:4, :4], leads)

    def power(x: float) -> float:
        if df is None:
            return float(stats.ncx2.sf(stats.chi2.isf(0.05, 4), 4, x))
        return float(stats.ncf.sf(stats.f.isf(0.05, 4, df), 4, df, x))

    for answer in pretest_power(found, test="joint", df=df):
        exact = np.sqrt(brentq(lambda x, p=answer.power: power(x) - p, 1e-6, 500) / per_slope)
        assert answer.slope == pytest.approx(exact, rel=1e-6)
        assert answer.size == pytest.approx(0.05, abs=0.002)


@pytest.mark.parametrize("test", ["individual", "joint"])
def test_passing_samples_have_the_stated_bias(test: str) -> None:
    found = made(3, 4)
    (answer,) = pretest_power(found, (0.6,), test=test)
    mean = answer.slope * (found.event_times + 1)
    b = np.random.default_rng(8).multivariate_normal(mean, found.covariance, size=200_000)
    V = found.covariance[:3, :3]
    if test == "individual":
        rejects = (np.abs(b[:, :3]) > Z * np.sqrt(np.diag(V))).any(axis=1)
    else:
        rejects = np.einsum("ni,ij,nj->n", b[:, :3], np.linalg.inv(V), b[:, :3]) > stats.chi2.isf(0.05, 3)
    target = b @ found.weights
    assert rejects.mean() == pytest.approx(0.6, abs=0.005)
    assert target.mean() == pytest.approx(answer.bias, abs=1e-3)
    assert target[~rejects].mean() == pytest.approx(answer.bias_if_passed, abs=1.5e-3)


def test_few_degrees_of_freedom_hide_larger_violations() -> None:
    found = made(3, 5)
    plain, small, many = (pretest_power(found, df=df)[0] for df in (None, 4.0, 1e7))
    assert small.slope > 1.2 * plain.slope
    assert many.slope == pytest.approx(plain.slope, rel=1e-3)


def test_slopes_scale_and_do_not_depend_on_the_order_of_calls() -> None:
    found = made(3, 6)
    twice = Path(found.estimates, 4 * found.covariance, found.event_times, found.reference, found.weights)
    one, two = pretest_power(found), pretest_power(twice)
    assert [2 * a.slope for a in one] == pytest.approx([a.slope for a in two], rel=1e-5)
    assert pretest_power(found, (0.8, 0.5))[::-1] == one


def test_singular_leads_and_wrong_words() -> None:
    A = np.array([[1.0, 0], [1, 0], [0, 1], [1, 1]]) * 0.1
    found, reason = path(np.zeros(4), A @ A.T, [-3, -2, 0, 1])
    assert not reason
    for test in ("individual", "joint"):
        assert all(a.slope > 0 and np.isfinite(a.bias_if_passed) for a in pretest_power(found, test=test))
    with pytest.raises(UsageError, match="pretest"):
        pretest_power(found, test="wald")
    with pytest.raises(UsageError, match="power"):
        pretest_power(found, (1.0,))


def test_slopes_equal_another_library_s() -> None:
    # StatsPAI 1.40.2, pretrends_slope_for_power with the covariance below (its box probabilities are integrated).
    expected = {("individual", 0.5): 0.0207099572, ("individual", 0.8): 0.0323870399,
                ("joint", 0.5): 0.0291495514, ("joint", 0.8): 0.0397464726}  # fmt: skip
    A = np.random.default_rng(1).standard_normal((7, 11))
    found, _ = path(np.zeros(7), A @ A.T / 11 * 0.01, [-5, -4, -3, -2, 0, 1, 2])
    for (test, power), slope in expected.items():
        (answer,) = pretest_power(found, (power,), test=test)
        assert answer.slope == pytest.approx(slope, rel=1e-6 if test == "joint" else 2e-3)
