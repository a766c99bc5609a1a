"""Selection on noisy gaps: rules by hand, order statistics by tables and draws, forecasts by brute simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from p4equity.disparity.selection import (
    autoregressive,
    expected_narrowing,
    mean_of_largest,
    shrunken_slope,
    simulated_change,
    worst,
)
from p4equity.errors import UsageError
from p4equity.evaluation.selection_cells import _against_others
from p4equity.evaluation.selection_years import spread_of

NAN = float("nan")


def test_the_rule_picks_the_widest_known_gaps_and_the_first_of_equal_ones() -> None:
    gaps = np.array([[4.0, 9.0, NAN, 7.0], [5.0, 5.0, 5.0, -1.0]])
    assert worst(gaps, 2).tolist() == [[False, True, False, True], [True, True, False, False]]
    small = np.array([[True, False, True, True], [True, True, True, True]])
    assert worst(gaps, 2, small).tolist() == [[True, False, False, True], [True, True, False, False]]
    assert worst(np.array([NAN, 3.0]), 5).tolist() == [False, True]


@pytest.mark.parametrize(
    ("k", "n", "value"),
    # Largest of 2 and 3 in closed form; of 8 and 12 and the second and third of 12 from Harter's table (1961).
    [
        (1, 2, 1 / math.sqrt(math.pi)),
        (1, 3, 1.5 / math.sqrt(math.pi)),
        (1, 8, 1.42360),
        (3, 12, (1.62923 + 1.11573 + 0.79284) / 3),
    ],
)
def test_mean_of_the_largest_normal_draws(k: int, n: int, value: float) -> None:
    assert mean_of_largest(k, n) == pytest.approx(value, abs=1e-5)


def test_all_cells_or_none_to_choose_from() -> None:
    assert mean_of_largest(7, 7) == pytest.approx(0.0, abs=1e-9)  # whoever takes all has no largest ones
    with pytest.raises(UsageError, match="at least one"):
        mean_of_largest(3, 2)


def test_correlation_falls_with_distance() -> None:
    assert autoregressive([2019, 2021, 2022], 0.5).tolist() == [[1, 0.25, 0.125], [0.25, 1, 0.5], [0.125, 0.5, 1]]
    assert autoregressive([1, 2], 0.0).tolist() == [[1, 0], [0, 1]]


def test_narrowing_by_hand() -> None:
    # Errors of variance 16 without memory, lasting gaps of variance 9: 16 / 5 of the mean of the largest is error, and goes.
    change = np.array([-1.0, 1.0])
    assert expected_narrowing(3.0, 16 * np.eye(2), np.array([1.0, 0.0]), change, 1, 2) == pytest.approx(3.2 / math.sqrt(math.pi))
    # An error that stays for ever takes nothing away.
    assert expected_narrowing(3.0, np.full((2, 2), 16.0), np.array([1.0, 0.0]), change, 1, 2) == pytest.approx(0.0)
    # No noise at all, and nobody differs.
    assert expected_narrowing(0.0, np.zeros((2, 2)), np.array([1.0, 0.0]), change, 1, 2) == 0.0


def test_cells_of_unequal_size_against_brute_simulation() -> None:
    rng = np.random.default_rng(1)
    centre, between, k = np.array([8.0, 5.0, 5.0, 2.0]), 2.0, 2
    root = rng.normal(size=(8, 8)) * np.repeat([0.5, 1.0, 2.0, 3.0], 2)[:, None]  # selection and later year of each cell
    covariance = root @ root.T / 8
    looked, later = np.arange(0, 8, 2), np.arange(1, 8, 2)
    seen = covariance[np.ix_(looked, looked)]
    joint = covariance[np.ix_(looked, later)] - seen
    mean, often = simulated_change(centre, between, seen, joint, k, 200_000, np.random.default_rng(2))
    errors = rng.multivariate_normal(np.zeros(8), covariance, 200_000)
    gaps = centre + between * rng.standard_normal((200_000, 4)) + errors[:, looked]
    picked = worst(gaps, k)
    change = np.where(picked, errors[:, later] - errors[:, looked], 0.0).sum(axis=0) / picked.sum(axis=0)
    assert often == pytest.approx(picked.mean(axis=0), abs=0.005)
    assert mean == pytest.approx(change, abs=0.05)  # the brute mean of the rarest cell has an error of about 0.015


def test_a_baseline_drawn_toward_the_mean_forecasts_the_picked_cells() -> None:
    # Half of the members stay: the later error shares half of the baseline error.
    rng = np.random.default_rng(3)
    between, seen, joint = 9.0, 16.0, 8.0
    lasting = 5 + 3 * rng.standard_normal(400_000)
    shared, own, new = rng.standard_normal((3, 400_000)) * np.sqrt(8.0)
    base, later = lasting + shared + own, lasting + shared + new
    slope = float(shrunken_slope(between, np.array(seen), np.array(joint)))
    assert slope == pytest.approx(17 / 25)
    widest = base > np.quantile(base, 0.9)
    assert (later - base)[widest].mean() < -2
    assert (later - 5 - slope * (base - 5))[widest].mean() == pytest.approx(0.0, abs=0.06)


def test_picked_cells_are_held_against_the_other_systems_on_their_measure() -> None:
    y = np.array([[1.0, 4.0], [2.0, 5.0], [6.0, 9.0]])
    one = _against_others(np.array([[True, False], [False, False], [False, False]]), np.ones((3, 2), bool))
    assert one is not None
    assert (one * y).sum() == pytest.approx(1 - (2 + 6) / 2)
    two = _against_others(np.array([[True, False], [False, False], [False, True]]), np.ones((3, 2), bool))
    assert two is not None
    assert (two * y).sum() == pytest.approx(((1 - 4) + (9 - 4.5)) / 2)
    assert two.sum(axis=0) == pytest.approx(0.0)  # so that measures with a trend do not tell
    alone = np.array([[True, True], [False, True], [False, True]])
    assert _against_others(np.array([[True, False]] + [[False, False]] * 2), alone) is None  # nobody else on the measure


def test_spread_beside_sampling_is_of_one_size_for_all_measures() -> None:
    rng = np.random.default_rng(4)
    values = np.array([0.0, 10.0, 20.0]) + 2.0 * rng.standard_normal((400, 3)) + 1.0 * rng.standard_normal((400, 3))
    values[0, 0] = NAN
    assert spread_of(values, np.ones((400, 3))) == pytest.approx(4.0, rel=0.1)
    assert spread_of(values, np.full((400, 3), 100.0)) == 0.0
    assert spread_of(values[:1], np.ones((1, 3))) == 0.0  # one system has no spread
