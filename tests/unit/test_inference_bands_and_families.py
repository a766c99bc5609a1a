"""Simultaneous bands and adjusted p values against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.multiplicity import benjamini_hochberg, holm
from p4equity.inference.simultaneous import simultaneous_band, sup_draws
from scipy import stats

INF = np.full(5, np.inf)


def test_independent_coefficients_give_sidak() -> None:
    band = simultaneous_band(np.zeros(5), np.diag([1.0, 4, 9, 16, 25]), INF)
    exact = stats.norm.ppf((1 + 0.95 ** (1 / 5)) / 2)
    assert band.critical == pytest.approx(exact, abs=0.02)
    assert band.conf_high == pytest.approx(band.critical * np.arange(1.0, 6), rel=1e-9)


def test_perfect_correlation_gives_the_pointwise_interval() -> None:
    band = simultaneous_band(np.zeros(5), np.ones((5, 5)), INF)
    assert band.critical == pytest.approx(1.96, abs=0.02)


def test_few_degrees_of_freedom_widen_the_band() -> None:
    V, df = np.eye(2), np.array([4.0, 40.0])
    band = simultaneous_band(np.array([1.0, 1.0]), V, df)
    assert band.conf_high[0] > band.conf_high[1]
    assert (band.conf_high - 1 > stats.t.ppf(0.975, df)).all()
    assert (band.p_value >= 2 * stats.t.sf(1.0, df)).all()


def test_adjusted_p_agrees_with_the_band() -> None:
    V = np.array([[1.0, 0.6], [0.6, 1.0]])
    edge = simultaneous_band(np.zeros(2), V, np.full(2, 6.0)).conf_high[0]
    inside = simultaneous_band(np.array([edge * 0.99, 0.0]), V, np.full(2, 6.0))
    outside = simultaneous_band(np.array([edge * 1.01, 0.0]), V, np.full(2, 6.0))
    assert inside.p_value[0] > 0.05 > outside.p_value[0]


def test_draws_are_seeded_and_refuse_nonsense() -> None:
    assert np.array_equal(sup_draws(np.eye(3), 100, 1), sup_draws(np.eye(3), 100, 1))
    with pytest.raises(UsageError, match="positive variances"):
        sup_draws(np.diag([1.0, 0.0]), 10, 0)


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = [0.01, 0.04, 0.03, np.nan]
    # Holm: 3 x 0.01, 2 x 0.03, then the larger of that and 0.04. BH: 3 x 0.01, then 3/2 x 0.03 capped by 0.04.
    assert holm(p)[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg(p)[:3] == pytest.approx([0.03, 0.04, 0.04])
    assert np.isnan(holm(p)[3])
    assert np.isnan(benjamini_hochberg(p)[3])
    assert holm([]).shape == (0,)
    with pytest.raises(UsageError, match="between 0 and 1"):
        holm([0.2, 1.4])
