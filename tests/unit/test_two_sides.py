"""Both sides of a gap together: the gap's own answer, a case by hand, Hotelling's law, and bounds that hold together."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import StudyError
from p4equity.inference import averaged_t as patterns
from p4equity.inference.averaged_t import averaged_t, single_design, stacked_averaged_t, stacked_design
from p4equity.inference.stacked import Stacked
from p4equity.inference.two_sides import covariance_of, ellipse, pointwise_level, squared_radius, two_sides
from scipy import stats


def draw(seed: int, n: int = 12, n1: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Changes on both sides, who is treated, sampling variance of the gap."""
    rng = np.random.default_rng(seed)
    v = np.exp(0.9 * rng.standard_normal(n))
    arm = np.zeros(n, bool)
    arm[rng.choice(n, n1, replace=False)] = True
    shared = rng.standard_normal(n)
    return shared + 0.3 * rng.standard_normal(n), shared + np.sqrt(v) * rng.standard_normal(n), arm, v


@pytest.mark.parametrize(("n", "n1"), [(12, 5), (10, 3), (9, 2), (20, 6)])
@pytest.mark.parametrize("varying", [False, True])
def test_the_gap_is_the_gaps_own_answer(n: int, n1: int, varying: bool) -> None:
    for seed in range(10):
        reference, group, arm, v = draw(seed, n, n1)
        found = two_sides(single_design(v, arm, varying), reference, group)
        own = averaged_t(reference - group, arm, v, varying=varying)
        assert found.estimate[0] - found.estimate[1] == pytest.approx(own.estimate, abs=1e-12)
        assert found.error(2) == pytest.approx(own.std_error, rel=1e-10)
        assert found.laws[2].quantile(np.array([0.025, 0.975])) == pytest.approx([own.conf_low, own.conf_high], abs=1e-9)
        assert found.estimate == pytest.approx([own.weights @ reference, own.weights @ group], abs=1e-12)
        assert np.linalg.eigvalsh(found.covariance).min() > 0
        low, high = found.bounds(0.95)[2]
        assert low < own.conf_low
        assert own.conf_high < high


def test_the_pooled_gap_is_the_pooled_answer() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(2, 9, 3))
    contracts = np.zeros((9, 3), bool)
    contracts[:3] = rng.random((3, 3)) < 0.7
    contracts[0] = True
    V = np.tile(np.eye(3) + 0.3, (9, 1, 1))
    data = Stacked(y[0] - y[1], contracts, V, np.zeros(9, np.int64))
    design, mask = stacked_design(data)
    found, own = two_sides(design, y[0][mask], y[1][mask]), stacked_averaged_t(data)
    assert found.estimate[0] - found.estimate[1] == pytest.approx(own.estimate, abs=1e-12)
    assert found.error(2) == pytest.approx(own.std_error, rel=1e-10)


def test_with_one_pattern_it_is_hotellings_two_sample_test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SHAPES", ((0.0, 0, 1.0),))
    monkeypatch.setattr(patterns, "RATIO", ((0.0, 1.0),))
    reference, group = np.array([1.0, 3.0, 0.0, 0.0, 2.0]), np.array([2.0, 2.0, 0.0, 1.0, -1.0])
    arm = np.array([True, True, False, False, False])
    patterns._single.cache_clear()
    found = two_sides(single_design(np.full(5, 2.0), arm), reference, group)
    patterns._single.cache_clear()
    # Means 2, 2 against 2/3, 0. Within sums of squares: reference 2 + 8/3, group 0 + 2, products 0 + (0 + 0 - 2); 3 df.
    assert found.estimate == pytest.approx([4 / 3, 2.0])
    pooled = np.array([[14 / 3, -2.0], [-2.0, 2.0]]) / 3
    np.testing.assert_allclose(found.covariance, pooled * (1 / 2 + 1 / 3), atol=1e-12)
    T2 = found.estimate @ np.linalg.inv(found.covariance) @ found.estimate
    inside = squared_radius(3, 0.95) > T2
    assert inside == (stats.f.sf(T2 * 2 / (3 * 2), 2, 2) > 0.05)


def test_three_bounds_hold_together_whatever_the_two_effects_correlation() -> None:
    """The chance that all three normal contrasts stay inside, by angle, over correlations and ratios of errors: least at 95%."""
    angle = (np.arange(2_000) + 0.5) * np.pi / 2_000
    around = np.stack([np.cos(angle), np.sin(angle)])
    limit = stats.norm.ppf((1 + pointwise_level(0.95)) / 2)
    held = []
    for rho in np.linspace(-0.99, 0.99, 34):
        for ratio in (0.1, 0.3, 0.5, 0.8, 1.0, 1.3, 2.0, 5.0):
            root = np.array([[1.0, 0.0], [ratio * rho, ratio * np.sqrt(1 - rho**2)]])
            rows = np.vstack([root, root[0] - root[1]])
            reach = np.abs(rows @ around / np.linalg.norm(rows, axis=1, keepdims=True)).max(axis=0)
            held.append(1 - np.exp(-((limit / reach) ** 2) / 2).mean())
    assert min(held) == pytest.approx(0.95, abs=2e-4)
    assert min(held) > 0.95 - 1e-6


def test_the_region_has_its_level_and_its_boundary_its_radius() -> None:
    """Normal changes of equal variance with 3 of 10 treated: exact law; 4,000 draws, Monte Carlo error 0.0034."""
    rng = np.random.default_rng(8)
    arm = np.arange(10) < 3
    pairs = rng.standard_normal((4_000, 10, 2)) @ np.array([[1.0, 0.7], [0.0, 0.7]])
    difference = pairs[:, arm].mean(axis=1) - pairs[:, ~arm].mean(axis=1)
    own = [pairs[:, a] - pairs[:, a].mean(axis=1, keepdims=True) for a in (arm, ~arm)]
    S = sum(np.einsum("rni,rnj->rij", x, x) for x in own) / 8 * (1 / 3 + 1 / 7)
    T2 = np.einsum("ri,rij,rj->r", difference, np.linalg.inv(S), difference)
    inside = squared_radius(8, 0.95) >= T2
    assert inside.mean() == pytest.approx(0.95, abs=0.0104)
    edge = ellipse(difference[0], S[0], 8, 0.95)
    d = edge - difference[0]
    np.testing.assert_allclose(np.einsum("pi,ij,pj->p", d, np.linalg.inv(S[0]), d), squared_radius(8, 0.95), rtol=1e-9)


def test_three_errors_give_the_covariance_back() -> None:
    reference, group, arm, v = draw(1)
    found = two_sides(single_design(v, arm), reference, group)
    np.testing.assert_allclose(covariance_of(*(found.error(k) for k in range(3))), found.covariance, rtol=1e-9)


def test_changes_without_residuals_are_refused() -> None:
    arm = np.arange(6) < 3
    with pytest.raises(StudyError, match="no variation"):
        two_sides(single_design(np.ones(6), arm), arm.astype(float), np.arange(6.0))
