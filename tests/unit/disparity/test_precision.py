"""Precision from denominators: cases by hand, covariances written out, and simulations with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.precision import (
    change_factor,
    contrast_factor,
    detectable,
    detectable_change,
    gap_variance,
    level_factor,
    mean_gap_variance,
    rate_variance,
    worth_carrying,
    yearly_correlation,
)
from p4equity.errors import UsageError
from scipy import stats


def test_a_rate_of_one_half_in_a_hundred_members_has_an_error_of_five_points() -> None:
    assert rate_variance(0.5, 100) == pytest.approx(0.05**2)
    assert np.isinf(rate_variance(0.5, 0))


def test_the_gaps_variance_is_the_sum_and_a_mean_gap_counts_the_reference_once() -> None:
    single = gap_variance(0.5, 400, [0.5, 0.5], [100, 100])
    assert single == pytest.approx([0.025**2 + 0.05**2] * 2)
    assert mean_gap_variance(0.5, 400, [0.5, 0.5], [100, 100]) == pytest.approx(0.025**2 + 0.05**2 / 2)
    assert mean_gap_variance(0.5, [400, 100], [0.5], [[100], [100]]) == pytest.approx([0.025**2 + 0.05**2, 2 * 0.05**2])


def test_one_year_against_the_next_and_means_of_years_by_hand() -> None:
    assert change_factor([0], [1], 0.25) == pytest.approx(2 * (1 - 0.25))
    assert change_factor([2021, 2022], [2023], 0.0) == pytest.approx(1 + 1 / 2)
    assert level_factor([2021, 2022], 0.5) == pytest.approx((1 + 1 + 2 * 0.5) / 4)
    r = 0.5  # mean of years 0 and 2 against 3: weights -1/2, -1/2, 1
    by_hand = 1 / 4 + 1 / 4 + 1 + 2 * (1 / 4 * r**2 - 1 / 2 * r**3 - 1 / 2 * r)
    assert change_factor([0, 2], [3], r) == pytest.approx(by_hand)


def test_factors_agree_with_drawn_series() -> None:
    rng = np.random.default_rng(3)
    root = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(range(7), range(7))))
    y = rng.standard_normal((40_000, 7)) @ root.T
    change = y[:, 4:].mean(axis=1) - y[:, :4].mean(axis=1)
    assert change.var() == pytest.approx(change_factor(range(4), range(4, 7), 0.6), rel=3 * np.sqrt(2 / 40_000))


def test_a_contrast_without_a_weight_for_each_year_is_refused() -> None:
    with pytest.raises(UsageError, match="one weight a year"):
        contrast_factor([2021, 2022], [1.0], 0.5)
    with pytest.raises(UsageError, match="correlation"):
        contrast_factor([2021], [1.0], 1.5)


def test_the_yearly_correlation_is_found_in_covariances_that_have_it() -> None:
    years, sizes = [2019, 2021, 2022], np.array([50.0, 400.0, 3000.0])
    planted = 0.37 ** np.abs(np.subtract.outer(years, years))
    growth = np.diag([1.0, 1.3, 0.8])  # years of different size
    covariance = (growth @ planted @ growth)[None] / sizes[:, None, None]
    assert yearly_correlation(covariance, years) == pytest.approx(0.37, abs=1e-6)
    assert yearly_correlation(covariance[:, 1:2, 1:2], [2021]) == 0.0
    assert yearly_correlation(np.zeros((2, 2, 2)), [2021, 2022]) == 0.0


def test_the_yearly_correlation_is_overlap_times_persistence() -> None:
    """Members drawn one by one: seven in ten stay, and half of those keep last year's result."""
    rng = np.random.default_rng(8)
    n, rate = 200_000, 0.7
    first = rng.random(n) < rate
    kept = np.arange(n) < 0.7 * n
    same = kept & (rng.random(n) < 0.5)
    second = np.where(same, first, rng.random(n) < rate)
    within = np.cov(first[kept], second[kept])[0, 1]  # of one member's results, who is there in both years
    joint = kept.sum() * within / n**2
    V = np.array([[[first.var() / n, joint], [joint, second.var() / n]]])
    assert yearly_correlation(V, [2021, 2022]) == pytest.approx(0.7 * 0.5, abs=0.01)


@pytest.mark.parametrize(("conf_level", "power"), [(0.95, 0.8), (0.9, 0.5), (0.95, 0.9)])
def test_the_detectable_change_is_found_as_often_as_it_says(conf_level: float, power: float) -> None:
    """The two-sided test of a change that is just as large, written out; the other side adds next to nothing."""
    true = float(detectable_change(1.7, conf_level=conf_level, power=power))
    critical = stats.norm.ppf(0.5 + conf_level / 2)
    found = stats.norm.sf(critical - true / 1.7) + stats.norm.cdf(-critical - true / 1.7)
    assert found == pytest.approx(power, abs=2e-3)
    assert float(detectable_change(1.0)) == pytest.approx(2.80, abs=0.005)


def test_a_change_is_detectable_only_where_there_is_a_gap() -> None:
    assert detectable([2.0, 2.1, 0.1, 1.0], [4.0, 4.0, -1.0, np.nan], 0.5).tolist() == [True, False, False, False]


def test_a_measure_is_carried_for_scale_diversity_and_a_gap_that_can_be_seen_to_close() -> None:
    rule = {"minimum": 30, "groups": 2, "share": 0.5}
    assert worth_carrying([100, 40, 5], [6.0, 5.0, 9.0], 2.5, 6.0, **rule)
    assert not worth_carrying([100, 20, 5], [6.0, 5.0, 9.0], 2.5, 6.0, **rule), "one group is large enough"
    assert not worth_carrying([100, 40, 50], [6.0, -1.0, 0.0], 2.5, 6.0, **rule), "one group has a gap"
    assert not worth_carrying([100, 40, 5], [6.0, 5.0, 9.0], 3.1, 6.0, **rule), "half the gap would not be seen"
