"""Two-by-two estimators: influence is the derivative by each row's weight, identities between methods, and no answer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from p4equity.estimators.propensity import propensity
from p4equity.estimators.two_by_two import METHODS, TwoByTwo, cross_section_att, panel_att

Array = NDArray[np.float64]
STEP = 1e-5


def draw(seed: int, n: int = 60, k: int = 2) -> tuple[Array, NDArray[np.bool_], Array, Array]:
    """Two outcomes, treatment that depends on covariates, covariates, weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k)) * [1.0, 50.0][:k] + [0.0, 200.0][:k]
    treated = rng.random(n) < 1 / (1 + np.exp(0.4 - 0.8 * X[:, 0]))
    Y = rng.normal(size=(n, 2)) + 0.5 * X[:, :1] + treated[:, None] * [1.0, -2.0]
    return Y, treated, X, rng.uniform(0.5, 2, n)


def derivative(att: TwoByTwo, at: NDArray[np.int64], refit: object) -> None:
    """Each row's influence against the change of the estimate when its weight moves by a small share of itself."""
    for i in at:
        up, down = refit(i, 1 + STEP), refit(i, 1 - STEP)  # type: ignore[operator]
        np.testing.assert_allclose(att.influence[i], (up - down) / (2 * STEP), atol=2e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [0, 2])
def test_influence_of_changes_is_the_derivative_by_the_weight(method: str, k: int) -> None:
    Y, treated, X, w = draw(0)
    X = X[:, :k]

    def refit(i: int, factor: float) -> Array:
        moved = w.copy()
        moved[i] *= factor
        return panel_att(Y, treated, X, moved, method, np.ones(len(w))).att

    att = panel_att(Y, treated, X, w, method, np.ones(len(w)))
    derivative(att, np.arange(0, 60, 7), refit)
    np.testing.assert_allclose(att.influence.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [0, 2])
def test_influence_of_cross_sections_is_the_derivative_by_the_weight(method: str, k: int) -> None:
    Y, treated, X, w = draw(1, n=120)
    post = np.random.default_rng(2).random(120) < 0.5

    def fit(weights: Array) -> TwoByTwo:
        return cross_section_att(Y, post, treated, X[:, :k], weights, method, np.ones(120))

    def refit(i: int, factor: float) -> Array:
        moved = w.copy()
        moved[i] *= factor
        return fit(moved).att

    derivative(fit(w), np.arange(0, 120, 11), refit)


def test_saturated_covariates_make_all_methods_one() -> None:
    # With one indicator all methods average the effects in its two strata by the treated's shares.
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, 80).astype(float)
    treated = rng.random(80) < 0.3 + 0.3 * x
    y, w = rng.normal(size=80) + x, rng.uniform(1, 3, 80)
    total = 0.0
    for value in (0.0, 1.0):
        here = x == value
        effect = [np.average(y[here & arm], weights=w[here & arm]) for arm in (treated, ~treated)]
        total += w[here & treated].sum() / w[treated].sum() * (effect[0] - effect[1])
    fits = [panel_att(y[:, None], treated, x[:, None], w, m) for m in METHODS]
    assert [f.att[0] for f in fits] == pytest.approx([total] * 3, abs=1e-12)
    np.testing.assert_allclose(fits[0].influence, fits[1].influence, atol=1e-12)
    np.testing.assert_allclose(fits[0].influence, fits[2].influence, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_followed_units_in_two_rows_give_their_changes(method: str) -> None:
    Y, treated, X, w = draw(4)
    change = panel_att(Y, treated, X, w, method)
    before = np.random.default_rng(5).normal(size=Y.shape) * 3
    post, twice = np.repeat([False, True], 60), np.tile(treated, 2)
    rows = cross_section_att(np.vstack([before, before + Y]), post, twice, np.vstack([X, X]), np.tile(w, 2), method)
    np.testing.assert_allclose(rows.att, change.att, atol=1e-10)
    np.testing.assert_allclose(rows.influence[:60] + rows.influence[60:], change.influence, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_units_of_covariates_and_repeated_columns_do_not_matter(method: str) -> None:
    Y, treated, X, w = draw(6)
    expected = panel_att(Y, treated, X, w, method)
    moved = panel_att(Y, treated, X * [1e6, 1e-5] + [0, 1e3], w, method)
    np.testing.assert_allclose(moved.att, expected.att, atol=1e-8)
    np.testing.assert_allclose(moved.influence, expected.influence, atol=1e-8)
    more = panel_att(Y, treated, np.column_stack([X, 2 * X[:, 0] - X[:, 1], np.ones(60)]), w, method)
    np.testing.assert_allclose(more.att, expected.att, atol=1e-10)
    assert more.idle == (2, 3)


@pytest.mark.parametrize("method", ["dr", "ipw"])
def test_covariates_that_separate_the_arms_give_a_reason(method: str) -> None:
    Y, treated, _, w = draw(7)
    out = panel_att(Y, treated, treated[:, None] * 1.0, w, method)
    assert "no overlap" in out.reason
    assert np.isnan(out.att).all()
    near = treated + np.random.default_rng(8).normal(size=60) * 0.01
    assert "no overlap" in panel_att(Y, treated, near[:, None], w, method).reason


def test_covariates_that_do_not_vary_among_the_comparison_give_a_reason() -> None:
    Y, treated, X, w = draw(9)
    only = np.where(treated, X[:, 0], 0.0)[:, None]
    assert "collinear among the comparison units" in panel_att(Y, treated, only, w, "reg").reason
    few = np.flatnonzero(~treated)[:2]
    kept = np.sort(np.r_[np.flatnonzero(treated), few])
    assert "collinear among the comparison" in panel_att(Y[kept], treated[kept], X[kept], w[kept], "reg").reason
    post = np.random.default_rng(0).random(60) < 0.5
    only = np.where(treated, 0.0, X[:, 0])[:, None]
    assert "collinear among the treated" in cross_section_att(Y, post, treated, only + 0.0, w, "dr").reason


def test_comparison_units_beyond_the_trimming_level_have_no_weight() -> None:
    x = np.r_[np.linspace(-3, 0.5, 150), np.linspace(-0.5, 2.5, 150), 2.5]
    treated = np.r_[np.zeros(150, bool), np.ones(150, bool), False]
    ones = np.ones(301)
    fitted, reason = propensity(treated, np.column_stack([ones, x]), ones, ones)
    assert not reason
    assert fitted is not None
    assert 0.995 <= fitted.score[-1] < 0.999
    assert fitted.kept[-1] == 0
    assert (fitted.kept[:-1] == 1).all()
    y = np.random.default_rng(0).normal(size=(301, 1))
    moved = y + 1e6 * (np.arange(301) == 300)[:, None]
    for method in ("dr", "ipw"):  # its outcome matters only for the regression
        out = [panel_att(v, treated, x[:, None], ones, method).att[0] for v in (y, moved)]
        assert (out[0] == pytest.approx(out[1])) == (method == "ipw")
