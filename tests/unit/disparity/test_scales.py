"""Scales: their values are those of the plain statistics, their slopes and curvatures those of finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from p4equity.disparity import between_groups, measures
from p4equity.disparity.panel import Array
from p4equity.disparity.scales import (
    LINEAR,
    LOG_DEVIATION,
    LOG_FAILURE,
    LOG_ODDS,
    LOG_SUCCESS,
    THEIL,
    VARIANCE,
    Scale,
)

RATES, AGAINST, MIX = np.array([0.8, 0.65, 0.7]), np.array([1.0, -0.5, -0.5]), np.array([0.7, 0.2, 0.1])


def against(of: Callable[[float, Array], Array]) -> Callable[[Array, Array], float]:
    """The mean over groups of a pairwise statistic."""
    return lambda r, w: float(-w[1:] @ of(float(r[0]), r[1:]))


PLAIN: list[tuple[Scale, Array, Callable[[Array, Array], float]]] = [
    (LINEAR, AGAINST, against(measures.absolute_gap)),
    (LOG_SUCCESS, AGAINST, against(lambda r, g: -np.log(measures.ratios(r, g).success))),
    (LOG_FAILURE, AGAINST, against(lambda r, g: np.log(measures.ratios(r, g).failure))),
    (LOG_ODDS, AGAINST, against(measures.log_odds_gap)),
    (VARIANCE, MIX, lambda r, w: float(between_groups.between_group_variance(1e6 * w, 1e6 * w * r).observed)),
    (THEIL, MIX, lambda r, w: float(between_groups.theil(r, w))),
    (LOG_DEVIATION, MIX, lambda r, w: float(between_groups.mean_log_deviation(r, w))),
]


@pytest.mark.parametrize(("scale", "weights", "plain"), PLAIN)
def test_value_slope_and_curvature(scale: Scale, weights: Array, plain: Callable[[Array, Array], float]) -> None:
    found, step = scale.shape(RATES, weights), 1e-4
    assert found.value == pytest.approx(plain(RATES, weights), abs=1e-12)
    unit = np.eye(len(RATES)) * step
    slope = [(plain(RATES + e, weights) - plain(RATES - e, weights)) / (2 * step) for e in unit]
    np.testing.assert_allclose(found.slope, slope, atol=1e-6)
    curvature = [[_second(plain, weights, a, b) / step**2 for b in unit] for a in unit]
    np.testing.assert_allclose(found.curvature, curvature, rtol=1e-5, atol=2e-6)


def _second(f: Callable[[Array, Array], float], w: Array, a: Array, b: Array) -> float:
    return (f(RATES + a + b, w) - f(RATES + a - b, w) - f(RATES - a + b, w) + f(RATES - a - b, w)) / 4


@pytest.mark.parametrize(("scale", "weights"), [(s, w) for s, w, _ in PLAIN])
def test_equal_rates_are_zero_and_a_group_that_falls_behind_raises_it(scale: Scale, weights: Array) -> None:
    """Negative narrows on every scale."""
    assert scale.shape(np.full(3, 0.7), weights).value == pytest.approx(0, abs=1e-15)
    behind = [scale.shape(np.array([0.7, 0.7 - d, 0.7]), weights).value for d in (0.1, 0.2)]
    assert 0 < behind[0] < behind[1]


def test_rates_without_a_value_are_known() -> None:
    assert LINEAR.has(np.array([0.0, 1.0]))
    assert not LOG_ODDS.has(np.array([0.5, 1.0]))
    assert not LOG_SUCCESS.has(np.array([0.0, 0.5]))
    assert not LINEAR.has(np.array([np.nan, 0.5]))


def test_units_name_the_direction() -> None:
    units = [s.unit for s, _, _ in PLAIN]
    assert len(set(units)) == len(units)
    assert "reference / group" in LOG_SUCCESS.unit
    assert "group / reference" in LOG_FAILURE.unit
