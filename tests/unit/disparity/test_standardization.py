"""Direct standardization: worked by hand, identities, and sampling variances against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.standardization import (
    direct_standardization,
    mixed_rate,
    standard_mix,
    standardized_covariance,
)
from p4equity.errors import UsageError


def test_worked_by_hand() -> None:
    """Strata of 10 and 30 with 5 and 24 successes, standard mix half and half: (0.5 + 0.8) / 2 against 29 / 40 as they are."""
    found = direct_standardization([10, 30], [5, 24], [0.5, 0.5])
    assert found.rate == pytest.approx(0.65)
    assert found.raw == pytest.approx(29 / 40)
    assert found.variance == pytest.approx(0.25 * (0.25 / 10 + 0.16 / 30))
    assert found.raw_variance == pytest.approx((10 / 40) ** 2 * 0.25 / 10 + (30 / 40) ** 2 * 0.16 / 30)
    assert found.composition == pytest.approx(29 / 40 - 0.65)


def test_own_mix_changes_nothing() -> None:
    den = np.array([[12.0, 40, 8], [100, 5, 60]])
    num = np.array([[3.0, 30, 8], [40, 1, 59]])
    own = den / den.sum(axis=1, keepdims=True)
    found = direct_standardization(den, num, own)
    np.testing.assert_allclose(found.rate, num.sum(axis=1) / den.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(found.variance, found.raw_variance, rtol=1e-13)
    np.testing.assert_allclose(mixed_rate(num / den, own), found.raw, rtol=1e-13)


def test_a_missing_stratum_leaves_no_rate_unless_it_has_no_share() -> None:
    den, num = np.array([[10.0, 0], [0, 0]]), np.array([[4.0, 0], [0, 0]])
    assert np.isnan(direct_standardization(den, num, [0.7, 0.3]).rate).all()
    found = direct_standardization(den, num, [1.0, 0.0])
    assert found.rate[0] == pytest.approx(0.4)
    assert found.raw[0] == pytest.approx(0.4)
    assert np.isnan(found.raw[1])
    assert np.isnan(found.raw_variance[1])


def test_mix_of_the_network() -> None:
    np.testing.assert_allclose(standard_mix([[10, 30], [20, 40]]), [0.3, 0.7])
    with pytest.raises(UsageError, match="empty"):
        standard_mix([[0, 0]])


@pytest.mark.parametrize("shares", [[0.5, 0.4], [1.2, -0.2], [np.nan, 1.0]])
def test_what_is_no_mix_is_refused(shares: list[float]) -> None:
    with pytest.raises(UsageError, match="no mix"):
        mixed_rate([0.1, 0.2], shares)


def test_variance_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(20260101)
    n, p, w = np.array([40, 150, 60]), np.array([0.3, 0.7, 0.55]), np.array([0.2, 0.5, 0.3])
    draws = rng.binomial(n, p, (40_000, 3))
    found = direct_standardization(np.broadcast_to(n, draws.shape), draws, w)
    exact = direct_standardization(n, n * p, w)
    assert found.rate.mean() == pytest.approx(float(exact.rate), abs=4 * float(np.sqrt(exact.variance / 40_000)))
    assert found.rate.var() == pytest.approx(float(exact.variance), rel=0.03)
    assert found.raw.var() == pytest.approx(float(exact.raw_variance), rel=0.03)
    # The plug-in p (1 - p) is too small by the factor (n - 1) / n, a pooled variance of one member is not.
    assert found.variance.mean() == pytest.approx(float((w**2 * p * (1 - p) * (n - 1) / n**2).sum()), rel=0.01)
    given = direct_standardization(n, draws[0], w, member_variance=p * (1 - p))
    assert given.variance == pytest.approx(float(exact.variance))


def test_covariance_between_years_keeps_members_who_change_stratum() -> None:
    """Two years, two strata: 60 members stay in the first, 30 pass to the second; their outcomes persist."""
    rng = np.random.default_rng(7)
    K = T = 2
    stay, pass_on, p, rho, w = 60, 30, 0.5, 0.6, np.array([0.4, 0.6])
    den = np.array([[90.0, stay], [50.0, pass_on]])  # stratum x year
    cov = np.zeros((K, T, K, T))
    one = p * (1 - p)
    for k in range(K):
        for t in range(T):
            cov[k, t, k, t] = one / den[k, t]
    for k, joint in ((0, stay), (1, pass_on)):  # first year's stratum 0 -> second year's stratum k
        cov[0, 0, k, 1] = cov[k, 1, 0, 0] = joint * rho * one / (den[0, 0] * den[k, 1])
    V = standardized_covariance(w, cov)
    draws, first, second = 40_000, [], []
    before = rng.random((draws, 90)) < p
    kept = rng.random((draws, 90)) < rho
    after = np.where(kept, before, rng.random((draws, 90)) < p)
    other = rng.binomial(50, p, draws)
    first = w[0] * before.mean(axis=1) + w[1] * other / 50
    second = w[0] * after[:, :stay].mean(axis=1) + w[1] * after[:, stay:].mean(axis=1)
    np.testing.assert_allclose(V, np.cov(first, second), rtol=0.04)
