"""Probabilities of the kinds of narrowing: by weighted draws, before any data, and with hardly any doubt."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.leveling import LEVELING_DOWN, LEVELING_UP, MIXED, known, regions, verdict
from p4equity.disparity.leveling_probability import NO_GAIN, posterior, prior
from scipy import stats

ESTIMATE, COVARIANCE = np.array([-3.6, 0.3]), np.array([[0.77, 0.6], [0.6, 2.3]])
KINDS = (LEVELING_DOWN, MIXED, LEVELING_UP)


@pytest.mark.parametrize(("df", "sd"), [(8, 3.0), (6, 1.0), (31, 5.0)])
def test_it_is_the_share_of_prior_draws_weighted_by_the_likelihood(df: int, sd: float) -> None:
    effects = np.random.default_rng(3).normal(0, sd, (300_000, 2))
    weight = stats.multivariate_t(ESTIMATE, COVARIANCE * df / (df - 1), df - 1).pdf(effects)
    r, g = effects.T
    said = {
        LEVELING_DOWN: (r < 0) & (r < g) & (g < 0.5), MIXED: (r < -0.5) & (g >= 0.5),
        LEVELING_UP: (r >= -0.5) & (r < g) & (g >= 0.5), NO_GAIN: (r < g) & (g <= 0),
    }  # fmt: skip
    error = 4 / np.sqrt(weight.sum() ** 2 / (weight**2).sum())  # four Monte Carlo errors at most
    expected = {kind: float((weight * x).sum() / weight.sum()) for kind, x in said.items()}
    assert posterior(ESTIMATE, COVARIANCE, df, sd, 0.5) == pytest.approx(expected, abs=error)


def test_it_counts_the_kinds_that_verdicts_name() -> None:
    """The same by the verdict on each draw's effects, known."""
    effects = np.random.default_rng(4).normal(0, 3.0, (20_000, 2))
    said = [verdict(known(r - g), known(r), known(g), 0.5) for r, g in effects]
    found = prior(3.0, 0.5)
    for kind in regions(0.5):
        assert np.mean([x == kind for x in said]) == pytest.approx(found[kind], abs=0.012)  # four binomial errors


def test_before_the_data_and_without_a_margin_each_quarter_is_one_kind() -> None:
    """Down: r < g < 0, half of a quarter; up: 0 < r < g, too; mixed: r < 0 < g, a whole one."""
    assert prior(3.0, 0.0) == pytest.approx({LEVELING_DOWN: 0.125, MIXED: 0.25, LEVELING_UP: 0.125, NO_GAIN: 0.125}, abs=1e-9)
    assert prior(3.0, 0.5) == pytest.approx(prior(6.0, 1.0), abs=1e-9)  # only the ratio of margin and spread counts


def test_the_kinds_and_the_small_narrowing_without_a_fall_make_up_all_narrowing() -> None:
    """Before the data a gap narrows with probability one half; 0 <= r < g < m is half a square."""
    found, spread = prior(3.0, 0.5), stats.norm(0, 3.0)
    square = (spread.cdf(0.5) - 0.5) ** 2
    assert sum(found[kind] for kind in KINDS) + square / 2 == pytest.approx(0.5, abs=1e-9)


def test_data_without_information_leave_the_prior() -> None:
    assert posterior(np.zeros(2), 1e8 * np.eye(2), 10, 3.0, 0.5) == pytest.approx(prior(3.0, 0.5), abs=1e-4)


def test_near_certain_data_decide_and_few_clusters_leave_doubt() -> None:
    points = {(-3.0, -1.0): LEVELING_DOWN, (0.5, 3.0): LEVELING_UP, (-0.2, 3.0): LEVELING_UP, (-3.0, 3.0): MIXED}
    for df in (5, 30):
        for at, kind in points.items():
            found = posterior(np.array(at), 1e-6 * np.eye(2), df, 3.0, 0.5)
            assert found[kind] > 0.999
            assert max(found.values()) <= 1.0
    few, many = (posterior(np.array([-3.0, -1.5]), 0.5 * np.eye(2), df, 3.0, 0.5)[LEVELING_DOWN] for df in (4, 60))
    assert few < many


def test_no_probability_exceeds_one_however_small_the_errors_are() -> None:
    for error in (1e-3, 1e-4, 1e-5):
        found = posterior(np.array([-3.0, -1.0]), error**2 * np.eye(2), 8, 3.0, 0.5)
        assert max(found.values()) <= 1.0
        assert sum(found[kind] for kind in KINDS) <= 1.0 + 1e-15
