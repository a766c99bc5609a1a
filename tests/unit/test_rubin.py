"""Rubin's rules against a case worked by hand, limits that are known, and a simulation of the coverage they promise."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.rubin import rubin


def test_hand_worked_case() -> None:
    # W = 1, B = 1, T = 1 + 4/3, share 4/7; df: old 2 / (4/7)^2 = 6.125, observed 11/13 x 10 x 3/7 = 330/91.
    found = rubin([1.0, 2.0, 3.0], [0.5, 1.0, 1.5], 10)
    old, observed = 6.125, 330 / 91
    assert found.estimate == 2.0
    assert found.std_error == pytest.approx(np.sqrt(7 / 3))
    assert found.imputation_share == pytest.approx(4 / 7)
    assert found.df == pytest.approx(old * observed / (old + observed))
    assert found.imputation_error == pytest.approx(np.sqrt(1 / 3))


def test_nothing_missing_gives_nearly_the_complete_answer() -> None:
    # Barnard and Rubin: df cannot exceed those of complete data, and reach (df + 1) / (df + 3) of them with nothing missing.
    found = rubin([1.0] * 5, [4.0] * 5, 9)
    assert (found.std_error, found.df) == (2.0, pytest.approx(9 * 10 / 12))
    assert np.isinf(rubin([1.0] * 5, [4.0] * 5).df)


def test_many_degrees_of_freedom_give_rubins_own() -> None:
    estimates, variances = [0.1, 0.4, -0.2, 0.3], [0.2, 0.25, 0.3, 0.2]
    share = rubin(estimates, variances).imputation_share
    assert rubin(estimates, variances, 1e9).df == pytest.approx(3 / share**2, rel=1e-6)


@pytest.mark.parametrize(
    ("estimates", "variances", "df"),
    [([1.0], [1.0], 5), ([1, 2], [1, np.nan], 5), ([1, 2], [1, -1], 5), ([1, 1], [0, 0], 5), ([1, 2], [1, 1], 0)],
)
def test_what_is_no_answer_is_refused(estimates: list[float], variances: list[float], df: float) -> None:
    with pytest.raises(UsageError):
        rubin(estimates, variances, df)


def test_coverage_of_a_mean_with_a_third_missing() -> None:
    """Twelve values, a third missing at random, drawn properly from their predictive law: 95% intervals cover 95%."""
    rng = np.random.default_rng(5)
    draws, n, known, M = 600, 12, 8, 20
    covered = 0
    for _ in range(draws):
        y = rng.normal(size=known)
        scale = np.sqrt((known - 1) * y.var(ddof=1) / rng.chisquare(known - 1, M))
        center = y.mean() + scale / np.sqrt(known) * rng.normal(size=M)
        filled = center[:, None] + scale[:, None] * rng.normal(size=(M, n - known))
        whole = np.concatenate([np.tile(y, (M, 1)), filled], axis=1)
        found = rubin(whole.mean(axis=1), whole.var(axis=1, ddof=1) / n, n - 1)
        covered += found.conf_low <= 0 <= found.conf_high
    assert 0.93 < covered / draws < 0.99  # Barnard and Rubin's df err on the long side with so few values
