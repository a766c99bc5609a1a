"""Fieller's set by hand, by turning the test around on a grid, by limiting cases and by its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.fieller import fieller
from scipy import stats


def test_worked_by_hand() -> None:
    # 6 / 3 with variances 1 and 1, critical 2: (6 - 3r)^2 <= 4 (1 + r^2)  <=>  5 r^2 - 36 r + 32 <= 0.
    found = fieller(6.0, 3.0, 1.0, 1.0, 0.0, 2.0)
    assert found.kind == "interval"
    assert (found.low, found.high) == pytest.approx(((18 - 164**0.5) / 5, (18 + 164**0.5) / 5), abs=1e-13)
    # 6 / 1: (6 - r)^2 <= 4 (1 + r^2)  <=>  3 r^2 + 12 r - 32 >= 0  <=>  r outside (-12 -+ sqrt(528)) / 6.
    found = fieller(6.0, 1.0, 1.0, 1.0, 0.0, 2.0)
    assert found.kind == "complement"
    assert (found.low, found.high) == pytest.approx(((-12 - 528**0.5) / 6, (-12 + 528**0.5) / 6), abs=1e-13)
    # 1 / 1: (1 - r)^2 <= 4 (1 + r^2) always.
    assert fieller(1.0, 1.0, 1.0, 1.0, 0.0, 2.0).kind == "line"
    # 3 / 2: (3 - 2r)^2 <= 4 (1 + r^2)  <=>  5 <= 12 r: a half line.
    found = fieller(3.0, 2.0, 1.0, 1.0, 0.0, 2.0)
    assert (found.kind, found.low, found.high) == ("complement", -np.inf, pytest.approx(5 / 12))
    assert fieller(-3.0, 2.0, 1.0, 1.0, 0.0, 2.0).low == pytest.approx(-5 / 12)


def test_the_set_holds_what_the_test_does_not_reject() -> None:
    rng = np.random.default_rng(5)
    seen = set()
    grid = np.concatenate([np.linspace(-30, 30, 1201), [-1e6, 1e6]])
    for _ in range(300):
        root = rng.normal(size=(2, 2))
        V, (x, y), t = root @ root.T, rng.normal(0, 2.5, 2), rng.uniform(0.5, 3)
        found = fieller(x, y, V[0, 0], V[1, 1], V[0, 1], t)
        kept = np.abs(x - grid * y) <= t * np.sqrt(V[0, 0] - 2 * grid * V[0, 1] + grid**2 * V[1, 1])
        assert [r in found for r in grid] == kept.tolist()
        assert (found.kind == "interval") == (abs(y) > t * V[1, 1] ** 0.5)
        seen.add(found.kind)
    assert seen == {"interval", "complement", "line"}


def test_without_error_of_the_denominator_it_is_the_plain_interval() -> None:
    found = fieller(3.0, -2.0, 0.25, 0.0, 0.0, 2.0)
    assert (found.low, found.high) == pytest.approx((-2.0, -1.0))
    exact = fieller(3.0, -2.0, 0.0, 0.0, 0.0, 2.0)
    assert (exact.low, exact.high) == pytest.approx((-1.5, -1.5))


@pytest.mark.parametrize("denominator", [0.0, 0.7, 3.0])
def test_coverage_holds_whatever_the_denominator(denominator: float) -> None:
    # Means of pairs with unknown covariance: n = 8 pairs, t with 7 df, exact. 4,000 draws: error 0.0034, limits at three of them.
    rng, n, draws, ratio = np.random.default_rng(11), 8, 4_000, 1.7
    root = np.array([[1.0, 0.0], [0.6, 0.8]])
    pairs = rng.normal(size=(draws, n, 2)) @ root.T + np.array([ratio * denominator, denominator])
    mean = pairs.mean(axis=1)
    V = np.einsum("dni,dnj->dij", pairs - mean[:, None], pairs - mean[:, None]) / (n - 1) / n
    t = stats.t.ppf(0.975, n - 1)
    sets = [fieller(m[0], m[1], v[0, 0], v[1, 1], v[0, 1], t) for m, v in zip(mean, V, strict=True)]
    assert np.mean([ratio in s for s in sets]) == pytest.approx(0.95, abs=0.0104)
    assert {s.kind for s in sets} >= ({"interval", "line"} if denominator < 3 else {"interval"})


def test_what_is_no_covariance_or_no_ratio_is_refused() -> None:
    for wrong in (
        (1.0, 1.0, -1.0, 1.0, 0.0, 2.0), (1.0, 1.0, 1.0, 1.0, 1.1, 2.0), (1.0, 0.0, 1.0, 0.0, 0.0, 2.0),
        (1.0, np.nan, 1.0, 1.0, 0.0, 2.0), (1.0, 1.0, 1.0, 1.0, 0.0, -1.0),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            fieller(*wrong)
