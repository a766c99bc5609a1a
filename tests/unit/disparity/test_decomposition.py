"""Kitagawa's decomposition: by hand, exact in levels and changes, and what each part answers to."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.decomposition import kitagawa, kitagawa_change


def shares(members: np.ndarray) -> np.ndarray:
    return np.asarray(members / members.sum(axis=-1, keepdims=True))


def test_worked_by_hand() -> None:
    """Two systems, rates 0.8 and 0.6 whatever the group; 3/4 of the reference and 1/4 of the group are in the first."""
    found = kitagawa([0.8, 0.6], [0.8, 0.6], [0.75, 0.25], [0.25, 0.75])
    assert found.within == 0
    assert found.between == pytest.approx(0.1)
    inside = kitagawa([0.8, 0.6], [0.7, 0.5], [0.5, 0.5], [0.5, 0.5])
    assert inside.within == pytest.approx(0.1)
    assert inside.between == pytest.approx(0)


@pytest.mark.parametrize("seed", range(5))
def test_parts_sum_to_the_gap_of_pooled_members_and_to_its_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members = rng.integers(1, 900, (2, 2, 7)).astype(float)  # period, group, system
    successes = rng.binomial(members.astype(int), rng.uniform(0.2, 0.9, (2, 2, 7))).astype(float)
    rates, share = successes / members, shares(members)
    gap = successes[:, 0].sum(axis=1) / members[:, 0].sum(axis=1) - successes[:, 1].sum(axis=1) / members[:, 1].sum(axis=1)
    periods = [(rates[t, 0], rates[t, 1], share[t, 0], share[t, 1]) for t in (0, 1)]
    levels = [kitagawa(*p) for p in periods]
    for t in (0, 1):
        assert levels[t].total == pytest.approx(gap[t], abs=1e-14)
    change = kitagawa_change(*periods)
    assert change.total == pytest.approx(gap[1] - gap[0], abs=1e-14)
    assert change.within == pytest.approx(float(levels[1].within - levels[0].within), abs=1e-14)
    assert change.between == pytest.approx(float(levels[1].between - levels[0].between), abs=1e-14)


def test_each_part_of_a_change_answers_to_its_own_cause() -> None:
    r, g = np.array([0.8, 0.6, 0.7]), np.array([0.7, 0.5, 0.5])
    a, b = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    care = kitagawa_change((r, g, a, b), (r, g + 0.04, a, b))
    assert care.within_rates == pytest.approx(-0.04)
    assert care.within_shares == care.between_shares == 0
    assert care.between_rates == pytest.approx(float(((a - b) / 2 * 0.04).sum()))
    moved = kitagawa_change((r, g, a, b), (r, g, a, a))
    assert moved.within_rates == moved.between_rates == 0
    assert moved.between_shares == pytest.approx(float(((b - a) * (r + g) / 2).sum()))


def test_many_at_once_are_those_one_by_one() -> None:
    rng = np.random.default_rng(1)
    r, g = rng.random((2, 5, 4))
    a, b = shares(rng.random((2, 5, 4)))
    found = kitagawa(r, g, a, b)
    np.testing.assert_allclose(found.within, [kitagawa(*p).within for p in zip(r, g, a, b, strict=True)])


def test_a_system_without_one_group_has_no_parts_and_is_to_be_left_out() -> None:
    assert np.isnan(kitagawa([0.8, 0.6], [0.7, np.nan], [0.5, 0.5], [1.0, 0.0]).total)
    assert kitagawa([0.8], [0.7], [1.0], [1.0]).total == pytest.approx(0.1)
