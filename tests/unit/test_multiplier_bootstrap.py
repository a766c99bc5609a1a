"""Multiplier bootstrap on arrays: errors, bands and determinism, against the normal limit and direct enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.multiplier_bootstrap import multiplier_bootstrap, robust_error, type1_quantile
from p4equity.inference.simultaneous import simultaneous_band
from scipy import stats


def test_many_clusters_reach_the_normal_limit() -> None:
    rng = np.random.default_rng(0)
    influence = rng.normal(size=(400, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.2], [0, 0, 2.0]]) / 400
    V = influence.T @ influence
    out = multiplier_bootstrap(influence, estimate=np.array([0.05, 0.0, 0.3]), draws=40_000, seed=1)
    np.testing.assert_allclose(out.std_error, np.sqrt(np.diag(V)), rtol=0.02)
    band = simultaneous_band(np.array([0.05, 0.0, 0.3]), V, np.full(3, np.inf))
    assert out.critical == pytest.approx(band.critical, abs=0.02)
    np.testing.assert_allclose(out.conf_low, band.conf_low, atol=0.01)
    np.testing.assert_allclose(out.p_value, band.p_value, atol=0.01)
    assert not out.enumerated


def test_few_clusters_are_enumerated() -> None:
    influence = np.array([[0.3, 0.1], [-0.2, 0.4], [0.5, -0.1], [0.05, 0.2]])
    out = multiplier_bootstrap(influence, estimate=np.array([1.2, 0.1]))
    sums = np.array(list(product([-1, 1], repeat=4))) @ influence
    z = 2 * stats.norm.ppf(0.75)
    se = [(np.sort(s)[11] - np.sort(s)[3]) / z for s in sums.T]  # the 12th and the 4th of 16
    np.testing.assert_allclose(out.std_error, se)
    maxima = np.sort(np.abs(sums / se).max(axis=1))
    assert out.critical == pytest.approx(maxima[15])  # the smallest value with at least 95% at or below it
    assert out.draws == 16
    assert out.enumerated
    # |1.2 / se| lies above all maxima, so that the normal's p is what is left.
    assert out.p_value[0] == pytest.approx(max((maxima >= 1.2 / se[0]).mean(), 2 * stats.norm.sf(1.2 / se[0])))


def test_neither_order_nor_scale_of_clusters_matters() -> None:
    rng = np.random.default_rng(3)
    influence = rng.normal(size=(60, 4))
    expected = multiplier_bootstrap(influence, draws=500, seed=5)
    shuffled = multiplier_bootstrap(influence[rng.permutation(60)], draws=500, seed=5)
    np.testing.assert_allclose(shuffled.std_error, expected.std_error, rtol=1e-12)
    assert shuffled.critical == pytest.approx(expected.critical, rel=1e-12)
    scaled = multiplier_bootstrap(influence * [1, 10, 0.1, 5], draws=500, seed=5)
    np.testing.assert_allclose(scaled.std_error, expected.std_error * [1, 10, 0.1, 5], rtol=1e-12)
    assert (multiplier_bootstrap(influence, draws=500, seed=6).std_error != expected.std_error).all()


def test_blocks_of_draws_make_no_difference_to_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    influence = np.random.default_rng(0).normal(size=(50, 2))
    monkeypatch.setattr("p4equity.inference.multiplier_bootstrap.BLOCK", 50 * 300)
    out = multiplier_bootstrap(influence, draws=1000)
    assert out.draws == 1000
    np.testing.assert_allclose(out.std_error, np.sqrt((influence**2).sum(axis=0)), rtol=0.15)


def test_an_estimate_without_influence_has_no_error_and_leaves_the_others_alone() -> None:
    rng = np.random.default_rng(1)
    influence = np.column_stack([rng.normal(size=40), np.zeros(40)])
    out = multiplier_bootstrap(influence, estimate=np.array([1.0, 2.0]), draws=400)
    alone = multiplier_bootstrap(influence[:, :1], estimate=np.array([1.0]), draws=400)
    assert np.isnan(out.std_error[1])
    assert np.isnan(out.p_value[1])
    assert out.std_error[0] == pytest.approx(alone.std_error[0])
    assert out.critical == pytest.approx(alone.critical)
    nothing = multiplier_bootstrap(np.zeros((5, 2)))
    assert np.isnan(nothing.critical)
    assert np.isnan(nothing.conf_low).all()


def test_a_band_is_never_narrower_than_pointwise() -> None:
    influence = np.eye(12)[:, :1] + np.eye(12)[:, 1:2]  # two equal clusters: draws of -2, 0, 2
    out = multiplier_bootstrap(influence, estimate=np.zeros(1), seed=0)
    assert np.isnan(out.std_error[0]) or out.conf_high[0] >= 1.95 * out.std_error[0]
    rng = np.random.default_rng(0)
    one = multiplier_bootstrap(rng.normal(size=(500, 1)), draws=999)
    assert one.conf_high[0] >= stats.norm.ppf(0.975) * one.std_error[0] * (1 - 1e-12)


def test_quantiles_are_those_of_the_step_function() -> None:
    values = np.arange(1.0, 11.0)
    assert [float(type1_quantile(values, q)) for q in (0.05, 0.1, 0.25, 0.5, 0.95, 1.0)] == [1, 1, 3, 5, 10, 10]
    assert float(type1_quantile(np.arange(1.0, 1001.0), 0.95)) == 950
    assert np.isnan(robust_error(np.ones((100, 1)))[0])


@pytest.mark.parametrize("influence", [np.zeros(3), np.zeros((0, 2)), np.array([[np.nan]])])
def test_what_is_no_influence_is_refused(influence: np.ndarray) -> None:
    with pytest.raises(UsageError, match="not usable"):
        multiplier_bootstrap(influence)
