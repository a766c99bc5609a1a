"""Disparity statistics: worked by hand, against other ways, and the bias of the gap to the best group."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.measures import (
    absolute_gap,
    concentration_index,
    excess_of_largest,
    gap_to_best,
    index_of_disparity,
    log_odds_gap,
    named_group,
    ratios,
    slope_index,
    weighted_mean_gap,
    worst_group_rate,
)
from p4equity.errors import UsageError
from scipy import stats


def test_worked_by_hand() -> None:
    rates = np.array([0.80, 0.60, 0.70])
    assert absolute_gap(0.8, 0.6) == pytest.approx(0.2)
    found = ratios(0.8, rates[1:])
    np.testing.assert_allclose(found.success, [0.75, 0.875])
    np.testing.assert_allclose(found.failure, [2.0, 1.5])
    assert log_odds_gap(0.8, 0.6) == pytest.approx(np.log(4 / 1.5))
    assert weighted_mean_gap(0.8, rates[1:], [3, 1]) == pytest.approx((3 * 0.2 + 0.1) / 4)
    assert index_of_disparity(0.8, rates[1:]) == pytest.approx(100 * 0.15 / 0.8)
    assert index_of_disparity(0.8, [0.9, 0.7]) == pytest.approx(12.5), "blind to direction"
    assert worst_group_rate(rates) == pytest.approx(0.6)
    np.testing.assert_allclose(gap_to_best([0.7, 0.9, 0.6]), [0.2, 0.0, 0.3])


def test_ratios_of_success_and_failure_can_tell_opposite_stories() -> None:
    """60 and 50% become 90 and 80%: the same gap, a ratio of success nearer 1 and a ratio of failure farther from it."""
    before, after = ratios(0.60, 0.50), ratios(0.90, 0.80)
    assert absolute_gap(0.60, 0.50) == pytest.approx(absolute_gap(0.90, 0.80))
    assert abs(after.success - 1) < abs(before.success - 1)
    assert abs(after.failure - 1) > abs(before.failure - 1)
    assert before.success == pytest.approx(0.8333, abs=1e-4)
    assert after.failure == pytest.approx(2.0)


def test_log_odds_are_indifferent_between_success_and_failure() -> None:
    assert log_odds_gap(0.9, 0.7) == pytest.approx(-float(log_odds_gap(0.1, 0.3)))
    assert np.isinf(log_odds_gap(1.0, 0.5))


@pytest.mark.parametrize(("means", "errors"), [([0, 0, 0, 0], [1, 2, 1.5, 1]), ([2, 0, 1, -1], [1, 1, 2, 1]), ([9, 0], [1, 1])])
def test_expected_largest_of_normals_is_that_of_draws(means: list[float], errors: list[float]) -> None:
    draws = np.random.default_rng(3).normal(means, errors, (200_000, len(means))).max(axis=1)
    found = float(excess_of_largest(means, np.square(errors))) + max(means)
    assert found == pytest.approx(draws.mean(), abs=4 * draws.std() / np.sqrt(len(draws)))
    assert excess_of_largest([0, 0, 0, 0], [1, 1, 1, 1]) == pytest.approx(1.02938, abs=1e-5), "of four standard normals"


def test_the_gap_to_the_best_of_noisy_rates_is_too_large_and_less_so_corrected() -> None:
    rng, v = np.random.default_rng(11), np.ones(4)
    for truth, corrected_at_most in ((np.zeros(4), 0.65), (np.array([8.0, 0, 0, 0]), 0.12)):
        seen = truth + rng.standard_normal((1500, 4))
        wanted = (truth.max() - truth).mean()
        plain = gap_to_best(seen).mean() - wanted
        better = gap_to_best(seen, v).mean() - wanted
        assert abs(better) <= corrected_at_most
        assert plain >= better - 1e-9
    assert gap_to_best(rng.standard_normal((20_000, 4))).mean() == pytest.approx(1.029, abs=0.05), "the bias at equal rates"


def test_the_group_that_all_name_gives_unbiased_differences_of_changes_and_each_systems_own_best_does_not() -> None:
    """Equal true rates, two systems of 80 and ten of 800 members a group; the baseline names, the next year is independent."""
    rng, n = np.random.default_rng(5), np.repeat([80, 800], [2, 10])[:, None] * np.ones((1, 4), int)
    named: list[float] = []
    own: list[float] = []
    for _ in range(4000):
        before, after = rng.binomial(n, 0.7, (2, 12, 4))
        rates = [before / n, after / n]
        for found, best in ((named, np.full(12, named_group(n, before))), (own, rates[0].argmax(axis=1))):
            gaps = [np.take_along_axis(r, best[:, None], axis=1)[:, 0] - r.mean(axis=1) for r in rates]
            change = gaps[1] - gaps[0]
            found.append(change[:2].mean() - change[2:].mean())
    error = np.std(named) / np.sqrt(4000)
    assert np.mean(named) == pytest.approx(0.0, abs=4 * error)
    assert np.mean(own) < -10 * error, "small systems would seem to narrow"


def test_the_best_and_the_worst_group_are_named_by_all_members() -> None:
    den = np.array([[100, 100, 100], [10, 10, 0], [10, 10, 0]])
    num = np.array([[10, 90, 50], [9, 1, 0], [9, 2, 0]])
    assert named_group(den, num) == 1
    assert named_group(den, num, worst=True) == 0
    nobody = np.array([[5, 5, 0]])
    assert named_group(nobody, [[1, 3, 0]], worst=True) == 0
    assert named_group(nobody, [[3, 1, 0]]) == 0


def test_rank_based_indices_refuse_groups_without_an_order() -> None:
    for index in (slope_index, concentration_index):
        with pytest.raises(UsageError, match="without an order"):
            index([0.5, 0.6], [1, 1], ordered=False)


def test_rank_based_indices_of_ordered_groups() -> None:
    """Five equal groups whose rate rises by 0.02 a group: slope 0.1 over all ranks, against least squares and covariance."""
    rates, weights = np.array([0.50, 0.52, 0.54, 0.56, 0.58]), np.full(5, 0.2)
    assert slope_index(rates, weights, ordered=True) == pytest.approx(0.1)
    assert concentration_index(rates, weights, ordered=True) == pytest.approx(2 * 0.008 / 0.54)
    uneven = np.array([5.0, 1, 2, 1, 3])
    people = np.repeat(np.arange(5), (100 * uneven).astype(int))
    ranks = np.empty(len(people))
    for g in range(5):
        ranks[people == g] = np.flatnonzero(people == g).mean() / len(people) + 0.5 / len(people)
    assert slope_index(rates, uneven, ordered=True) == pytest.approx(np.polyfit(ranks, rates[people], 1)[0])
    covariance = np.cov(ranks, rates[people], bias=True)[0, 1]
    assert concentration_index(rates, uneven, ordered=True) == pytest.approx(2 * covariance / rates[people].mean())


def test_weights_that_give_no_mean_are_refused() -> None:
    with pytest.raises(UsageError, match="no mean"):
        weighted_mean_gap(0.5, [0.4, 0.3], [0, 0])


def test_a_known_rate_among_noisy_ones() -> None:
    """E max(X, c) = c + sd phi(z) - (c - m) (1 - Phi(z)), z = (c - m) / sd, for one normal X and a constant c."""
    for m, c, sd in ((0.7, 0.8, 0.05), (0.8, 0.7, 0.05), (0.5, 0.5, 0.1), (0.9, 0.2, 0.01)):
        z = (c - m) / sd
        expected = c + sd * stats.norm.pdf(z) - (c - m) * stats.norm.sf(z) - max(m, c)
        assert excess_of_largest([m, c], [sd**2, 0.0]) == pytest.approx(expected, abs=1e-6)
    assert excess_of_largest([0.7, 0.8], [0.0, 0.0]) == pytest.approx(0.0, abs=1e-12)
    mixed = gap_to_best([[0.7, 0.8], [0.7, 0.8]], [[0.0, 0.001], [0.001, 0.001]])
    assert np.isfinite(mixed).all()
    assert mixed[1] == pytest.approx(gap_to_best([0.7, 0.8], [0.001, 0.001]))


def test_without_any_member_no_group_is_named() -> None:
    with pytest.raises(UsageError, match="no group to name"):
        named_group([[0, 0]], [[0, 0]])
