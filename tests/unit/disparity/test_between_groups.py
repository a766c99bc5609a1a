"""Between-group variance without its sampling term, Theil's index and its split: by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.between_groups import (
    between_group_variance,
    implied_rate,
    log_deviation_split,
    mean_log_deviation,
    spurious_variance,
    theil,
    theil_split,
)
from p4equity.errors import UsageError


def test_worked_by_hand() -> None:
    """Groups of 30 and 10 with 24 and 5 successes: rates 0.8 and 0.5, mean 0.725, variance 0.75 x 0.25 x 0.3^2."""
    found = between_group_variance([30, 10], [24, 5])
    assert found.observed == pytest.approx(0.75 * 0.25 * 0.09)
    assert found.sampling == pytest.approx(0.75 * 0.25 * (0.8 * 0.2 / 29 + 0.25 / 9))
    assert found.corrected == pytest.approx(float(found.observed) - float(found.sampling))
    with pytest.raises(UsageError, match="2 or more"):
        between_group_variance([30, 1], [24, 1])


@pytest.mark.parametrize("weights", [None, [0.1, 0.4, 0.2, 0.3]])
def test_equal_rates_have_a_corrected_variance_of_zero_and_others_their_own(weights: list[float] | None) -> None:
    rng, n = np.random.default_rng(2), np.array([900, 60, 25, 140])
    for p in (np.full(4, 0.7), np.array([0.8, 0.7, 0.65, 0.75])):
        x = rng.binomial(n, p, (60_000, 4))
        found = between_group_variance(np.broadcast_to(n, x.shape), x, None if weights is None else np.array(weights))
        w = n / n.sum() if weights is None else np.array(weights)
        truth = float((w * (p - w @ p) ** 2).sum())
        corrected = found.corrected
        assert corrected.mean() == pytest.approx(truth, abs=4 * corrected.std() / np.sqrt(len(corrected)))
        assert found.observed.mean() > truth + 10 * corrected.std() / np.sqrt(len(corrected)), "uncorrected it is too large"


def test_spurious_variance_depends_on_members_and_not_on_the_mix() -> None:
    p, N = 0.7, 2000
    for mix in ([0.25, 0.25, 0.25, 0.25], [0.9, 0.05, 0.03, 0.02]):
        n = np.array(mix) * N
        w = n / N
        assert float((w * (1 - w) * p * (1 - p) / n).sum()) == pytest.approx(float(spurious_variance(p, N, 4)))
    spread = float(np.sqrt(spurious_variance(p, N, 4)))
    assert implied_rate(spread, N, 4) == pytest.approx(0.7)
    with pytest.raises(UsageError, match="no rate"):
        implied_rate(0.5, N, 4)


def test_theil_and_log_deviation_by_hand_and_by_their_sum_over_members() -> None:
    rates, weights = np.array([0.8, 0.4]), np.array([3.0, 1.0])
    mean = 0.7
    assert theil(rates, weights) == pytest.approx(0.75 * 0.8 / mean * np.log(0.8 / mean) + 0.25 * 0.4 / mean * np.log(0.4 / mean))
    assert mean_log_deviation(rates, weights) == pytest.approx(np.log(mean) - 0.75 * np.log(0.8) - 0.25 * np.log(0.4))
    members = np.repeat(rates, [300, 100])
    assert theil(members, np.ones(400)) == pytest.approx(float(theil(rates, weights)))
    assert theil([0.5, 0.5], [1, 2]) == 0
    assert np.isfinite(theil([0.0, 0.5], [1, 1])), "a rate of zero counts nothing"
    assert np.isinf(mean_log_deviation([0.0, 0.5], [1, 1]))


@pytest.mark.parametrize(("split", "whole"), [(theil_split, theil), (log_deviation_split, mean_log_deviation)])
def test_split_over_systems_adds_to_the_whole(split: object, whole: object) -> None:
    rng = np.random.default_rng(9)
    rates, members = rng.uniform(0.3, 0.9, (6, 4)), rng.integers(5, 500, (6, 4)).astype(float)
    assert callable(split)
    assert callable(whole)
    found = split(rates, members)
    assert found.total == pytest.approx(float(whole(rates.ravel(), members.ravel())), rel=1e-12)
    same = split(np.tile(rates[0], (6, 1)), np.tile(members[0], (6, 1)))
    assert same.between == pytest.approx(0, abs=1e-15)
    assert same.within == pytest.approx(float(whole(rates[0], members[0])))
    apart = split(np.repeat(rates[:, :1], 4, axis=1), members)
    assert apart.within == pytest.approx(0, abs=1e-15)


def test_a_system_without_members_takes_no_part_in_a_split() -> None:
    rates, weights = np.array([[0.8, 0.6], [0.7, 0.5]]), np.array([[30.0, 10.0], [20.0, 40.0]])
    for split in (theil_split, log_deviation_split):
        plain = split(rates, weights)
        for empty in (0.3, np.nan):
            more = split(np.vstack([rates, [empty, empty]]), np.vstack([weights, [0.0, 0.0]]))
            assert (more.within, more.between) == pytest.approx((plain.within, plain.between))
    one = theil_split([[0.8, np.nan], [0.7, 0.5]], [[30.0, 0.0], [20.0, 40.0]])
    assert one.total == pytest.approx(float(theil([0.8, 0.7, 0.5], [30.0, 20.0, 40.0])))
    with pytest.raises(UsageError):
        theil_split(rates, np.zeros((2, 2)))
