"""Probabilities of leveling up and down: by weighted draws, before any data, and with hardly any doubt."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.leveling_probability import posterior, prior
from scipy import stats

ESTIMATE, COVARIANCE = np.array([-3.6, 0.3]), np.array([[0.77, 0.6], [0.6, 2.3]])


@pytest.mark.parametrize(("df", "sd"), [(8, 3.0), (6, 1.0), (31, 5.0)])
def test_it_is_the_share_of_prior_draws_weighted_by_the_likelihood(df: int, sd: float) -> None:
    effects = np.random.default_rng(3).normal(0, sd, (300_000, 2))
    weight = stats.multivariate_t(ESTIMATE, COVARIANCE * df / (df - 1), df - 1).pdf(effects)
    r, g = effects.T
    down, up = (r < 0) & (r < g) & (g < 0.5), (r > -0.5) & (r < g) & (g >= 0.5)
    error = 4 / np.sqrt(weight.sum() ** 2 / (weight**2).sum())  # four Monte Carlo errors at most
    expected = [float((weight * x).sum() / weight.sum()) for x in (down, up)]
    assert posterior(ESTIMATE, COVARIANCE, df, sd, 0.5) == pytest.approx(expected, abs=error)


def test_before_the_data_and_without_a_margin_both_kinds_are_an_eighth() -> None:
    """Down: r < 0, r < g < 0; up: 0 < r < g: each half of a quarter."""
    assert prior(3.0, 0.0) == pytest.approx((0.125, 0.125), abs=1e-9)
    assert prior(3.0, 0.5) == pytest.approx(prior(6.0, 1.0), abs=1e-9)  # only the ratio of margin and spread counts


def test_data_without_information_leave_the_prior() -> None:
    assert posterior(np.zeros(2), 1e8 * np.eye(2), 10, 3.0, 0.5) == pytest.approx(prior(3.0, 0.5), abs=1e-4)


def test_near_certain_data_decide_and_few_clusters_leave_doubt() -> None:
    for df in (5, 30):
        assert posterior(np.array([-3.0, -1.0]), 1e-6 * np.eye(2), df, 3.0, 0.5)[0] > 0.999
        assert posterior(np.array([0.5, 3.0]), 1e-6 * np.eye(2), df, 3.0, 0.5)[1] > 0.999
    few, many = (posterior(np.array([-3.0, -1.5]), 0.5 * np.eye(2), df, 3.0, 0.5)[0] for df in (4, 60))
    assert few < many
